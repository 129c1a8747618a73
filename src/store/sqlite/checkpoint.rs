//! How far the shards have come, read as of one moment.

use sqlx::sqlite::SqlitePool;

use super::{error, owned, reading};
use crate::store::{Checkpoint, Error};

const OPERATION: &str = "checkpoint";

/// The shards that were ever claimed, by number.
pub(super) async fn read(reader: &SqlitePool) -> Result<Checkpoint, Error> {
    // One read transaction: every statement sees the same moment.
    let mut tx = reader.begin().await.map_err(failed)?;
    let rows = sqlx::query(
        "SELECT shard, epoch,
                (SELECT count(*) FROM outbox WHERE partition = shard) AS outbox_rows,
                (SELECT records FROM outbox WHERE partition = shard
                 ORDER BY sequence LIMIT 1) AS outbox_first,
                (SELECT next FROM outbox_sequence WHERE partition = shard) AS outbox_next,
                (SELECT count(*) FROM parked WHERE parked.shard = shard.shard) AS parked,
                (SELECT min(at) FROM parked WHERE parked.shard = shard.shard) AS parked_oldest,
                (SELECT count(*) FROM conflict WHERE conflict.shard = shard.shard) AS conflicts
         FROM shard ORDER BY shard",
    )
    .fetch_all(&mut *tx)
    .await
    .map_err(failed)?;
    let mut shards = Vec::with_capacity(rows.len());
    for row in &rows {
        let (shard, epoch) = reading(OPERATION).shard(row)?;
        let cursors = owned(&mut tx, shard, epoch, OPERATION).await?;
        shards.push(reading(OPERATION).checkpoint(row, cursors)?);
    }
    Ok(shards)
}

fn failed(source: sqlx::Error) -> Error {
    error(OPERATION, source)
}
