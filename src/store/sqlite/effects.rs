//! Writing what a turn commits beside the context's own state.

use std::collections::BTreeMap;
use std::slice;

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::bulk::{Insert, Script};
use super::{error, parked};
use crate::clock::Timestamp;
use crate::limits;
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
    tx: &mut SqliteConnection,
    shard: ShardId,
    effects: Effects,
) -> Result<Vec<OutboxRow>, Error> {
    parked::unpark(tx, shard, &effects.unparked).await?;
    parked::repark(tx, shard, &effects.reparked).await?;
    parked::note_done(tx, shard, &effects.done).await?;
    let batches = by_partition(effects.outbox);
    let mut script = Script::new(tx, OPERATION);
    save_inbox(&mut script, shard, &effects.inbox).await?;
    save_parked(&mut script, shard, &effects.parked).await?;
    save_conflicts(&mut script, shard, &effects.conflicts).await?;
    if let Some(horizon) = effects.prune_inbox_before {
        prune_inbox(&mut script, shard, horizon);
    }
    for published in &effects.published {
        remove_published(&mut script, published);
    }
    for cursor in &effects.cursors {
        move_cursor(&mut script, shard, cursor);
    }
    for (partition, batches) in &batches {
        take_sequences(&mut script, *partition, batches.len());
        for (batch, behind) in batches.iter().zip((1..=batches.len()).rev()) {
            save_outbox(&mut script, batch, behind);
        }
    }
    let steps = script.run().await?;
    let taken = check_steps(&steps, effects.cursors.len())?;
    Ok(number(batches, &taken))
}

async fn save_inbox(
    script: &mut Script<'_>,
    shard: ShardId,
    entries: &[InboxEntry],
) -> Result<(), Error> {
    let insert = Insert {
        into: "inbox (shard, message_type, key, id, content, at, lasting)",
        columns: 7,
        then: "",
    };
    let rows = script.insert(insert, entries, |entry, values| {
        values
            .push(shard.0)
            .push(&entry.key.message_type)
            .push(&entry.key.key)
            .push(&entry.key.id)
            .push(&entry.content.0[..])
            .push(entry.at.0)
            .push(entry.lasting);
    });
    rows.await
}

async fn save_parked(
    script: &mut Script<'_>,
    shard: ShardId,
    parked: &[Parked],
) -> Result<(), Error> {
    let insert = Insert {
        into: "parked (shard, topic, log_offset, aggregate_kind, aggregate_id, reason, detail, \
               record, at)",
        columns: 9,
        then: "ON CONFLICT (shard, topic, log_offset) DO NOTHING",
    };
    let rows = script.insert(insert, parked, |parked, values| {
        let aggregate = parked.aggregate.as_ref();
        values
            .push(shard.0)
            .push(&parked.topic)
            .push(parked.offset)
            .push(aggregate.map(|aggregate| aggregate.kind.as_str()))
            .push(aggregate.map(|aggregate| aggregate.id.as_str()))
            .push(parked.reason.as_str())
            .push(&parked.detail)
            .push(bytes_of(slice::from_ref(&parked.record)))
            .push(parked.at.0);
    });
    rows.await
}

async fn save_conflicts(
    script: &mut Script<'_>,
    shard: ShardId,
    conflicts: &[Conflict],
) -> Result<(), Error> {
    let insert = Insert {
        into: "conflict (shard, topic, log_offset, message_type, key, id, record, at)",
        columns: 8,
        then: "ON CONFLICT (shard, topic, log_offset) DO NOTHING",
    };
    let rows = script.insert(insert, conflicts, |conflict, values| {
        values
            .push(shard.0)
            .push(&conflict.topic)
            .push(conflict.offset)
            .push(&conflict.key.message_type)
            .push(&conflict.key.key)
            .push(&conflict.key.id)
            .push(bytes_of(slice::from_ref(&conflict.record)))
            .push(conflict.at.0);
    });
    rows.await
}

/// Removes the oldest entries that are not lasting: only those are in the index. The outer range
/// keeps SQLite from looking at all the others.
fn prune_inbox(script: &mut Script<'_>, shard: ShardId, horizon: Timestamp) {
    script.add(
        "DELETE FROM inbox WHERE shard = ? AND at < ? AND lasting = 0 AND (message_type, key, id) IN (
             SELECT message_type, key, id FROM inbox
             WHERE shard = ? AND at < ? AND lasting = 0 ORDER BY at LIMIT ?)",
        |values| {
            for _ in 0..2 {
                values.push(shard.0).push(horizon.0);
            }
            values.push(limits::INBOX_PRUNE_ROWS);
        },
    );
}

fn remove_published(script: &mut Script<'_>, published: &Published) {
    script.add(
        "DELETE FROM outbox WHERE partition = ? AND sequence <= ?",
        |values| {
            values.push(published.partition).push(published.up_to.0);
        },
    );
    for (topic, offset) in &published.offsets {
        script.add(
            "INSERT INTO acknowledged (partition, topic, last_offset) VALUES (?, ?, ?)
             ON CONFLICT (partition, topic) DO UPDATE
             SET last_offset = max(last_offset, excluded.last_offset)",
            |values| {
                values.push(published.partition).push(topic).push(*offset);
            },
        );
    }
}

/// The compare-and-set of a cursor: yields a row only if it has moved. A topic without a row has
/// never been read.
fn move_cursor(script: &mut Script<'_>, shard: ShardId, cursor: &CursorMove) {
    script.add(
        "INSERT INTO cursor (shard, topic, next_offset, last_hash) VALUES (?, ?, ?, ?)
         ON CONFLICT (shard, topic) DO UPDATE
         SET next_offset = excluded.next_offset, last_hash = excluded.last_hash
         WHERE cursor.next_offset = ?
         RETURNING NULL, NULL",
        |values| {
            values
                .push(shard.0)
                .push(&cursor.topic)
                .push(cursor.to)
                .push(&cursor.last_hash.0[..])
                .push(cursor.from);
        },
    );
}

/// Takes `count` sequence numbers: yields the partition and the number after them.
fn take_sequences(script: &mut Script<'_>, partition: i32, count: usize) {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    script.add(
        "INSERT INTO outbox_sequence (partition, next) VALUES (?, 1 + ?)
         ON CONFLICT (partition) DO UPDATE SET next = next + excluded.next - 1
         RETURNING partition, next",
        |values| {
            values.push(partition).push(count);
        },
    );
}

/// The sequence numbers taken per partition, if all `cursors` have moved.
fn check_steps(steps: &[SqliteRow], cursors: usize) -> Result<BTreeMap<i32, i64>, Error> {
    let failed = |source| error(OPERATION, source);
    let mut taken = BTreeMap::new();
    let mut moved = 0;
    for step in steps {
        match step.try_get::<Option<i32>, _>(0).map_err(failed)? {
            None => moved += 1,
            Some(partition) => {
                taken.insert(partition, step.try_get(1).map_err(failed)?);
            }
        }
    }
    if moved < cursors {
        let detail = format!("{} of {cursors} cursors stand elsewhere", cursors - moved);
        return Err(Error::new(ErrorKind::CursorMoved, OPERATION, detail));
    }
    Ok(taken)
}

/// Saves a batch under the sequence number that lies `behind` before the next one of its partition.
fn save_outbox(script: &mut Script<'_>, batch: &OutboxBatch, behind: usize) {
    let behind = i64::try_from(behind).unwrap_or(i64::MAX);
    script.add(
        "INSERT INTO outbox (partition, sequence, topic, records)
         SELECT partition, next - ?, ?, ? FROM outbox_sequence WHERE partition = ?",
        |values| {
            values
                .push(behind)
                .push(&batch.topic)
                .push(bytes_of(&batch.records))
                .push(batch.partition);
        },
    );
}
