//! The port for operators over files; like any other call, each of these blocks the thread.

use async_trait::async_trait;
use messaging::shard::ShardId;
use messaging::store::{
    Action, ActionRecord, AggregateKey, Checkpoint, Conflicting, Error, Operations, ParkedFilter,
    ParkedRow, Place,
};

use super::Blocking;

#[async_trait]
impl<T: Send + Sync + 'static> Operations for Blocking<T> {
    async fn parked(
        &self,
        filter: &ParkedFilter,
        after: i64,
        limit: usize,
    ) -> Result<Vec<ParkedRow>, Error> {
        self.block(self.inner.parked(filter, after, limit))
    }

    async fn parked_count(&self, aggregate: &AggregateKey) -> Result<i64, Error> {
        self.block(self.inner.parked_count(aggregate))
    }

    async fn parked_at(&self, shard: ShardId, place: &Place) -> Result<Option<ParkedRow>, Error> {
        self.block(self.inner.parked_at(shard, place))
    }

    async fn held_up(&self, id: &str) -> Result<Vec<(ShardId, AggregateKey)>, Error> {
        self.block(self.inner.held_up(id))
    }

    async fn submit(&self, action: &Action) -> Result<bool, Error> {
        self.block(self.inner.submit(action))
    }

    async fn action(&self, id: &str, outcomes: usize) -> Result<Option<ActionRecord>, Error> {
        self.block(self.inner.action(id, outcomes))
    }

    async fn trail(
        &self,
        before: i64,
        limit: usize,
        outcomes: usize,
    ) -> Result<Vec<ActionRecord>, Error> {
        self.block(self.inner.trail(before, limit, outcomes))
    }

    async fn conflicts(
        &self,
        key: Option<&str>,
        after: i64,
        limit: usize,
    ) -> Result<Vec<Conflicting>, Error> {
        self.block(self.inner.conflicts(key, after, limit))
    }

    async fn checkpoint(&self) -> Result<Checkpoint, Error> {
        self.block(self.inner.checkpoint())
    }
}
