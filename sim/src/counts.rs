//! What happened in a run, in numbers: a simulator that never hits anything proves nothing.

use std::collections::BTreeMap;
use std::time::Duration;

/// Where everything dies once the run has settled, to see that recovery changes nothing.
pub(crate) const AT_REST: &str = "at rest";

/// Numbers of one run, or of many together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) orders: u64,
    pub(crate) commands: u64,
    pub(crate) records: u64,
    /// Those at rest ([`AT_REST`]) do not count.
    pub(crate) crashes: u64,
    pub(crate) pauses: u64,
    pub(crate) shutdowns: u64,
    pub(crate) twins: u64,
    pub(crate) clock_jumps: u64,
    /// Shards granted that somebody had before.
    pub(crate) takeovers: u64,
    pub(crate) commits: u64,
    pub(crate) commits_unknown: u64,
    pub(crate) fenced: u64,
    pub(crate) cursor_moved: u64,
    pub(crate) ok: u64,
    pub(crate) unknown: u64,
    pub(crate) failed: u64,
    /// Garbage under the keys of real orders and products.
    pub(crate) poisons: u64,
    /// Actions that operators have asked for.
    pub(crate) actions: u64,
    /// Parked messages that a replay has taken out.
    pub(crate) replayed: u64,
    /// Parked messages that were discarded.
    pub(crate) discarded: u64,
    /// What operators asked for and what was refused.
    pub(crate) asks_refused: u64,
    /// From the end of the faults to quiescence.
    pub(crate) settle: Duration,
    /// Where processes died.
    pub(crate) crash_points: BTreeMap<String, u64>,
    /// Faults that happened, by name.
    pub(crate) faults: BTreeMap<String, u64>,
}

impl Counts {
    pub(crate) fn crash(&mut self, whence: &str) {
        self.crashes += u64::from(whence != AT_REST);
        *self.crash_points.entry(whence.to_owned()).or_default() += 1;
    }

    pub(crate) fn fault(&mut self, name: &str) {
        *self.faults.entry(name.to_owned()).or_default() += 1;
    }

    /// Adds the numbers of another run; the longest time to settle stays.
    pub(crate) fn absorb(&mut self, other: &Self) {
        for (name, number) in other.numbers() {
            if let Some(mine) = self.number(name) {
                *mine += number;
            }
        }
        self.settle = self.settle.max(other.settle);
        for (point, count) in &other.crash_points {
            *self.crash_points.entry(point.clone()).or_default() += count;
        }
        for (fault, count) in &other.faults {
            *self.faults.entry(fault.clone()).or_default() += count;
        }
    }

    /// The plain numbers by name.
    pub(crate) fn numbers(&self) -> [(&'static str, u64); NAMES.len()] {
        let mut copy = self.clone();
        NAMES.map(|name| (name, copy.number(name).map_or(0, |number| *number)))
    }

    fn number(&mut self, name: &str) -> Option<&mut u64> {
        Some(match name {
            "orders" => &mut self.orders,
            "commands" => &mut self.commands,
            "records" => &mut self.records,
            "crashes" => &mut self.crashes,
            "pauses" => &mut self.pauses,
            "shutdowns" => &mut self.shutdowns,
            "twins" => &mut self.twins,
            "clock jumps" => &mut self.clock_jumps,
            "changes of ownership" => &mut self.takeovers,
            "commits" => &mut self.commits,
            "commits of unknown outcome" => &mut self.commits_unknown,
            "turns fenced" => &mut self.fenced,
            "cursors moved" => &mut self.cursor_moved,
            "commands OK" => &mut self.ok,
            "commands UNKNOWN" => &mut self.unknown,
            "commands FAIL" => &mut self.failed,
            "garbage under real keys" => &mut self.poisons,
            "operators' actions" => &mut self.actions,
            "messages replayed" => &mut self.replayed,
            "messages discarded" => &mut self.discarded,
            "operators' asks refused" => &mut self.asks_refused,
            _ => return None,
        })
    }
}

/// The plain numbers, in the order in which they are shown.
const NAMES: [&str; 21] = [
    "orders",
    "commands",
    "records",
    "crashes",
    "pauses",
    "shutdowns",
    "twins",
    "clock jumps",
    "changes of ownership",
    "commits",
    "commits of unknown outcome",
    "turns fenced",
    "cursors moved",
    "commands OK",
    "commands UNKNOWN",
    "commands FAIL",
    "garbage under real keys",
    "operators' actions",
    "messages replayed",
    "messages discarded",
    "operators' asks refused",
];

/// How often things happened per run: mean, and the runs in between.
pub(crate) fn distribution(runs: &[&Counts]) -> String {
    use std::fmt::Write as _;
    let mut text = format!(
        "{:<28}{:>8}{:>7}{:>7}{:>7}{:>7}\n",
        "per seed", "mean", "min", "median", "p95", "max"
    );
    for (index, name) in NAMES.iter().enumerate() {
        let mut values: Vec<u64> = runs.iter().map(|run| run.numbers()[index].1).collect();
        values.sort_unstable();
        let at = |share: usize| values.get((values.len() * share / 100).min(values.len() - 1));
        let at = |share| at(share).copied().unwrap_or_default();
        #[expect(clippy::cast_precision_loss, reason = "a mean for people")]
        let mean = values.iter().sum::<u64>() as f64 / values.len() as f64;
        let _ = writeln!(
            text,
            "{name:<28}{mean:>8.1}{:>7}{:>7}{:>7}{:>7}",
            at(0),
            at(50),
            at(95),
            at(100)
        );
    }
    text
}
