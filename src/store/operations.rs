//! What operators see of a service's database, and how they ask for a change.

use async_trait::async_trait;

use super::{
    Action, ActionRecord, AggregateKey, Conflict, Cursor, Error, ParkReason, ParkedRow, Place,
    Sequence,
};
use crate::clock::Timestamp;
use crate::shard::{Epoch, ShardId};

/// Which parked messages to list; a `None` leaves nothing out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParkedFilter {
    /// Those of the aggregates with this id.
    pub aggregate_id: Option<String>,
    /// Those set aside for this reason.
    pub reason: Option<ParkReason>,
    /// Those parked at this time or earlier.
    pub parked_until: Option<Timestamp>,
}

/// A conflict as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflicting {
    /// Rises in the order of recording.
    pub number: i64,
    /// The shard.
    pub shard: ShardId,
    /// The message.
    pub conflict: Conflict,
}

/// How far a shard has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardCheckpoint {
    /// The shard.
    pub shard: ShardId,
    /// The epoch of its last owner.
    pub epoch: Epoch,
    /// Its cursors, by topic.
    pub cursors: Vec<Cursor>,
    /// Rows in the outbox of its output partition.
    pub outbox_rows: i64,
    /// When the oldest of them was written.
    pub outbox_oldest: Option<Timestamp>,
    /// The sequence number of the next outbox row.
    pub outbox_next: Sequence,
    /// Messages set aside.
    pub parked: i64,
    /// When the oldest of them was parked.
    pub parked_oldest: Option<Timestamp>,
    /// Conflicts recorded.
    pub conflicts: i64,
}

/// How far a service has come: its shards by number, all as of one moment.
pub type Checkpoint = Vec<ShardCheckpoint>;

/// The port for operators.
///
/// # Contract
///
/// - Reading sees what is committed, takes no lock that a turn waits for, and is bounded by the
///   `limit` given.
/// - `submit` only asks: the shard's owner carries the action out in a turn of its own, once, and
///   writes what came of it beside the change itself.
#[async_trait]
pub trait Operations: Send + Sync + 'static {
    /// Parked messages in the order of parking, those with a number above `after`.
    async fn parked(
        &self,
        filter: &ParkedFilter,
        after: i64,
        limit: usize,
    ) -> Result<Vec<ParkedRow>, Error>;

    /// How many messages of an aggregate are parked.
    async fn parked_count(&self, aggregate: &AggregateKey) -> Result<i64, Error>;

    /// One parked message; `None` if it is not parked.
    async fn parked_at(&self, shard: ShardId, place: &Place) -> Result<Option<ParkedRow>, Error>;

    /// The aggregates with this id that have parked messages: one per kind.
    async fn held_up(&self, id: &str) -> Result<Vec<(ShardId, AggregateKey)>, Error>;

    /// Asks for `action`, if what it targets is parked; tells whether it is. An id that was asked
    /// for before is refused as [`ErrorKind::Rejected`](super::ErrorKind::Rejected) then.
    async fn submit(&self, action: &Action) -> Result<bool, Error>;

    /// One action with the last `outcomes` of its outcomes.
    async fn action(&self, id: &str, outcomes: usize) -> Result<Option<ActionRecord>, Error>;

    /// Actions, newest first, those with a number below `before`, each with the last `outcomes` of
    /// its outcomes.
    async fn trail(
        &self,
        before: i64,
        limit: usize,
        outcomes: usize,
    ) -> Result<Vec<ActionRecord>, Error>;

    /// Conflicts in the order of recording, those with a number above `after`; of `key` only, if
    /// it is given.
    async fn conflicts(
        &self,
        key: Option<&str>,
        after: i64,
        limit: usize,
    ) -> Result<Vec<Conflicting>, Error>;

    /// How far the shards have come.
    async fn checkpoint(&self) -> Result<Checkpoint, Error>;
}
