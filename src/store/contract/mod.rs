//! The contract suite of the [`Store`] port: one function per rule, each over an empty store that
//! holds the counters of [`counter`]. Every adapter runs all of them.
//!
//! A broken rule panics with what was expected.

#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a panic is how a rule reports"
)]

use bytes::Bytes;

use self::counter::{Add, Count, Counter, CounterTables, Counters};
use super::memory::MemoryStore;
use super::postgres::PostgresStore;
use super::sqlite::SqliteStore;
use super::{
    AggregateKey, Conflict, Cursor, CursorMove, Effects, Error, ErrorKind, InboxEntry, InboxKey,
    OutboxBatch, OutboxRow, ParkReason, Parked, Published, RecordHash, Sequence, Store, Turn,
    outbox,
};
use crate::clock::Timestamp;
use crate::context::ContentHash;
use crate::log::Record;
use crate::shard::{Epoch, ShardId};

pub mod counter;
pub mod messages;
pub mod operators;
pub mod outgoing;
pub mod turns;
pub mod writers;

const FIRST: Epoch = Epoch(1);
const SHARD: ShardId = ShardId(0);
const OTHER: ShardId = ShardId(1);
const TOPIC: &str = "toy.commands";
const EVENTS: &str = "toy.events";

/// What the suite looks at beside the port.
pub trait Inspect: Store<Counter> {
    /// Messages set aside: topic, offset and the stored record.
    fn parked(&self) -> impl Future<Output = Vec<(String, i64, Record)>> + Send;

    /// Conflicts recorded: topic, offset and the stored record.
    fn conflicts(&self) -> impl Future<Output = Vec<(String, i64, Record)>> + Send;
}

impl Inspect for MemoryStore<CounterTables> {
    async fn parked(&self) -> Vec<(String, i64, Record)> {
        self.parked()
            .into_iter()
            .map(|parked| (parked.topic, parked.offset, parked.record))
            .collect()
    }

    async fn conflicts(&self) -> Vec<(String, i64, Record)> {
        self.conflicts()
            .into_iter()
            .map(|conflict| (conflict.topic, conflict.offset, conflict.record))
            .collect()
    }
}

const PARKED: &str = "SELECT topic, log_offset, record FROM parked ORDER BY id";
const CONFLICTS: &str = "SELECT topic, log_offset, record FROM conflict";

impl Inspect for SqliteStore<CounterTables> {
    async fn parked(&self) -> Vec<(String, i64, Record)> {
        stored(sqlx::query_as(PARKED).fetch_all(self.reader()).await)
    }

    async fn conflicts(&self) -> Vec<(String, i64, Record)> {
        stored(sqlx::query_as(CONFLICTS).fetch_all(self.reader()).await)
    }
}

impl Inspect for PostgresStore<CounterTables> {
    async fn parked(&self) -> Vec<(String, i64, Record)> {
        stored(sqlx::query_as(PARKED).fetch_all(self.reader()).await)
    }

    async fn conflicts(&self) -> Vec<(String, i64, Record)> {
        stored(sqlx::query_as(CONFLICTS).fetch_all(self.reader()).await)
    }
}

fn stored(rows: Result<Vec<(String, i64, Vec<u8>)>, sqlx::Error>) -> Vec<(String, i64, Record)> {
    rows.unwrap()
        .into_iter()
        .map(|(topic, offset, record)| {
            let mut records = outbox::decode(record.into()).unwrap();
            (topic, offset, records.remove(0))
        })
        .collect()
}

/// Adds `amount` to the counter `key` in a turn of [`SHARD`] under `epoch`.
///
/// # Errors
/// The store's.
pub async fn add(
    store: &impl Store<Counter>,
    key: &str,
    amount: i64,
    effects: Effects,
    epoch: Epoch,
) -> Result<Vec<OutboxRow>, Error> {
    let mut turn = store.begin(SHARD, epoch).await?;
    let mut state = turn.load(&[&addition(key, amount)]).await?;
    let count = state.entry(key.to_owned()).or_default();
    count.total += amount;
    count.version += 1;
    turn.commit(Some(&state), effects).await
}

/// The counter `key` as a turn of [`SHARD`] loads it.
pub async fn count(store: &impl Store<Counter>, key: &str) -> Count {
    let mut turn = store.begin(SHARD, FIRST).await.unwrap();
    let state: Counters = turn.load(&[&addition(key, 0)]).await.unwrap();
    state.get(key).copied().unwrap_or_default()
}

/// Commits `effects` alone.
async fn commit(store: &impl Store<Counter>, shard: ShardId, effects: Effects) -> Vec<OutboxRow> {
    let turn = store.begin(shard, FIRST).await.unwrap();
    turn.commit(None, effects).await.unwrap()
}

async fn cursors(store: &impl Store<Counter>) -> Vec<Cursor> {
    let mut turn = store.begin(SHARD, FIRST).await.unwrap();
    turn.cursors().await.unwrap()
}

/// Those of `times` whose inbox entry `id-<time>` is there.
async fn remembered(store: &impl Store<Counter>, times: std::ops::Range<i64>) -> Vec<i64> {
    let keys: Vec<InboxKey> = times.clone().map(|n| key(&format!("id-{n}"))).collect();
    let mut turn = store.begin(SHARD, FIRST).await.unwrap();
    let seen = turn.seen(&keys, &[]).await.unwrap();
    times
        .zip(keys)
        .filter(|(_, key)| seen.inbox.contains_key(key))
        .map(|(time, _)| time)
        .collect()
}

fn assert_refused<V>(result: Result<V, Error>, kind: ErrorKind) {
    match result {
        Ok(_) => panic!("expected an error of kind {kind:?}"),
        Err(error) => assert_eq!(error.kind, kind, "{error}"),
    }
}

/// One of each: what a commit keeps as a whole.
fn every_effect() -> Effects {
    Effects {
        inbox: vec![entry("id-1", 10)],
        parked: vec![parked(5, "b")],
        conflicts: vec![conflict(6)],
        outbox: vec![batch(0, "e1")],
        published: vec![Published {
            partition: 0,
            up_to: Sequence(0),
            offsets: vec![(EVENTS.to_owned(), 41)],
        }],
        cursors: vec![step(TOPIC, 0, 7)],
        ..Effects::default()
    }
}

async fn assert_no_effect(store: &impl Inspect) {
    assert_eq!(store.outbox(0, Sequence(0), 1_000).await.unwrap(), []);
    assert_eq!(cursors(store).await, []);
    assert_eq!(remembered(store, 1..2).await, [0; 0]);
    assert_eq!(store.parked().await, []);
    assert_eq!(store.conflicts().await, []);
}

fn addition(key: &str, amount: i64) -> Add {
    Add {
        key: key.to_owned(),
        amount,
    }
}

fn key(id: &str) -> InboxKey {
    InboxKey {
        message_type: "toy.Add".to_owned(),
        key: "a".to_owned(),
        id: id.to_owned(),
    }
}

fn content(id: &str) -> ContentHash {
    ContentHash::of(id.as_bytes())
}

fn entry(id: &str, at: i64) -> InboxEntry {
    InboxEntry {
        key: key(id),
        content: content(id),
        at: Timestamp(at),
        lasting: false,
    }
}

fn aggregate(id: &str) -> AggregateKey {
    AggregateKey {
        kind: "counter".to_owned(),
        id: id.to_owned(),
    }
}

fn record(name: &str) -> Record {
    Record {
        key: Some(Bytes::from_static(b"a")),
        value: Some(Bytes::from(name.to_owned())),
        headers: vec![("ce_id".into(), Bytes::from(format!("id of {name}")))],
        timestamp: Timestamp(1_795_000_000_000),
    }
}

fn parked(offset: i64, id: &str) -> Parked {
    Parked {
        topic: TOPIC.to_owned(),
        offset,
        aggregate: Some(aggregate(id)),
        reason: ParkReason::Failed,
        detail: "it's wrong".to_owned(),
        record: record("parked"),
        at: Timestamp(10),
    }
}

fn conflict(offset: i64) -> Conflict {
    Conflict {
        topic: TOPIC.to_owned(),
        offset,
        key: key("id-1"),
        record: record("conflict"),
        at: Timestamp(10),
    }
}

fn batch(partition: i32, name: &str) -> OutboxBatch {
    OutboxBatch {
        topic: EVENTS.to_owned(),
        partition,
        records: vec![record(name)],
    }
}

fn row(partition: i32, sequence: i64, name: &str) -> OutboxRow {
    OutboxRow {
        sequence: Sequence(sequence),
        batch: batch(partition, name),
    }
}

/// Effects that only publish `batches`: output partition and name of each.
fn outgoing_of(batches: &[(i32, &str)]) -> Effects {
    Effects {
        outbox: batches.iter().map(|(to, name)| batch(*to, name)).collect(),
        ..Effects::default()
    }
}

fn published(up_to: i64, offset: i64) -> Effects {
    Effects {
        published: vec![Published {
            partition: 0,
            up_to: Sequence(up_to),
            offsets: vec![(EVENTS.to_owned(), offset)],
        }],
        ..Effects::default()
    }
}

fn hash(offset: i64) -> RecordHash {
    let mut hash = [0; 16];
    hash[..8].copy_from_slice(&offset.to_be_bytes());
    RecordHash(hash)
}

fn step(topic: &str, from: i64, to: i64) -> CursorMove {
    CursorMove {
        topic: topic.to_owned(),
        from,
        to,
        last_hash: hash(to),
    }
}

/// Effects that only move a cursor.
fn cursor(topic: &str, from: i64, to: i64) -> Effects {
    Effects {
        cursors: vec![step(topic, from, to)],
        ..Effects::default()
    }
}

fn cursor_at(topic: &str, next_offset: i64) -> Cursor {
    Cursor {
        topic: topic.to_owned(),
        next_offset,
        last_hash: Some(hash(next_offset)),
    }
}
