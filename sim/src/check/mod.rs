//! What must hold, checked at every commit and every append by a model of its own.
//!
//! The [`Checker`] is told what the stores commit, what stands in the log and what was refused; it
//! asks the code under test nothing. From the records it works out what each of them must do, from
//! the rows what was done, and it notes the first difference as a [`Violation`]. The names are
//! those of the list of invariants: S1-S11 at every commit, E1-E4 at every append, F2, F3, F6, F6b
//! and F6c where a commit or the end of a run shows them, C1-C3 over many runs.

mod account;
mod actions;
mod book;
mod commit;
mod counts;
mod decisions;
mod holes;
mod observed;
mod orders;
mod outbox;
mod queues;
mod seen_log;
mod service;
#[cfg(test)]
mod tests;
mod told;
mod violation;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use messaging::clock::Timestamp;
use messaging::log::Consumed;
use messaging::registry::SchemaRegistry;
use messaging::shard::{Epoch, ShardId};
use messaging::store::Action;

pub(crate) use actions::{Asked, SetAside};
pub(crate) use commit::{Change, Committed, Row};
pub(crate) use counts::Counts;
pub(crate) use holes::{Hole, Known};
pub(crate) use observed::Observed;
pub(crate) use violation::Violation;

pub(crate) use seen_log::Home;
use seen_log::SeenLog;
use service::Service;

/// Whose database committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Side {
    Order,
    Inventory,
}

/// Parking that a run causes on purpose, so that the messages concerned are not taken for lost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tolerance {
    /// The registry denies ids that exist: good records may be parked as undecodable.
    pub(crate) undecodable: bool,
    /// The database refuses good messages: they may be parked as failed.
    pub(crate) failed: bool,
}

/// The checker of one run.
pub(crate) struct Checker {
    state: Mutex<State>,
}

struct State {
    log: SeenLog,
    order: Service,
    inventory: Service,
    counts: Counts,
    violations: Vec<Violation>,
}

/// A service's model, to be put back with the database it describes.
pub(crate) struct Saved(Service);

impl Checker {
    /// A checker of empty stores over an empty log; `registry` answers at once and never fails.
    pub(crate) fn new(
        registry: Arc<dyn SchemaRegistry>,
        partitions: i32,
        tolerance: Tolerance,
    ) -> Arc<Self> {
        let state = State {
            log: SeenLog::new(registry, partitions),
            order: Service::order(tolerance),
            inventory: Service::inventory(tolerance),
            counts: Counts::default(),
            violations: Vec::new(),
        };
        Arc::new(Self {
            state: Mutex::new(state),
        })
    }

    /// A shard has a new owner.
    pub(crate) fn claimed(&self, side: Side, shard: ShardId, epoch: Epoch) {
        self.check(|state| state.service(side).0.claim(shard, epoch));
    }

    /// A turn has committed.
    pub(crate) fn committed(&self, side: Side, commit: &Committed<'_>) {
        self.check(|state| {
            let (service, log, counts) = state.service(side);
            service.commit(log, counts, commit)
        });
    }

    /// A turn or a claim under `epoch` was refused, because the shard has a newer owner (C2).
    pub(crate) fn refused(&self, side: Side, shard: ShardId, epoch: Epoch) {
        self.check(|state| {
            let (service, _, counts) = state.service(side);
            counts.stale_refused += u64::from(service.is_stale(shard, epoch));
            Ok(())
        });
    }

    /// A program of the store has appended `records`.
    pub(crate) fn appended(&self, topic: &str, partition: i32, records: &[Consumed]) {
        self.check(|state| {
            for consumed in records {
                state.log.append(topic, partition, consumed);
                state.expect(topic, partition, consumed);
            }
            for consumed in records {
                state.published(topic, partition, consumed)?;
            }
            Ok(())
        });
    }

    /// A foreign program has appended `records`: nothing is promised of them.
    pub(crate) fn injected(&self, topic: &str, partition: i32, records: &[Consumed]) {
        self.check(|state| {
            for consumed in records {
                state.log.append(topic, partition, consumed);
                state.expect(topic, partition, consumed);
            }
            Ok(())
        });
    }

    /// The log has lost everything from `offset` on, although it was acknowledged.
    pub(crate) fn lost(&self, topic: &str, partition: i32, offset: i64) {
        self.check(|state| {
            state.log.lose(topic, partition, offset);
            for service in [&mut state.order, &mut state.inventory] {
                service.forget(topic, partition, offset);
            }
            Ok(())
        });
    }

    /// A process has died at a named point (C1).
    pub(crate) fn crashed(&self, point: &str) {
        self.check(|state| {
            state.counts.crash(point);
            Ok(())
        });
    }

    /// An operator has asked for `action`, and was told that what it targets is parked.
    pub(crate) fn asked(&self, side: Side, action: &Action) {
        self.check(|state| state.service(side).0.asked(action));
    }

    /// What must be parked now, in the order of parking.
    pub(crate) fn parked(&self, side: Side) -> Vec<SetAside> {
        self.lock().service(side).0.set_aside()
    }

    /// What operators have asked for, in the order of asking, and what must have come of it.
    pub(crate) fn trail(&self, side: Side) -> Vec<Asked> {
        self.lock().service(side).0.actions.clone()
    }

    /// The service's model as it is now, to go with a copy of its database.
    pub(crate) fn save(&self, side: Side) -> Saved {
        Saved(self.lock().service(side).0.clone())
    }

    /// The database is an older copy from now on.
    pub(crate) fn restore(&self, side: Side, saved: &Saved) {
        let mut state = self.lock();
        let (service, log, _) = state.service(side);
        let newer = std::mem::replace(service, saved.0.clone());
        service.replace(&newer, log);
    }

    /// Where the log holds events that the saved model does not know.
    pub(crate) fn said_since(&self, side: Side, saved: &Saved) -> BTreeSet<Home> {
        let mut state = self.lock();
        state.service(side).0.outbox.said_since(&saved.0.outbox)
    }

    /// Where the log no longer holds what a database says of it.
    pub(crate) fn holes(&self) -> Vec<Hole> {
        let state = self.lock();
        let services = [&state.order, &state.inventory].into_iter();
        services
            .flat_map(|service| service.holes(&state.log))
            .collect()
    }

    /// Everything has come to rest, and `now` is what all clocks show: F2, F3, F6c and the end of F6b.
    pub(crate) fn settled(&self, now: Timestamp) {
        self.check(|state| {
            for side in [Side::Order, Side::Inventory] {
                let (service, log, _) = state.service(side);
                service.settled(log, now)?;
            }
            Ok(())
        });
    }

    /// The first thing that did not hold.
    pub(crate) fn violation(&self) -> Option<Violation> {
        self.lock().violations.first().cloned()
    }

    /// What was met so far.
    pub(crate) fn counts(&self) -> Counts {
        self.lock().counts.clone()
    }

    fn check(&self, step: impl FnOnce(&mut State) -> Result<(), Violation>) {
        let mut state = self.lock();
        // What follows a violation follows from it: only the first tells anything.
        if state.violations.is_empty()
            && let Err(violation) = step(&mut state)
        {
            state.violations.push(violation);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn service(&mut self, side: Side) -> (&mut Service, &mut SeenLog, &mut Counts) {
        let service = match side {
            Side::Order => &mut self.order,
            Side::Inventory => &mut self.inventory,
        };
        (service, &mut self.log, &mut self.counts)
    }

    /// Whoever reads `topic` must account for the record.
    fn expect(&mut self, topic: &str, partition: i32, consumed: &Consumed) {
        for service in [&mut self.order, &mut self.inventory] {
            service.expect(topic, partition, consumed);
        }
    }

    /// E1-E4, where `topic` is one of events.
    fn published(
        &mut self,
        topic: &str,
        partition: i32,
        consumed: &Consumed,
    ) -> Result<(), Violation> {
        for side in [Side::Order, Side::Inventory] {
            let (service, log, counts) = self.service(side);
            if service.writes(topic) {
                service.published(log, counts, topic, partition, consumed)?;
            }
        }
        Ok(())
    }
}
