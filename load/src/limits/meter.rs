//! A warm-up, then the period that counts.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::Error;
use crate::tally::Times;

/// Longest warm-up.
const WARM_UP_MAX: Duration = Duration::from_secs(1);
/// How often somebody looks who waits for the next one to be done.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// How long something is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// How long it runs before: connections are open then, statements prepared, caches warm.
    pub warm_up: Duration,
    /// How long it counts; longer until something is done.
    pub measured: Duration,
}

impl Period {
    /// A period that counts for `measured`, after a warm-up of half as long, a second at most.
    #[must_use]
    pub fn of(measured: Duration) -> Self {
        Self {
            warm_up: (measured / 2).min(WARM_UP_MAX),
            measured,
        }
    }
}

/// Counts what tasks have done.
#[derive(Debug)]
pub struct Meter(Mutex<Marks>);

#[derive(Debug)]
struct Marks {
    done: u64,
    last: Instant,
    times: Times,
}

/// What was done within a period.
#[derive(Clone, Debug)]
pub struct Measured {
    /// How many.
    pub done: u64,
    /// Between the last one before the period and the last one in it, so that a large batch that is
    /// cut by an end of the period does not count in part.
    pub time: Duration,
    /// How long each took, where that was told.
    pub times: Times,
}

impl Measured {
    /// How many were done per second.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        crate::report::rate(self.done, self.time)
    }
}

impl Default for Meter {
    /// Nothing is done yet.
    fn default() -> Self {
        Self(Mutex::new(Marks {
            done: 0,
            last: Instant::now(),
            times: Times::default(),
        }))
    }
}

impl Meter {
    /// `count` more are done.
    pub fn done(&self, count: u64) {
        let mut marks = self.lock();
        marks.done += count;
        marks.last = Instant::now();
    }

    /// One more is done, which was begun at `since`.
    pub fn done_since(&self, since: Instant) {
        let mut marks = self.lock();
        marks.done += 1;
        marks.last = Instant::now();
        let took = marks.last - since;
        marks.times.record(took);
    }

    /// Measures what `tasks` do, which end only when they fail; they are stopped with their set.
    ///
    /// # Errors
    /// The first failure of a task.
    pub async fn measure(
        &self,
        period: Period,
        tasks: &mut JoinSet<Error>,
    ) -> Result<Measured, Error> {
        tokio::select! {
            measured = self.watch(period) => Ok(measured),
            ended = tasks.join_next() => Err(match ended {
                Some(Ok(error)) => error,
                Some(Err(panic)) => panic.into(),
                None => Error::Ended,
            }),
        }
    }

    async fn watch(&self, period: Period) -> Measured {
        sleep(period.warm_up).await;
        let (before, begun) = self.beyond(0).await;
        self.lock().times = Times::default();
        sleep(period.measured).await;
        let (after, ended) = self.beyond(before).await;
        Measured {
            done: after - before,
            time: ended - begun,
            times: std::mem::take(&mut self.lock().times),
        }
    }

    /// Once more than `count` are done: how many, and when the last one was.
    async fn beyond(&self, count: u64) -> (u64, Instant) {
        loop {
            let (done, last) = {
                let marks = self.lock();
                (marks.done, marks.last)
            };
            if done > count {
                return (done, last);
            }
            sleep(LOOK_EVERY).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Marks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Measures a task that has a batch of `batch` ready every `every`.
    async fn measured(batch: u64, every: Duration, period: Period) -> Measured {
        let meter = Arc::new(Meter::default());
        let mut tasks = JoinSet::new();
        let working = Arc::clone(&meter);
        tasks.spawn(async move {
            loop {
                sleep(every).await;
                working.done(batch);
            }
        });
        meter.measure(period, &mut tasks).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_does_not_depend_on_where_the_period_cuts_a_batch() {
        for millis in [1_000, 1_050, 1_090] {
            let period = Period::of(Duration::from_millis(millis));
            let measured = measured(500, Duration::from_millis(100), period).await;
            assert!(
                (measured.per_second() - 5_000.0).abs() < 1.0,
                "{measured:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_period_too_short_for_anything_lasts_until_something_is_done() {
        let period = Period::of(Duration::from_millis(10));
        let measured = measured(1, Duration::from_secs(2), period).await;
        assert_eq!(measured.done, 1);
        assert!((measured.per_second() - 0.5).abs() < 0.01, "{measured:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_warm_up_does_not_count() {
        let meter = Arc::new(Meter::default());
        let mut tasks = JoinSet::new();
        let working = Arc::clone(&meter);
        tasks.spawn(async move {
            let slow = Instant::now();
            sleep(Duration::from_millis(900)).await;
            working.done_since(slow);
            loop {
                let since = Instant::now();
                sleep(Duration::from_millis(10)).await;
                working.done_since(since);
            }
        });
        let period = Period {
            warm_up: Duration::from_secs(1),
            measured: Duration::from_secs(1),
        };
        let measured = meter.measure(period, &mut tasks).await.unwrap();
        assert!((measured.per_second() - 100.0).abs() < 1.0, "{measured:?}");
        assert!(measured.times.millis_at(1.0) < 11.0, "{measured:?}");
    }

    #[tokio::test]
    async fn a_task_that_fails_is_told_at_once() {
        let mut tasks = JoinSet::new();
        tasks.spawn(async { Error::Database("no such table".into()) });
        let period = Period::of(Duration::from_secs(3600));
        let failed = Meter::default().measure(period, &mut tasks).await;
        assert!(matches!(failed, Err(Error::Database(_))), "{failed:?}");
        let nothing = Meter::default().measure(period, &mut tasks).await;
        assert!(matches!(nothing, Err(Error::Ended)), "{nothing:?}");
    }
}
