//! A shard's new owner checks the log against the database before it reads or writes.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::context::Context;
use crate::envelope::Envelope;
use crate::limits::{APPEND_BYTES_MAX, FETCH_BYTES_MAX};
use crate::log::{Consumed, Log, ReadLimit};
use crate::mutant::{self, Mutant};
use crate::runtime::handover::Said;
use crate::runtime::item::hash;
use crate::runtime::{Error, Ports};
use crate::shard::ShardId;
use crate::store::{Acknowledged, RecordHash, Sequence, Store};

/// Where an intake goes on reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// The input topic.
    pub(crate) topic: Arc<str>,
    /// The next offset to read.
    pub(crate) next: i64,
    /// Hash of the record before it; `None` if none was read yet.
    pub(crate) last: Option<RecordHash>,
}

/// Does not wait for records that are not there.
const AT_ONCE: ReadLimit = ReadLimit {
    bytes_max: FETCH_BYTES_MAX,
    wait_max: Duration::ZERO,
};

/// Checks that the log still holds what was read from it, up to `position`.
///
/// # Errors
/// [`Error::LogBehind`] if the record before the position differs or is gone although the log
/// starts earlier; [`Error::RetentionPassed`] if unread records are gone; [`Error::Log`] if the
/// log could not be asked.
pub(crate) async fn check_position(
    log: &dyn Log,
    partition: i32,
    position: &Position,
) -> Result<(), Error> {
    let topic = &*position.topic;
    let bounds = log.bounds(topic, partition).await?;
    let lost = |detail: String| {
        Err(Error::LogBehind {
            topic: topic.to_owned(),
            partition,
            detail,
        })
    };
    if position.next > bounds.next {
        return lost(format!(
            "ends at {}, {} was read",
            bounds.next,
            position.next - 1
        ));
    }
    if position.next < bounds.first {
        return Err(Error::RetentionPassed {
            topic: topic.to_owned(),
            partition,
            expected: position.next,
            first: bounds.first,
        });
    }
    let before = position.next - 1;
    let there = before >= bounds.first && !mutant::on(Mutant::NoTailCheck);
    let Some(expected) = position.last.filter(|_| there) else {
        return Ok(());
    };
    let batch = log.read(topic, partition, before, AT_ONCE).await?;
    match batch.records.iter().find(|found| found.offset == before) {
        Some(found) if hash(&found.record) == expected => Ok(()),
        Some(_) => lost(format!(
            "offset {before} holds another record than the one that was read"
        )),
        None => lost(format!("offset {before} was read and is gone")),
    }
}

/// Checks that the log still holds the events that it has acknowledged last, by topic.
///
/// # Errors
/// [`Error::LogBehind`] if one is gone or is another; [`Error::Log`] if the log could not be asked.
pub(crate) async fn check_said(
    log: &dyn Log,
    partition: i32,
    said: BTreeMap<String, Said>,
) -> Result<(), Error> {
    for (topic, Said { offset, id }) in said {
        let bounds = log.bounds(&topic, partition).await?;
        expect_end(&topic, partition, bounds.next, offset)?;
        let Some(id) = id.filter(|_| offset >= bounds.first) else {
            continue;
        };
        let batch = log.read(&topic, partition, offset, AT_ONCE).await?;
        let found = batch.records.iter().find(|found| found.offset == offset);
        let found = found.and_then(|found| Envelope::from_headers(&found.record.headers).ok());
        if found.is_none_or(|found| found.id != id) {
            return Err(Error::LogBehind {
                topic,
                partition,
                detail: format!("offset {offset} no longer holds event {id}"),
            });
        }
    }
    Ok(())
}

/// Checks that a partition goes as far as it was acknowledged.
fn expect_end(topic: &str, partition: i32, end: i64, acknowledged: i64) -> Result<(), Error> {
    if acknowledged < end {
        return Ok(());
    }
    Err(Error::LogBehind {
        topic: topic.to_owned(),
        partition,
        detail: format!("ends at {end}, {acknowledged} was acknowledged"),
    })
}

/// Checks that everything acknowledged is in the log, and that the log holds no event of this
/// service beyond what the database has written.
///
/// # Errors
/// [`Error::LogBehind`], [`Error::DatabaseBehind`], or a log or store that could not be asked.
pub(crate) async fn check_published<C: Context, S: Store<C>>(
    context: &C,
    store: &S,
    ports: &Ports,
    shard: ShardId,
    acknowledged: &[Acknowledged],
) -> Result<(), Error> {
    for topic in outputs(context) {
        let last = last_of(acknowledged, topic);
        let bounds = ports.log.bounds(topic, shard.0).await?;
        expect_end(topic, shard.0, bounds.next, last)?;
        check_known(context, store, ports, (topic, shard), last).await?;
    }
    Ok(())
}

/// Checks that the log holds no event of this service, in any partition, that its database has not
/// written. Needs no ownership: owners may be publishing meanwhile.
///
/// A database that is behind in one partition is an older copy in all of them. Were shards that
/// have said nothing since to go on, they would publish what follows from the past of the others,
/// and then no copy would be as new as the log: not the newest one either, which lacks just that.
///
/// # Errors
/// [`Error::DatabaseBehind`], or a log or store that could not be asked.
pub(crate) async fn check_database<C: Context, S: Store<C>>(
    context: &C,
    store: &S,
    ports: &Ports,
    partitions: i32,
) -> Result<(), Error> {
    for shard in (0..partitions).map(ShardId) {
        let acknowledged = store.acknowledged(shard.0).await?;
        for topic in outputs(context) {
            let last = last_of(&acknowledged, topic);
            check_known(context, store, ports, (topic, shard), last).await?;
        }
    }
    Ok(())
}

/// The topics that the context writes, each once.
fn outputs<C: Context>(context: &C) -> BTreeSet<&'static str> {
    let writes = context.writes().iter();
    writes.map(|registration| registration.topic).collect()
}

/// The last offset of `topic` that was acknowledged; -1 if none was.
fn last_of(acknowledged: &[Acknowledged], topic: &str) -> i64 {
    let mut found = acknowledged.iter();
    let found = found.find(|acknowledged| acknowledged.topic == topic);
    found.map_or(-1, |acknowledged| acknowledged.last_offset)
}

/// Checks that every event of this service beyond `last`, which was acknowledged, is one that the
/// database has written.
async fn check_known<C: Context, S: Store<C>>(
    context: &C,
    store: &S,
    ports: &Ports,
    (topic, shard): (&str, ShardId),
    last: i64,
) -> Result<(), Error> {
    if mutant::on(Mutant::NoDatabaseCheck) {
        return Ok(());
    }
    let bounds = ports.log.bounds(topic, shard.0).await?;
    let mut next = (last + 1).max(bounds.first);
    while next < bounds.next {
        let batch = ports.log.read(topic, shard.0, next, AT_ONCE).await?;
        let Some(end) = batch.records.last().map(|record| record.offset + 1) else {
            break;
        };
        let own = own_events(context, &batch.records);
        let not_pending = not_pending(store, shard, own).await?;
        let behind = first_new(context, store, ports, (topic, shard), not_pending).await?;
        if let Some((offset, id)) = behind {
            return Err(Error::DatabaseBehind {
                topic: topic.to_owned(),
                partition: shard.0,
                offset,
                id,
            });
        }
        next = end;
    }
    Ok(())
}

/// Offsets and ids of the records that this service wrote.
fn own_events<C: Context>(context: &C, records: &[Consumed]) -> Vec<(i64, String)> {
    records
        .iter()
        .filter_map(|consumed| {
            let envelope = Envelope::from_headers(&consumed.record.headers).ok()?;
            (envelope.source == context.source()).then_some((consumed.offset, envelope.id))
        })
        .collect()
}

/// Those of `events` that are not in the outbox.
///
/// The outbox is read after the log: an event of another shard that lands while this looks is in
/// the outbox before it is in the log, and stays there until this shard's owner deletes it.
async fn not_pending<C: Context, S: Store<C>>(
    store: &S,
    shard: ShardId,
    events: Vec<(i64, String)>,
) -> Result<Vec<(i64, String)>, Error> {
    if events.is_empty() {
        return Ok(events);
    }
    let mut pending = HashSet::new();
    let mut from = Sequence(0);
    loop {
        let rows = store.outbox(shard.0, from, APPEND_BYTES_MAX).await?;
        let Some(last) = rows.last() else { break };
        from = Sequence(last.sequence.0 + 1);
        let records = rows.iter().flat_map(|row| &row.batch.records);
        pending.extend(
            records.filter_map(|record| Some(Envelope::from_headers(&record.headers).ok()?.id)),
        );
    }
    Ok(events
        .into_iter()
        .filter(|(_, id)| !pending.contains(id))
        .collect())
}

/// The first of `events` that does not stand in the log up to the last offset acknowledged.
///
/// That offset is asked for after the outbox: a row that its owner has deleted since the log was
/// read, its acknowledgement covers.
///
/// An append whose answer was lost, or one of an owner that was paused, may land long after the
/// same rows were appended again, acknowledged and deleted. Such a repetition says nothing about
/// the database; only an event that was never acknowledged does. Looking back takes as long as the
/// partition is large, but it happens only after such a repetition.
async fn first_new<C: Context, S: Store<C>>(
    context: &C,
    store: &S,
    ports: &Ports,
    (topic, shard): (&str, ShardId),
    mut events: Vec<(i64, String)>,
) -> Result<Option<(i64, String)>, Error> {
    if events.is_empty() {
        return Ok(None);
    }
    let last = last_of(&store.acknowledged(shard.0).await?, topic);
    let mut next = ports.log.bounds(topic, shard.0).await?.first;
    while next <= last && !events.is_empty() {
        let batch = ports.log.read(topic, shard.0, next, AT_ONCE).await?;
        let Some(end) = batch.records.last().map(|record| record.offset + 1) else {
            break;
        };
        let mut acknowledged = own_events(context, &batch.records);
        acknowledged.retain(|(offset, _)| *offset <= last);
        let acknowledged: HashSet<String> = acknowledged.into_iter().map(|(_, id)| id).collect();
        events.retain(|(_, id)| !acknowledged.contains(id));
        next = end;
    }
    Ok(events.into_iter().next())
}
