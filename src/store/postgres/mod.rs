//! The store in Postgres: many writers, row locks between them.
//!
//! READ COMMITTED: a statement sees what is committed when it begins, so whatever a lock protects
//! is read in a statement after the one that took it. A turn locks its shard's row first and the
//! outbox sequences last, in ascending order. Every session has timeouts of half the lease time at
//! most, so that a holder of locks that stands still is undone by the server and keeps nobody else
//! from going on; every call has one of its own, so that a server that does not answer keeps nobody
//! waiting.
//!
//! | room | what is there |
//! |---|---|
//! | [`Location`] | where a database is, without the password in any text |
//! | `open` | connections, their settings, migrations, what is wrong with a database in words |
//! | `turn`, `effects`, `parked` | a turn and what it commits |
//! | `announcements` | a word to the publishers of other instances |
//! | `operations`, `checkpoint` | what operators read and ask for |
//! | [`bulk`] | how many rows go in one statement |

use std::future::Future;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgPool, PgRow};
use sqlx::{PgConnection, PgExecutor, Postgres, Row, Transaction};
use tokio::time::timeout;

use self::announcements::Announcements;
use super::sql::library::Reading;
use super::sql::outcome::{self, Outcome};
use super::{
    Acknowledged, Action, Claimed, Cursor, Error, ErrorKind, OutboxBatch, OutboxRow, Pacing,
    ParkedLevel, ParkedRow, Sequence, Store, Tables, Target,
};
use crate::context::Context;
use crate::limits;
use crate::shard::{Epoch, ShardId};

mod announcements;
pub mod bulk;
mod checkpoint;
mod effects;
mod error;
mod location;
mod open;
mod operations;
mod parked;
#[cfg(feature = "test-util")]
pub mod scratch;
mod turn;

pub use error::error;
pub use location::Location;
pub use open::migrate;
pub(crate) use open::reserved;
pub use turn::PostgresTurn;

/// How long the server lets a session do what others may wait for; half the lease time at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// One statement.
    pub statement: Duration,
    /// Waiting for a lock; below the next, so that a waiter hears of it before the holder is undone.
    pub lock: Duration,
    /// Resting between two statements of a transaction.
    pub idle_in_transaction: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            statement: limits::STATEMENT_TIMEOUT,
            lock: limits::LOCK_TIMEOUT,
            idle_in_transaction: limits::IDLE_IN_TRANSACTION_TIMEOUT,
        }
    }
}

/// A service's database in Postgres, with the context's own tables `T`.
#[derive(Debug)]
pub struct PostgresStore<T> {
    turns: PgPool,
    reader: PgPool,
    announcements: Announcements,
    tables: T,
}

impl<T> PostgresStore<T> {
    /// Connects as `application` to a database whose tables are up to date (see [`migrate`]); needs
    /// no permission to change them. `migrations` are the context's, versions 1000 and up.
    ///
    /// # Errors
    /// One line that says what is wrong; of kind [`ErrorKind::Retry`] if it may pass.
    pub async fn open(
        location: &Location,
        application: &str,
        migrations: &Migrator,
        tables: T,
    ) -> Result<Self, Error> {
        Self::open_within(
            location,
            application,
            migrations,
            tables,
            Timeouts::default(),
        )
        .await
    }

    /// As [`PostgresStore::open`], with sessions of other timeouts.
    ///
    /// # Errors
    /// As [`PostgresStore::open`].
    pub async fn open_within(
        location: &Location,
        application: &str,
        migrations: &Migrator,
        tables: T,
        timeouts: Timeouts,
    ) -> Result<Self, Error> {
        outcome::announce_errors();
        let (turns, reader) = open::pools(location, application, migrations, &timeouts).await?;
        Ok(Self {
            turns,
            reader,
            announcements: Announcements::new(location, application)?,
            tables,
        })
    }

    /// Connections for queries: they see what is committed and cannot write. Ask within
    /// [`bounded`].
    #[must_use]
    pub fn reader(&self) -> &PgPool {
        &self.reader
    }

    /// The highest epoch that any shard was ever claimed with; zero in a new database.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn highest_epoch(&self) -> Result<Epoch, Error> {
        let highest = sqlx::query_scalar("SELECT coalesce(max(epoch), 0) FROM shard");
        bounded("highest_epoch", highest.fetch_one(&self.reader))
            .await
            .map(Epoch)
    }

    /// Closes all connections, after those in use are given back. Dropping the store does the
    /// same a little later.
    pub async fn close(&self) {
        self.announcements.close().await;
        self.reader.close().await;
        self.turns.close().await;
    }

    async fn begin_write(&self, operation: &'static str) -> Result<Write, Error> {
        Ok(Write {
            tx: bounded(operation, self.turns.begin()).await?,
            outcome: Outcome::open(),
        })
    }
}

/// The answer to `asked`, in time or not at all.
///
/// # Errors
/// As [`error`] maps them, for `operation`; of kind [`ErrorKind::Retry`] when none came in time.
pub async fn bounded<V>(
    operation: &'static str,
    asked: impl Future<Output = Result<V, sqlx::Error>>,
) -> Result<V, Error> {
    in_time(operation, async {
        asked.await.map_err(|source| error(operation, source))
    })
    .await
}

/// As [`bounded`], for what several statements answer.
async fn in_time<V>(
    operation: &'static str,
    asked: impl Future<Output = Result<V, Error>>,
) -> Result<V, Error> {
    timeout(limits::POSTGRES_CALL_TIMEOUT, asked)
        .await
        .unwrap_or_else(|_| Err(error::unanswered(ErrorKind::Retry, operation)))
}

/// Reads rows of the library's tables for `operation`.
fn reading(operation: &'static str) -> Reading {
    Reading {
        operation,
        failed: error,
    }
}

/// A write transaction, counted by how it ends. Dropping it undoes it.
#[derive(Debug)]
struct Write {
    tx: Transaction<'static, Postgres>,
    outcome: Outcome,
}

impl Write {
    async fn commit(self, operation: &'static str) -> Result<(), Error> {
        let committing = timeout(limits::POSTGRES_CALL_TIMEOUT, self.tx.commit());
        let committed = outcome::timed(committing).await;
        let result = match committed {
            Ok(committed) => committed.map_err(|source| error::commit_error(operation, source)),
            Err(_) => Err(error::unanswered(ErrorKind::Unknown, operation)),
        };
        self.outcome.end(&result);
        result
    }
}

impl<C: Context, T: Tables<C, PgConnection>> Store<C> for PostgresStore<T> {
    type Turn<'s>
        = PostgresTurn<'s, T>
    where
        Self: 's;

    fn pacing(&self) -> Pacing {
        Pacing {
            at_once: limits::POSTGRES_TURNS_AT_ONCE,
            rest_factor: limits::POSTGRES_REST_FACTOR,
        }
    }

    async fn agree_on_partitions(&self, partitions: i32) -> Result<i32, Error> {
        const OPERATION: &str = "agree_on_partitions";
        let mut write = self.begin_write(OPERATION).await?;
        let agreed = sqlx::query_scalar(
            "INSERT INTO partitions (one, count) VALUES (1, $1)
             ON CONFLICT (one) DO UPDATE SET count = partitions.count RETURNING count",
        )
        .bind(partitions);
        let stored = bounded(OPERATION, agreed.fetch_one(&mut *write.tx)).await?;
        write.commit(OPERATION).await?;
        Ok(stored)
    }

    async fn claim(&self, shard: ShardId, epoch: Epoch) -> Result<Claimed, Error> {
        const OPERATION: &str = "claim";
        let mut write = self.begin_write(OPERATION).await?;
        // Waits for the turn in flight, then compares with what it left.
        let raise = sqlx::query(
            "INSERT INTO shard (shard, epoch) VALUES ($1, $2)
             ON CONFLICT (shard) DO UPDATE SET epoch = excluded.epoch
             WHERE shard.epoch < excluded.epoch",
        )
        .bind(shard.0)
        .bind(epoch.0);
        let raised = bounded(OPERATION, raise.execute(&mut *write.tx)).await?;
        if raised.rows_affected() == 0 {
            let detail = format!("shard {shard} was claimed with epoch {epoch} or a higher one");
            return Err(Error::new(ErrorKind::Fenced, OPERATION, detail));
        }
        let claimed = Claimed {
            cursors: cursors(&mut write.tx, shard, OPERATION).await?,
            acknowledged: acknowledged(&mut *write.tx, shard.0, OPERATION).await?,
        };
        write.commit(OPERATION).await?;
        Ok(claimed)
    }

    async fn begin(&self, shard: ShardId, epoch: Epoch) -> Result<PostgresTurn<'_, T>, Error> {
        const OPERATION: &str = "begin";
        let mut write = self.begin_write(OPERATION).await?;
        // A statement of its own: one that waits for a lock still reads what was there before.
        let own = sqlx::query("SELECT FROM shard WHERE shard = $1 AND epoch = $2 FOR UPDATE")
            .bind(shard.0)
            .bind(epoch.0);
        let owned = bounded(OPERATION, own.fetch_optional(&mut *write.tx)).await?;
        match owned {
            Some(_) => Ok(PostgresTurn::new(write, &self.tables, shard)),
            None => {
                let detail = format!("shard {shard} is no longer owned under epoch {epoch}");
                Err(Error::new(ErrorKind::Fenced, OPERATION, detail))
            }
        }
    }

    async fn outbox(
        &self,
        partition: i32,
        from: Sequence,
        bytes_max: usize,
    ) -> Result<Vec<OutboxRow>, Error> {
        const OPERATION: &str = "outbox";
        let read = sqlx::query(
            "SELECT sequence, topic, records FROM (
                 SELECT sequence, topic, records, bytes,
                        sum(bytes) OVER (ORDER BY sequence) AS total
                 FROM (SELECT * FROM outbox WHERE partition = $1 AND sequence >= $2
                       ORDER BY sequence LIMIT $4) AS next) AS next
             WHERE total <= $3 OR total = bytes ORDER BY sequence",
        )
        .bind(partition)
        .bind(from.0)
        .bind(i64::try_from(bytes_max).unwrap_or(i64::MAX))
        .bind(limits::OUTBOX_READ_ROWS_MAX);
        let rows = bounded(OPERATION, read.fetch_all(&self.reader)).await?;
        rows.iter()
            .map(|row| outbox_row(row, partition, OPERATION))
            .collect()
    }

    async fn announce(&self, partitions: &[i32]) -> Result<(), Error> {
        announcements::announce(&self.turns, partitions).await
    }

    async fn announced(&self) -> Result<Vec<i32>, Error> {
        self.announcements.next().await
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

fn outbox_row(row: &PgRow, partition: i32, operation: &'static str) -> Result<OutboxRow, Error> {
    let failed = |source| error(operation, source);
    let records = row.try_get("records").map_err(failed)?;
    Ok(OutboxRow {
        sequence: Sequence(row.try_get("sequence").map_err(failed)?),
        batch: OutboxBatch {
            topic: row.try_get("topic").map_err(failed)?,
            partition,
            records: reading(operation).records(records)?,
        },
    })
}

/// The cursors of a shard.
async fn cursors(
    tx: &mut PgConnection,
    shard: ShardId,
    operation: &'static str,
) -> Result<Vec<Cursor>, Error> {
    let read = sqlx::query(
        "SELECT topic, next_offset, last_hash FROM cursor WHERE shard = $1 ORDER BY topic",
    )
    .bind(shard.0);
    let rows = bounded(operation, read.fetch_all(tx)).await?;
    rows.iter()
        .map(|row| reading(operation).cursor(row))
        .collect()
}

async fn acknowledged(
    executor: impl PgExecutor<'_>,
    partition: i32,
    operation: &'static str,
) -> Result<Vec<Acknowledged>, Error> {
    let read = sqlx::query_as(
        "SELECT topic, last_offset FROM acknowledged WHERE partition = $1 ORDER BY topic",
    )
    .bind(partition);
    let rows: Vec<(String, i64)> = bounded(operation, read.fetch_all(executor)).await?;
    Ok(rows
        .into_iter()
        .map(|(topic, last_offset)| Acknowledged { topic, last_offset })
        .collect())
}
