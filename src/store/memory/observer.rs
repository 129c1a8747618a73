//! Looking at every commit as it happens.

use std::fmt;

use super::rows::RowChange;
use crate::shard::{Epoch, ShardId};
use crate::store::{Effects, OutboxRow};

/// Told of every change of ownership and every commit, at the moment it happens and in the order
/// in which it happens. What is read from the store meanwhile includes the commit.
pub trait Observer: Send + Sync {
    /// A shard was taken over.
    fn claimed(&self, shard: ShardId, epoch: Epoch);

    /// A turn was committed.
    fn committed(&self, commit: &Commit<'_>);
}

/// A committed turn.
#[derive(Clone, Copy, Debug)]
pub struct Commit<'c> {
    /// The shard whose turn it was.
    pub shard: ShardId,
    /// The epoch that it was begun under.
    pub epoch: Epoch,
    /// Everything that it committed beside the context's own rows.
    pub effects: &'c Effects,
    /// The outbox rows as numbered.
    pub rows: &'c [OutboxRow],
    /// The context's own rows, by table and key.
    pub changes: &'c [RowChange],
}

impl fmt::Debug for dyn Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}
