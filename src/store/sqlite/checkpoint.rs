//! How far the shards have come, read as of one moment.

use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{Row, SqliteConnection};

use super::{error, owned};
use crate::clock::Timestamp;
use crate::shard::{Epoch, ShardId};
use crate::store::{Checkpoint, Error, ErrorKind, Sequence, ShardCheckpoint, outbox};

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
        shards.push(shard(&mut tx, row).await?);
    }
    Ok(shards)
}

async fn shard(tx: &mut SqliteConnection, row: &SqliteRow) -> Result<ShardCheckpoint, Error> {
    let shard = ShardId(row.try_get("shard").map_err(failed)?);
    let epoch = Epoch(row.try_get("epoch").map_err(failed)?);
    let first: Option<Vec<u8>> = row.try_get("outbox_first").map_err(failed)?;
    let next: Option<i64> = row.try_get("outbox_next").map_err(failed)?;
    let parked_oldest: Option<i64> = row.try_get("parked_oldest").map_err(failed)?;
    Ok(ShardCheckpoint {
        shard,
        epoch,
        cursors: owned(tx, shard, epoch, OPERATION).await?,
        outbox_rows: row.try_get("outbox_rows").map_err(failed)?,
        outbox_oldest: first.map(written_at).transpose()?.flatten(),
        outbox_next: Sequence(next.unwrap_or(1)),
        parked: row.try_get("parked").map_err(failed)?,
        parked_oldest: parked_oldest.map(Timestamp),
        conflicts: row.try_get("conflicts").map_err(failed)?,
    })
}

/// When the records of an outbox row were made: by one turn, so the first tells of all.
fn written_at(records: Vec<u8>) -> Result<Option<Timestamp>, Error> {
    let records = outbox::decode(records.into())
        .map_err(|source| Error::new(ErrorKind::Fatal, OPERATION, source))?;
    Ok(records.first().map(|record| record.timestamp))
}

fn failed(source: sqlx::Error) -> Error {
    error(OPERATION, source)
}
