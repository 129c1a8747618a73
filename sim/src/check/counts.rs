//! C1-C3: whether the faults that the checks are about have happened at all.

use std::collections::BTreeMap;

/// What runs have met; zero where there must be something means that the runs show nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Crashes by named point (C1).
    pub(crate) crashes: BTreeMap<String, u64>,
    /// Turns under an older epoch that were tried and refused (C2).
    pub(crate) stale_refused: u64,
    /// Messages that arrived again and changed nothing (C3).
    pub(crate) duplicates: u64,
    /// Events that were appended again (C3).
    pub(crate) republished: u64,
    /// Messages that repeated an id with other content (C3).
    pub(crate) conflicts: u64,
    /// Messages set aside.
    pub(crate) parked: u64,
    /// Messages set aside that were replayed.
    pub(crate) replayed: u64,
    /// Messages applied.
    pub(crate) applied: u64,
    /// Turns committed.
    pub(crate) commits: u64,
}

impl Counts {
    pub(crate) fn crash(&mut self, point: &str) {
        *self.crashes.entry(point.to_owned()).or_default() += 1;
    }

    /// Adds what another run has met.
    pub(crate) fn absorb(&mut self, other: &Self) {
        for (point, count) in &other.crashes {
            *self.crashes.entry(point.clone()).or_default() += count;
        }
        self.stale_refused += other.stale_refused;
        self.duplicates += other.duplicates;
        self.republished += other.republished;
        self.conflicts += other.conflicts;
        self.parked += other.parked;
        self.replayed += other.replayed;
        self.applied += other.applied;
        self.commits += other.commits;
    }

    /// What never happened, although the checks are about it; `points` are all named crash points.
    pub(crate) fn missing(&self, points: &[&str]) -> Vec<String> {
        let never_hit = points
            .iter()
            .filter(|point| !self.crashes.contains_key(**point))
            .map(|point| format!("C1: no crash at {point}"));
        let counted = [
            (
                self.stale_refused,
                "C2: no commit under an older epoch was refused",
            ),
            (self.duplicates, "C3: no duplicate"),
            (self.republished, "C3: no event was published again"),
            (self.conflicts, "C3: no conflict"),
        ];
        let never_met = counted
            .into_iter()
            .filter(|(count, _)| *count == 0)
            .map(|(_, what)| what.to_owned());
        never_hit.chain(never_met).collect()
    }
}
