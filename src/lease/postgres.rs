//! Ownership by an advisory lock of Postgres: one process owns all shards of a database.

use async_trait::async_trait;
use sqlx::PgConnection;
use tokio::sync::Mutex;

use super::sole::Sole;
use super::{Error, Grant, Lease, Renewal};
use crate::shard::Epoch;
use crate::store::postgres::{self, Location};

/// All shards of a database, for as long as one session holds a lock on it.
///
/// The server gives the lock up with the session, however it ends: at once when the process ends,
/// within its TCP keepalive when the machine does. A holder that loses its session loses its
/// grants, and asks for the lock again; what it still writes meanwhile the store's epochs refuse.
#[derive(Debug)]
pub struct PostgresLease {
    location: Location,
    application: String,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    /// The session that holds the lock.
    session: Option<PgConnection>,
    sole: Sole,
}

impl PostgresLease {
    /// Takes the lock on the database at `location`, whose tables are there.
    ///
    /// # Errors
    /// [`Error::InUse`] when another session has it; [`Error::Unreachable`] when the database
    /// cannot be asked.
    pub async fn lock(location: &Location, application: &str) -> Result<Self, Error> {
        let lease = Self {
            location: location.clone(),
            application: application.to_owned(),
            held: Mutex::default(),
        };
        let mut held = lease.held.lock().await;
        let is_ours = lease.take(&mut held).await?;
        drop(held);
        match is_ours {
            true => Ok(lease),
            false => Err(Error::InUse {
                what: location.to_string(),
            }),
        }
    }

    /// Takes the lock in a new session; tells whether it was free.
    async fn take(&self, held: &mut Held) -> Result<bool, Error> {
        let reached = postgres::reserved(&self.location, &self.application).await;
        let mut session = reached.map_err(unreachable)?;
        let ask = sqlx::query_scalar(
            "SELECT pg_try_advisory_lock(hashtextextended('owner of ' || current_schema(), 0))",
        );
        let is_ours: bool = postgres::bounded("lock", ask.fetch_one(&mut session))
            .await
            .map_err(unreachable)?;
        if is_ours {
            let highest = sqlx::query_scalar("SELECT coalesce(max(epoch), 0) FROM shard");
            let highest = postgres::bounded("highest_epoch", highest.fetch_one(&mut session));
            held.sole
                .restart_after(Epoch(highest.await.map_err(unreachable)?));
            held.session = Some(session);
        }
        Ok(is_ours)
    }

    /// The grants, if the session that they hang on still answers.
    async fn alive<'h>(&self, held: &'h mut Held) -> Option<&'h mut Sole> {
        if let Some(session) = &mut held.session {
            let ask = sqlx::query("SELECT 1").execute(session);
            if postgres::bounded("renew", ask).await.is_ok() {
                return Some(&mut held.sole);
            }
            held.session = None;
        }
        None
    }
}

fn unreachable(source: crate::store::Error) -> Error {
    Error::Unreachable(source.into())
}

#[async_trait]
impl Lease for PostgresLease {
    async fn acquire(&self, partitions: i32) -> Result<Vec<Grant>, Error> {
        let mut held = self.held.lock().await;
        if self.alive(&mut held).await.is_none() && !self.take(&mut held).await? {
            return Ok(Vec::new());
        }
        Ok(held.sole.acquire(partitions))
    }

    async fn renew(&self, grants: &[Grant]) -> Result<Renewal, Error> {
        let mut held = self.held.lock().await;
        match self.alive(&mut held).await {
            Some(sole) => Ok(sole.renew(grants)),
            None => Ok(Renewal {
                lost: grants.to_vec(),
                ..Renewal::default()
            }),
        }
    }

    async fn release(&self, grants: &[Grant]) -> Result<(), Error> {
        self.held.lock().await.sole.release(grants);
        Ok(())
    }
}
