//! The ports as a process sees them: the in-memory adapters with the weather in between.

use std::sync::Arc;

use messaging::runtime::Ports;

use crate::process::{Process, SimSpawner};

mod clock;
mod ids;
mod lease;
mod log;
mod registry;
pub(crate) mod store;

pub(crate) use clock::SimClock;
pub(crate) use ids::{SimIds, uuid};
pub(crate) use lease::SimLease;
pub(crate) use log::SimLog;
pub(crate) use registry::SimRegistry;

/// Every step of a call on a port, before its effect or after it: the points at which processes die
/// (C1).
pub(crate) const STEPS: [&str; 35] = [
    "gateway.answer",
    "gateway.call",
    "lease.acquire",
    "lease.acquired",
    "lease.release",
    "lease.released",
    "lease.leave",
    "lease.left",
    "lease.renew",
    "lease.renewed",
    "log.append",
    "log.appended",
    "log.bounds",
    "log.create_topic",
    "log.partitions",
    "log.read",
    "log.was_read",
    "registry",
    "store.acknowledged",
    "store.actions",
    "store.agree",
    "store.begin",
    "store.begun",
    "store.claim",
    "store.claimed",
    "store.commit",
    "store.committed",
    "store.cursors",
    "store.follow_up",
    "store.load",
    "store.outbox",
    "store.parked_level",
    "store.parked_of",
    "store.rehearse",
    "store.seen",
];

/// The runtime's ports for one process.
pub(crate) fn ports(process: &Arc<Process>, lease: SimLease) -> Ports {
    Ports {
        log: Arc::new(SimLog::new(process)),
        registry: Arc::new(SimRegistry::new(process)),
        lease: Arc::new(lease),
        clock: Arc::new(SimClock(Arc::clone(process))),
        ids: Arc::new(SimIds(Arc::clone(process))),
        spawner: Arc::new(SimSpawner(Arc::clone(process))),
        tracer: messaging::trace::Tracer::off(),
    }
}
