//! Given a batch and what the database knows, when it is decided, then these effects.
//!
//! The context is a row of counters: `Add` is deduplicated by the inbox, `Set` by version.

use std::collections::HashMap;

use super::replay::Replayed;
use super::*;
use crate::codec::Schema;
use crate::context::{Input, Interest};
use crate::envelope::Envelope;
use crate::message::{Encoded, Registration};
use crate::store::RecordHash;

struct Counters;

#[derive(Clone)]
enum Message {
    Add(i64),
    Set { version: i64 },
    Poison,
    Panic,
}

type State = HashMap<String, i64>;

impl Context for Counters {
    type Message = (String, Message);
    type Event = (String, i64);
    type State = State;

    fn source(&self) -> &'static str {
        "/counters"
    }
    fn inputs(&self) -> &'static [Input] {
        &[]
    }
    fn writes(&self) -> &'static [Registration] {
        &[]
    }
    fn interest(&self, _: &str) -> Interest {
        Interest::Handled
    }
    fn decode(&self, _: &str, _: &Schema, _: &[u8]) -> Result<Self::Message, codec::Error> {
        Err(codec::Error::Frame { len: 0, first: 0 })
    }
    fn key<'m>(&self, message: &'m Self::Message) -> &'m str {
        &message.0
    }
    fn deduplication(&self, (_, message): &Self::Message) -> Deduplication {
        match message {
            Message::Add(amount) => {
                Deduplication::Inbox(ContentHash::of(amount.to_string().as_bytes()))
            }
            _ => Deduplication::Version,
        }
    }
    fn recognise(&self, state: &State, incoming: &Incoming<Self::Message>) -> Recognised {
        match incoming.message.1 {
            Message::Set { version } if state.get(&incoming.message.0) >= Some(&version) => {
                Recognised::Duplicate
            }
            _ => Recognised::New,
        }
    }
    fn decide(
        &self,
        state: &mut State,
        incoming: &Incoming<Self::Message>,
    ) -> Result<Vec<Outgoing<Self::Event>>, Undecidable> {
        let (key, message) = &incoming.message;
        let counter = state.entry(key.clone()).or_default();
        match message {
            Message::Add(amount) => *counter += amount,
            Message::Set { version } => *counter = *version,
            Message::Poison => return Err(Undecidable("poison".to_owned())),
            Message::Panic => panic!("a defect"),
        }
        let event = (key.clone(), *counter);
        Ok(vec![Outgoing {
            event,
            cause: Cause::of(&incoming.envelope),
        }])
    }
    /// An addition that has left its counter at zero has had no effect yet.
    fn lasting(&self, state: &State, incoming: &Incoming<Self::Message>) -> bool {
        state.get(&incoming.message.0) == Some(&0)
    }
    fn encode(&self, _: &Writer, (key, version): &Self::Event) -> Result<Encoded, codec::Error> {
        Ok(Encoded {
            topic: "counted",
            key: key.clone(),
            message_type: "test.Counted",
            aggregate: "counter",
            version: *version,
            value: Bytes::from(vec![0; 300 * 1024]),
        })
    }
}

fn record_of(key: &str) -> Record {
    let key = Some(Bytes::copy_from_slice(key.as_bytes()));
    Record {
        key,
        value: None,
        headers: Vec::new(),
        timestamp: Timestamp(0),
    }
}

fn item(offset: i64, kind: Kind<(String, Message)>) -> Item<(String, Message)> {
    let hash = RecordHash([u8::try_from(offset).unwrap(); 16]);
    Item {
        topic: "in".into(),
        offset,
        hash,
        record: record_of("k"),
        kind,
        traced: None,
    }
}

fn aggregate(key: &str) -> AggregateKey {
    AggregateKey {
        kind: "counter".to_owned(),
        id: key.to_owned(),
    }
}

fn message(offset: i64, id: &str, key: &str, message: Message) -> Item<(String, Message)> {
    let incoming = Incoming {
        message: (key.to_owned(), message),
        envelope: Envelope::command(id.to_owned(), "test.Message", "/test", key, Timestamp(1)),
        topic: "in".into(),
        offset,
    };
    item(
        offset,
        Kind::Message {
            aggregate: aggregate(key),
            incoming,
        },
    )
}

struct Given {
    seen: Seen,
    state: State,
}

fn nothing() -> Given {
    Given {
        seen: Seen::default(),
        state: State::new(),
    }
}

impl Given {
    fn when(
        &mut self,
        items: &[Item<(String, Message)>],
    ) -> Result<Decided<(String, i64)>, Refused> {
        let cursors = BTreeMap::from([("in".into(), 0)]);
        let scene = Scene {
            context: &Counters,
            writer: &Writer::default(),
            partitions: 1,
            now: Timestamp(9),
            cursors: &cursors,
            traced: false,
        };
        decide(&scene, items, &mut self.seen, Some(&mut self.state))
    }
}

fn events(decided: &Decided<(String, i64)>) -> Vec<(String, i64)> {
    decided
        .outgoing
        .iter()
        .map(|outgoing| outgoing.event.clone())
        .collect()
}

#[test]
fn a_new_message_is_applied_and_remembered() {
    let decided = nothing()
        .when(&[message(0, "m1", "a", Message::Add(2))])
        .unwrap();
    assert_eq!(events(&decided), vec![("a".to_owned(), 2)]);
    assert_eq!(decided.effects.inbox.len(), 1);
    assert_eq!(
        decided.tally,
        Tally {
            applied: 1,
            ..Tally::default()
        }
    );
}

#[test]
fn the_context_says_after_the_decision_what_is_remembered_for_good() {
    let batch = [
        message(0, "m1", "a", Message::Add(0)),
        message(1, "m2", "a", Message::Add(2)),
    ];
    let lasting = |effects: &Effects| -> Vec<bool> {
        effects.inbox.iter().map(|entry| entry.lasting).collect()
    };
    let decided = nothing().when(&batch).unwrap();
    assert_eq!(lasting(&decided.effects), [true, false]);
    let replayed = nothing().when_replayed(&batch).unwrap();
    assert_eq!(lasting(&replayed.decided.effects), [true, false]);
}

#[test]
fn the_same_message_twice_in_a_batch_has_one_effect() {
    let mut given = nothing();
    let decided = given
        .when(&[
            message(0, "m1", "a", Message::Add(2)),
            message(1, "m1", "a", Message::Add(2)),
        ])
        .unwrap();
    assert_eq!(events(&decided), vec![("a".to_owned(), 2)]);
    assert_eq!(given.state["a"], 2);
    assert_eq!(decided.effects.inbox.len(), 1);
    assert_eq!(decided.tally.duplicate, 1);
    assert_eq!(
        decided.effects.cursors[0].to, 2,
        "a duplicate still moves the cursor"
    );
}

#[test]
fn the_same_id_with_other_content_is_a_conflict_and_blocks_nothing() {
    let mut given = nothing();
    let decided = given
        .when(&[
            message(0, "m1", "a", Message::Add(2)),
            message(1, "m1", "a", Message::Add(3)),
            message(2, "m2", "a", Message::Add(5)),
        ])
        .unwrap();
    assert_eq!(given.state["a"], 7);
    assert_eq!(decided.effects.conflicts.len(), 1);
    assert_eq!(decided.effects.conflicts[0].offset, 1);
    assert!(decided.effects.parked.is_empty());
}

#[test]
fn the_same_id_under_another_key_is_another_message() {
    let mut given = nothing();
    given
        .when(&[
            message(0, "m1", "a", Message::Add(2)),
            message(1, "m1", "b", Message::Add(2)),
        ])
        .unwrap();
    assert_eq!((given.state["a"], given.state["b"]), (2, 2));
}

#[test]
fn a_version_already_seen_changes_nothing() {
    let mut given = nothing();
    given.state.insert("a".to_owned(), 4);
    let decided = given
        .when(&[message(0, "m1", "a", Message::Set { version: 3 })])
        .unwrap();
    assert_eq!((given.state["a"], decided.tally.duplicate), (4, 1));
    assert!(
        decided.effects.inbox.is_empty(),
        "versions protect without an inbox"
    );
}

#[test]
fn messages_behind_a_parked_one_wait_in_order_and_others_go_on() {
    let mut given = nothing();
    given.seen.parked.insert(aggregate("a"));
    let decided = given
        .when(&[
            message(0, "m1", "a", Message::Add(1)),
            message(1, "m2", "b", Message::Add(1)),
        ])
        .unwrap();
    assert_eq!(events(&decided), vec![("b".to_owned(), 1)]);
    assert_eq!(decided.effects.parked.len(), 1);
    assert_eq!(decided.effects.parked[0].reason, ParkReason::Behind);
}

#[test]
fn an_unreadable_record_holds_up_its_aggregate_within_the_same_batch() {
    let unreadable = Unreadable {
        aggregate: Some(aggregate("a")),
        reason: ParkReason::Undecodable,
        detail: "garbage".to_owned(),
    };
    let mut given = nothing();
    let decided = given
        .when(&[
            item(0, Kind::Unreadable(unreadable)),
            message(1, "m1", "a", Message::Add(1)),
        ])
        .unwrap();
    let reasons: Vec<_> = decided
        .effects
        .parked
        .iter()
        .map(|parked| parked.reason)
        .collect();
    assert_eq!(reasons, vec![ParkReason::Undecodable, ParkReason::Behind]);
    assert!(given.state.is_empty());
}

#[test]
fn a_message_that_cannot_be_decided_refuses_the_batch_and_is_named() {
    for poison in [Message::Poison, Message::Panic] {
        let refused = nothing()
            .when(&[
                message(4, "m1", "a", Message::Add(1)),
                message(5, "m2", "b", poison),
            ])
            .unwrap_err();
        assert_eq!(refused.offset, 5);
    }
}

#[test]
fn ignored_records_move_the_cursor_only() {
    let decided = nothing()
        .when(&[item(0, Kind::Ignored), item(3, Kind::Ignored)])
        .unwrap();
    let step = &decided.effects.cursors[0];
    assert_eq!(
        (step.from, step.to, step.last_hash),
        (0, 4, RecordHash([3; 16]))
    );
    assert_eq!(
        decided.tally,
        Tally {
            ignored: 2,
            ..Tally::default()
        }
    );
}

#[test]
fn a_batch_starts_from_the_cursor_even_if_offsets_have_a_gap() {
    let decided = nothing().when(&[item(7, Kind::Ignored)]).unwrap();
    assert_eq!(
        (
            decided.effects.cursors[0].from,
            decided.effects.cursors[0].to
        ),
        (0, 8)
    );
}

#[test]
fn outbox_batches_stay_below_the_append_limit_and_keep_order() {
    let cursors = BTreeMap::new();
    let scene = Scene {
        context: &Counters,
        writer: &Writer::default(),
        partitions: 1,
        now: Timestamp(9),
        cursors: &cursors,
        traced: false,
    };
    let cause = Cause {
        causation_id: "m1".to_owned(),
        correlation_id: "c1".to_owned(),
        traceparent: None,
    };
    let outgoing: Vec<_> = (1..=5)
        .map(|version| Outgoing {
            event: ("a".to_owned(), version),
            cause: cause.clone(),
        })
        .collect();
    let batches = outbox(&scene, &outgoing, &mut Vec::new()).unwrap();
    assert_eq!(
        batches
            .iter()
            .map(|batch| batch.records.len())
            .collect::<Vec<_>>(),
        [2, 2, 1]
    );
    let ids: Vec<_> = batches
        .iter()
        .flat_map(|batch| &batch.records)
        .map(|record| Envelope::from_headers(&record.headers).unwrap().id)
        .collect();
    let expected: Vec<_> = (1..=5)
        .map(|version| event_id("/counters", "counter", "a", version).to_string())
        .collect();
    assert_eq!(ids, expected);
}

impl Given {
    fn when_replayed(
        &mut self,
        items: &[Item<(String, Message)>],
    ) -> Result<Replayed<(String, i64)>, Refused> {
        let cursors = BTreeMap::from([("in".into(), 0)]);
        let scene = Scene {
            context: &Counters,
            writer: &Writer::default(),
            partitions: 1,
            now: Timestamp(9),
            cursors: &cursors,
            traced: false,
        };
        replay(&scene, items, &mut self.seen, Some(&mut self.state))
    }
}

fn words(replayed: &Replayed<(String, i64)>) -> Vec<&str> {
    let outcomes = replayed.outcomes.iter();
    outcomes.map(|outcome| outcome.kind.as_str()).collect()
}

#[test]
fn a_replay_takes_out_what_it_judges_and_moves_no_cursor() {
    let mut given = nothing();
    given.state.insert("a".to_owned(), 4);
    let replayed = given
        .when_replayed(&[
            message(3, "m1", "a", Message::Add(2)),
            message(5, "m1", "a", Message::Add(2)),
            message(6, "m1", "a", Message::Add(3)),
            message(7, "m2", "a", Message::Set { version: 1 }),
            item(9, Kind::Ignored),
        ])
        .unwrap();
    assert_eq!(
        words(&replayed),
        ["applied", "duplicate", "conflict", "duplicate", "ignored"]
    );
    assert_eq!(replayed.outcomes[0].detail, "test.Counted");
    let effects = &replayed.decided.effects;
    let unparked: Vec<i64> = effects.unparked.iter().map(|place| place.offset).collect();
    assert_eq!(unparked, [3, 5, 6, 7, 9]);
    assert_eq!(events(&replayed.decided), [("a".to_owned(), 6)]);
    assert_eq!((effects.inbox.len(), effects.conflicts.len()), (1, 1));
    assert!(effects.cursors.is_empty() && effects.parked.is_empty());
    assert!(!replayed.stuck);
}

#[test]
fn a_replay_ends_at_the_first_message_that_stays_parked() {
    let mut given = nothing();
    let unreadable = Kind::Unreadable(Unreadable {
        aggregate: Some(aggregate("a")),
        reason: ParkReason::Undecodable,
        detail: "still garbage".to_owned(),
    });
    let replayed = given
        .when_replayed(&[
            message(3, "m1", "a", Message::Add(2)),
            item(4, unreadable),
            message(5, "m2", "a", Message::Add(2)),
        ])
        .unwrap();
    assert_eq!(words(&replayed), ["applied", "parked"]);
    let effects = &replayed.decided.effects;
    assert_eq!((effects.unparked.len(), effects.reparked.len()), (1, 1));
    assert_eq!(effects.reparked[0].detail, "still garbage");
    assert_eq!(given.state["a"], 2);
    assert!(replayed.stuck);
}

#[test]
fn a_replayed_message_that_cannot_be_decided_refuses_the_turn_as_any_other() {
    let refused = nothing()
        .when_replayed(&[
            message(3, "m1", "a", Message::Add(2)),
            message(4, "m2", "a", Message::Poison),
        ])
        .unwrap_err();
    assert_eq!((refused.offset, refused.detail.as_str()), (4, "poison"));
}
