//! When the next order is placed, and which one that is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until};

use crate::flight::Flight;
use crate::orders::{Call, Orders};
use crate::plan::{Pace, Until};

/// A call that is due.
pub(crate) struct Due {
    pub(crate) call: Call,
    /// When it is made, or was to be made.
    pub(crate) since: Instant,
    /// Its order's place among those on their way.
    pub(crate) place: OwnedSemaphorePermit,
}

/// Calls, for callers that take them as they can.
pub(crate) struct Source {
    pace: Pace,
    until: Until,
    start: Instant,
    flight: Arc<Flight>,
    next: Mutex<Next>,
}

struct Next {
    orders: Orders,
    taken: u64,
}

impl Source {
    /// Begins now.
    pub(crate) fn new(pace: Pace, until: Until, orders: Orders, flight: Arc<Flight>) -> Self {
        Self {
            pace,
            until,
            start: Instant::now(),
            flight,
            next: Mutex::new(Next { orders, taken: 0 }),
        }
    }

    /// When it began.
    pub(crate) fn start(&self) -> Instant {
        self.start
    }

    /// The next call, once it is due and there is room for its order; `None` when enough was placed.
    pub(crate) async fn next(&self) -> Option<Due> {
        match self.pace {
            Pace::Closed { .. } => {
                let place = self.flight.room().await?;
                let since = Instant::now();
                self.take(|_| since)?;
                Some(self.due(since, place))
            }
            Pace::Open { per_second } => {
                let since = self.take(|number| self.start + slot(number, per_second))?;
                sleep_until(since).await;
                let place = self.flight.room().await?;
                Some(self.due(since, place))
            }
        }
    }

    fn due(&self, since: Instant, place: OwnedSemaphorePermit) -> Due {
        Due {
            call: self.lock().orders.next(),
            since,
            place,
        }
    }

    /// Takes the next call if it is one of those that are left; `at` says when it is due by its number.
    fn take(&self, at: impl FnOnce(u64) -> Instant) -> Option<Instant> {
        let mut next = self.lock();
        let at = at(next.taken);
        let is_left = match self.until {
            Until::Orders(orders) => next.taken < orders,
            Until::Time(time) => at < self.start + time,
        };
        is_left.then(|| {
            next.taken += 1;
            at
        })
    }

    fn lock(&self) -> MutexGuard<'_, Next> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long after the start the call with this number is due.
fn slot(number: u64, per_second: f64) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 orders")]
    let seconds = number as f64 / per_second;
    Duration::from_secs_f64(seconds)
}

#[cfg(test)]
mod tests {
    use messaging::ids::SystemIds;

    use super::*;
    use crate::plan::tests::plan;

    fn source(pace: Pace, until: Until, in_flight_max: u32) -> Source {
        let orders = Orders::new(&plan(), Arc::new(SystemIds));
        Source::new(pace, until, orders, Arc::new(Flight::new(in_flight_max)))
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_loop_keeps_its_times_however_late_a_caller_comes() {
        let pace = Pace::Open { per_second: 10.0 };
        let source = source(pace, Until::Time(Duration::from_secs(1)), 100);
        let start = source.start();
        tokio::time::sleep(Duration::from_millis(450)).await;
        let mut due = Vec::new();
        while let Some(next) = source.next().await {
            due.push(next.since - start);
        }
        let expected: Vec<_> = (0..10).map(|n| Duration::from_millis(n * 100)).collect();
        assert_eq!(due, expected);
        assert_eq!(start.elapsed(), Duration::from_millis(900));
    }

    #[tokio::test(start_paused = true)]
    async fn an_order_waits_for_room_and_its_time_runs() {
        let pace = Pace::Open {
            per_second: 1_000.0,
        };
        let source = source(pace, Until::Orders(2), 1);
        let first = source.next().await.unwrap();
        let second = async {
            let due = source.next().await.unwrap();
            Instant::now() - due.since
        };
        let room = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            drop(first);
        };
        let (waited, ()) = tokio::join!(second, room);
        assert!(waited >= Duration::from_millis(990), "{waited:?}");
    }

    #[tokio::test]
    async fn a_closed_loop_ends_after_its_orders() {
        let source = source(Pace::Closed { callers: 1 }, Until::Orders(3), 10);
        let mut calls = 0;
        while source.next().await.is_some() {
            calls += 1;
        }
        assert_eq!(calls, 3);
    }
}
