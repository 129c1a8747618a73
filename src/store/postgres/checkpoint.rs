//! How far the shards have come, read as of one moment.

use sqlx::postgres::PgPool;

use super::{bounded, cursors, in_time, reading};
use crate::store::{Checkpoint, Error};

const OPERATION: &str = "checkpoint";

/// The shards that were ever claimed, by number.
pub(super) async fn read(reader: &PgPool) -> Result<Checkpoint, Error> {
    in_time(OPERATION, shards(reader)).await
}

async fn shards(reader: &PgPool) -> Result<Checkpoint, Error> {
    // One snapshot: every statement sees the same moment.
    let begin = reader.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    let mut tx = bounded(OPERATION, begin).await?;
    let query = sqlx::query(
        "SELECT shard, epoch,
                (SELECT count(*) FROM outbox WHERE partition = shard) AS outbox_rows,
                (SELECT records FROM outbox WHERE partition = shard
                 ORDER BY sequence LIMIT 1) AS outbox_first,
                (SELECT next FROM outbox_sequence WHERE partition = shard) AS outbox_next,
                (SELECT count(*) FROM parked WHERE parked.shard = shard.shard) AS parked,
                (SELECT min(at) FROM parked WHERE parked.shard = shard.shard) AS parked_oldest,
                (SELECT count(*) FROM conflict WHERE conflict.shard = shard.shard) AS conflicts
         FROM shard ORDER BY shard",
    );
    let rows = bounded(OPERATION, query.fetch_all(&mut *tx)).await?;
    let mut shards = Vec::with_capacity(rows.len());
    for row in &rows {
        let (shard, _) = reading(OPERATION).shard(row)?;
        let cursors = cursors(&mut tx, shard, OPERATION).await?;
        shards.push(reading(OPERATION).checkpoint(row, cursors)?);
    }
    bounded(OPERATION, tx.commit()).await?;
    Ok(shards)
}
