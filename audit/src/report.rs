//! What an audit found.

use std::collections::BTreeMap;
use std::fmt;

use crate::record::Place;

/// Offenders that a report names; more are only counted.
pub const OFFENDERS_MAX: usize = 1_000;
/// Examples that a report names of what it could not judge, per reason.
pub const EXAMPLES_MAX: usize = 10;

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Offender {
    /// Which: F1 to F6, F6b, E2 to E4 (see `CHECKS.md`).
    pub invariant: &'static str,
    /// Whose: `order O1`, `product P1`, `receipt R1`, `order shard 2`.
    pub what: String,
    /// What was found, and what should have been.
    pub detail: String,
}

impl fmt::Display for Offender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.invariant, self.what, self.detail)
    }
}

/// What could not be judged, for one reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unsettled {
    /// How many.
    pub count: u64,
    /// Some of them.
    pub examples: Vec<String>,
}

/// How much was looked at, and what became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records read, once each.
    pub records: u64,
    /// Orders judged.
    pub orders: u64,
    /// Reservations judged.
    pub reservations: u64,
    /// Products judged.
    pub products: u64,
    /// Receipts judged.
    pub receipts: u64,
    /// Commands that changed something.
    pub applied: u64,
    /// Commands that were new and changed nothing.
    pub nothing: u64,
    /// Commands that repeated an earlier one.
    pub duplicates: u64,
    /// Commands that repeated an id or a business key with other content.
    pub conflicts: u64,
    /// Events that were published again.
    pub republished: u64,
    /// Orders left out of the refinement because messages of theirs were parked at some time.
    pub left_out: u64,
    /// Orders and receipts judged in part because records of theirs are deleted.
    pub partial: u64,
    /// Orders and receipts of which no record is left.
    pub before_log: u64,
    /// Passes over the log.
    pub passes: u64,
    /// Most items (orders, receipts, commands, events, waiters) held at one time.
    pub items_max: usize,
}

impl Counts {
    /// Adds what a pass has counted.
    pub(crate) fn add(&mut self, pass: &Self) {
        self.records += pass.records;
        self.orders += pass.orders;
        self.reservations += pass.reservations;
        self.products += pass.products;
        self.receipts += pass.receipts;
        self.applied += pass.applied;
        self.nothing += pass.nothing;
        self.duplicates += pass.duplicates;
        self.conflicts += pass.conflicts;
        self.republished += pass.republished;
        self.left_out += pass.left_out;
        self.partial += pass.partial;
        self.before_log += pass.before_log;
    }
}

/// What an audit found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Broken promises, at most [`OFFENDERS_MAX`].
    pub offenders: Vec<Offender>,
    /// How many there are.
    pub offenders_count: u64,
    /// What could not be judged, by reason.
    pub unsettled: BTreeMap<&'static str, Unsettled>,
    /// The earliest record of each partition whose beginning is deleted.
    pub judged_from: Vec<Place>,
    /// How much was looked at.
    pub counts: Counts,
}

impl Report {
    /// Whether every promise was judged and kept.
    #[must_use]
    pub fn is_proof(&self) -> bool {
        self.offenders_count == 0 && self.unsettled.is_empty()
    }

    /// Whether some offender breaks `invariant` in `what`.
    #[must_use]
    pub fn names(&self, invariant: &str, what: &str) -> bool {
        self.offenders
            .iter()
            .any(|offender| offender.invariant == invariant && offender.what == what)
    }

    pub(crate) fn offend(
        &mut self,
        invariant: &'static str,
        what: impl Into<String>,
        detail: impl Into<String>,
    ) {
        self.offenders_count += 1;
        if self.offenders.len() < OFFENDERS_MAX {
            self.offenders.push(Offender {
                invariant,
                what: what.into(),
                detail: detail.into(),
            });
        }
    }

    pub(crate) fn unsettle(&mut self, why: &'static str, what: impl Into<String>) {
        let unsettled = self.unsettled.entry(why).or_default();
        unsettled.count += 1;
        if unsettled.examples.len() < EXAMPLES_MAX {
            unsettled.examples.push(what.into());
        }
    }
}
