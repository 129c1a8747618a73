//! Ownership by a table of leases in the service's own Postgres database: its instances share the
//! shards.
//!
//! Every step is one statement that commits by itself, so that an instance that is stopped in the
//! middle of a call holds nothing that another one waits for.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::timeout;

use super::share::fair_share;
use super::{Error, Grant, Holding, Lease, Renewal, instance_name};
use crate::ids::{Ids, SystemIds};
use crate::limits::{LEASE_CALL_TIMEOUT, LEASE_GRANT_LASTS};
use crate::shard::{Epoch, ShardId};
use crate::store::postgres::{self, Location};

/// One instance among those that share the shards of a database.
///
/// It has a session of its own, which a turn never waits for nor holds up; a lost one is opened
/// again by the next call. Who cannot renew keeps working until somebody else has claimed the
/// shard: then the store refuses what it writes.
#[derive(Debug)]
pub struct PostgresLease {
    location: Location,
    application: String,
    table: Table,
    session: Mutex<Option<PgConnection>>,
}

/// The table of leases, as one instance uses it.
#[derive(Debug)]
struct Table {
    /// The instance: one run of a process.
    id: String,
    name: String,
    /// How long a grant lasts without renewal.
    lasts: Duration,
}

/// The session in use. Dropped without [`Session::keep`] it is closed: what is still on its way in
/// it must not be taken for the answer to another question.
struct Session<'l> {
    place: MutexGuard<'l, Option<PgConnection>>,
    connection: PgConnection,
}

impl Session<'_> {
    fn keep(mut self) {
        *self.place = Some(self.connection);
    }
}

impl PostgresLease {
    /// An instance that has not taken part yet; connects as `application` with its first call, to
    /// a database whose tables are there.
    #[must_use]
    pub fn new(location: &Location, application: &str) -> Self {
        Self::lasting(location, application, LEASE_GRANT_LASTS)
    }

    /// As [`PostgresLease::new`], with grants that last `lasts` without renewal: the same for all
    /// instances.
    #[must_use]
    pub fn lasting(location: &Location, application: &str, lasts: Duration) -> Self {
        Self {
            location: location.clone(),
            application: application.to_owned(),
            table: Table {
                id: SystemIds.fresh().to_string(),
                name: instance_name(),
                lasts,
            },
            session: Mutex::default(),
        }
    }

    async fn session(&self) -> Result<Session<'_>, Error> {
        let mut place = self.session.lock().await;
        let connection = match place.take() {
            Some(connection) => connection,
            None => postgres::reserved(&self.location, &self.application)
                .await
                .map_err(|source| Error::Unreachable(source.into()))?,
        };
        Ok(Session { place, connection })
    }
}

#[async_trait]
impl Lease for PostgresLease {
    async fn acquire(&self, partitions: i32) -> Result<Vec<Grant>, Error> {
        in_time(async {
            let mut session = self.session().await?;
            let acquired = self.table.acquire(&mut session.connection, partitions);
            let grants = acquired.await.map_err(unanswered)?;
            session.keep();
            Ok(grants)
        })
        .await
    }

    async fn renew(&self, held: &[Grant]) -> Result<Renewal, Error> {
        let (kept, share) = in_time(async {
            let mut session = self.session().await?;
            let renewed = self.table.renew(&mut session.connection, held);
            let renewed = renewed.await.map_err(unanswered)?;
            session.keep();
            Ok(renewed)
        })
        .await?;
        let (kept, lost): (Vec<Grant>, Vec<Grant>) =
            held.iter().partition(|grant| kept.contains(grant));
        let surplus = kept.len().saturating_sub(share);
        let surrender = kept.iter().rev().take(surplus).copied().collect();
        Ok(Renewal {
            kept,
            lost,
            surrender,
        })
    }

    async fn release(&self, grants: &[Grant]) -> Result<(), Error> {
        in_time(async {
            let mut session = self.session().await?;
            let released = self.table.release(&mut session.connection, grants);
            released.await.map_err(unanswered)?;
            session.keep();
            Ok(())
        })
        .await
    }

    async fn leave(&self) -> Result<(), Error> {
        in_time(async {
            let mut session = self.session().await?;
            let left = self.table.leave(&mut session.connection);
            left.await.map_err(unanswered)?;
            session.keep();
            Ok(())
        })
        .await
    }

    async fn holders(&self) -> Result<Vec<Holding>, Error> {
        in_time(async {
            let mut session = self.session().await?;
            let holders = self.table.holders(&mut session.connection);
            let holders = holders.await.map_err(unanswered)?;
            session.keep();
            Ok(holders)
        })
        .await
    }
}

async fn in_time<V>(asked: impl Future<Output = Result<V, Error>>) -> Result<V, Error> {
    let silent = || Error::Unreachable(format!("no answer within {LEASE_CALL_TIMEOUT:?}").into());
    let answer = timeout(LEASE_CALL_TIMEOUT, asked).await;
    answer.unwrap_or_else(|_| Err(silent()))
}

fn unanswered(source: sqlx::Error) -> Error {
    Error::Unreachable(source.into())
}

impl Table {
    async fn acquire(
        &self,
        session: &mut PgConnection,
        partitions: i32,
    ) -> Result<Vec<Grant>, sqlx::Error> {
        self.beat(session).await?;
        sqlx::query(
            "INSERT INTO lease (shard, epoch, granted, renewed)
             SELECT new, 0, '-infinity', '-infinity' FROM generate_series(0, $1 - 1) AS new
             WHERE NOT EXISTS (SELECT FROM lease WHERE shard = new)
             ON CONFLICT (shard) DO NOTHING",
        )
        .bind(partitions)
        .execute(&mut *session)
        .await?;
        let (share, held) = self.share(session).await?;
        match share.saturating_sub(held) {
            0 => Ok(Vec::new()),
            room => self.take(session, room).await,
        }
    }

    /// Those of `held` that are still held, and how many may be.
    async fn renew(
        &self,
        session: &mut PgConnection,
        held: &[Grant],
    ) -> Result<(Vec<Grant>, usize), sqlx::Error> {
        self.beat(session).await?;
        let (shards, epochs) = columns(held);
        let renewed = sqlx::query(
            "UPDATE lease SET renewed = now()
             FROM unnest($2::int[], $3::bigint[]) AS mine (shard, epoch)
             WHERE lease.shard = mine.shard AND lease.epoch = mine.epoch AND holder = $1
                 AND renewed BETWEEN now() - $4 AND now() + $4
             RETURNING lease.shard, lease.epoch",
        )
        .bind(&self.id)
        .bind(shards)
        .bind(epochs)
        .bind(self.lasts)
        .fetch_all(&mut *session)
        .await?;
        let kept = renewed.iter().map(grant).collect::<Result<_, _>>()?;
        Ok((kept, self.share(session).await?.0))
    }

    async fn release(
        &self,
        session: &mut PgConnection,
        grants: &[Grant],
    ) -> Result<(), sqlx::Error> {
        let (shards, epochs) = columns(grants);
        sqlx::query(
            "UPDATE lease SET holder = NULL, holder_name = NULL
             FROM unnest($2::int[], $3::bigint[]) AS mine (shard, epoch)
             WHERE lease.shard = mine.shard AND lease.epoch = mine.epoch AND holder = $1",
        )
        .bind(&self.id)
        .bind(shards)
        .bind(epochs)
        .execute(session)
        .await
        .map(drop)
    }

    async fn leave(&self, session: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::query(
            "WITH gone AS (DELETE FROM instance WHERE id = $1)
             UPDATE lease SET holder = NULL, holder_name = NULL WHERE holder = $1",
        )
        .bind(&self.id)
        .execute(session)
        .await
        .map(drop)
    }

    async fn holders(&self, session: &mut PgConnection) -> Result<Vec<Holding>, sqlx::Error> {
        let rows = sqlx::query(
            "SELECT shard, epoch,
                 CASE WHEN renewed BETWEEN now() - $1 AND now() + $1 THEN holder_name END AS holder
             FROM lease WHERE epoch > 0 ORDER BY shard",
        )
        .bind(self.lasts)
        .fetch_all(session)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(Holding {
                    grant: grant(row)?,
                    holder: row.try_get("holder")?,
                })
            })
            .collect()
    }

    /// Tells that this instance is alive, and forgets those that are not.
    async fn beat(&self, session: &mut PgConnection) -> Result<(), sqlx::Error> {
        // Skipping what another one forgets just now: two must not wait for each other.
        sqlx::query(
            "WITH silent AS (
                 DELETE FROM instance WHERE id IN (
                     SELECT id FROM instance
                     WHERE id <> $1 AND seen NOT BETWEEN now() - $3 AND now() + $3
                     FOR UPDATE SKIP LOCKED)
             )
             INSERT INTO instance (id, name, seen) VALUES ($1, $2, now())
             ON CONFLICT (id) DO UPDATE SET seen = excluded.seen",
        )
        .bind(&self.id)
        .bind(&self.name)
        .bind(self.lasts)
        .execute(session)
        .await
        .map(drop)
    }

    /// How many shards this instance may hold, and how many it holds.
    async fn share(&self, session: &mut PgConnection) -> Result<(usize, usize), sqlx::Error> {
        let rows: Vec<(String, i64, i64)> = sqlx::query_as(
            "SELECT id, count(shard), (SELECT count(*) FROM lease)
             FROM instance LEFT JOIN lease
                 ON holder = id AND renewed BETWEEN now() - $1 AND now() + $1
             WHERE seen BETWEEN now() - $1 AND now() + $1 GROUP BY id",
        )
        .bind(self.lasts)
        .fetch_all(session)
        .await?;
        let number = |count: i64| usize::try_from(count).unwrap_or(0);
        let shards = rows.first().map_or(0, |(_, _, shards)| number(*shards));
        let held: BTreeMap<String, usize> = rows
            .into_iter()
            .map(|(id, held, _)| (id, number(held)))
            .collect();
        let mine = held.get(&self.id).copied().unwrap_or(0);
        Ok((fair_share(shards, &held, &self.id), mine))
    }

    /// Takes at most `room` free shards, those that wait longest first.
    async fn take(
        &self,
        session: &mut PgConnection,
        room: usize,
    ) -> Result<Vec<Grant>, sqlx::Error> {
        // Whoever has locked a row is about to take it. The owner before may be one that the table
        // of leases does not know: its epoch stands in the table that turns lock.
        let taken = sqlx::query(
            "UPDATE lease SET holder = $1, holder_name = $2, granted = now(), renewed = now(),
                 epoch = 1 + greatest(lease.epoch,
                     (SELECT shard.epoch FROM shard WHERE shard.shard = lease.shard))
             WHERE shard IN (
                 SELECT shard FROM lease
                 WHERE holder IS NULL OR renewed NOT BETWEEN now() - $3 AND now() + $3
                 ORDER BY granted, shard LIMIT $4 FOR UPDATE SKIP LOCKED)
             RETURNING shard, epoch",
        )
        .bind(&self.id)
        .bind(&self.name)
        .bind(self.lasts)
        .bind(i64::try_from(room).unwrap_or(i64::MAX))
        .fetch_all(session)
        .await?;
        let mut grants = taken.iter().map(grant).collect::<Result<Vec<_>, _>>()?;
        grants.sort_unstable();
        Ok(grants)
    }
}

fn grant(row: &PgRow) -> Result<Grant, sqlx::Error> {
    Ok(Grant {
        shard: ShardId(row.try_get("shard")?),
        epoch: Epoch(row.try_get("epoch")?),
    })
}

fn columns(grants: &[Grant]) -> (Vec<i32>, Vec<i64>) {
    grants
        .iter()
        .map(|grant| (grant.shard.0, grant.epoch.0))
        .unzip()
}
