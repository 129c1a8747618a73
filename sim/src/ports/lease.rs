//! Leases that are slow, away, or whose answers get lost.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use messaging::lease::memory::MemoryLease;
use messaging::lease::{Error, Grant, Holding, Lease, Renewal};

use crate::process::Process;

/// How long a slow call on the lease takes: long enough to lose what is held.
const SLOW: Duration = Duration::from_secs(11);

/// One holder, as its process sees it.
pub(crate) struct SimLease {
    process: Arc<Process>,
    inner: MemoryLease,
}

impl SimLease {
    pub(crate) fn new(process: &Arc<Process>, inner: MemoryLease) -> Self {
        Self {
            process: Arc::clone(process),
            inner,
        }
    }

    async fn reached(&self, step: &str) -> Result<(), Error> {
        self.process.step(step).await;
        let weather = self.process.world.weather();
        if self.process.dice(|dice| dice.chance(weather.lease_slow)) {
            self.process.note(format_args!("{step} is slow"));
            self.process.meets(format_args!("{step}: slow"));
            tokio::time::sleep(SLOW).await;
        }
        let lost = self
            .process
            .dice(|dice| dice.chance(weather.lease_unreachable));
        self.unless(lost, step)
    }

    async fn answered(&self, step: &str) -> Result<(), Error> {
        self.process.step(step).await;
        let weather = self.process.world.weather();
        let lost = self
            .process
            .dice(|dice| dice.chance(weather.lease_answer_lost));
        self.unless(lost, step)
    }

    fn unless(&self, lost: bool, step: &str) -> Result<(), Error> {
        if lost {
            self.process.note(format_args!("{step} fails"));
            self.process.meets(format_args!("{step}: no answer"));
            return Err(Error::Unreachable("an injected fault".into()));
        }
        Ok(())
    }
}

#[async_trait]
impl Lease for SimLease {
    async fn acquire(&self, partitions: i32) -> Result<Vec<Grant>, Error> {
        self.reached("lease.acquire").await?;
        let grants = self.inner.acquire(partitions).await?;
        if !grants.is_empty() {
            self.process.note(format_args!("acquires {grants:?}"));
        }
        self.process.world.count(|counts| {
            let renewed = grants.iter().filter(|grant| grant.epoch.0 > 1);
            counts.takeovers += renewed.count() as u64;
        });
        self.answered("lease.acquired").await?;
        Ok(grants)
    }

    async fn renew(&self, held: &[Grant]) -> Result<Renewal, Error> {
        self.reached("lease.renew").await?;
        let renewal = self.inner.renew(held).await?;
        if !renewal.lost.is_empty() || !renewal.surrender.is_empty() {
            self.process.note(format_args!("renews: {renewal:?}"));
        }
        self.answered("lease.renewed").await?;
        Ok(renewal)
    }

    async fn release(&self, grants: &[Grant]) -> Result<(), Error> {
        self.reached("lease.release").await?;
        self.inner.release(grants).await?;
        self.process.note(format_args!("releases {grants:?}"));
        self.answered("lease.released").await
    }

    async fn leave(&self) -> Result<(), Error> {
        self.reached("lease.leave").await?;
        self.inner.leave().await?;
        self.process.note(format_args!("leaves"));
        self.answered("lease.left").await
    }

    async fn holders(&self) -> Result<Vec<Holding>, Error> {
        self.inner.holders().await
    }
}
