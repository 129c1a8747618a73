//! Parked messages in the hands of operators: listing, asking, carrying out, the trail.

use super::counter::Counter;
use super::{
    FIRST, OTHER, SHARD, TOPIC, add, aggregate, assert_refused, commit, conflict, count, cursor_at,
    outgoing_of, parked, record, row, step,
};
use crate::clock::Timestamp;
use crate::shard::{Epoch, ShardId};
use crate::store::{
    Action, ActionDone, ActionKind, Effects, ErrorKind, Operations, Outcome, OutcomeKind,
    ParkReason, Parked, ParkedFilter, ParkedLevel, Place, Reparked, Sequence, Store, Target, Turn,
};

/// A store that operators look into.
pub trait Operated: Store<Counter> + Operations {}

impl<S: Store<Counter> + Operations> Operated for S {}

/// An aggregate's messages come in the order of parking, whatever their offsets and topics; one
/// that is parked alone is found by its place only.
pub async fn parked_messages_come_in_the_order_of_parking(store: &impl Operated) {
    store.claim(SHARD, FIRST).await.unwrap();
    store.claim(OTHER, FIRST).await.unwrap();
    let elsewhere = Parked {
        topic: "toy.other".to_owned(),
        ..parked(1, "b")
    };
    let alone = Parked {
        aggregate: None,
        ..parked(3, "")
    };
    commit(store, OTHER, setting_aside([parked(2, "b")])).await;
    commit(
        store,
        SHARD,
        setting_aside([parked(8, "b"), parked(9, "c")]),
    )
    .await;
    commit(
        store,
        SHARD,
        setting_aside([elsewhere, alone, parked(4, "b")]),
    )
    .await;

    let of_b = Target::Aggregate(aggregate("b"));
    let found = |rows: Vec<crate::store::ParkedRow>| -> Vec<(String, i64)> {
        let place = |row: crate::store::ParkedRow| (row.parked.topic, row.parked.offset);
        rows.into_iter().map(place).collect()
    };
    let expected = [(TOPIC, 8), ("toy.other", 1), (TOPIC, 4)].map(|(t, o)| (t.to_owned(), o));
    assert_eq!(
        found(store.parked_of(SHARD, &of_b, 10).await.unwrap()),
        expected
    );
    assert_eq!(
        found(store.parked_of(SHARD, &of_b, 2).await.unwrap()),
        expected[..2]
    );
    let at_3 = Target::Place(place(3));
    let rows = store.parked_of(SHARD, &at_3, 10).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].parked.aggregate, None);
    assert_eq!(rows[0].parked.record, record("parked"));
    assert_eq!(store.parked_of(OTHER, &at_3, 10).await.unwrap(), []);
    let level = ParkedLevel {
        count: 5,
        oldest: Some(Timestamp(10)),
    };
    assert_eq!(store.parked_level(SHARD).await.unwrap(), level);
    assert_eq!(
        store.parked_level(ShardId(7)).await.unwrap(),
        ParkedLevel::default()
    );
}

/// Operators list page by page, by key, reason and age; and find one by its place.
pub async fn parked_messages_are_listed(store: &impl Operated) {
    store.claim(SHARD, FIRST).await.unwrap();
    let late = Parked {
        at: Timestamp(20),
        reason: ParkReason::Behind,
        ..parked(7, "b")
    };
    commit(
        store,
        SHARD,
        setting_aside([parked(5, "b"), parked(6, "c"), late]),
    )
    .await;
    let listed = async |filter: ParkedFilter, after, limit| -> Vec<i64> {
        let rows = store.parked(&filter, after, limit).await.unwrap();
        rows.iter().map(|row| row.parked.offset).collect()
    };
    let all = ParkedFilter::default();
    assert_eq!(listed(all.clone(), 0, 10).await, [5, 6, 7]);
    let first = store.parked(&all, 0, 1).await.unwrap().remove(0);
    assert_eq!((first.shard, &first.parked), (SHARD, &parked(5, "b")));
    assert_eq!(listed(all, first.number, 10).await, [6, 7]);
    let of_b = ParkedFilter {
        aggregate_id: Some("b".to_owned()),
        ..ParkedFilter::default()
    };
    assert_eq!(listed(of_b, 0, 10).await, [5, 7]);
    let behind = ParkedFilter {
        reason: Some(ParkReason::Behind),
        ..ParkedFilter::default()
    };
    assert_eq!(listed(behind, 0, 10).await, [7]);
    let old = ParkedFilter {
        parked_until: Some(Timestamp(10)),
        ..ParkedFilter::default()
    };
    assert_eq!(listed(old, 0, 10).await, [5, 6]);

    let found = store.parked_at(SHARD, &place(6)).await.unwrap().unwrap();
    assert_eq!(found.parked, parked(6, "c"));
    assert_eq!(store.parked_at(SHARD, &place(8)).await.unwrap(), None);
    assert_eq!(store.parked_at(OTHER, &place(6)).await.unwrap(), None);
    assert_eq!(store.parked_count(&aggregate("b")).await.unwrap(), 2);
    assert_eq!(store.held_up("b").await.unwrap(), [(SHARD, aggregate("b"))]);
    assert_eq!(store.held_up("x").await.unwrap(), []);
}

/// An action is asked for only where something is parked, and its owner finds it, oldest first.
pub async fn actions_are_asked_for_where_something_is_parked(store: &impl Operated) {
    store.claim(SHARD, FIRST).await.unwrap();
    let nothing = replay("a1", "b");
    assert!(!store.submit(&nothing).await.unwrap());
    assert_eq!(store.action("a1", 9).await.unwrap(), None);
    commit(
        store,
        SHARD,
        setting_aside([parked(5, "b"), parked(6, "b")]),
    )
    .await;
    for action in [replay("a2", "b"), discard("a1", 6)] {
        assert!(store.submit(&action).await.unwrap());
    }
    assert!(!store.submit(&discard("a3", 9)).await.unwrap());
    let open = store.actions(SHARD).await.unwrap();
    assert_eq!(open, [replay("a2", "b"), discard("a1", 6)]);
    assert_eq!(store.actions(OTHER).await.unwrap(), []);
    let asked = store.action("a1", 9).await.unwrap().unwrap();
    assert_eq!((asked.done_at, asked.outcome_count), (None, 0));
    assert_eq!(asked.action, discard("a1", 6));
}

/// An id names one action: who has lost the answer and asks again under it asks for nothing new.
pub async fn an_action_is_asked_for_once(store: &impl Operated) {
    store.claim(SHARD, FIRST).await.unwrap();
    commit(store, SHARD, setting_aside([parked(5, "b")])).await;
    assert!(store.submit(&replay("a1", "b")).await.unwrap());
    for again in [replay("a1", "b"), discard("a1", 5)] {
        assert_refused(store.submit(&again).await, ErrorKind::Rejected);
    }
    let open = store.actions(SHARD).await.unwrap();
    assert_eq!(open, [replay("a1", "b")]);
}

/// **Atomic**: messages leave the parked ones together with what they did and with the trail's
/// entry; an action carried out in parts stays open until the last.
pub async fn an_action_is_carried_out_with_its_effects(store: &impl Operated) {
    store.claim(SHARD, FIRST).await.unwrap();
    let all = [parked(5, "b"), parked(6, "b"), parked(7, "b")];
    commit(store, SHARD, setting_aside(all)).await;
    store.submit(&replay("a1", "b")).await.unwrap();
    let part = Effects {
        unparked: vec![place(5)],
        done: vec![done("a1", [applied(5)], None)],
        ..outgoing_of(&[(0, "e1")])
    };
    let rows = add(store, "b", 3, part, FIRST).await.unwrap();
    assert_eq!(rows, [row(0, 1, "e1")]);
    assert_eq!(count(store, "b").await.total, 3);
    assert_eq!(store.actions(SHARD).await.unwrap().len(), 1);

    let again = Outcome {
        kind: OutcomeKind::Parked,
        detail: "still wrong".to_owned(),
        ..applied(6)
    };
    let rest = Effects {
        reparked: vec![Reparked {
            place: place(6),
            reason: ParkReason::Undecodable,
            detail: "still wrong".to_owned(),
        }],
        done: vec![done("a1", [again.clone()], Some(Timestamp(30)))],
        ..Effects::default()
    };
    commit(store, SHARD, rest).await;
    assert_eq!(store.actions(SHARD).await.unwrap(), []);
    let left = store
        .parked_of(SHARD, &Target::Aggregate(aggregate("b")), 9)
        .await
        .unwrap();
    let left: Vec<_> = left
        .iter()
        .map(|row| (row.parked.offset, row.parked.detail.as_str(), row.replays))
        .collect();
    assert_eq!(left, [(6, "still wrong", 1), (7, "it's wrong", 0)]);
    let kept = store.action("a1", 9).await.unwrap().unwrap();
    assert_eq!(kept.done_at, Some(Timestamp(30)));
    assert_eq!(kept.outcomes, [applied(5), again.clone()]);
    let last = store.action("a1", 1).await.unwrap().unwrap();
    assert_eq!((last.outcome_count, last.outcomes), (2, vec![again]));
}

/// A message that is not parked, or an action that is done, refuses the whole turn: nothing is
/// carried out twice.
pub async fn an_action_is_carried_out_once(store: &impl Operated) {
    store.claim(SHARD, FIRST).await.unwrap();
    commit(
        store,
        SHARD,
        setting_aside([parked(5, "b"), parked(6, "b")]),
    )
    .await;
    store.submit(&replay("a1", "b")).await.unwrap();
    let first = Effects {
        unparked: vec![place(5)],
        done: vec![done("a1", [applied(5)], Some(Timestamp(30)))],
        ..Effects::default()
    };
    add(store, "b", 3, first, FIRST).await.unwrap();
    let gone = Effects {
        unparked: vec![place(6), place(5)],
        ..outgoing_of(&[(0, "twice")])
    };
    let done_before = Effects {
        unparked: vec![place(6)],
        done: vec![done("a1", [applied(6)], None)],
        ..Effects::default()
    };
    let unknown = Effects {
        done: vec![done("a9", [], None)],
        ..Effects::default()
    };
    let not_parked = Effects {
        reparked: vec![Reparked {
            place: place(5),
            reason: ParkReason::Failed,
            detail: String::new(),
        }],
        ..Effects::default()
    };
    for effects in [gone, done_before, unknown, not_parked] {
        let refused = add(store, "b", 3, effects, FIRST).await;
        assert_refused(refused, ErrorKind::CursorMoved);
    }
    assert_eq!(count(store, "b").await.total, 3);
    assert_eq!(store.parked_count(&aggregate("b")).await.unwrap(), 1);
    assert_eq!(store.outbox(0, Sequence(0), 1_000).await.unwrap(), []);
    let kept = store.action("a1", 9).await.unwrap().unwrap();
    assert_eq!(kept.outcomes, [applied(5)]);
}

/// The trail is read newest first and keeps the record of what was discarded.
pub async fn the_trail_keeps_what_was_discarded(store: &impl Operated) {
    store.claim(SHARD, FIRST).await.unwrap();
    commit(
        store,
        SHARD,
        setting_aside([parked(5, "b"), parked(6, "b")]),
    )
    .await;
    store.submit(&discard("a1", 5)).await.unwrap();
    store.submit(&replay("a2", "b")).await.unwrap();
    let outcome = Outcome {
        kind: OutcomeKind::Discarded,
        record: Some(record("parked")),
        ..applied(5)
    };
    let effects = Effects {
        unparked: vec![place(5)],
        done: vec![done("a1", [outcome.clone()], Some(Timestamp(30)))],
        ..Effects::default()
    };
    commit(store, SHARD, effects).await;
    let trail = store.trail(i64::MAX, 10, 9).await.unwrap();
    let ids: Vec<&str> = trail.iter().map(|kept| kept.action.id.as_str()).collect();
    assert_eq!(ids, ["a2", "a1"]);
    assert_eq!(trail[1].outcomes, [outcome]);
    let older = store.trail(trail[0].number, 10, 9).await.unwrap();
    assert_eq!(older, trail[1..]);
    assert_eq!(store.trail(i64::MAX, 1, 9).await.unwrap(), trail[..1]);
}

/// A rehearsal refuses what a commit would refuse, and leaves nothing either way.
pub async fn a_rehearsal_leaves_nothing(store: &impl Operated) {
    store.claim(SHARD, FIRST).await.unwrap();
    commit(store, SHARD, setting_aside([parked(5, "b")])).await;
    store.submit(&replay("a1", "b")).await.unwrap();
    let effects = || Effects {
        unparked: vec![place(5)],
        done: vec![done("a1", [applied(5)], Some(Timestamp(30)))],
        cursors: vec![step(TOPIC, 0, 7)],
        ..outgoing_of(&[(0, "e1")])
    };
    for (amount, refused) in [(3, None), (-3, Some(ErrorKind::Rejected))] {
        let mut turn = store.begin(SHARD, FIRST).await.unwrap();
        let mut state = turn.load(&[&super::addition("b", amount)]).await.unwrap();
        state.entry("b".to_owned()).or_default().total += amount;
        let rehearsed = turn.rehearse(Some(&state), effects()).await;
        assert_eq!(rehearsed.err().map(|error| error.kind), refused);
    }
    assert_eq!(count(store, "b").await.total, 0);
    assert_eq!(store.parked_count(&aggregate("b")).await.unwrap(), 1);
    assert_eq!(store.actions(SHARD).await.unwrap().len(), 1);
    assert_eq!(store.outbox(0, Sequence(0), 1_000).await.unwrap(), []);
    assert_eq!(super::cursors(store).await, []);
    // Its numbers were not taken either.
    assert_eq!(
        add(store, "b", 1, effects(), FIRST).await.unwrap(),
        [row(0, 1, "e1")]
    );
}

/// Conflicts are listed in the order of recording, page by page and by key.
pub async fn conflicts_are_listed(store: &impl Operated) {
    store.claim(SHARD, FIRST).await.unwrap();
    let mut of_b = conflict(7);
    of_b.key.key = "b".to_owned();
    let effects = Effects {
        conflicts: vec![conflict(9), of_b.clone(), conflict(6)],
        ..Effects::default()
    };
    commit(store, SHARD, effects).await;
    let all = store.conflicts(None, 0, 10).await.unwrap();
    let offsets: Vec<i64> = all.iter().map(|row| row.conflict.offset).collect();
    assert_eq!(offsets, [9, 7, 6]);
    assert_eq!(
        store.conflicts(None, all[0].number, 1).await.unwrap(),
        all[1..2]
    );
    let of_key = store.conflicts(Some("b"), 0, 10).await.unwrap();
    assert_eq!((of_key.len(), &of_key[0].conflict), (1, &of_b));
}

/// The checkpoint tells how far each claimed shard has come.
pub async fn the_checkpoint_tells_how_far_shards_are(store: &impl Operated) {
    assert_eq!(store.checkpoint().await.unwrap(), []);
    store.claim(SHARD, FIRST).await.unwrap();
    store.claim(OTHER, Epoch(4)).await.unwrap();
    let effects = Effects {
        cursors: vec![step(TOPIC, 0, 7)],
        conflicts: vec![conflict(6)],
        parked: vec![parked(5, "b")],
        ..outgoing_of(&[(0, "e1"), (0, "e2")])
    };
    commit(store, SHARD, effects).await;
    let [first, second] = store.checkpoint().await.unwrap().try_into().unwrap();
    assert_eq!((first.shard, first.epoch), (SHARD, FIRST));
    assert_eq!(first.cursors, [cursor_at(TOPIC, 7)]);
    assert_eq!((first.outbox_rows, first.outbox_next), (2, Sequence(3)));
    assert_eq!(first.outbox_oldest, Some(record("e1").timestamp));
    assert_eq!(
        (first.parked, first.parked_oldest),
        (1, Some(Timestamp(10)))
    );
    assert_eq!(first.conflicts, 1);
    assert_eq!((second.shard, second.epoch), (OTHER, Epoch(4)));
    assert_eq!((second.outbox_rows, second.outbox_next), (0, Sequence(1)));
    assert_eq!((second.parked, second.conflicts), (0, 0));
}

fn setting_aside(messages: impl IntoIterator<Item = Parked>) -> Effects {
    Effects {
        parked: messages.into_iter().collect(),
        ..Effects::default()
    }
}

fn place(offset: i64) -> Place {
    Place {
        topic: TOPIC.to_owned(),
        offset,
    }
}

fn action(id: &str, kind: ActionKind, target: Target) -> Action {
    Action {
        id: id.to_owned(),
        shard: SHARD,
        kind,
        target,
        operator: "ada".to_owned(),
        reason: "it's fixed".to_owned(),
        at: Timestamp(20),
    }
}

fn replay(id: &str, of: &str) -> Action {
    action(id, ActionKind::Replay, Target::Aggregate(aggregate(of)))
}

fn discard(id: &str, offset: i64) -> Action {
    action(id, ActionKind::Discard, Target::Place(place(offset)))
}

fn applied(offset: i64) -> Outcome {
    Outcome {
        place: place(offset),
        kind: OutcomeKind::Applied,
        detail: "toy.Counted".to_owned(),
        record: None,
    }
}

fn done(
    id: &str,
    outcomes: impl IntoIterator<Item = Outcome>,
    at: Option<Timestamp>,
) -> ActionDone {
    ActionDone {
        id: id.to_owned(),
        outcomes: outcomes.into_iter().collect(),
        at,
    }
}
