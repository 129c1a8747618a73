//! The grants of the one process that owns all shards.

use std::collections::{HashMap, HashSet};

use super::{Grant, Renewal};
use crate::shard::{Epoch, ShardId};

/// What a sole owner holds.
#[derive(Debug, Default)]
pub(super) struct Sole {
    /// Epochs granted are above this one: the highest that the database has seen.
    after: Epoch,
    /// Shards granted and not released.
    shards: HashSet<ShardId>,
    /// The last epoch granted per shard.
    last: HashMap<ShardId, Epoch>,
}

impl Sole {
    /// Owns nothing any more, and goes on above `epoch`.
    pub(super) fn restart_after(&mut self, epoch: Epoch) {
        self.after = epoch;
        self.shards.clear();
    }

    pub(super) fn acquire(&mut self, partitions: i32) -> Vec<Grant> {
        let mut grants = Vec::new();
        for shard in (0..partitions).map(ShardId) {
            if self.shards.insert(shard) {
                let last = self.last.get(&shard).copied().unwrap_or_default();
                let epoch = last.max(self.after).next();
                self.last.insert(shard, epoch);
                grants.push(Grant { shard, epoch });
            }
        }
        grants
    }

    pub(super) fn renew(&self, held: &[Grant]) -> Renewal {
        let (kept, lost) = held.iter().partition(|grant| {
            self.shards.contains(&grant.shard) && self.last.get(&grant.shard) == Some(&grant.epoch)
        });
        Renewal {
            kept,
            lost,
            surrender: Vec::new(),
        }
    }

    pub(super) fn release(&mut self, grants: &[Grant]) {
        for grant in grants {
            if self.last.get(&grant.shard) == Some(&grant.epoch) {
                self.shards.remove(&grant.shard);
            }
        }
    }
}
