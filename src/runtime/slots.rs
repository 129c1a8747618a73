//! How many turns a process has side by side.
//!
//! The database is good for so many turns at once, whoever begins them: what is beyond only makes
//! them smaller. So the processes on it share them, each as it has shards.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The slots of a database, as one process knows them.
#[derive(Debug)]
pub(crate) struct Slots {
    free: Arc<Semaphore>,
    at_once: u32,
    partitions: u32,
    /// Shards that this process runs.
    shards: AtomicU32,
}

/// One running shard of this process, until it is dropped.
#[derive(Debug)]
pub(crate) struct Member(Arc<Slots>);

/// Leave to begin a turn, until it is dropped.
#[derive(Debug)]
pub(crate) struct Slot(#[expect(dead_code, reason = "held")] OwnedSemaphorePermit);

impl Slots {
    /// For a database that is good for `at_once` turns.
    pub(crate) fn new(at_once: usize, partitions: i32) -> Arc<Self> {
        let at_once = at_once.clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        Arc::new(Self {
            free: Arc::new(Semaphore::new(at_once)),
            at_once: u32::try_from(at_once).unwrap_or(u32::MAX),
            partitions: u32::try_from(partitions).unwrap_or_default(),
            shards: AtomicU32::new(0),
        })
    }

    /// Another shard runs here.
    pub(crate) fn join(self: &Arc<Self>) -> Member {
        self.shards.fetch_add(1, Ordering::Relaxed);
        Member(Arc::clone(self))
    }

    /// Slots that a turn takes: as many as there are processes, which have the shards in even
    /// shares; but always so few that one can begin.
    fn per_turn(&self) -> u32 {
        let shards = self.shards.load(Ordering::Relaxed).max(1);
        let processes = (self.partitions + shards / 2) / shards;
        processes.clamp(1, self.at_once)
    }
}

impl Member {
    /// A slot, if a turn can begin at once.
    pub(crate) fn try_slot(&self) -> Option<Slot> {
        let free = Arc::clone(&self.0.free);
        free.try_acquire_many_owned(self.0.per_turn())
            .ok()
            .map(Slot)
    }

    /// Waits for a slot, in the order of asking. There is one, for nobody closes the semaphore.
    pub(crate) async fn slot(&self) -> Option<Slot> {
        let free = Arc::clone(&self.0.free);
        free.acquire_many_owned(self.0.per_turn())
            .await
            .ok()
            .map(Slot)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.0.shards.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of the process's shards can have a turn at once.
    fn at_once(slots: &Arc<Slots>, shards: usize) -> usize {
        let members: Vec<Member> = (0..shards).map(|_| slots.join()).collect();
        let held: Vec<Slot> = members.iter().filter_map(Member::try_slot).collect();
        held.len()
    }

    #[test]
    fn processes_share_what_the_database_is_good_for() {
        let slots = Slots::new(4, 16);
        for (shards, turns) in [(16, 4), (8, 2), (6, 1), (5, 1), (4, 1), (1, 1)] {
            assert_eq!(at_once(&slots, shards), turns, "{shards} of 16 shards");
        }
    }

    #[test]
    fn a_turn_can_always_begin() {
        assert_eq!(at_once(&Slots::new(0, 16), 1), 1);
        assert_eq!(at_once(&Slots::new(usize::MAX, 16), 16), 16);
    }

    #[test]
    fn a_slot_is_free_again_when_its_turn_has_ended() {
        let slots = Slots::new(1, 2);
        let (one, other) = (slots.join(), slots.join());
        let held = one.try_slot();
        assert!(held.is_some() && other.try_slot().is_none());
        drop(held);
        assert!(other.try_slot().is_some());
    }
}
