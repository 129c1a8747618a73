//! A word from one instance to the publishers of the others: LISTEN and NOTIFY.
//!
//! Sent after the commit, not in it: a transaction that notifies makes all others that do so commit
//! one after the other. It takes a server that is reached directly, or through a pooler that keeps
//! sessions; else the others find the rows when they look unasked.

use sqlx::postgres::{PgListener, PgPool, PgPoolOptions};
use tokio::sync::Mutex;

use super::{Location, bounded, error, open};
use crate::limits;
use crate::store::{Error, ErrorKind};

/// The channel, of all services in the database: a word too many costs one look into the outbox.
const CHANNEL: &str = "messaging_outbox";
const OPERATION: &str = "announced";

/// Where announcements arrive.
#[derive(Debug)]
pub(super) struct Announcements {
    sessions: PgPool,
    listener: Mutex<Option<PgListener>>,
}

/// Tells the others about `partitions`.
pub(super) async fn announce(sessions: &PgPool, partitions: &[i32]) -> Result<(), Error> {
    let numbers: Vec<String> = partitions.iter().map(i32::to_string).collect();
    let notify = sqlx::query("SELECT pg_notify($1, $2)")
        .bind(CHANNEL)
        .bind(numbers.join(","));
    bounded("announce", notify.execute(sessions)).await?;
    Ok(())
}

impl Announcements {
    /// Connects when first asked.
    pub(super) fn new(location: &Location, application: &str) -> Result<Self, Error> {
        let sessions = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(limits::POSTGRES_ACQUIRE_TIMEOUT)
            .connect_lazy_with(open::resting(location, application)?);
        Ok(Self {
            sessions,
            listener: Mutex::default(),
        })
    }

    /// Waits for the next one; after a failure the next call listens anew.
    pub(super) async fn next(&self) -> Result<Vec<i32>, Error> {
        let mut held = self.listener.lock().await;
        let mut listener = match held.take() {
            Some(listener) => listener,
            None => bounded(OPERATION, self.listen()).await?,
        };
        let failed = |source| error(OPERATION, source);
        let Some(notification) = listener.try_recv().await.map_err(failed)? else {
            let lost = "the session that listens was lost";
            return Err(Error::new(ErrorKind::Retry, OPERATION, lost));
        };
        let partitions = notification.payload().split(',');
        let partitions = partitions
            .filter_map(|number| number.parse().ok())
            .collect();
        *held = Some(listener);
        Ok(partitions)
    }

    async fn listen(&self) -> Result<PgListener, sqlx::Error> {
        let mut listener = PgListener::connect_with(&self.sessions).await?;
        listener.ignore_pool_close_event(true);
        listener.listen(CHANNEL).await?;
        Ok(listener)
    }

    pub(super) async fn close(&self) {
        *self.listener.lock().await = None;
        self.sessions.close().await;
    }
}
