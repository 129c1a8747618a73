//! E1-E4, F2 and F3.

use contracts::order::OrderCancelled;
use contracts::topics::{ORDER_COMMANDS, ORDER_EVENTS};
use messaging::store::{Published, Sequence};
use order::domain::Status;

use messaging::clock::Timestamp;

use super::history::{History, cancel, order_placed, place};
use crate::check::Side;

fn cancelled() -> OrderCancelled {
    OrderCancelled {
        order_id: "O1".to_owned(),
        version: 2,
        reason: "by hand".to_owned(),
    }
}

/// O1 is placed and cancelled; nothing is published yet.
fn committed() -> History {
    let mut history = History::begin();
    history.command(&place("O1"), "c1");
    history.command(&cancel("O1"), "x");
    let events = [
        history.event(&order_placed("O1", 2)),
        history.event(&cancelled()),
    ];
    let [first, second] = events;
    let turn = history.turn(Side::Order).reads(ORDER_COMMANDS, 0..2);
    turn.order("O1", None, Some((Status::Cancelled, 2, 0)))
        .remembers(&cancel("O1"), "x", 0)
        .says(ORDER_EVENTS, first)
        .says(ORDER_EVENTS, second)
        .commit();
    history
}

fn delete(history: &mut History, up_to: i64) {
    let published = Published {
        partition: 0,
        up_to: Sequence(up_to),
        offsets: Vec::new(),
    };
    let turn = history.turn(Side::Order);
    turn.with(|effects| effects.published.push(published))
        .commit();
}

#[test]
fn events_may_be_published_again_from_any_of_them_on() {
    let mut history = committed();
    history.publish(&order_placed("O1", 2));
    history.publish(&cancelled());
    history.publish(&order_placed("O1", 2));
    history.publish(&cancelled());
    assert_eq!(history.violation(), None);
    assert_eq!(history.checker.counts().republished, 2);
}

#[test]
fn e1_what_was_not_committed_is_not_published() {
    let mut history = History::begin();
    history.publish(&order_placed("O1", 2));
    assert_eq!(history.broken(), Some("E1"));
}

#[test]
fn e1_what_was_committed_is_published_as_it_was_committed() {
    let mut history = committed();
    history.publish(&order_placed("O1", 3));
    assert_eq!(history.broken(), Some("E1"));
}

#[test]
fn e2_what_is_published_again_has_the_same_bytes() {
    let mut history = committed();
    history.publish(&order_placed("O1", 2));
    history.publish(&order_placed("O1", 3));
    assert_eq!(history.broken(), Some("E2"));
}

#[test]
fn e3_versions_come_without_gaps() {
    let mut history = committed();
    history.publish(&cancelled());
    assert_eq!(history.broken(), Some("E3"));
}

#[test]
fn e4_what_is_published_can_be_read() {
    let mut history = committed();
    let mut record = history.event(&order_placed("O1", 2));
    record.value = Some([0, 0, 0, 0, 99, 1].as_slice().to_vec().into());
    history.append(ORDER_EVENTS, record);
    assert_eq!(history.broken(), Some("E4"));
}

#[test]
fn foreign_records_in_a_topic_of_events_are_nobodys_promise() {
    let mut history = History::begin();
    let record = history.event(&order_placed("O1", 2));
    history.inject(ORDER_EVENTS, record);
    assert_eq!(history.violation(), None);
}

#[test]
fn f2_a_row_stays_in_the_outbox_until_the_log_has_its_message() {
    let mut history = committed();
    history.publish(&order_placed("O1", 2));
    delete(&mut history, 1);
    assert_eq!(history.violation(), None);
    delete(&mut history, 2);
    assert_eq!(history.broken(), Some("F2"));
}

#[test]
fn f2_at_rest_the_outbox_is_empty() {
    let mut history = committed();
    history.publish(&order_placed("O1", 2));
    history.publish(&cancelled());
    delete(&mut history, 1);
    history.checker.settled(Timestamp(1_000));
    assert_eq!(history.broken(), Some("F2"));
}

#[test]
fn f3_at_rest_everything_is_read() {
    let mut history = committed();
    history.publish(&order_placed("O1", 2));
    history.publish(&cancelled());
    delete(&mut history, 2);
    history.checker.settled(Timestamp(1_000));
    let violation = history.violation().unwrap();
    assert_eq!(violation.invariant, "F3");
    assert!(
        violation
            .to_string()
            .starts_with("F3: Inventory has not read"),
        "{violation}"
    );
}

#[test]
fn at_rest_with_everything_said_and_read_nothing_is_broken() {
    let mut history = History::begin();
    history.command(&cancel("O1"), "x");
    let turn = history.turn(Side::Order).reads(ORDER_COMMANDS, 0..1);
    turn.change(
        "O1",
        None,
        Some(crate::check::Row::Tombstone([None].into())),
    )
    .remembers(&cancel("O1"), "x", 0)
    .commit();
    history.checker.settled(Timestamp(1_000));
    assert_eq!(history.violation(), None);
}
