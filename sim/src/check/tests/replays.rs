//! S6 of messages that operators take out of parking.

use contracts::topics::{ORDER_COMMANDS, ORDER_EVENTS};
use messaging::store::{ActionDone, ActionKind, AggregateKey, Outcome, OutcomeKind, Place, Target};
use order::domain::Status;

use super::history::{History, TurnOf, order_placed, place};
use crate::check::{Side, Tolerance};

/// Two placements of O1 are parked, one behind the other. A replay of both is asked for, and a
/// discard of each.
fn parked() -> History {
    let mut history = History::tolerating(Tolerance {
        failed: true,
        ..Tolerance::default()
    });
    history.command(&place("O1"), "c1");
    history.command(&place("O1"), "c2");
    let of = Some(("order", "O1"));
    let turn = history.turn(Side::Order).reads(ORDER_COMMANDS, 0..2);
    let turn = turn.parks(ORDER_COMMANDS, 0, of);
    turn.parks(ORDER_COMMANDS, 1, of).commit();
    asks(&mut history);
    history
}

fn asks(history: &mut History) {
    let aggregate = AggregateKey {
        kind: "order".to_owned(),
        id: "O1".to_owned(),
    };
    history.asks("replay", ActionKind::Replay, Target::Aggregate(aggregate));
    for offset in [0, 1] {
        let target = Target::Place(at(offset));
        history.asks(&format!("discard {offset}"), ActionKind::Discard, target);
    }
}

fn at(offset: i64) -> Place {
    Place {
        topic: ORDER_COMMANDS.to_owned(),
        offset,
    }
}

/// The message at `offset` is taken out, with this outcome.
fn out(turn: TurnOf<'_>, offset: i64, kind: OutcomeKind) -> TurnOf<'_> {
    let place = at(offset);
    let discarded = kind == OutcomeKind::Discarded;
    let record = discarded.then(|| turn.record_at(ORDER_COMMANDS, offset));
    let id = match discarded {
        true => format!("discard {offset}"),
        false => "replay".to_owned(),
    };
    turn.with(|effects| {
        effects.unparked.push(place.clone());
        effects.done.push(ActionDone {
            id,
            outcomes: vec![Outcome {
                place,
                kind,
                detail: String::new(),
                record,
            }],
            at: None,
        });
    })
}

fn applied(history: &mut History, offset: i64) {
    let event = history.event(&order_placed("O1", 2));
    let turn = out(history.turn(Side::Order), offset, OutcomeKind::Applied);
    turn.order("O1", None, Some((Status::Pending, 1, 0)))
        .says(ORDER_EVENTS, event)
        .commit();
}

#[test]
fn a_replay_decides_in_the_order_of_parking() {
    let mut history = parked();
    applied(&mut history, 0);
    out(history.turn(Side::Order), 1, OutcomeKind::Duplicate).commit();
    assert_eq!(history.violation(), None);
    assert_eq!(history.checker.counts().replayed, 2);
}

#[test]
fn a_discarded_message_makes_way_without_effect() {
    let mut history = parked();
    out(history.turn(Side::Order), 0, OutcomeKind::Discarded).commit();
    applied(&mut history, 1);
    assert_eq!(history.violation(), None);
}

#[test]
fn s6_a_replay_overtakes_nothing() {
    let mut history = parked();
    applied(&mut history, 1);
    assert_eq!(history.broken(), Some("S6"));
}

#[test]
fn s6_only_what_is_parked_is_taken_out() {
    let mut history = parked();
    applied(&mut history, 0);
    out(history.turn(Side::Order), 0, OutcomeKind::Discarded).commit();
    assert_eq!(history.broken(), Some("S6"));
}

#[test]
fn s6_what_is_taken_out_as_applied_has_its_effect() {
    let mut history = parked();
    out(history.turn(Side::Order), 0, OutcomeKind::Applied).commit();
    assert_eq!(history.broken(), Some("S6"));
}

#[test]
fn s6_a_discarded_message_has_no_effect() {
    let mut history = parked();
    let event = history.event(&order_placed("O1", 2));
    let turn = out(history.turn(Side::Order), 0, OutcomeKind::Discarded);
    turn.says(ORDER_EVENTS, event).commit();
    assert_eq!(history.broken(), Some("S6"));
}

#[test]
fn s6_nothing_is_taken_out_without_an_action() {
    let mut history = parked();
    let turn = out(history.turn(Side::Order), 0, OutcomeKind::Discarded);
    turn.with(|effects| effects.done.clear()).commit();
    assert_eq!(history.broken(), Some("S6"));
}

#[test]
fn s6_what_stays_parked_still_holds_up_what_comes() {
    let mut history = parked();
    applied(&mut history, 0);
    history.command(&place("O1"), "c3");
    history
        .turn(Side::Order)
        .reads(ORDER_COMMANDS, 2..3)
        .commit();
    assert_eq!(history.broken(), Some("S6"));
}
