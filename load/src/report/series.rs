//! A load over time: what each interval of it saw, by itself.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::rate;
use crate::tally::Times;

/// How long an interval is at first.
const WIDTH: Duration = Duration::from_millis(500);
/// Intervals that are kept, of a few KiB each. A load that needs more has each two of them merged, so
/// that a day takes no more memory than five minutes.
const INTERVALS_MAX: usize = 600;

/// What an interval of a load saw.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Point {
    /// When it begins, in seconds since the first call.
    pub from_seconds: f64,
    /// How long it is, in seconds.
    pub seconds: f64,
    /// Accepted calls per second.
    pub accepted_per_second: f64,
    /// Orders per second that were RESERVED.
    pub reserved_per_second: f64,
    /// Most orders on their way that were seen; nothing if nobody looked.
    pub in_flight_max: Option<u64>,
    /// Median time from the call, or when it was due, to its acknowledgement, in milliseconds, over
    /// those that came in this interval; nothing if none came.
    pub acknowledged_p50_ms: Option<f64>,
    /// The time below which 99 of 100 of them lie.
    pub acknowledged_p99_ms: Option<f64>,
}

/// Intervals of one width, one after the other.
#[derive(Debug)]
pub(crate) struct Series {
    start: Instant,
    width: Duration,
    intervals: Vec<Interval>,
}

#[derive(Clone, Debug)]
struct Interval {
    accepted: u64,
    reserved: u64,
    in_flight_max: Option<u64>,
    acknowledged: Times,
}

impl Default for Series {
    /// Begins now.
    fn default() -> Self {
        Self::begin(Instant::now())
    }
}

impl Series {
    pub(crate) fn begin(start: Instant) -> Self {
        Self {
            start,
            width: WIDTH,
            intervals: Vec::new(),
        }
    }

    /// A call is accepted, so long after it was made or due.
    pub(crate) fn accepted(&mut self, after: Duration) {
        let interval = self.now();
        interval.accepted += 1;
        interval.acknowledged.record(after);
    }

    /// An order is RESERVED.
    pub(crate) fn reserved(&mut self) {
        self.now().reserved += 1;
    }

    /// So many orders are on their way.
    pub(crate) fn in_flight(&mut self, count: u64) {
        let interval = self.now();
        interval.in_flight_max = interval.in_flight_max.max(Some(count));
    }

    /// The intervals of a load that lasted `whole`. The last one ends with the load; were it shorter
    /// than half of the others it would tell accidents, so it goes with the one before.
    pub(crate) fn points(&self, whole: Duration) -> Vec<Point> {
        let mut intervals: Vec<(Duration, Duration, Interval)> = Vec::new();
        let mut from = Duration::ZERO;
        for interval in &self.intervals {
            let width = self.width.min(whole.saturating_sub(from));
            match intervals.last_mut() {
                _ if width.is_zero() => break,
                Some((_, before, last)) if width < self.width / 2 => {
                    *before += width;
                    last.merge(interval);
                }
                _ => intervals.push((from, width, interval.clone())),
            }
            from += self.width;
        }
        let points = intervals.iter();
        let points = points.map(|(from, width, interval)| interval.point(*from, *width));
        points.collect()
    }

    /// The interval that it is now.
    fn now(&mut self) -> &mut Interval {
        let elapsed = self.start.elapsed();
        let number = loop {
            let number = elapsed.as_micros() / self.width.as_micros();
            match usize::try_from(number) {
                Ok(number) if number < INTERVALS_MAX => break number,
                _ => self.fold(),
            }
        };
        if self.intervals.len() <= number {
            self.intervals.resize_with(number + 1, Interval::new);
        }
        &mut self.intervals[number]
    }

    /// Merges each two intervals.
    fn fold(&mut self) {
        self.width *= 2;
        let pairs = self.intervals.chunks(2).map(|pair| {
            let mut merged = Interval::new();
            pair.iter().for_each(|interval| merged.merge(interval));
            merged
        });
        self.intervals = pairs.collect();
    }
}

impl Interval {
    fn new() -> Self {
        Self {
            accepted: 0,
            reserved: 0,
            in_flight_max: None,
            acknowledged: Times::small(),
        }
    }

    fn merge(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.reserved += other.reserved;
        self.in_flight_max = self.in_flight_max.max(other.in_flight_max);
        self.acknowledged.merge(&other.acknowledged);
    }

    fn point(&self, from: Duration, width: Duration) -> Point {
        let times = &self.acknowledged;
        let millis_at = |share| (times.count() > 0).then(|| times.millis_at(share));
        Point {
            from_seconds: from.as_secs_f64(),
            seconds: width.as_secs_f64(),
            accepted_per_second: rate(self.accepted, width),
            reserved_per_second: rate(self.reserved, width),
            in_flight_max: self.in_flight_max,
            acknowledged_p50_ms: millis_at(0.5),
            acknowledged_p99_ms: millis_at(0.99),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn is_near(found: f64, expected: f64) -> bool {
        (found - expected).abs() <= 0.01 * expected
    }

    #[tokio::test(start_paused = true)]
    async fn an_interval_tells_of_itself_alone() {
        let mut series = Series::default();
        for _ in 0..100 {
            series.accepted(10 * MS);
        }
        series.in_flight(7);
        series.in_flight(3);
        advance(1_000 * MS).await;
        series.accepted(2 * MS);
        series.reserved();
        advance(499 * MS).await;
        let points = series.points(1_500 * MS);
        let [first, silent, last] = &points[..] else {
            panic!("{points:?}")
        };
        assert!(is_near(first.accepted_per_second, 200.0), "{first:?}");
        assert_eq!(first.in_flight_max, Some(7));
        assert!(
            is_near(first.acknowledged_p99_ms.unwrap(), 10.0),
            "{first:?}"
        );
        assert!(is_near(silent.from_seconds, 0.5) && silent.accepted_per_second == 0.0);
        assert_eq!(
            (silent.acknowledged_p50_ms, silent.in_flight_max),
            (None, None)
        );
        assert!(is_near(last.acknowledged_p99_ms.unwrap(), 2.0), "{last:?}");
        assert!(is_near(last.reserved_per_second, 2.0), "{last:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_interval_ends_with_the_load() {
        let mut series = Series::default();
        series.accepted(MS);
        advance(600 * MS).await;
        series.accepted(MS);
        for (whole, lengths) in [
            (400 * MS, &[0.4][..]),
            (700 * MS, &[0.7]),
            (900 * MS, &[0.5, 0.4]),
        ] {
            let points = series.points(whole);
            let found: Vec<_> = points.iter().map(|point| point.seconds).collect();
            assert_eq!(found, lengths);
        }
        let whole = series.points(700 * MS);
        assert!(is_near(whole[0].accepted_per_second, 2.0 / 0.7));
    }

    #[tokio::test(start_paused = true)]
    async fn a_day_takes_no_more_intervals_than_minutes_and_loses_no_call() {
        let mut series = Series::default();
        let day = Duration::from_secs(86_400);
        let step = Duration::from_secs(4);
        let mut calls = 0_u32;
        while series.start.elapsed() < day {
            let minutes_long = series.start.elapsed() < day / 2;
            series.accepted(if minutes_long { MS } else { 5 * MS });
            calls += 1;
            advance(step).await;
        }
        let points = series.points(day);
        assert!(points.len() <= INTERVALS_MAX && points.len() > INTERVALS_MAX / 2);
        let counted: f64 = points
            .iter()
            .map(|point| point.accepted_per_second * point.seconds)
            .sum();
        assert!((counted - f64::from(calls)).abs() < 1e-3, "{counted}");
        let lasted: f64 = points.iter().map(|point| point.seconds).sum();
        assert!((lasted - 86_400.0).abs() < 1e-3, "{lasted}");
        let p50 = |point: &Point| point.acknowledged_p50_ms.unwrap();
        assert!(is_near(p50(&points[0]), 1.0) && is_near(p50(points.last().unwrap()), 5.0));
    }
}
