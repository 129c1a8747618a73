//! A process's clock: the world's, skewed and jumping.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use messaging::clock::{Clock, Timestamp};

use crate::process::Process;

pub(crate) struct SimClock(pub(crate) Arc<Process>);

#[async_trait]
impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        let Timestamp(now) = self.0.world.now();
        Timestamp(now + self.0.skew.load(Ordering::SeqCst))
    }

    async fn sleep(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }
}
