//! One transaction of a shard's owner.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::locks::Lock;
use super::observer::Commit;
use super::tx::Tx;
use crate::context::Context;
use crate::shard::{Epoch, ShardId};
use crate::store::{AggregateKey, Cursor, Effects, Error, InboxKey, OutboxRow, Seen, Tables, Turn};

const COMMIT: &str = "commit";

/// A turn of [`super::MemoryStore`]. Dropping it undoes it.
#[derive(Debug)]
pub struct MemoryTurn<T> {
    tx: Tx,
    tables: Arc<T>,
    shard: ShardId,
    epoch: Epoch,
}

impl<T> MemoryTurn<T> {
    pub(super) fn new(tx: Tx, tables: Arc<T>, shard: ShardId, epoch: Epoch) -> Self {
        Self {
            tx,
            tables,
            shard,
            epoch,
        }
    }

    /// Every statement before COMMIT: when it returns, nothing but the loss of the transaction
    /// keeps the commit from happening.
    pub(super) async fn save<C: Context>(
        &mut self,
        state: Option<&C::State>,
        effects: &Effects,
    ) -> Result<(), Error>
    where
        T: Tables<C, Tx>,
    {
        if let Some(state) = state {
            self.tables.save(&mut self.tx, state).await?;
        }
        let inbox: BTreeSet<&InboxKey> = effects.inbox.iter().map(|entry| &entry.key).collect();
        let inbox: Vec<_> = inbox
            .into_iter()
            .map(|key| Lock::Inbox(self.shard, key.clone()))
            .collect();
        self.tx.lock_all(COMMIT, &inbox).await?;
        self.tx
            .statement(COMMIT)
            .await?
            .library
            .check(self.shard, effects)?;
        let partitions: BTreeSet<i32> =
            effects.outbox.iter().map(|batch| batch.partition).collect();
        if partitions.is_empty() {
            return Ok(());
        }
        let numberings: Vec<_> = partitions.into_iter().map(Lock::Sequence).collect();
        self.tx.lock_all(COMMIT, &numberings).await
    }

    /// From here on nobody gives the transaction up.
    #[cfg(feature = "test-util")]
    pub(super) fn start_landing(&self) -> Result<(), Error> {
        let mut state = self.tx.database().arrive(self.tx.id(), COMMIT)?;
        state.locks.committing(self.tx.id());
        Ok(())
    }

    /// The commit itself: all of it at this moment, or nothing because the transaction is lost.
    pub(super) fn land(mut self, effects: Effects) -> Result<Vec<OutboxRow>, Error> {
        let changes = self.tx.take_changes();
        let database = Arc::clone(self.tx.database());
        let mut state = database.arrive(self.tx.id(), COMMIT)?;
        let observer = state.observer.clone();
        let observed = observer.as_ref().map(|_| effects.clone());
        let rows = state.library.apply(self.shard, effects);
        let changes = state.rows.apply(changes);
        drop(state);
        if let (Some(observer), Some(effects)) = (observer, observed) {
            observer.committed(&Commit {
                shard: self.shard,
                epoch: self.epoch,
                effects: &effects,
                rows: &rows,
                changes: &changes,
            });
        }
        Ok(rows)
    }
}

impl<C: Context, T: Tables<C, Tx>> Turn<C> for MemoryTurn<T> {
    async fn cursors(&mut self) -> Result<Vec<Cursor>, Error> {
        let state = self.tx.statement("cursors").await?;
        Ok(state.library.cursors(self.shard))
    }

    async fn seen(
        &mut self,
        inbox: &[InboxKey],
        aggregates: &[AggregateKey],
    ) -> Result<Seen, Error> {
        let state = self.tx.statement("seen").await?;
        Ok(state.library.seen(self.shard, inbox, aggregates))
    }

    async fn load(&mut self, messages: &[&C::Message]) -> Result<C::State, Error> {
        self.tables.load(&mut self.tx, messages).await
    }

    async fn load_follow_up(&mut self, state: &mut C::State) -> Result<(), Error> {
        self.tables.load_follow_up(&mut self.tx, state).await
    }

    async fn commit(
        mut self,
        state: Option<&C::State>,
        effects: Effects,
    ) -> Result<Vec<OutboxRow>, Error> {
        self.save(state, &effects).await?;
        tokio::task::yield_now().await;
        let rows = self.land(effects)?;
        // The answer is on its way: who is cut off here has committed and does not know it.
        tokio::task::yield_now().await;
        Ok(rows)
    }

    async fn rehearse(mut self, state: Option<&C::State>, effects: Effects) -> Result<(), Error> {
        self.save(state, &effects).await
    }
}
