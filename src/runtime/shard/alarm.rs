//! A sleep that goes on while a shard does other things, and one until a time of the day.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, Timestamp};
use crate::limits::ALARM_LOOK_EVERY;

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

/// Completes once the wall clock shows `at`, and never without one. The clock is looked at now and then,
/// because it may jump while a sleep does not.
pub(super) async fn strikes(clock: &Arc<dyn Clock>, at: Option<Timestamp>) {
    let Some(at) = at else {
        return std::future::pending().await;
    };
    loop {
        let left = at.since(clock.now());
        if left.is_zero() {
            return;
        }
        clock.sleep(left.min(ALARM_LOOK_EVERY)).await;
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;

    /// Shows one of these times after the other, and never sleeps.
    struct Shows(Mutex<Vec<i64>>, Mutex<Vec<Duration>>);

    #[async_trait]
    impl Clock for Shows {
        fn now(&self) -> Timestamp {
            let mut times = self.0.lock().unwrap();
            Timestamp(if times.len() > 1 {
                times.remove(0)
            } else {
                times[0]
            })
        }

        async fn sleep(&self, span: Duration) {
            self.1.lock().unwrap().push(span);
        }
    }

    /// How long is slept at a time until a clock that shows `times` has shown 5,000.
    async fn slept(times: &[i64]) -> Vec<u128> {
        let shows = Arc::new(Shows(Mutex::new(times.to_vec()), Mutex::default()));
        let clock: Arc<dyn Clock> = Arc::clone(&shows) as _;
        strikes(&clock, Some(Timestamp(5_000))).await;
        let slept = shows.1.lock().unwrap();
        slept.iter().map(Duration::as_millis).collect()
    }

    #[tokio::test]
    async fn it_strikes_by_the_clock_on_the_wall_however_that_jumps() {
        assert_eq!(slept(&[5_000]).await, [0; 0]);
        assert_eq!(slept(&[4_600, 5_000]).await, [400]);
        assert_eq!(slept(&[0, 3_600_000]).await, [1_000], "an hour ahead");
        assert_eq!(
            slept(&[4_900, -3_600_000, 5_001]).await,
            [100, 1_000],
            "an hour back"
        );
    }
}
