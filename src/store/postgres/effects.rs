//! Writing what a turn commits beside the context's own state.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::slice;

use sqlx::PgConnection;

use super::bulk::{column, write};
use super::turn::digest;
use super::{error, parked};
use crate::clock::Timestamp;
use crate::limits;
use crate::log::Record;
use crate::shard::ShardId;
use crate::store::sql::library::bytes_of;
use crate::store::sql::numbering::{by_partition, number};
use crate::store::{
    Conflict, CursorMove, Effects, Error, ErrorKind, InboxEntry, OutboxBatch, OutboxRow, Parked,
    Published,
};

const OPERATION: &str = "commit";

/// Saves `effects`; returns the outbox rows as numbered.
pub(super) async fn save(
    tx: &mut PgConnection,
    shard: ShardId,
    effects: Effects,
) -> Result<Vec<OutboxRow>, Error> {
    save_inbox(tx, shard, &effects.inbox).await?;
    parked::unpark(tx, shard, &effects.unparked).await?;
    parked::repark(tx, shard, &effects.reparked).await?;
    save_parked(tx, shard, &effects.parked).await?;
    parked::note_done(tx, shard, &effects.done).await?;
    save_conflicts(tx, shard, &effects.conflicts).await?;
    if let Some(horizon) = effects.prune_inbox_before {
        prune_inbox(tx, shard, horizon).await?;
    }
    let batches = by_partition(effects.outbox);
    conclude(tx, shard, &effects.published, &effects.cursors, batches).await
}

async fn save_inbox(
    tx: &mut PgConnection,
    shard: ShardId,
    entries: &[InboxEntry],
) -> Result<(), Error> {
    let digests = column(entries, |entry| digest(&entry.key));
    let insert = sqlx::query(
        "INSERT INTO inbox (shard, digest, message_type, key, id, content, at, lasting)
         SELECT $1, entry.* FROM unnest($2::bytea[], $3::text[], $4::text[], $5::text[],
                                        $6::bytea[], $7::bigint[], $8::boolean[])
             AS entry (digest, message_type, key, id, content, at, lasting) ORDER BY digest",
    )
    .bind(shard.0)
    .bind(column(&digests, |digest| &digest[..]))
    .bind(column(entries, |entry| entry.key.message_type.as_str()))
    .bind(column(entries, |entry| prose(&entry.key.key)))
    .bind(column(entries, |entry| prose(&entry.key.id)))
    .bind(column(entries, |entry| &entry.content.0[..]))
    .bind(column(entries, |entry| entry.at.0))
    .bind(column(entries, |entry| entry.lasting));
    write(tx, OPERATION, entries, insert).await.map(drop)
}

async fn save_parked(
    tx: &mut PgConnection,
    shard: ShardId,
    parked: &[Parked],
) -> Result<(), Error> {
    let insert = sqlx::query(
        "INSERT INTO parked (shard, topic, log_offset, aggregate_kind, aggregate_id, reason,
                             detail, record, at)
         SELECT $1, topic, log_offset, aggregate_kind, aggregate_id, reason, detail, record, at
         FROM unnest($2::text[], $3::bigint[], $4::text[], $5::bytea[], $6::text[], $7::text[],
                     $8::bytea[], $9::bigint[]) WITH ORDINALITY
             AS parked (topic, log_offset, aggregate_kind, aggregate_id, reason, detail, record, at,
                        number)
         ORDER BY number
         ON CONFLICT (shard, topic, log_offset) DO NOTHING",
    )
    .bind(shard.0)
    .bind(column(parked, |parked| parked.topic.as_str()))
    .bind(column(parked, |parked| parked.offset))
    .bind(column(parked, |parked| {
        parked.aggregate.as_ref().map(|of| of.kind.as_str())
    }))
    .bind(column(parked, |parked| {
        parked.aggregate.as_ref().map(|of| of.id.as_bytes())
    }))
    .bind(column(parked, |parked| parked.reason.as_str()))
    .bind(column(parked, |parked| prose(&parked.detail)))
    .bind(column(parked, |parked| {
        bytes_of(slice::from_ref(&parked.record))
    }))
    .bind(column(parked, |parked| parked.at.0));
    write(tx, OPERATION, parked, insert).await.map(drop)
}

async fn save_conflicts(
    tx: &mut PgConnection,
    shard: ShardId,
    conflicts: &[Conflict],
) -> Result<(), Error> {
    let insert = sqlx::query(
        "INSERT INTO conflict (shard, topic, log_offset, message_type, key, id, record, at)
         SELECT $1, topic, log_offset, message_type, key, id, record, at
         FROM unnest($2::text[], $3::bigint[], $4::text[], $5::bytea[], $6::bytea[], $7::bytea[],
                     $8::bigint[]) WITH ORDINALITY
             AS conflict (topic, log_offset, message_type, key, id, record, at, number)
         ORDER BY number
         ON CONFLICT (shard, topic, log_offset) DO NOTHING",
    )
    .bind(shard.0)
    .bind(column(conflicts, |conflict| conflict.topic.as_str()))
    .bind(column(conflicts, |conflict| conflict.offset))
    .bind(column(conflicts, |conflict| {
        prose(&conflict.key.message_type)
    }))
    .bind(column(conflicts, |conflict| conflict.key.key.as_bytes()))
    .bind(column(conflicts, |conflict| conflict.key.id.as_bytes()))
    .bind(column(conflicts, |conflict| {
        bytes_of(slice::from_ref(&conflict.record))
    }))
    .bind(column(conflicts, |conflict| conflict.at.0));
    write(tx, OPERATION, conflicts, insert).await.map(drop)
}

/// Removes the oldest entries.
async fn prune_inbox(
    tx: &mut PgConnection,
    shard: ShardId,
    horizon: Timestamp,
) -> Result<(), Error> {
    sqlx::query(
        "DELETE FROM inbox WHERE shard = $1 AND digest IN (
             SELECT digest FROM inbox WHERE shard = $1 AND NOT lasting AND at < $2
             ORDER BY at LIMIT $3)",
    )
    .bind(shard.0)
    .bind(horizon.0)
    .bind(i64::from(limits::INBOX_PRUNE_ROWS))
    .execute(tx)
    .await
    .map(drop)
    .map_err(|source| error(OPERATION, source))
}

/// The turn's last statement but the commit. Removes what the log has acknowledged; moves the
/// cursors by compare-and-set, where a topic without a row has never been read; takes sequence
/// numbers and inserts the outbox rows under them.
///
/// Only the shard's owner changes the rows of the first two, and it holds the shard. Whoever writes
/// for the same output partition waits from here on.
async fn conclude(
    tx: &mut PgConnection,
    shard: ShardId,
    published: &[Published],
    cursors: &[CursorMove],
    batches: BTreeMap<i32, Vec<OutboxBatch>>,
) -> Result<Vec<OutboxRow>, Error> {
    if published.is_empty() && cursors.is_empty() && batches.is_empty() {
        return Ok(Vec::new());
    }
    let offsets: Vec<(i32, &str, i64)> = published
        .iter()
        .flat_map(|of| {
            of.offsets
                .iter()
                .map(|(topic, offset)| (of.partition, topic.as_str(), *offset))
        })
        .collect();
    let counts: Vec<(i32, i64)> = batches
        .iter()
        .map(|(partition, batches)| (*partition, count(batches)))
        .collect();
    // Each batch with its distance from the number after the last of its partition.
    let numbered: Vec<(i64, &OutboxBatch)> = batches
        .values()
        .flat_map(|of_one| (1..=count(of_one)).rev().zip(of_one))
        .collect();
    let concluded: Vec<(i64, Option<i32>, Option<i64>)> = sqlx::query_as(CONCLUDE)
        .bind(shard.0)
        .bind(column(published, |of| of.partition))
        .bind(column(published, |of| of.up_to.0))
        .bind(column(&offsets, |(partition, _, _)| *partition))
        .bind(column(&offsets, |(_, topic, _)| *topic))
        .bind(column(&offsets, |(_, _, offset)| *offset))
        .bind(column(cursors, |cursor| cursor.topic.as_str()))
        .bind(column(cursors, |cursor| cursor.from))
        .bind(column(cursors, |cursor| cursor.to))
        .bind(column(cursors, |cursor| &cursor.last_hash.0[..]))
        .bind(column(&counts, |(partition, _)| *partition))
        .bind(column(&counts, |(_, count)| *count))
        .bind(column(&numbered, |(_, batch)| batch.partition))
        .bind(column(&numbered, |(before, _)| *before))
        .bind(column(&numbered, |(_, batch)| batch.topic.as_str()))
        .bind(column(&numbered, |(_, batch)| size(&batch.records)))
        .bind(column(&numbered, |(_, batch)| bytes_of(&batch.records)))
        .fetch_all(tx)
        .await
        .map_err(|source| error(OPERATION, source))?;
    let moved = concluded.first().map_or(0, |(moved, _, _)| *moved);
    check_moved(moved, cursors.len())?;
    let taken = concluded
        .into_iter()
        .filter_map(|(_, partition, next)| partition.zip(next));
    Ok(number(batches, &taken.collect()))
}

/// How many cursors it has moved, once for each output partition with its next number, or alone.
const CONCLUDE: &str = "
    WITH gone AS (
        DELETE FROM outbox USING unnest($2::int[], $3::bigint[]) AS published (partition, up_to)
        WHERE outbox.partition = published.partition AND sequence <= up_to),
    reached AS (
        INSERT INTO acknowledged (partition, topic, last_offset)
        SELECT * FROM unnest($4::int[], $5::text[], $6::bigint[])
        ON CONFLICT (partition, topic) DO UPDATE
        SET last_offset = greatest(acknowledged.last_offset, excluded.last_offset)),
    step AS (
        SELECT * FROM unnest($7::text[], $8::bigint[], $9::bigint[], $10::bytea[])
            AS step (topic, before, after, last_hash)),
    moved AS (
        UPDATE cursor SET next_offset = step.after, last_hash = step.last_hash FROM step
        WHERE cursor.shard = $1 AND cursor.topic = step.topic
          AND cursor.next_offset = step.before RETURNING 1),
    begun AS (
        INSERT INTO cursor (shard, topic, next_offset, last_hash)
        SELECT $1, topic, after, last_hash FROM step
        WHERE NOT EXISTS (SELECT FROM cursor
                          WHERE cursor.shard = $1 AND cursor.topic = step.topic)
        RETURNING 1),
    taken AS (
        INSERT INTO outbox_sequence (partition, next)
        SELECT partition, 1 + count FROM unnest($11::int[], $12::bigint[])
            AS wanted (partition, count) ORDER BY partition
        ON CONFLICT (partition) DO UPDATE SET next = outbox_sequence.next + excluded.next - 1
        RETURNING partition, next),
    saved AS (
        INSERT INTO outbox (partition, sequence, topic, bytes, records)
        SELECT partition, taken.next - before, topic, bytes, records
        FROM unnest($13::int[], $14::bigint[], $15::text[], $16::int[], $17::bytea[])
            AS batch (partition, before, topic, bytes, records)
        JOIN taken USING (partition))
    SELECT steps.moved, taken.partition, taken.next
    FROM (SELECT (SELECT count(*) FROM moved) + (SELECT count(*) FROM begun) AS moved) AS steps
    LEFT JOIN taken ON true";

fn check_moved(moved: i64, wanted: usize) -> Result<(), Error> {
    let moved = usize::try_from(moved).unwrap_or_default();
    if moved == wanted {
        return Ok(());
    }
    let detail = format!("{} of {wanted} cursors stand elsewhere", wanted - moved);
    Err(Error::new(ErrorKind::CursorMoved, OPERATION, detail))
}

fn count(batches: &[OutboxBatch]) -> i64 {
    i64::try_from(batches.len()).unwrap_or(i64::MAX)
}

fn size(records: &[Record]) -> i32 {
    let bytes: usize = records.iter().map(Record::size).sum();
    i32::try_from(bytes).unwrap_or(i32::MAX)
}

/// Words for people: a text of Postgres holds no zero byte, and a message must not stay unparked
/// because its error quotes one.
pub(super) fn prose(text: &str) -> Cow<'_, str> {
    match text.contains('\0') {
        true => Cow::Owned(text.replace('\0', "\u{fffd}")),
        false => Cow::Borrowed(text),
    }
}
