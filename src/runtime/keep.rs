//! Heartbeats: what this process holds is renewed, however long its supervisor waits for a log or a
//! database.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::context::Context;
use crate::health::Condition;
use crate::lease::{Grant, Renewal};
use crate::limits::LEASE_HEARTBEAT;
use crate::runtime::service::Service;
use crate::store::Store;

/// The health part of the lease.
const PART: &str = "lease";

/// The grants to renew.
#[derive(Debug, Default)]
pub(crate) struct Held(Mutex<BTreeSet<Grant>>);

impl Held {
    pub(crate) fn add(&self, grants: &[Grant]) {
        self.lock().extend(grants);
    }

    pub(crate) fn remove(&self, grants: &[Grant]) {
        let mut held = self.lock();
        for grant in grants {
            held.remove(grant);
        }
    }

    fn list(&self) -> Vec<Grant> {
        self.lock().iter().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<Grant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Renews `held` with every heartbeat and passes on what came of the last one.
pub(crate) async fn keep<C: Context, S: Store<C>>(
    service: Arc<Service<C, S>>,
    held: Arc<Held>,
    news: watch::Sender<Renewal>,
) -> Infallible {
    loop {
        service.ports.clock.sleep(LEASE_HEARTBEAT).await;
        let condition = match service.ports.lease.renew(&held.list()).await {
            Ok(renewal) => {
                news.send_replace(renewal);
                Condition::Running
            }
            Err(error) => Condition::Stalled {
                reason: error.to_string(),
            },
        };
        service.health.set(PART, condition);
    }
}
