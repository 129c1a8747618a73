//! A sleep that goes on while a shard does other things.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Clock;

type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Rings once after it was set. Never locked: the mutex makes a shard shareable that holds a future
/// that is not.
#[derive(Default)]
pub(super) struct Alarm(Mutex<Option<Sleep>>);

impl Alarm {
    /// Sets it to ring after `span`, unless it is set already.
    pub(super) fn set(&mut self, clock: &Arc<dyn Clock>, span: Duration) {
        self.sleep().get_or_insert_with(|| {
            let clock = Arc::clone(clock);
            Box::pin(async move { clock.sleep(span).await })
        });
    }

    pub(super) fn unset(&mut self) {
        *self.sleep() = None;
    }

    /// Completes when it rings, at once if it is not set.
    pub(super) async fn rung(&mut self) {
        if let Some(sleep) = self.sleep() {
            sleep.await;
            self.unset();
        }
    }

    fn sleep(&mut self) -> &mut Option<Sleep> {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}
