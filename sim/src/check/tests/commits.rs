//! S4-S10, where Order commits.

use contracts::inventory::StockReserved;
use contracts::order::{OrderCancelled, OrderReserved};
use contracts::topics::{INVENTORY_EVENTS, ORDER_COMMANDS, ORDER_EVENTS};
use messaging::clock::Timestamp;
use messaging::shard::Epoch;
use order::domain::Status;

use super::history::{History, SHARD, cancel, complete, line, order_placed, place};
use crate::check::{Side, Tolerance};

const PENDING: Option<(Status, i64, i64)> = Some((Status::Pending, 1, 0));

pub(super) fn cancelled(id: &str, version: i64) -> OrderCancelled {
    OrderCancelled {
        order_id: id.to_owned(),
        version,
        reason: "by hand".to_owned(),
    }
}

/// O1 is placed and cancelled by command x, remembered as applied at time 50.
fn placed_and_cancelled() -> History {
    let mut history = History::begin();
    history.placed();
    history.command(&cancel("O1"), "x");
    let event = history.event(&cancelled("O1", 2));
    let turn = history.turn(Side::Order).reads(ORDER_COMMANDS, 1..2);
    turn.order("O1", PENDING, Some((Status::Cancelled, 2, 0)))
        .remembers(&cancel("O1"), "x", 50)
        .says(ORDER_EVENTS, event)
        .commit();
    history.publish(&cancelled("O1", 2));
    history
}

#[test]
fn a_right_story_breaks_nothing() {
    let mut history = placed_and_cancelled();
    // The same placement again, the same cancellation again, and another order under the same id.
    history.command(&place("O1"), "c9");
    history.command(&cancel("O1"), "x");
    let mut other = place("O1");
    other.lines[0].quantity = 9;
    history.command(&other, "c8");
    let turn = history.turn(Side::Order).reads(ORDER_COMMANDS, 2..5);
    turn.conflict(ORDER_COMMANDS, 4).commit();
    assert_eq!(history.violation(), None);
    let counts = history.checker.counts();
    assert_eq!((counts.duplicates, counts.conflicts), (2, 1));
    assert_eq!((counts.applied, counts.commits), (2, 3));
}

#[test]
fn s4_a_step_starts_at_the_cursor() {
    for (from, to) in [(0, 2), (2, 3)] {
        let mut history = History::begin();
        history.placed();
        history.command(&place("O1"), "again");
        history.command(&place("O1"), "and again");
        history
            .turn(Side::Order)
            .reads(ORDER_COMMANDS, from..to)
            .commit();
        assert_eq!(history.broken(), Some("S4"), "{from} to {to}");
    }
}

#[test]
fn s4_a_step_goes_forward_to_behind_a_record() {
    for (from, to) in [(1, 1), (1, 0), (1, 3)] {
        let mut history = History::begin();
        history.placed();
        history.command(&place("O1"), "again");
        history
            .turn(Side::Order)
            .reads(ORDER_COMMANDS, from..to)
            .commit();
        assert_eq!(history.broken(), Some("S4"), "{from} to {to}");
    }
}

#[test]
fn s5_an_older_owner_commits_nothing() {
    let mut history = History::begin();
    history.checker.claimed(Side::Order, SHARD, Epoch(2));
    history.turn(Side::Order).under(1).commit();
    assert_eq!(history.broken(), Some("S5"));
}

#[test]
fn s5_a_newer_owner_commits() {
    let mut history = History::begin();
    history.checker.claimed(Side::Order, SHARD, Epoch(2));
    history.turn(Side::Order).under(2).commit();
    assert_eq!(history.violation(), None);
}

#[test]
fn s5_an_epoch_rises_with_each_owner() {
    let history = History::begin();
    history.checker.claimed(Side::Order, SHARD, Epoch(1));
    assert_eq!(history.broken(), Some("S5"));
}

#[test]
fn s6_a_record_below_the_cursor_has_had_its_effect() {
    let mut history = History::begin();
    history.command(&place("O1"), "c1");
    history
        .turn(Side::Order)
        .reads(ORDER_COMMANDS, 0..1)
        .commit();
    assert_eq!(history.broken(), Some("S6"));
}

#[test]
fn s6_an_effect_without_its_message_is_half_a_commit() {
    let mut history = History::begin();
    history.command(&place("O1"), "c1");
    let turn = history.turn(Side::Order).reads(ORDER_COMMANDS, 0..1);
    turn.order("O1", None, PENDING).commit();
    assert_eq!(history.broken(), Some("S6"));
}

#[test]
fn s6_a_message_without_its_effect_is_half_a_commit() {
    let mut history = History::begin();
    let event = history.event(&order_placed("O1", 2));
    history.turn(Side::Order).says(ORDER_EVENTS, event).commit();
    assert_eq!(history.broken(), Some("S6"));
}

#[test]
fn s6_nothing_at_or_above_the_cursor_has_an_effect() {
    let mut history = History::begin();
    history.placed();
    history.command(&cancel("O1"), "x");
    let turn = history.turn(Side::Order);
    turn.remembers(&cancel("O1"), "x", 0).commit();
    assert_eq!(history.broken(), Some("S6"));
}

#[test]
fn s6_an_id_that_must_be_remembered_is() {
    let mut history = History::begin();
    history.command(&cancel("O1"), "x");
    let turn = history.turn(Side::Order).reads(ORDER_COMMANDS, 0..1);
    turn.change(
        "O1",
        None,
        Some(crate::check::Row::Tombstone([None].into())),
    )
    .commit();
    assert_eq!(history.broken(), Some("S6"));
}

#[test]
fn s6_what_took_the_place_of_a_lost_tail_was_never_read() {
    let mut history = History::begin();
    history.placed();
    history.lose(ORDER_COMMANDS, 0);
    history.command(&place("O2"), "c2");
    history.command(&place("O1"), "c1");
    history
        .turn(Side::Order)
        .reads(ORDER_COMMANDS, 1..2)
        .commit();
    assert_eq!(history.broken(), Some("S6"));
}

#[test]
fn s6_a_lost_tail_that_was_written_again_as_it_was_does_no_harm() {
    let mut history = History::begin();
    history.placed();
    history.lose(ORDER_COMMANDS, 0);
    history.command(&place("O1"), "c1");
    history.command(&place("O1"), "again");
    history
        .turn(Side::Order)
        .reads(ORDER_COMMANDS, 1..2)
        .commit();
    assert_eq!(history.violation(), None);
}

#[test]
fn s6_what_cannot_be_read_is_parked_and_holds_up_what_follows() {
    let mut history = History::begin();
    let mut garbage = history.record(&place("O1"), "c1");
    garbage.value = Some(b"garbage".as_slice().into());
    history.inject(ORDER_COMMANDS, garbage);
    history.command(&place("O1"), "c2");
    let of = Some(("order", "O1"));
    let turn = history.turn(Side::Order).reads(ORDER_COMMANDS, 0..2);
    let turn = turn.parks(ORDER_COMMANDS, 0, of);
    turn.parks(ORDER_COMMANDS, 1, of).commit();
    assert_eq!(history.violation(), None);
    assert_eq!(history.checker.counts().parked, 2);
}

#[test]
fn s6_nothing_overtakes_a_parked_message() {
    let mut history = History::begin();
    let mut garbage = history.record(&place("O1"), "c1");
    garbage.headers.clear();
    history.inject(ORDER_COMMANDS, garbage);
    history.command(&place("O1"), "c2");
    let event = history.event(&order_placed("O1", 2));
    let turn = history.turn(Side::Order).reads(ORDER_COMMANDS, 0..2);
    let turn = turn.parks(ORDER_COMMANDS, 0, Some(("order", "O1")));
    let turn = turn.order("O1", None, PENDING);
    turn.says(ORDER_EVENTS, event).commit();
    assert_eq!(history.broken(), Some("S6"));
}

#[test]
fn s6_a_good_message_is_parked_only_where_the_run_says_so() {
    for (failed, broken) in [(false, Some("S6")), (true, None)] {
        let mut history = History::tolerating(Tolerance {
            failed,
            ..Tolerance::default()
        });
        history.command(&place("O1"), "c1");
        let turn = history.turn(Side::Order).reads(ORDER_COMMANDS, 0..1);
        turn.parks(ORDER_COMMANDS, 0, Some(("order", "O1")))
            .commit();
        assert_eq!(history.broken(), broken);
    }
}

#[test]
fn s7_a_status_follows_by_the_table() {
    let mut history = History::begin();
    history.placed();
    history.command(&complete("O1"), "x");
    let turn = history.turn(Side::Order).reads(ORDER_COMMANDS, 1..2);
    let turn = turn.order("O1", PENDING, Some((Status::Completed, 2, 0)));
    let entry = messaging::store::InboxEntry {
        key: messaging::store::InboxKey {
            message_type: "shop.order.CompleteOrder".to_owned(),
            key: "O1".to_owned(),
            id: "x".to_owned(),
        },
        content: complete("O1").content(),
        at: Timestamp(0),
        lasting: true,
    };
    turn.with(|effects| effects.inbox.push(entry)).commit();
    assert_eq!(history.broken(), Some("S7"));
}

#[test]
fn s7_a_version_rises_by_one() {
    let mut history = History::begin();
    history.command(&place("O1"), "c1");
    let event = history.event(&order_placed("O1", 2));
    let turn = history.turn(Side::Order).reads(ORDER_COMMANDS, 0..1);
    turn.order("O1", None, Some((Status::Pending, 2, 0)))
        .says(ORDER_EVENTS, event)
        .commit();
    assert_eq!(history.broken(), Some("S7"));
}

/// Inventory's event that O1 is reserved, in the log without Inventory's part of the story.
fn reserved(history: &mut History) -> i64 {
    let event = StockReserved {
        order_id: "O1".to_owned(),
        version: 1,
        lines: vec![line(2)],
    };
    let record = history.event(&event);
    history.inject(INVENTORY_EVENTS, record)
}

/// O1 is reserved, and the event that says so comes a second time.
fn reserved_twice() -> History {
    let mut history = History::begin();
    history.placed();
    reserved(&mut history);
    let event = OrderReserved {
        order_id: "O1".to_owned(),
        version: 2,
    };
    let record = history.event(&event);
    let turn = history.turn(Side::Order).reads(INVENTORY_EVENTS, 0..1);
    turn.order("O1", PENDING, Some((Status::Reserved, 2, 1)))
        .says(ORDER_EVENTS, record)
        .commit();
    reserved(&mut history);
    history
}

#[test]
fn s8_an_event_that_comes_again_changes_nothing() {
    let mut history = reserved_twice();
    history
        .turn(Side::Order)
        .reads(INVENTORY_EVENTS, 1..2)
        .commit();
    assert_eq!(history.violation(), None);
    assert_eq!(history.checker.counts().duplicates, 1);
}

#[test]
fn s8_an_event_that_comes_again_is_not_decided_again() {
    let mut history = reserved_twice();
    let event = OrderReserved {
        order_id: "O1".to_owned(),
        version: 3,
    };
    let record = history.event(&event);
    let before = Some((Status::Reserved, 2, 1));
    let turn = history.turn(Side::Order).reads(INVENTORY_EVENTS, 1..2);
    turn.order("O1", before, Some((Status::Reserved, 3, 1)))
        .says(ORDER_EVENTS, record)
        .commit();
    assert_eq!(history.broken(), Some("S8"));
}

#[test]
fn s8_a_duplicate_is_not_parked() {
    let mut history = History::begin();
    history.placed();
    history.command(&place("O1"), "c1");
    let turn = history.turn(Side::Order).reads(ORDER_COMMANDS, 1..2);
    turn.parks(ORDER_COMMANDS, 1, Some(("order", "O1")))
        .commit();
    assert_eq!(history.broken(), Some("S8"));
}

#[test]
fn s9_other_content_under_a_known_id_is_visible() {
    let mut history = placed_and_cancelled();
    let mut other = cancel("O1");
    other.reason = "changed my mind again".to_owned();
    history.command(&other, "x");
    history
        .turn(Side::Order)
        .reads(ORDER_COMMANDS, 2..3)
        .commit();
    assert_eq!(history.broken(), Some("S9"));
}

#[test]
fn s9_a_conflict_changes_no_state() {
    let mut history = History::begin();
    history.placed();
    let mut other = place("O1");
    other.currency = "EUR".to_owned();
    history.command(&other, "c2");
    let turn = history.turn(Side::Order).reads(ORDER_COMMANDS, 1..2);
    turn.conflict(ORDER_COMMANDS, 1)
        .order("O1", PENDING, Some((Status::Pending, 2, 0)))
        .commit();
    assert_eq!(history.broken(), Some("S9"));
}

/// The inbox has forgotten command x, and it comes again.
fn forgotten() -> History {
    let mut history = placed_and_cancelled();
    let turn = history.turn(Side::Order);
    let prune = |effects: &mut messaging::store::Effects| {
        effects.prune_inbox_before = Some(Timestamp(100));
    };
    turn.with(prune).commit();
    history.command(&cancel("O1"), "x");
    history
}

#[test]
fn s10_an_old_duplicate_may_be_decided_again_without_effect() {
    let mut history = forgotten();
    let same = Some((Status::Cancelled, 2, 0));
    let turn = history.turn(Side::Order).reads(ORDER_COMMANDS, 2..3);
    let turn = turn.order("O1", same, same);
    turn.remembers(&cancel("O1"), "x", 200).commit();
    assert_eq!(history.violation(), None);
}

#[test]
fn s10_an_old_duplicate_still_has_no_effect() {
    let mut history = forgotten();
    let event = history.event(&cancelled("O1", 3));
    let turn = history.turn(Side::Order).reads(ORDER_COMMANDS, 2..3);
    turn.order(
        "O1",
        Some((Status::Cancelled, 2, 0)),
        Some((Status::Cancelled, 3, 0)),
    )
    .remembers(&cancel("O1"), "x", 200)
    .says(ORDER_EVENTS, event)
    .commit();
    assert_eq!(history.broken(), Some("S10"));
}

#[test]
fn a_turn_may_read_either_of_two_topics_first() {
    for (status, version, event_version) in [(Status::Cancelled, 2, 0), (Status::Cancelled, 3, 1)] {
        let mut history = History::begin();
        history.placed();
        history.command(&cancel("O1"), "x");
        reserved(&mut history);
        let reserving = history.event(&OrderReserved {
            order_id: "O1".to_owned(),
            version: 2,
        });
        let cancelling = history.event(&cancelled("O1", version));
        let mut turn = history.turn(Side::Order).reads(INVENTORY_EVENTS, 0..1);
        turn = turn.reads(ORDER_COMMANDS, 1..2);
        // Cancelled first, the reservation comes too late; it is remembered all the same.
        turn = turn.order("O1", PENDING, Some((status, version, 1)));
        if event_version > 0 {
            turn = turn.says(ORDER_EVENTS, reserving);
        }
        turn.remembers(&cancel("O1"), "x", 0)
            .says(ORDER_EVENTS, cancelling)
            .commit();
        assert_eq!(history.violation(), None, "version {version}");
        assert_eq!(history.checker.counts().commits, 2);
    }
}

#[test]
fn what_was_read_before_it_was_lost_may_still_be_committed_and_its_successor_is_yet_to_be_read() {
    let mut history = History::begin();
    history.command(&cancel("O1"), "x");
    history.lose(ORDER_COMMANDS, 0);
    history.command(&cancel("O2"), "y");
    let turn = history.turn(Side::Order).reads(ORDER_COMMANDS, 0..1);
    turn.change(
        "O1",
        None,
        Some(crate::check::Row::Tombstone([None].into())),
    )
    .remembers(&cancel("O1"), "x", 0)
    .commit();
    assert_eq!(history.violation(), None);
    history.command(&cancel("O2"), "y");
    history
        .turn(Side::Order)
        .reads(ORDER_COMMANDS, 1..2)
        .commit();
    assert_eq!(history.broken(), Some("S6"));
}
