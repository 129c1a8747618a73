//! Leases in memory: several holders of one service, in one process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::share::fair_share;
use super::{Error, Grant, Holding, Lease, Renewal};
use crate::clock::{Clock, Timestamp};
use crate::shard::{Epoch, ShardId};

/// One holder among those that share a table of leases.
///
/// A holder is one run of one instance.
pub struct MemoryLease {
    holder: u64,
    table: Arc<Table>,
}

/// What the holders share.
struct Table {
    clock: Arc<dyn Clock>,
    lease_time: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next_holder: u64,
    partitions: i32,
    /// Shards granted so far.
    granted: u64,
    /// When each holder was last heard of.
    alive: BTreeMap<u64, Timestamp>,
    shards: BTreeMap<ShardId, Shard>,
}

/// A shard's last grant, ended or not.
#[derive(Default)]
struct Shard {
    epoch: Epoch,
    holder: Option<u64>,
    /// How many grants there had been, of whatever shard: the free one with the least waits longest.
    granted: u64,
    /// When it was granted or last renewed. Its holder may be alive and not know of it: the answer
    /// to an acquisition can be lost.
    renewed: Timestamp,
}

impl MemoryLease {
    /// The first holder of a new table, in which a grant lasts `lease_time` without renewal.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, lease_time: Duration) -> Self {
        let table = Table {
            clock,
            lease_time,
            state: Mutex::default(),
        };
        Self::holder(Arc::new(table))
    }

    /// Another holder on the same table.
    #[must_use]
    pub fn another(&self) -> Self {
        Self::holder(Arc::clone(&self.table))
    }

    fn holder(table: Arc<Table>) -> Self {
        let mut state = table.state();
        let holder = state.next_holder;
        state.next_holder += 1;
        drop(state);
        Self { holder, table }
    }
}

impl Table {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that `holder` is alive, forgets the holders not heard of for the lease time, and ends
    /// the grants not renewed for as long.
    fn heartbeat(&self, holder: u64) -> (Timestamp, MutexGuard<'_, State>) {
        let now = self.clock.now();
        // A clock that was set back: without the first line, whatever was seen last before that
        // would stay until the clock has come so far again.
        let expired = |seen: &mut Timestamp| {
            *seen = now.min(*seen);
            now.since(*seen) >= self.lease_time
        };
        let mut state = self.state();
        state.alive.insert(holder, now);
        state.alive.retain(|_, seen| !expired(seen));
        for shard in state.shards.values_mut() {
            if expired(&mut shard.renewed) {
                shard.holder = None;
            }
        }
        (now, state)
    }
}

impl State {
    fn fair_share(&self, holder: u64) -> usize {
        let shards = usize::try_from(self.partitions).unwrap_or(0);
        let held = self.alive.keys().map(|alive| (*alive, self.count(*alive)));
        fair_share(shards, &held.collect(), &holder)
    }

    /// The shards that nobody holds, those that wait longest first.
    fn free(&self) -> Vec<ShardId> {
        let shards = (0..self.partitions).map(ShardId);
        let mut free: Vec<(u64, ShardId)> = shards
            .filter_map(|shard| match self.shards.get(&shard) {
                Some(known) => known.holder.is_none().then_some((known.granted, shard)),
                None => Some((0, shard)),
            })
            .collect();
        free.sort_unstable();
        free.into_iter().map(|(_, shard)| shard).collect()
    }

    fn count(&self, holder: u64) -> usize {
        let held = self.shards.values();
        held.filter(|shard| shard.holder == Some(holder)).count()
    }

    fn holds(&self, holder: u64, grant: &Grant) -> bool {
        self.shards
            .get(&grant.shard)
            .is_some_and(|shard| shard.holder == Some(holder) && shard.epoch == grant.epoch)
    }
}

#[async_trait]
impl Lease for MemoryLease {
    async fn acquire(&self, partitions: i32) -> Result<Vec<Grant>, Error> {
        let (now, mut state) = self.table.heartbeat(self.holder);
        state.partitions = partitions;
        let room = state
            .fair_share(self.holder)
            .saturating_sub(state.count(self.holder));
        let mut grants = Vec::new();
        for shard in state.free().into_iter().take(room) {
            state.granted += 1;
            let granted = state.granted;
            let entry = state.shards.entry(shard).or_default();
            entry.granted = granted;
            entry.epoch = entry.epoch.next();
            entry.holder = Some(self.holder);
            entry.renewed = now;
            grants.push(Grant {
                shard,
                epoch: entry.epoch,
            });
        }
        grants.sort_unstable();
        Ok(grants)
    }

    async fn renew(&self, held: &[Grant]) -> Result<Renewal, Error> {
        let (now, mut state) = self.table.heartbeat(self.holder);
        let (kept, lost): (Vec<Grant>, Vec<Grant>) = held
            .iter()
            .partition(|grant| state.holds(self.holder, grant));
        for grant in &kept {
            if let Some(shard) = state.shards.get_mut(&grant.shard) {
                shard.renewed = now;
            }
        }
        let surplus = kept.len().saturating_sub(state.fair_share(self.holder));
        let surrender = kept.iter().rev().take(surplus).copied().collect();
        Ok(Renewal {
            kept,
            lost,
            surrender,
        })
    }

    async fn release(&self, grants: &[Grant]) -> Result<(), Error> {
        let mut state = self.table.state();
        for grant in grants {
            if state.holds(self.holder, grant)
                && let Some(shard) = state.shards.get_mut(&grant.shard)
            {
                shard.holder = None;
            }
        }
        Ok(())
    }

    async fn leave(&self) -> Result<(), Error> {
        let mut state = self.table.state();
        state.alive.remove(&self.holder);
        for shard in state.shards.values_mut() {
            if shard.holder == Some(self.holder) {
                shard.holder = None;
            }
        }
        Ok(())
    }

    async fn holders(&self) -> Result<Vec<Holding>, Error> {
        let state = self.table.state();
        let holding = |(&shard, known): (&ShardId, &Shard)| Holding {
            grant: Grant {
                shard,
                epoch: known.epoch,
            },
            holder: known.holder.map(|holder| format!("holder {holder}")),
        };
        Ok(state.shards.iter().map(holding).collect())
    }
}
