//! Ownership of shards, as a port.

use async_trait::async_trait;

use crate::shard::{Epoch, ShardId};

#[cfg(feature = "test-util")]
pub mod contract;
pub mod file;
pub mod memory;
pub mod postgres;
mod sole;

/// A shard that this process owns, and the epoch it owns it under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// The shard.
    pub shard: ShardId,
    /// Its fencing number; the store refuses commits under any older one.
    pub epoch: Epoch,
}

/// What a heartbeat found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renewal {
    /// Still owned.
    pub kept: Vec<Grant>,
    /// No longer owned: stop working on them now.
    pub lost: Vec<Grant>,
    /// Still owned, but another instance is short of shards: finish the batch, then `release`.
    pub surrender: Vec<Grant>,
}

/// The port for ownership.
///
/// # Contract
///
/// - At any time at most one holder believes in a grant that the store still accepts: `acquire`
///   returns an epoch higher than any that was ever granted for that shard.
/// - `acquire` takes whatever is free and this instance's fair share, and may return nothing. Every
///   free shard has its turn: one that its holders give up again and again, because its log or
///   database is not as it must be, keeps no other waiting.
/// - A grant ends when it is released, or when it was not renewed for the lease time. Only the
///   store's epoch check protects data; a lease protects progress.
#[async_trait]
pub trait Lease: Send + Sync + 'static {
    /// Takes free shards out of `0..partitions`; returns the new grants only.
    async fn acquire(&self, partitions: i32) -> Result<Vec<Grant>, Error>;

    /// Tells that this process is alive and still wants `held`.
    async fn renew(&self, held: &[Grant]) -> Result<Renewal, Error>;

    /// Gives `grants` up, so that others need not wait for them to expire.
    async fn release(&self, grants: &[Grant]) -> Result<(), Error>;
}

/// A failed call on the lease.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process holds what this one needs for itself alone.
    #[error("{what} is in use by another process; stop it or choose another place")]
    InUse {
        /// The file or database concerned.
        what: String,
    },
    /// The lease's place could not be reached; later it may.
    #[error("the lease could not be reached: {0}")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
}
