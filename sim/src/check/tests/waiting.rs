//! F6 and F6b at the commits that queue and serve.

use contracts::inventory::StockBackordered;
use contracts::topics::{INVENTORY_COMMANDS, INVENTORY_EVENTS, INVENTORY_STOCK, ORDER_EVENTS};
use inventory::domain::marks::Mark;
use inventory::domain::reservation::{Reservation, Status};
use inventory::domain::stock::Stock;

use messaging::clock::Timestamp;

use super::history::{
    History, order_placed, receive, reservation, served, stock_received, waiting,
};
use super::stock::stock_reserved;
use crate::check::{Row, Side};

/// One piece of A is there; O1 and O2 wait, each for `quantities`.
struct Queue {
    history: History,
    stock: Stock,
    first: Reservation,
    second: Reservation,
}

fn queue(quantities: [i32; 2]) -> Queue {
    let mut history = History::begin();
    let stock = history.received(1, None, 1);
    let first = waiting("O1", quantities[0], 1);
    let second = waiting("O2", quantities[1], 2);
    for (offset, waiter) in [(0, &first), (1, &second)] {
        queues(&mut history, offset, waiter);
    }
    assert_eq!(history.violation(), None);
    Queue {
        history,
        stock,
        first,
        second,
    }
}

fn queues(history: &mut History, offset: i64, waiter: &Reservation) {
    let id = waiter.order_id.as_str();
    let quantity = *waiter.lines.values().next().unwrap();
    let record = history.event(&order_placed(id, quantity));
    history.inject(ORDER_EVENTS, record);
    let event = StockBackordered {
        order_id: id.to_owned(),
        version: 1,
        short: vec!["A".to_owned()],
    };
    let event = history.event(&event);
    let turn = history
        .turn(Side::Inventory)
        .reads(ORDER_EVENTS, offset..offset + 1);
    turn.reservation(None, waiter)
        .queue(waiter, false, true)
        .says(INVENTORY_EVENTS, event)
        .commit();
}

impl Queue {
    /// Two pieces arrive; the turn serves `who`, if anybody.
    fn arrives(&mut self, who: Option<Reservation>, marked: bool) {
        self.history.command(&receive("R2", 2), "r2");
        let received = self.history.event(&stock_received(2, 2));
        let mut stock = self.stock.receive(2);
        let record = who.as_ref().map(|who| {
            let quantity = *who.lines.values().next().unwrap();
            stock = stock.hold(quantity);
            self.history
                .event(&stock_reserved(who.order_id.as_str(), 2, quantity))
        });
        let mark = marked.then(|| {
            Row::Mark(Mark {
                sequence: 1,
                causation_id: "r2".to_owned(),
            })
        });
        let turn = self
            .history
            .turn(Side::Inventory)
            .reads(INVENTORY_COMMANDS, 1..2);
        let mut turn = turn
            .stock(Some(self.stock), stock)
            .receipt("R2", 2)
            .says(INVENTORY_STOCK, received);
        if let (Some(who), Some(record)) = (&who, record) {
            let waiter = match who.order_id.as_str() {
                "O1" => &self.first,
                _ => &self.second,
            };
            let after = served(waiter, 1);
            turn = turn
                .reservation(Some(waiter), &after)
                .queue(waiter, true, false)
                .says(INVENTORY_EVENTS, record);
        }
        turn.change("A", None, mark).commit();
    }
}

#[test]
fn the_first_that_suffices_is_served() {
    let mut queue = queue([3, 2]);
    queue.arrives(Some(queue.first.clone()), false);
    assert_eq!(queue.history.violation(), None);
}

#[test]
fn f6_nobody_is_served_before_an_earlier_waiter() {
    let mut queue = queue([3, 2]);
    queue.arrives(Some(queue.second.clone()), false);
    assert_eq!(queue.history.broken(), Some("F6"));
}

#[test]
fn f6_a_newcomer_does_not_pass_those_who_wait() {
    let Queue {
        mut history, stock, ..
    } = queue([3, 2]);
    let record = history.event(&order_placed("O3", 1));
    history.inject(ORDER_EVENTS, record);
    let held = reservation("O3", Status::Held, 1);
    let event = history.event(&stock_reserved("O3", 1, 1));
    let turn = history.turn(Side::Inventory).reads(ORDER_EVENTS, 2..3);
    turn.reservation(None, &held)
        .stock(Some(stock), stock.hold(1))
        .says(INVENTORY_EVENTS, event)
        .commit();
    assert_eq!(history.broken(), Some("F6"));
}

#[test]
fn f6_places_rise() {
    let Queue { mut history, .. } = queue([3, 2]);
    queues(&mut history, 2, &waiting("O3", 1, 2));
    assert_eq!(history.broken(), Some("F6"));
}

#[test]
fn f6_who_waits_stands_in_its_queue() {
    let mut history = History::begin();
    history.received(1, None, 1);
    let record = history.event(&order_placed("O1", 2));
    history.inject(ORDER_EVENTS, record);
    let event = StockBackordered {
        order_id: "O1".to_owned(),
        version: 1,
        short: vec!["A".to_owned()],
    };
    let event = history.event(&event);
    let turn = history.turn(Side::Inventory).reads(ORDER_EVENTS, 0..1);
    turn.reservation(None, &waiting("O1", 2, 1))
        .says(INVENTORY_EVENTS, event)
        .commit();
    assert_eq!(history.broken(), Some("F6"));
}

#[test]
fn f6b_nobody_waits_for_what_is_there() {
    let mut queue = queue([3, 2]);
    queue.arrives(None, false);
    assert_eq!(queue.history.broken(), Some("F6b"));
}

#[test]
fn f6b_a_mark_is_a_promise_to_look() {
    let mut queue = queue([3, 2]);
    queue.arrives(None, true);
    assert_eq!(queue.history.violation(), None);
    queue.history.checker.settled(Timestamp(1_000));
    assert_ne!(
        queue.history.broken(),
        None,
        "and it must be kept before the rest"
    );
}

#[test]
fn f6b_who_is_short_behind_one_who_is_short_waits_rightly() {
    let mut queue = queue([9, 2]);
    queue.arrives(None, false);
    assert_eq!(queue.history.violation(), None);
}
