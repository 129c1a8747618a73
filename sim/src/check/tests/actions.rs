//! S6 of operators' actions: who asks for what, what comes of it, and what the trail keeps.

use bytes::Bytes;
use contracts::topics::ORDER_COMMANDS;
use messaging::clock::Timestamp;
use messaging::store::{
    ActionDone, ActionKind, AggregateKey, Outcome, OutcomeKind, ParkReason, Place, Reparked, Target,
};

use super::history::{History, TurnOf, place};
use crate::check::Side;

/// Garbage under O1's key is parked, and a placement of O1 behind it.
fn parked() -> History {
    let mut history = History::begin();
    let mut garbage = history.record(&place("O1"), "c1");
    garbage.value = Some(Bytes::from_static(b"what is this"));
    history.inject(ORDER_COMMANDS, garbage);
    history.command(&place("O1"), "c2");
    let of = Some(("order", "O1"));
    let turn = history.turn(Side::Order).reads(ORDER_COMMANDS, 0..2);
    let turn = turn.parks(ORDER_COMMANDS, 0, of);
    turn.parks(ORDER_COMMANDS, 1, of).commit();
    history
}

fn at(offset: i64) -> Place {
    Place {
        topic: ORDER_COMMANDS.to_owned(),
        offset,
    }
}

fn whole(id: &str) -> Target {
    Target::Aggregate(AggregateKey {
        kind: "order".to_owned(),
        id: id.to_owned(),
    })
}

fn outcome(offset: i64, kind: OutcomeKind) -> Outcome {
    Outcome {
        place: at(offset),
        kind,
        detail: String::new(),
        record: None,
    }
}

/// The turn says of action "a" what came of it.
fn says(turn: TurnOf<'_>, outcome: Outcome, done: bool) -> TurnOf<'_> {
    turn.with(|effects| {
        effects.done.push(ActionDone {
            id: "a".to_owned(),
            outcomes: vec![outcome],
            at: done.then_some(Timestamp(1)),
        });
    })
}

/// A replay finds that the message at `offset` stays parked.
fn stays(history: &mut History, offset: i64) {
    let turn = history.turn(Side::Order);
    let turn = says(turn, outcome(offset, OutcomeKind::Parked), false);
    turn.with(|effects| {
        effects.reparked.push(Reparked {
            place: at(offset),
            reason: ParkReason::Undecodable,
            detail: String::new(),
        });
    })
    .commit();
}

/// The message at `offset` is discarded, and kept in the trail if it is `kept`.
fn discarded(history: &mut History, offset: i64, kept: bool) {
    let turn = history.turn(Side::Order);
    let outcome = Outcome {
        record: kept.then(|| turn.record_at(ORDER_COMMANDS, offset)),
        ..outcome(offset, OutcomeKind::Discarded)
    };
    let turn = says(turn, outcome, true);
    turn.with(|effects| effects.unparked.push(at(offset)))
        .commit();
}

#[test]
fn what_stays_parked_is_counted_and_what_is_discarded_is_kept() {
    let mut history = parked();
    history.asks("a", ActionKind::Replay, whole("O1"));
    stays(&mut history, 0);
    assert_eq!(history.violation(), None);
    let replays: Vec<_> = history.checker.parked(Side::Order);
    let replays: Vec<_> = replays.iter().map(|parked| parked.replays).collect();
    assert_eq!(replays, [1, 0]);
    let trail = history.checker.trail(Side::Order);
    assert_eq!(trail[0].outcomes, [outcome(0, OutcomeKind::Parked)]);

    let mut history = parked();
    history.asks("a", ActionKind::Discard, Target::Place(at(0)));
    discarded(&mut history, 0, true);
    assert_eq!(history.violation(), None);
    assert_eq!(
        history.checker.trail(Side::Order)[0].done_at,
        Some(Timestamp(1))
    );
}

#[test]
fn s6_what_is_discarded_is_kept() {
    let mut history = parked();
    history.asks("a", ActionKind::Discard, Target::Place(at(0)));
    discarded(&mut history, 0, false);
    assert_eq!(history.broken(), Some("S6"));
}

#[test]
fn s6_nothing_is_done_that_nobody_has_asked_for() {
    let mut history = parked();
    discarded(&mut history, 0, true);
    assert_eq!(history.broken(), Some("S6"));
}

#[test]
fn s6_an_action_is_about_its_target_only() {
    let mut history = parked();
    history.asks("a", ActionKind::Discard, Target::Place(at(1)));
    discarded(&mut history, 0, true);
    assert_eq!(history.broken(), Some("S6"));
    let mut history = parked();
    history.asks("a", ActionKind::Replay, whole("O2"));
    stays(&mut history, 0);
    assert_eq!(history.broken(), Some("S6"));
}

#[test]
fn s6_an_action_is_carried_out_once() {
    let mut history = parked();
    history.asks("a", ActionKind::DryRun, whole("O1"));
    for broken in [None, Some("S6")] {
        let turn = history.turn(Side::Order);
        says(turn, outcome(0, OutcomeKind::Parked), true).commit();
        assert_eq!(history.broken(), broken);
    }
}

#[test]
fn s6_an_id_is_one_action() {
    let mut history = parked();
    history.asks("a", ActionKind::DryRun, whole("O1"));
    history.asks("a", ActionKind::DryRun, whole("O1"));
    assert_eq!(history.broken(), Some("S6"));
}

#[test]
fn s6_a_dry_run_changes_nothing() {
    let mut history = parked();
    history.asks("a", ActionKind::DryRun, whole("O1"));
    let turn = history.turn(Side::Order);
    let turn = says(turn, outcome(0, OutcomeKind::Ignored), true);
    turn.with(|effects| effects.unparked.push(at(0))).commit();
    assert_eq!(history.broken(), Some("S6"));
}

#[test]
fn s6_nothing_stays_parked_without_need() {
    let mut history = parked();
    history.asks("d", ActionKind::Discard, Target::Place(at(0)));
    history.asks("a", ActionKind::Replay, whole("O1"));
    let turn = history.turn(Side::Order);
    let out = Outcome {
        record: Some(turn.record_at(ORDER_COMMANDS, 0)),
        ..outcome(0, OutcomeKind::Discarded)
    };
    turn.with(|effects| {
        effects.unparked.push(at(0));
        effects.done.push(ActionDone {
            id: "d".to_owned(),
            outcomes: vec![out],
            at: Some(Timestamp(1)),
        });
    })
    .commit();
    assert_eq!(history.violation(), None);
    stays(&mut history, 1);
    assert_eq!(history.broken(), Some("S6"));
}

#[test]
fn s6_messages_are_parked_in_the_order_of_reading() {
    let mut history = History::begin();
    for id in ["c1", "c2"] {
        let mut garbage = history.record(&place("O1"), id);
        garbage.value = None;
        history.inject(ORDER_COMMANDS, garbage);
    }
    let of = Some(("order", "O1"));
    let turn = history.turn(Side::Order).reads(ORDER_COMMANDS, 0..2);
    let turn = turn.parks(ORDER_COMMANDS, 1, of);
    turn.parks(ORDER_COMMANDS, 0, of).commit();
    assert_eq!(history.broken(), Some("S6"));
}
