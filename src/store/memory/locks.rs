//! Transactions and the row locks that they hold: who waits for whom, and who is given up.
//!
//! Locks are exclusive, last until the end of their transaction, and are granted in the order in
//! which they were asked for. Time comes in as an argument.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::limits;
use crate::shard::ShardId;
use crate::store::InboxKey;

/// A transaction; a later one has a higher number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TxId(u64);

/// What can be locked, in the order in which transactions lock it (the context's rows in the order
/// that the context keeps).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lock {
    /// The shard's row.
    Shard(ShardId),
    /// A key of the shard's inbox.
    Inbox(ShardId, InboxKey),
    /// A row of the context.
    Row(&'static str, Vec<u8>),
    /// The outbox numbering of a partition.
    Sequence(i32),
}

/// How long the store lets a transaction wait or stand still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// A statement that waits longer for a row undoes its transaction.
    pub lock: Duration,
    /// A transaction that rests longer between two statements is undone as soon as somebody waits
    /// for it, and at the latest by its own next statement.
    pub idle_in_transaction: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            lock: limits::LOCK_TIMEOUT,
            idle_in_transaction: limits::IDLE_IN_TRANSACTION_TIMEOUT,
        }
    }
}

/// Why a transaction was undone by the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Lost {
    #[error("a row stayed locked for longer than the lock timeout")]
    LockTimeout,
    #[error("deadlock: this transaction was the youngest of those that waited for each other")]
    Deadlock,
    #[error("connection lost: the transaction was idle for longer than the timeout")]
    Idle,
    #[error("connection lost: the database was replaced")]
    #[cfg(feature = "test-util")]
    Replaced,
}

/// Where a statement that wants a lock stands.
#[derive(Debug)]
pub(super) enum Asked {
    /// The lock is held.
    Held,
    /// Ask again when `woken`, or at `until`.
    Wait { woken: Arc<Notify>, until: Instant },
}

/// What a transaction is doing, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    /// Nothing: its client has the word.
    Idle { since: Instant },
    /// Waiting for the lock that it asked for.
    Waiting { since: Instant },
    /// The database is committing it, and nobody may undo it for being slow.
    #[cfg(feature = "test-util")]
    Committing,
}

#[derive(Debug)]
struct Transaction {
    doing: Doing,
    held: Vec<Lock>,
    wants: Option<Lock>,
    lost: Option<Lost>,
    woken: Arc<Notify>,
}

#[derive(Debug)]
struct Held {
    holder: TxId,
    queue: VecDeque<TxId>,
}

/// All transactions that are open, and all locks that they hold.
#[derive(Debug, Default)]
pub(super) struct Locks {
    timeouts: Timeouts,
    begun: u64,
    transactions: BTreeMap<TxId, Transaction>,
    held: BTreeMap<Lock, Held>,
}

impl Locks {
    pub(super) fn within(timeouts: Timeouts) -> Self {
        Self {
            timeouts,
            ..Self::default()
        }
    }

    pub(super) fn begin(&mut self, now: Instant) -> TxId {
        self.begun += 1;
        let id = TxId(self.begun);
        let transaction = Transaction {
            doing: Doing::Idle { since: now },
            held: Vec::new(),
            wants: None,
            lost: None,
            woken: Arc::default(),
        };
        self.transactions.insert(id, transaction);
        id
    }

    /// A statement of `id` arrives.
    pub(super) fn arrive(&mut self, id: TxId, now: Instant) -> Result<(), Lost> {
        // A statement that was given up in the middle of its wait waits no longer.
        self.leave_queue(id);
        if self.expired(id, now) {
            self.lose(id, Lost::Idle, now);
        }
        self.alive(id)?;
        self.set_doing(id, Doing::Idle { since: now });
        Ok(())
    }

    /// Asks for `lock`, or asks again after waiting.
    pub(super) fn ask(&mut self, id: TxId, lock: &Lock, now: Instant) -> Result<Asked, Lost> {
        loop {
            self.alive(id)?;
            let Some(held) = self.held.get(lock) else {
                self.grant(lock.clone(), id, VecDeque::new(), now);
                return Ok(Asked::Held);
            };
            let holder = held.holder;
            if holder == id {
                return Ok(Asked::Held);
            }
            if self.wants(id).is_none() {
                self.join_queue(id, lock, now);
                if let Some(victim) = self.youngest_in_cycle(id) {
                    self.lose(victim, Lost::Deadlock, now);
                    continue;
                }
            }
            if self.expired(id, now) {
                self.lose(id, Lost::LockTimeout, now);
            } else if self.expired(holder, now) {
                let reason = match self.wants(holder) {
                    Some(_) => Lost::LockTimeout,
                    None => Lost::Idle,
                };
                self.lose(holder, reason, now);
            } else {
                return Ok(self.wait(id, holder, now));
            }
        }
    }

    /// The database has begun to commit `id`: it ends by itself and not otherwise.
    #[cfg(feature = "test-util")]
    pub(super) fn committing(&mut self, id: TxId) {
        self.set_doing(id, Doing::Committing);
    }

    /// The transaction is over.
    pub(super) fn end(&mut self, id: TxId, now: Instant) {
        self.release(id, now);
        self.transactions.remove(&id);
    }

    /// Undoes every open transaction.
    #[cfg(feature = "test-util")]
    pub(super) fn lose_all(&mut self, now: Instant) {
        let open: Vec<TxId> = self.transactions.keys().copied().collect();
        for id in open {
            self.lose(id, Lost::Replaced, now);
        }
    }

    fn alive(&self, id: TxId) -> Result<(), Lost> {
        match self.transactions.get(&id).and_then(|open| open.lost) {
            Some(lost) => Err(lost),
            None => Ok(()),
        }
    }

    fn wants(&self, id: TxId) -> Option<&Lock> {
        self.transactions.get(&id)?.wants.as_ref()
    }

    fn set_doing(&mut self, id: TxId, doing: Doing) {
        if let Some(open) = self.transactions.get_mut(&id) {
            open.doing = doing;
        }
    }

    /// When others may undo it; never while it commits.
    fn expiry(&self, id: TxId) -> Option<Instant> {
        match self.transactions.get(&id)?.doing {
            Doing::Idle { since } => Some(since + self.timeouts.idle_in_transaction),
            Doing::Waiting { since } => Some(since + self.timeouts.lock),
            #[cfg(feature = "test-util")]
            Doing::Committing => None,
        }
    }

    fn expired(&self, id: TxId, now: Instant) -> bool {
        self.expiry(id).is_some_and(|expiry| expiry <= now)
    }

    fn wait(&self, id: TxId, holder: TxId, now: Instant) -> Asked {
        let ends = [self.expiry(id), self.expiry(holder)];
        Asked::Wait {
            woken: self
                .transactions
                .get(&id)
                .map(|open| Arc::clone(&open.woken))
                .unwrap_or_default(),
            until: ends.into_iter().flatten().min().unwrap_or(now),
        }
    }

    fn join_queue(&mut self, id: TxId, lock: &Lock, now: Instant) {
        if let (Some(open), Some(held)) = (self.transactions.get_mut(&id), self.held.get_mut(lock))
        {
            open.doing = Doing::Waiting { since: now };
            open.wants = Some(lock.clone());
            held.queue.push_back(id);
        }
    }

    fn leave_queue(&mut self, id: TxId) {
        let wanted = self
            .transactions
            .get_mut(&id)
            .and_then(|open| open.wants.take());
        if let Some(held) = wanted.and_then(|lock| self.held.get_mut(&lock)) {
            held.queue.retain(|waiting| *waiting != id);
        }
    }

    fn grant(&mut self, lock: Lock, id: TxId, queue: VecDeque<TxId>, now: Instant) {
        if let Some(open) = self.transactions.get_mut(&id) {
            open.wants = None;
            open.doing = Doing::Idle { since: now };
            open.held.push(lock.clone());
        }
        self.held.insert(lock, Held { holder: id, queue });
    }

    /// Frees all locks of `id`; each goes to the first who waits for it and is not too late.
    fn release(&mut self, id: TxId, now: Instant) {
        self.leave_queue(id);
        let Some(open) = self.transactions.get_mut(&id) else {
            return;
        };
        for lock in std::mem::take(&mut open.held) {
            let Some(mut held) = self.held.remove(&lock) else {
                continue;
            };
            let mut late = Vec::new();
            while let Some(next) = held.queue.pop_front() {
                if self.expired(next, now) {
                    late.push(next);
                } else {
                    self.grant(lock, next, held.queue, now);
                    self.wake(next);
                    break;
                }
            }
            for waiting in late {
                self.lose(waiting, Lost::LockTimeout, now);
            }
        }
    }

    fn lose(&mut self, id: TxId, reason: Lost, now: Instant) {
        if let Some(open) = self.transactions.get_mut(&id)
            && open.lost.is_none()
        {
            open.lost = Some(reason);
            self.release(id, now);
            self.wake(id);
        }
    }

    fn wake(&self, id: TxId) {
        if let Some(open) = self.transactions.get(&id) {
            open.woken.notify_one();
        }
    }

    /// Follows who waits for whom from `id`; if that comes back to it, the youngest on the way.
    fn youngest_in_cycle(&self, id: TxId) -> Option<TxId> {
        let (mut youngest, mut next) = (id, id);
        for _ in 0..=self.transactions.len() {
            next = self.held.get(self.wants(next)?)?.holder;
            youngest = youngest.max(next);
            if next == id {
                return Some(youngest);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
