//! A cancellation that names a customer: nothing for another one's order.

use contracts::order::CancelOrder;
use contracts::topics::ORDER_COMMANDS;
use order::domain::Status;

use super::history::{History, TurnOf, cancel, place};
use crate::check::{Row, Side};

/// A cancellation of O1, which C1 places.
fn cancel_of(customer_id: &str) -> CancelOrder {
    CancelOrder {
        customer_id: Some(customer_id.to_owned()),
        ..cancel("O1")
    }
}

/// The cancellation x is remembered for good: what it is about can still change.
fn remembered<'h>(turn: TurnOf<'h>, cancel: &CancelOrder) -> TurnOf<'h> {
    let turn = turn.remembers(cancel, "x", 0);
    turn.with(|effects| {
        effects
            .inbox
            .iter_mut()
            .for_each(|entry| entry.lasting = true)
    })
}

#[test]
fn s7_another_customers_cancellation_changes_no_order() {
    let standing = Some((Status::Pending, 1, 0));
    let fallen = Some((Status::Cancelled, 2, 0));
    for (after, broken) in [(standing, None), (fallen, Some("S7"))] {
        let mut history = History::begin();
        history.placed();
        history.command(&cancel_of("C2"), "x");
        let turn = history.turn(Side::Order).reads(ORDER_COMMANDS, 1..2);
        let turn = turn.order("O1", standing, after);
        remembered(turn, &cancel_of("C2")).commit();
        assert_eq!(history.violation().map(|found| found.invariant), broken);
    }
}

#[test]
fn s7_a_tombstone_cancels_its_own_customers_order_only() {
    for (customer, status) in [("C1", Status::Cancelled), ("C2", Status::Pending)] {
        for claimed in [Status::Cancelled, Status::Pending] {
            let mut history = History::begin();
            let cancel = cancel_of(customer);
            history.command(&cancel, "x");
            let tombstone = Row::Tombstone([cancel.customer_id.clone()].into());
            let turn = history.turn(Side::Order).reads(ORDER_COMMANDS, 0..1);
            let turn = turn.change("O1", None, Some(tombstone));
            remembered(turn, &cancel).commit();
            assert_eq!(history.violation(), None);

            history.command(&place("O1"), "y");
            let event = match claimed {
                Status::Cancelled => history.event(&super::commits::cancelled("O1", 1)),
                _ => history.event(&super::history::order_placed("O1", 2)),
            };
            let turn = history.turn(Side::Order).reads(ORDER_COMMANDS, 1..2);
            turn.order("O1", None, Some((claimed, 1, 0)))
                .says(contracts::topics::ORDER_EVENTS, event)
                .commit();
            let is_right = history.violation().is_none();
            assert_eq!(is_right, claimed == status, "{customer}: {claimed:?}");
        }
    }
}
