//! Ownership of shards, as a port.

use async_trait::async_trait;

use crate::shard::{Epoch, ShardId};

#[cfg(feature = "test-util")]
pub mod contract;
pub mod file;
pub mod memory;
pub mod postgres;
mod share;

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

/// Who holds a shard, for people to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The shard and the epoch of its last acquisition.
    pub grant: Grant,
    /// The name of the instance that holds it; `None` while it is free.
    pub holder: Option<String>,
}

/// The port for ownership.
///
/// Instances of a service share its shards: each that is alive may hold its part of them, as evenly
/// as they can be cut, and when one comes or goes no more of them move than must.
///
/// # Contract
///
/// - At any time at most one holder believes in a grant that the store still accepts: `acquire`
///   returns an epoch higher than any that was ever granted for that shard.
/// - `acquire` takes what is free of this instance's fair share, and may return nothing. Every
///   free shard has its turn: one that its holders give up again and again, because its log or
///   database is not as it must be, keeps no other waiting.
/// - An instance counts among those that share from its first call on, until it leaves or was not
///   heard of for as long as a grant lasts.
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

    /// Gives everything up for good: this instance no longer takes part in the sharing.
    async fn leave(&self) -> Result<(), Error>;

    /// Who holds each shard that was ever granted, by number. Changes nothing.
    async fn holders(&self) -> Result<Vec<Holding>, Error>;
}

/// A name for this process among the instances of a service, `HOST:PID`.
#[must_use]
pub fn instance_name() -> String {
    // Without a name the process id alone has to do.
    let host = hostname::get().unwrap_or_default();
    format!("{}:{}", host.display(), std::process::id())
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
