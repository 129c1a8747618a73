//! C1-C3, and models put back.

use contracts::topics::ORDER_COMMANDS;
use messaging::shard::Epoch;
use order::domain::Status;

use super::history::{History, SHARD, order_placed, place};
use crate::check::{Counts, Side};

#[test]
fn c1_a_named_point_that_no_crash_has_hit_is_missed() {
    let history = History::begin();
    history.checker.crashed("before commit");
    let missing = history
        .checker
        .counts()
        .missing(&["before commit", "after commit"]);
    assert_eq!(missing[0], "C1: no crash at after commit");
}

#[test]
fn c2_only_a_stale_epoch_counts_as_one_refused() {
    let history = History::begin();
    history.checker.refused(Side::Order, SHARD, Epoch(1));
    assert_eq!(history.checker.counts().stale_refused, 0);
    history.checker.claimed(Side::Order, SHARD, Epoch(2));
    history.checker.refused(Side::Order, SHARD, Epoch(1));
    assert_eq!(history.checker.counts().stale_refused, 1);
}

#[test]
fn c3_what_never_happened_is_missed_and_what_happened_in_any_run_is_not() {
    let mut all = Counts::default();
    assert_eq!(all.missing(&[]).len(), 4);
    for (stale_refused, duplicates) in [(1, 0), (0, 1)] {
        all.absorb(&Counts {
            stale_refused,
            duplicates,
            ..Counts::default()
        });
    }
    assert_eq!(all.missing(&[]).len(), 2);
}

#[test]
fn an_older_copy_of_a_database_comes_with_the_model_of_its_time() {
    let mut history = History::begin();
    history.command(&place("O1"), "c1");
    let saved = history.checker.save(Side::Order);
    for _ in 0..2 {
        let event = history.event(&order_placed("O1", 2));
        history.restart(Side::Order);
        let turn = history.turn(Side::Order).reads(ORDER_COMMANDS, 0..1);
        turn.order("O1", None, Some((Status::Pending, 1, 0)))
            .says("order.events", event)
            .commit();
        assert_eq!(history.violation(), None);
        history.checker.restore(Side::Order, &saved);
    }
}
