//! What came out: for people and for programs.
//!
//! | room | what is there |
//! |---|---|
//! | [`series`], [`distribution`] | the load over time, and its latencies over their percentiles |
//! | `plots`, `page` | both drawn, and the page with everything |
//! | [`folder`] | where they are written to |

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::counters::Counters;
use crate::limits::Beside;
use crate::processes::Usage;
use crate::tally::{Counts, Outcome, Times};

pub mod distribution;
pub mod folder;
mod page;
mod plots;
pub mod series;

use distribution::Distribution;
use series::Point;

/// The outcome of a load.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// From the first call to the last answer, in seconds.
    pub seconds: f64,
    /// From the first call to the last outcome, in seconds.
    pub seconds_with_drain: f64,
    /// Calls that were accepted.
    pub accepted: u64,
    /// Accepted calls per second.
    pub accepted_per_second: f64,
    /// Accepted calls that repeated an earlier order.
    pub repeated: u64,
    /// Failed calls by their code.
    pub errors: BTreeMap<String, u64>,
    /// Orders by their first outcome.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Orders per second that were RESERVED, the drain included.
    pub reserved_per_second: f64,
    /// Accepted orders without an outcome when nothing came any more.
    pub without_outcome: u64,
    /// From the call, or when it was due, to its acknowledgement.
    pub acknowledged_ms: Shares,
    /// From the call, or when it was due, to its order's outcome.
    pub settled_ms: Shares,
    /// All times to an acknowledgement.
    pub acknowledged_distribution: Distribution,
    /// All times to an outcome.
    pub settled_distribution: Distribution,
    /// The load over time.
    pub over_time: Vec<Point>,
    /// The processes of the store on this machine, and this one.
    pub processes: Vec<Usage>,
    /// The store's own counters, per accepted call.
    pub per_order: Counters,
    /// RESERVED orders per second beside the limits of the machine, if those were measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Beside>,
}

/// Shares of many times, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Shares {
    /// The median.
    pub p50: f64,
    /// Nine of ten are below.
    pub p90: f64,
    /// 99 of 100 are below.
    pub p99: f64,
    /// 999 of 1,000 are below.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

impl Shares {
    pub(crate) fn of(times: &Times) -> Self {
        Self {
            p50: times.millis_at(0.5),
            p90: times.millis_at(0.9),
            p99: times.millis_at(0.99),
            p999: times.millis_at(0.999),
            max: times.millis_at(1.0),
        }
    }
}

impl Report {
    /// Of these counts; `calling` lasted until the last answer, `whole` until the last outcome.
    pub(crate) fn of(
        counts: Counts,
        calling: Duration,
        whole: Duration,
        without_outcome: usize,
    ) -> Self {
        let reserved = counts.outcomes.get(&Outcome::Reserved).copied();
        Self {
            seconds: calling.as_secs_f64(),
            seconds_with_drain: whole.as_secs_f64(),
            accepted: counts.accepted,
            accepted_per_second: rate(counts.accepted, calling),
            repeated: counts.repeated,
            reserved_per_second: rate(reserved.unwrap_or_default(), whole),
            without_outcome: without_outcome as u64,
            acknowledged_ms: Shares::of(&counts.acknowledged),
            settled_ms: Shares::of(&counts.settled),
            acknowledged_distribution: Distribution::of(&counts.acknowledged),
            settled_distribution: Distribution::of(&counts.settled),
            over_time: Vec::new(),
            errors: counts.errors,
            outcomes: counts.outcomes,
            processes: Vec::new(),
            per_order: Counters::default(),
            limits: None,
        }
    }

    /// The rows of times: a name, and its median, 90, 99, 99.9 % and longest, in milliseconds.
    fn times(&self) -> [(&'static str, [f64; 5]); 2] {
        let named = [
            ("acknowledged", self.acknowledged_ms),
            ("settled", self.settled_ms),
        ];
        named.map(|(name, of)| (name, [of.p50, of.p90, of.p99, of.p999, of.max]))
    }
}

pub(crate) fn rate(count: u64, time: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 orders")]
    let count = count as f64;
    count / time.as_secs_f64().max(f64::EPSILON)
}

impl fmt::Display for Report {
    /// For people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |outcome| self.outcomes.get(&outcome).copied().unwrap_or_default();
        writeln!(
            f,
            "accepted   {} in {:.1} s, {:.0} per second; {} of them repeated",
            self.accepted, self.seconds, self.accepted_per_second, self.repeated
        )?;
        writeln!(
            f,
            "outcomes   {} reserved, {} rejected, {} cancelled in {:.1} s; {:.0} reserved per second; {} without",
            count(Outcome::Reserved),
            count(Outcome::Rejected),
            count(Outcome::Cancelled),
            self.seconds_with_drain,
            self.reserved_per_second,
            self.without_outcome
        )?;
        for (code, count) in &self.errors {
            writeln!(f, "failed     {count} {code}")?;
        }
        writeln!(
            f,
            "\nms                p50      p90      p99    p99.9      max"
        )?;
        for (name, [p50, p90, p99, p999, max]) in self.times() {
            writeln!(
                f,
                "{name:<12} {p50:>8.2} {p90:>8.2} {p99:>8.2} {p999:>8.2} {max:>8.2}"
            )?;
        }
        writeln!(f)?;
        for process in &self.processes {
            writeln!(
                f,
                "{}: {} MiB at most, {:.1} s of processor, {} MiB written",
                process.parts.join(", "),
                process.resident_bytes_max >> 20,
                process.cpu_seconds,
                process.written_bytes >> 20
            )?;
        }
        for (name, value) in &self.per_order.0 {
            writeln!(f, "per order  {value:.3} {}", name.replace('_', " "))?;
        }
        if let Some(limits) = &self.limits {
            write!(f, "\n{limits}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Of 1,000 calls in 2 s, each a millisecond longer than the one before, and their orders.
    pub(crate) fn report() -> Report {
        let mut counts = Counts {
            accepted: 1_000,
            errors: BTreeMap::from([("Unavailable".to_owned(), 3)]),
            outcomes: BTreeMap::from([(Outcome::Reserved, 990), (Outcome::Rejected, 10)]),
            ..Counts::default()
        };
        for millis in 1..=1_000 {
            counts.acknowledged.record(Duration::from_millis(millis));
            counts.settled.record(Duration::from_millis(2 * millis));
        }
        let (calling, whole) = (Duration::from_secs(2), Duration::from_secs(3));
        let mut report = Report::of(counts, calling, whole, 0);
        report.over_time = [0.0, 1.0, 2.0]
            .map(|from_seconds| Point {
                from_seconds,
                seconds: 1.0,
                accepted_per_second: 500.0 - 250.0 * from_seconds,
                reserved_per_second: 330.0,
                in_flight_max: Some(170),
                acknowledged_p50_ms: (from_seconds < 2.0).then_some(250.0),
                acknowledged_p99_ms: (from_seconds < 2.0).then_some(495.0),
            })
            .to_vec();
        report
    }

    #[test]
    fn rates_are_of_the_time_that_they_took() {
        let report = report();
        let near = |found: f64, expected: f64| (found - expected).abs() < 1e-9;
        assert!(near(report.accepted_per_second, 500.0), "{report:?}");
        assert!(near(report.reserved_per_second, 330.0), "{report:?}");
    }

    #[test]
    fn limits_are_told_to_people_and_programs_if_they_were_measured() {
        let mut report = report();
        let (told, json) = (report.to_string(), serde_json::to_value(&report).unwrap());
        assert!(!told.contains("limits"), "{told}");
        assert!(json.get("limits").is_none(), "{json:#}");
        let limits = crate::limits::tests::limits();
        report.limits = Some(limits.beside(report.reserved_per_second));
        let (told, json) = (report.to_string(), serde_json::to_value(&report).unwrap());
        assert!(told.contains("3 % of the three combined"), "{told}");
        assert_eq!(json["limits"]["binds"], "database");
        assert_eq!(json["limits"]["log"]["orders_per_second"], 30_000.0);
    }
}
