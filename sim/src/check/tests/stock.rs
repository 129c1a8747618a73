//! S1-S3, where Inventory commits.

use contracts::inventory::{StockReserved, StockShipped};
use contracts::order::OrderCompleted;
use contracts::topics::{INVENTORY_COMMANDS, INVENTORY_EVENTS, INVENTORY_STOCK, ORDER_EVENTS};
use inventory::domain::reservation::{Reservation, Status};
use inventory::domain::stock::Stock;

use super::history::{History, line, order_placed, receive, reservation, stock_received};
use crate::check::Side;

pub(super) fn stock_reserved(id: &str, version: i64, quantity: i32) -> StockReserved {
    StockReserved {
        order_id: id.to_owned(),
        version,
        lines: vec![line(quantity)],
    }
}

/// Ten of A are there, and order O1 asks for some of them.
fn asked_for(quantity: i32) -> (History, Stock) {
    let mut history = History::begin();
    let stock = history.received(1, None, 10);
    let record = history.event(&order_placed("O1", quantity));
    history.inject(ORDER_EVENTS, record);
    (history, stock)
}

fn reserve(history: &mut History, row: &Reservation, before: Stock, after: Stock) {
    let event = history.event(&stock_reserved("O1", 1, 2));
    let turn = history.turn(Side::Inventory).reads(ORDER_EVENTS, 0..1);
    turn.reservation(None, row)
        .stock(Some(before), after)
        .says(INVENTORY_EVENTS, event)
        .commit();
}

#[test]
fn an_order_that_fits_is_held() {
    let (mut history, stock) = asked_for(2);
    let held = reservation("O1", Status::Held, 2);
    reserve(&mut history, &held, stock, stock.hold(2));
    assert_eq!(history.violation(), None);
}

#[test]
fn s1_nothing_is_promised_that_is_not_there() {
    let (mut history, stock) = asked_for(12);
    let held = reservation("O1", Status::Held, 12);
    let after = Stock {
        reserved: 12,
        ..stock
    };
    reserve(&mut history, &held, stock, after);
    assert_eq!(history.broken(), Some("S1"));
}

#[test]
fn s2_what_is_reserved_is_what_is_held() {
    let (mut history, stock) = asked_for(2);
    let held = reservation("O1", Status::Held, 2);
    reserve(&mut history, &held, stock, stock.hold(3));
    assert_eq!(history.broken(), Some("S2"));
}

#[test]
fn s2_an_update_that_was_lost_shows_in_the_sum() {
    let (mut history, stock) = asked_for(2);
    let held = reservation("O1", Status::Held, 2);
    // As if the receipt of these ten had not been seen by the writer.
    let seen = Stock {
        on_hand: 2,
        ..stock
    };
    reserve(&mut history, &held, stock, seen.hold(2));
    assert_eq!(history.broken(), Some("S2"));
}

#[test]
fn s2_what_is_on_hand_is_what_came_less_what_left() {
    for (on_hand, broken) in [(8, None), (10, Some("S2"))] {
        let (mut history, stock) = asked_for(2);
        let held = reservation("O1", Status::Held, 2);
        reserve(&mut history, &held, stock, stock.hold(2));
        let completed = OrderCompleted {
            order_id: "O1".to_owned(),
            version: 3,
        };
        let record = history.event(&completed);
        history.inject(ORDER_EVENTS, record);
        let shipped = Reservation {
            order_version: 3,
            version: 2,
            status: Status::Shipped,
            ..held.clone()
        };
        let event = StockShipped {
            order_id: "O1".to_owned(),
            version: 2,
            lines: vec![line(2)],
        };
        let event = history.event(&event);
        let after = Stock {
            on_hand,
            reserved: 0,
            ..stock
        };
        let turn = history.turn(Side::Inventory).reads(ORDER_EVENTS, 1..2);
        turn.reservation(Some(&held), &shipped)
            .stock(Some(stock.hold(2)), after)
            .says(INVENTORY_EVENTS, event)
            .commit();
        assert_eq!(history.broken(), broken);
    }
}

#[test]
fn s3_an_order_is_held_once() {
    let (mut history, stock) = asked_for(2);
    let held = reservation("O1", Status::Held, 2);
    reserve(&mut history, &held, stock, stock.hold(2));
    let more = reservation("O1", Status::Held, 3);
    let turn = history.turn(Side::Inventory);
    turn.reservation(Some(&held), &more)
        .stock(Some(stock.hold(2)), stock.hold(2))
        .commit();
    assert_eq!(history.broken(), Some("S3"));
}

#[test]
fn s6_an_order_that_was_read_has_its_reservation() {
    let (mut history, _) = asked_for(2);
    history
        .turn(Side::Inventory)
        .reads(ORDER_EVENTS, 0..1)
        .commit();
    assert_eq!(history.broken(), Some("S6"));
}

#[test]
fn s6_a_receipt_that_was_read_is_booked() {
    let mut history = History::begin();
    history.command(&receive("R1", 10), "r1");
    history
        .turn(Side::Inventory)
        .reads(INVENTORY_COMMANDS, 0..1)
        .commit();
    assert_eq!(history.broken(), Some("S6"));
}

#[test]
fn s8_a_receipt_counts_once() {
    for (again, broken) in [(false, None), (true, Some("S8"))] {
        let mut history = History::begin();
        let stock = history.received(1, None, 10);
        history.command(&receive("R1", 10), "another id");
        let event = history.event(&stock_received(2, 10));
        let turn = history
            .turn(Side::Inventory)
            .reads(INVENTORY_COMMANDS, 1..2);
        let turn = match again {
            true => turn
                .stock(Some(stock), stock.receive(10))
                .says(INVENTORY_STOCK, event),
            false => turn,
        };
        turn.commit();
        assert_eq!(history.broken(), broken);
    }
}
