//! The store in memory: the same promises until the process ends.
//!
//! It behaves as a server's database does where two writers meet: statements let others run before
//! them and see what is committed at that moment, rows stay locked until the end of the
//! transaction that wrote them, waiters queue, and who waits or rests too long is undone. Turns of
//! different shards run side by side. It is deterministic: on one thread the same calls in the
//! same order have the same outcome. Failures are not its business.

use std::sync::{Arc, MutexGuard};

use super::{
    Acknowledged, Action, Claimed, Conflict, Error, ErrorKind, OutboxRow, Pacing, Parked,
    ParkedLevel, ParkedRow, Sequence, Store, Tables, Target,
};
use crate::context::Context;
use crate::shard::{Epoch, ShardId};

mod database;
mod library;
mod locks;
mod observer;
mod operations;
mod rows;
#[cfg(feature = "test-util")]
mod simulation;
mod turn;
mod tx;

pub use locks::Timeouts;
pub use observer::{Commit, Observer};
pub use rows::{Keyed, Row, RowChange, View};
#[cfg(feature = "test-util")]
pub use simulation::Snapshot;
pub use turn::MemoryTurn;
pub use tx::Tx;

use database::{Database, State};
use locks::Lock;
use rows::Changes;

/// A store in memory, with the context's own tables `T`. Clones are further connections to the
/// same database.
#[derive(Debug)]
pub struct MemoryStore<T> {
    database: Arc<Database>,
    tables: Arc<T>,
}

impl<T> Clone for MemoryStore<T> {
    fn clone(&self) -> Self {
        Self {
            database: Arc::clone(&self.database),
            tables: Arc::clone(&self.tables),
        }
    }
}

impl<T> MemoryStore<T> {
    /// An empty store with the default [`Timeouts`].
    #[must_use]
    pub fn new(tables: T) -> Self {
        Self::within(Timeouts::default(), tables)
    }

    /// An empty store with other timeouts.
    #[must_use]
    pub fn within(timeouts: Timeouts, tables: T) -> Self {
        Self {
            database: Arc::new(Database::within(timeouts)),
            tables: Arc::new(tables),
        }
    }

    /// A further connection to the same database, with tables of its own.
    #[must_use]
    pub fn connect<U>(&self, tables: U) -> MemoryStore<U> {
        MemoryStore {
            database: Arc::clone(&self.database),
            tables: Arc::new(tables),
        }
    }

    /// A view of what is committed when it is read, for queries.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader {
            database: Arc::clone(&self.database),
        }
    }

    /// Messages set aside, in log order per shard and topic.
    #[must_use]
    pub fn parked(&self) -> Vec<Parked> {
        self.database.state().library.parked()
    }

    /// Conflicts recorded, in log order per shard and topic.
    #[must_use]
    pub fn conflicts(&self) -> Vec<Conflict> {
        self.database.state().library.conflicts()
    }

    /// One statement outside any transaction: others may run first.
    async fn look(&self) -> MutexGuard<'_, State> {
        tokio::task::yield_now().await;
        self.database.state()
    }

    /// A transaction that has locked the shard's row.
    async fn begin_owned(&self, shard: ShardId, operation: &'static str) -> Result<Tx, Error> {
        let tx = Tx::begin(&self.database);
        tx.lock_all(operation, &[Lock::Shard(shard)]).await?;
        Ok(tx)
    }
}

/// Reads beside the transactions: what is committed, without waiting.
#[derive(Clone, Debug)]
pub struct Reader {
    database: Arc<Database>,
}

impl Reader {
    /// Reads rows of any tables as they are committed at this moment.
    pub fn select<V>(&self, read: impl FnOnce(View<'_>) -> V) -> V {
        let none = Changes::default();
        read(View::new(&self.database.state().rows, &none))
    }
}

impl<C: Context, T: Tables<C, Tx>> Store<C> for MemoryStore<T> {
    type Turn<'s>
        = MemoryTurn<T>
    where
        Self: 's;

    /// Turns of different shards do not wait for one another.
    fn pacing(&self) -> Pacing {
        Pacing {
            at_once: usize::MAX,
            rest_factor: 0,
        }
    }

    async fn agree_on_partitions(&self, partitions: i32) -> Result<i32, Error> {
        let mut state = self.look().await;
        Ok(state.library.agree_on_partitions(partitions))
    }

    async fn claim(&self, shard: ShardId, epoch: Epoch) -> Result<Claimed, Error> {
        let tx = self.begin_owned(shard, "claim").await?;
        let (claimed, observer) = {
            let mut state = tx.statement("claim").await?;
            let claimed = state.library.claim(shard, epoch)?;
            (claimed, state.observer.clone())
        };
        if let Some(observer) = observer {
            observer.claimed(shard, epoch);
        }
        drop(tx);
        // As after a commit, the answer is on its way.
        tokio::task::yield_now().await;
        Ok(claimed)
    }

    async fn begin(&self, shard: ShardId, epoch: Epoch) -> Result<MemoryTurn<T>, Error> {
        let tx = self.begin_owned(shard, "begin").await?;
        self.database.state().library.prove(shard, epoch)?;
        Ok(MemoryTurn::new(tx, Arc::clone(&self.tables), shard, epoch))
    }

    async fn outbox(
        &self,
        partition: i32,
        from: Sequence,
        bytes_max: usize,
    ) -> Result<Vec<OutboxRow>, Error> {
        let state = self.look().await;
        Ok(state.library.outbox(partition, from, bytes_max))
    }

    async fn acknowledged(&self, partition: i32) -> Result<Vec<Acknowledged>, Error> {
        Ok(self.look().await.library.acknowledged(partition))
    }

    async fn actions(&self, shard: ShardId) -> Result<Vec<Action>, Error> {
        Ok(self.look().await.library.trail().open_actions(shard))
    }

    async fn parked_of(
        &self,
        shard: ShardId,
        target: &Target,
        limit: usize,
    ) -> Result<Vec<ParkedRow>, Error> {
        let state = self.look().await;
        Ok(state.library.trail().parked_of(shard, target, limit))
    }

    async fn parked_level(&self, shard: ShardId) -> Result<ParkedLevel, Error> {
        Ok(self.look().await.library.trail().level(shard))
    }
}

/// An error of `kind`, as a database would give it.
fn refuse<V>(kind: ErrorKind, operation: &'static str, detail: String) -> Result<V, Error> {
    Err(Error::new(kind, operation, detail))
}
