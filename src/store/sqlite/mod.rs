//! The store in SQLite: one file, one writer, readers beside it.
//!
//! WAL with `synchronous=FULL`: a commit that was answered survives a power cut. Every write is a
//! transaction of the one writer connection, begun with `BEGIN IMMEDIATE` (a deferred one that
//! read first could not be upgraded and would fail at once), so turns of several shards queue for
//! the connection and never for locks.

use std::path::Path;
use std::time::Duration;

use futures::TryStreamExt;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{Row, SqliteConnection, SqliteExecutor};

use super::{
    Acknowledged, Action, Claimed, Cursor, Error, ErrorKind, OutboxBatch, OutboxRow, Pacing,
    ParkedLevel, ParkedRow, Sequence, Store, Tables, Target,
};
use crate::context::Context;
use crate::limits;
use crate::log::Record;
use crate::shard::{Epoch, ShardId};

pub mod bulk;
mod checkpoint;
mod effects;
mod error;
mod open;
mod operations;
mod parked;
mod turn;
mod writer;

pub use error::error;
pub use turn::SqliteTurn;
use writer::Writer;

use super::sql::library::Reading;
use super::sql::outcome;

/// The statement that proves ownership and reads the cursors at once.
const OWNED: &str = "SELECT topic, next_offset, last_hash FROM shard LEFT JOIN cursor USING (shard)
     WHERE shard = ? AND epoch = ? ORDER BY topic";

/// A service's database in a SQLite file, with the context's own tables `T`.
///
/// The file belongs to one process at a time: hold a [`crate::lease::file::FileLease`] on it.
#[derive(Debug)]
pub struct SqliteStore<T> {
    writer: Writer,
    reader: SqlitePool,
    tables: T,
}

impl<T> SqliteStore<T> {
    /// Opens the file, or makes it with its folders, and brings its tables up to date.
    /// `migrations` are the context's, versions 1000 and up.
    ///
    /// # Errors
    /// One line that names the file; of kind [`ErrorKind::Fatal`] when it is not a database,
    /// damaged, written by a newer program or not accessible.
    pub async fn open(path: &Path, migrations: &Migrator, tables: T) -> Result<Self, Error> {
        Self::open_patient(path, migrations, tables, limits::SQLITE_BUSY_TIMEOUT).await
    }

    /// As [`SqliteStore::open`], where another connection's lock is waited for no longer than
    /// `busy_timeout`.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub async fn open_patient(
        path: &Path,
        migrations: &Migrator,
        tables: T,
        busy_timeout: Duration,
    ) -> Result<Self, Error> {
        outcome::announce_errors();
        let writer = open::writer(path, migrations, busy_timeout).await?;
        Ok(Self {
            writer,
            reader: open::readers(path, busy_timeout),
            tables,
        })
    }

    /// Connections for queries: they see what is committed and cannot write.
    #[must_use]
    pub fn reader(&self) -> &SqlitePool {
        &self.reader
    }

    /// The highest epoch that any shard was ever claimed with; zero in a new database.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn highest_epoch(&self) -> Result<Epoch, Error> {
        sqlx::query_scalar("SELECT coalesce(max(epoch), 0) FROM shard")
            .fetch_one(&self.reader)
            .await
            .map(Epoch)
            .map_err(|source| error("highest_epoch", source))
    }

    /// Closes all connections, after those in use are given back. Dropping the store does the
    /// same a little later.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }
}

impl<C: Context, T: Tables<C, SqliteConnection>> Store<C> for SqliteStore<T> {
    type Turn<'s>
        = SqliteTurn<'s, T>
    where
        Self: 's;

    /// One connection writes, and one process has the file.
    fn pacing(&self) -> Pacing {
        Pacing {
            at_once: 1,
            rest_factor: 0,
        }
    }

    async fn agree_on_partitions(&self, partitions: i32) -> Result<i32, Error> {
        const OPERATION: &str = "agree_on_partitions";
        let mut write = self.writer.begin(OPERATION).await?;
        let stored = sqlx::query_scalar(
            "INSERT INTO partitions (one, count) VALUES (1, $1)
             ON CONFLICT (one) DO UPDATE SET count = count RETURNING count",
        )
        .bind(partitions)
        .fetch_one(write.connection()?)
        .await
        .map_err(|source| error(OPERATION, source))?;
        write.commit(OPERATION).await?;
        Ok(stored)
    }

    async fn claim(&self, shard: ShardId, epoch: Epoch) -> Result<Claimed, Error> {
        const OPERATION: &str = "claim";
        let mut write = self.writer.begin(OPERATION).await?;
        let raised = sqlx::query(
            "INSERT INTO shard (shard, epoch) VALUES ($1, $2)
             ON CONFLICT (shard) DO UPDATE SET epoch = excluded.epoch
             WHERE shard.epoch < excluded.epoch",
        )
        .bind(shard.0)
        .bind(epoch.0)
        .execute(write.connection()?)
        .await
        .map_err(|source| error(OPERATION, source))?;
        if raised.rows_affected() == 0 {
            let detail = format!("shard {shard} was claimed with epoch {epoch} or a higher one");
            return Err(Error::new(ErrorKind::Fenced, OPERATION, detail));
        }
        let claimed = Claimed {
            cursors: owned(write.connection()?, shard, epoch, OPERATION).await?,
            acknowledged: acknowledged(write.connection()?, shard.0, OPERATION).await?,
        };
        write.commit(OPERATION).await?;
        Ok(claimed)
    }

    async fn begin(&self, shard: ShardId, epoch: Epoch) -> Result<SqliteTurn<'_, T>, Error> {
        const OPERATION: &str = "begin";
        let (write, rows) = self
            .writer
            .begin_with(OPERATION, OWNED, |values| {
                values.push(shard.0).push(epoch.0);
            })
            .await?;
        let cursors = cursors(&rows, shard, epoch, OPERATION)?;
        Ok(SqliteTurn::new(write, &self.tables, shard, cursors))
    }

    async fn outbox(
        &self,
        partition: i32,
        from: Sequence,
        bytes_max: usize,
    ) -> Result<Vec<OutboxRow>, Error> {
        const OPERATION: &str = "outbox";
        let failed = |source| error(OPERATION, source);
        let mut stored = sqlx::query(
            "SELECT sequence, topic, records FROM outbox
             WHERE partition = $1 AND sequence >= $2 ORDER BY sequence",
        )
        .bind(partition)
        .bind(from.0)
        .fetch(&self.reader);
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while let Some(row) = stored.try_next().await.map_err(failed)? {
            let records: Vec<u8> = row.try_get("records").map_err(failed)?;
            let records = reading(OPERATION).records(records)?;
            bytes += records.iter().map(Record::size).sum::<usize>();
            if bytes > bytes_max && !rows.is_empty() {
                break;
            }
            rows.push(OutboxRow {
                sequence: Sequence(row.try_get("sequence").map_err(failed)?),
                batch: OutboxBatch {
                    topic: row.try_get("topic").map_err(failed)?,
                    partition,
                    records,
                },
            });
        }
        Ok(rows)
    }

    async fn acknowledged(&self, partition: i32) -> Result<Vec<Acknowledged>, Error> {
        acknowledged(&self.reader, partition, "acknowledged").await
    }

    async fn actions(&self, shard: ShardId) -> Result<Vec<Action>, Error> {
        parked::actions(&self.reader, shard).await
    }

    async fn parked_of(
        &self,
        shard: ShardId,
        target: &Target,
        limit: usize,
    ) -> Result<Vec<ParkedRow>, Error> {
        parked::parked_of(&self.reader, shard, target, limit).await
    }

    async fn parked_level(&self, shard: ShardId) -> Result<ParkedLevel, Error> {
        parked::level(&self.reader, shard).await
    }
}

/// Reads rows of the library's tables for `operation`.
fn reading(operation: &'static str) -> Reading {
    Reading {
        operation,
        failed: error,
    }
}

/// The shard's cursors, if its epoch is still `epoch`.
async fn owned(
    tx: &mut SqliteConnection,
    shard: ShardId,
    epoch: Epoch,
    operation: &'static str,
) -> Result<Vec<Cursor>, Error> {
    let rows = sqlx::query(OWNED)
        .bind(shard.0)
        .bind(epoch.0)
        .fetch_all(tx)
        .await
        .map_err(|source| error(operation, source))?;
    cursors(&rows, shard, epoch, operation)
}

/// What the rows of [`OWNED`] say; none of them says that the shard has another owner.
fn cursors(
    rows: &[SqliteRow],
    shard: ShardId,
    epoch: Epoch,
    operation: &'static str,
) -> Result<Vec<Cursor>, Error> {
    if rows.is_empty() {
        let detail = format!("shard {shard} is no longer owned under epoch {epoch}");
        return Err(Error::new(ErrorKind::Fenced, operation, detail));
    }
    let mut cursors = Vec::new();
    for row in rows {
        // An owned shard that has read nothing is one row without a topic.
        let topic: Option<String> = reading(operation).column(row, "topic")?;
        if topic.is_some() {
            cursors.push(reading(operation).cursor(row)?);
        }
    }
    Ok(cursors)
}

async fn acknowledged(
    executor: impl SqliteExecutor<'_>,
    partition: i32,
    operation: &'static str,
) -> Result<Vec<Acknowledged>, Error> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "SELECT topic, last_offset FROM acknowledged WHERE partition = $1 ORDER BY topic",
    )
    .bind(partition)
    .fetch_all(executor)
    .await
    .map_err(|source| error(operation, source))?;
    Ok(rows
        .into_iter()
        .map(|(topic, last_offset)| Acknowledged { topic, last_offset })
        .collect())
}
