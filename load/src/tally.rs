//! What became of the calls and of the orders, counted and timed.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::time::Instant;
use tonic::Code;

use crate::report::series::{Point, Series};

/// Longest time that is told apart from longer ones: an hour, in microseconds.
const MICROS_MAX: u64 = 3_600_000_000;

/// The first outcome of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Its stock is held.
    Reserved,
    /// It is refused.
    Rejected,
    /// It is cancelled.
    Cancelled,
}

impl Outcome {
    /// The outcome that an event of this type tells.
    pub(crate) fn of_event(message_type: &[u8]) -> Option<Self> {
        match message_type {
            b"shop.order.OrderReserved" => Some(Self::Reserved),
            b"shop.order.OrderRejected" => Some(Self::Rejected),
            b"shop.order.OrderCancelled" => Some(Self::Cancelled),
            _ => None,
        }
    }
}

/// Times, in a histogram.
#[derive(Clone, Debug)]
pub struct Times(Option<Histogram<u64>>);

impl Default for Times {
    /// None yet; told to three significant digits.
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, MICROS_MAX, 3).ok())
    }
}

impl Times {
    /// None yet; told to two significant digits, in memory that grows with the longest of them (2 KiB
    /// at first, 9 KiB for 20 ms, 27 KiB for an hour).
    pub(crate) fn small() -> Self {
        Self(Histogram::new(2).ok())
    }

    pub(crate) fn record(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        if let Some(times) = &mut self.0 {
            // Within the bounds, or the histogram grows.
            let _ = times.record(micros.clamp(1, MICROS_MAX));
        }
    }

    /// Takes in those of `other`, whose histogram is of the same kind.
    pub(crate) fn merge(&mut self, other: &Self) {
        if let (Some(times), Some(others)) = (&mut self.0, &other.0) {
            // Within the bounds, or the histogram grows.
            let _ = times.add(others);
        }
    }

    /// The time below which this share of them lies, in milliseconds; 0 if there are none.
    #[must_use]
    pub fn millis_at(&self, share: f64) -> f64 {
        let micros = self
            .0
            .as_ref()
            .map_or(0, |times| times.value_at_quantile(share));
        #[expect(clippy::cast_precision_loss, reason = "an hour at most")]
        let millis = micros as f64 / 1e3;
        millis
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.as_ref().map_or(0, Histogram::len)
    }
}

/// The counts so far.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Calls that were accepted: durable.
    pub accepted: u64,
    /// Of them, those that repeated an earlier order.
    pub repeated: u64,
    /// Failed calls by their code.
    pub errors: BTreeMap<String, u64>,
    /// Orders by their first outcome.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// From the call, or when it was due, to its acknowledgement.
    pub acknowledged: Times,
    /// From the call, or when it was due, to the event that tells of its order's outcome.
    pub settled: Times,
}

/// Counts of many tasks, in all and over time.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Gathered>);

#[derive(Debug, Default)]
struct Gathered {
    counts: Counts,
    series: Series,
}

impl Tally {
    /// The load begins; intervals of time are counted from here.
    pub(crate) fn begin(&self, start: Instant) {
        self.lock().series = Series::begin(start);
    }

    pub(crate) fn accepted(&self, repeats: bool, after: Duration) {
        let Gathered { counts, series } = &mut *self.lock();
        counts.accepted += 1;
        counts.repeated += u64::from(repeats);
        counts.acknowledged.record(after);
        series.accepted(after);
    }

    pub(crate) fn failed(&self, code: Code) {
        let mut gathered = self.lock();
        let errors = &mut gathered.counts.errors;
        *errors.entry(format!("{code:?}")).or_default() += 1;
    }

    pub(crate) fn settled(&self, outcome: Outcome, after: Duration) {
        let Gathered { counts, series } = &mut *self.lock();
        *counts.outcomes.entry(outcome).or_default() += 1;
        counts.settled.record(after);
        if outcome == Outcome::Reserved {
            series.reserved();
        }
    }

    /// So many orders are on their way.
    pub(crate) fn in_flight(&self, count: usize) {
        self.lock().series.in_flight(count as u64);
    }

    /// The counts so far.
    pub(crate) fn so_far(&self) -> Counts {
        self.lock().counts.clone()
    }

    /// How many orders have an outcome.
    pub(crate) fn outcomes(&self) -> u64 {
        self.lock().counts.outcomes.values().sum()
    }

    /// The load over time, if it lasted `whole`.
    pub(crate) fn points(&self, whole: Duration) -> Vec<Point> {
        self.lock().series.points(whole)
    }

    fn lock(&self) -> MutexGuard<'_, Gathered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_times_are_told_in_milliseconds() {
        let tally = Tally::default();
        for millis in 1..=100 {
            tally.accepted(false, Duration::from_millis(millis));
        }
        let times = tally.so_far().acknowledged;
        assert_eq!(times.count(), 100);
        for (share, millis) in [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0)] {
            let found = times.millis_at(share);
            assert!((found - millis).abs() / millis < 0.002, "{found}");
        }
    }

    #[test]
    fn errors_are_counted_by_their_code() {
        let tally = Tally::default();
        tally.failed(Code::Unavailable);
        tally.failed(Code::Unavailable);
        tally.failed(Code::ResourceExhausted);
        let errors = tally.so_far().errors;
        assert_eq!(errors["Unavailable"], 2);
        assert_eq!(errors["ResourceExhausted"], 1);
    }

    #[test]
    fn events_tell_outcomes() {
        let of = |name: &str| Outcome::of_event(name.as_bytes());
        assert_eq!(of("shop.order.OrderReserved"), Some(Outcome::Reserved));
        assert_eq!(of("shop.order.OrderBackordered"), None);
    }
}
