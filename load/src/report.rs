//! What came out: for people and for programs.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::counters::Counters;
use crate::processes::Usage;
use crate::tally::{Counts, Outcome, Times};

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
    /// The processes of the store on this machine, and this one.
    pub processes: Vec<Usage>,
    /// The store's own counters, per accepted call.
    pub per_order: Counters,
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
    fn of(times: &Times) -> Self {
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
            errors: counts.errors,
            outcomes: counts.outcomes,
            processes: Vec::new(),
            per_order: Counters::default(),
        }
    }
}

fn rate(count: u64, time: Duration) -> f64 {
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
        for (name, shares) in [
            ("acknowledged", self.acknowledged_ms),
            ("settled", self.settled_ms),
        ] {
            let Shares {
                p50,
                p90,
                p99,
                p999,
                max,
            } = shares;
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
        Ok(())
    }
}
