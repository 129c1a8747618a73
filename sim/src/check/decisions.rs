//! What the rules make of the records of one commit.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use messaging::clock::Timestamp;

use super::violation::{Checked, require};

/// What the rules say of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Applied,
    Duplicate,
    /// A duplicate of something applied longer ago than the inbox must remember.
    Old,
    Conflict,
    Undecidable,
}

/// An event that a commit must publish, or does: topic, key, version, type.
pub(crate) type Said = (String, String, i64, String);

/// What must follow from one commit's records.
#[derive(Debug, Default)]
pub(crate) struct Decisions {
    /// Events to publish.
    said: Vec<Said>,
    duplicates: BTreeSet<String>,
    old: BTreeSet<String>,
    conflicts: BTreeSet<String>,
    applied: BTreeSet<String>,
    /// What messages were decided on, as it was before the first of them.
    before: BTreeMap<String, String>,
    /// The time of the turn, if it said anything: its events carry it.
    now: Option<Timestamp>,
}

impl Decisions {
    /// The decisions of a turn whose events carry this time.
    pub(crate) fn at(now: Option<Timestamp>) -> Self {
        Self {
            now,
            ..Self::default()
        }
    }

    /// Whether a deadline has passed by the clock of whoever decided.
    pub(crate) fn is_late(&self, deadline: Option<Timestamp>) -> bool {
        deadline
            .zip(self.now)
            .is_some_and(|(deadline, now)| deadline <= now)
    }

    pub(crate) fn say(&mut self, topic: &str, key: &str, version: i64, message_type: &str) {
        let said = (
            topic.to_owned(),
            key.to_owned(),
            version,
            message_type.to_owned(),
        );
        self.said.push(said);
    }

    /// Remembers how `entry` stands, if it is the first decision on `key`.
    pub(crate) fn before(&mut self, key: &str, entry: &impl Debug) {
        let before = self.before.entry(key.to_owned());
        before.or_insert_with(|| format!("{entry:?}"));
    }

    /// Everything that was decided on, by key, as it was before.
    pub(crate) fn all_before(&self) -> &BTreeMap<String, String> {
        &self.before
    }

    pub(crate) fn note(&mut self, key: &str, verdict: Verdict) {
        let noted = match verdict {
            Verdict::Applied => &mut self.applied,
            Verdict::Duplicate => &mut self.duplicates,
            Verdict::Old => &mut self.old,
            Verdict::Conflict => &mut self.conflicts,
            Verdict::Undecidable => return,
        };
        noted.insert(key.to_owned());
    }

    /// The invariant that a difference in what belongs to `key` breaks: that of the messages which
    /// must change nothing, if there were any; else `otherwise`.
    pub(crate) fn blame(&self, key: &str, otherwise: &'static str) -> &'static str {
        if self.duplicates.contains(key) {
            "S8"
        } else if self.old.contains(key) {
            "S10"
        } else if self.conflicts.contains(key) {
            "S9"
        } else {
            otherwise
        }
    }

    /// S6: each new state version has exactly its one message, and there is no other.
    pub(crate) fn compare_said(&self, mut said: Vec<Said>) -> Checked {
        let mut must = self.said.clone();
        said.sort();
        must.sort();
        let missing = must.iter().find(|event| !said.contains(event));
        let extra = said.iter().find(|event| !must.contains(event));
        let key = extra.or(missing).map_or("", |event| event.1.as_str());
        require(said == must, self.blame(key, "S6"), || {
            format!("a commit says {said:?}, its records call for {must:?}")
        })
    }
}
