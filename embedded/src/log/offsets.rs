//! Committed offsets of consumer groups, in a journal: durable when a commit returns.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::files::Files;
use crate::files::journal::Journal;

/// The journal is rewritten when it is longer than this, and four times what it has to hold.
const REWRITE_BYTES_MIN: u64 = 1 << 20;

/// Committed offsets of all groups. All calls block.
#[derive(Debug)]
pub(super) struct Offsets(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    journal: Journal,
    rewrite_at: u64,
    groups: BTreeMap<String, Group>,
}

type Group = BTreeMap<(String, i32), Committed>;

/// Where a group stands in one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Committed {
    /// Next offset to consume.
    pub(super) offset: i64,
    /// What the consumer noted beside it.
    pub(super) metadata: String,
}

/// A commit of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Commit {
    pub(super) topic: String,
    pub(super) partition: i32,
    #[serde(flatten)]
    pub(super) committed: Committed,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "entry")]
enum Entry {
    Committed { group: String, commits: Vec<Commit> },
    TopicDeleted { topic: String },
}

impl Offsets {
    /// Recovers the offsets kept in `dir`.
    pub(super) fn open(files: Arc<dyn Files>, dir: &Path) -> Result<Self, Error> {
        let path = dir.join("groups.journal");
        let (journal, entries) = Journal::open(files, &path)?;
        let mut groups = BTreeMap::new();
        for entry in entries {
            let entry = serde_json::from_slice(&entry)
                .map_err(|_| Error::corrupt(&path, 0, "an entry is not about a group"))?;
            apply(&mut groups, entry);
        }
        let rewrite_at = REWRITE_BYTES_MIN;
        Ok(Self(Mutex::new(Inner {
            journal,
            rewrite_at,
            groups,
        })))
    }

    /// Notes where a group stands.
    pub(super) fn commit(&self, group: &str, commits: Vec<Commit>) -> io::Result<()> {
        self.lock().record(Entry::Committed {
            group: group.to_owned(),
            commits,
        })
    }

    /// Forgets a deleted topic: a new one of the same name starts afresh.
    pub(super) fn forget_topic(&self, topic: &str) -> io::Result<()> {
        let mut inner = self.lock();
        if inner
            .groups
            .values()
            .flat_map(Group::keys)
            .all(|(known, _)| known != topic)
        {
            return Ok(());
        }
        inner.record(Entry::TopicDeleted {
            topic: topic.to_owned(),
        })
    }

    /// Where a group stands in a partition.
    pub(super) fn get(&self, group: &str, topic: &str, partition: i32) -> Option<Committed> {
        self.lock()
            .groups
            .get(group)?
            .get(&(topic.to_owned(), partition))
            .cloned()
    }

    /// Where a group stands in every partition it has committed.
    pub(super) fn of_group(&self, group: &str) -> Vec<Commit> {
        self.lock()
            .groups
            .get(group)
            .map(commits)
            .unwrap_or_default()
    }

    /// How many groups have committed.
    pub(super) fn groups(&self) -> usize {
        self.lock().groups.len()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn record(&mut self, entry: Entry) -> io::Result<()> {
        self.journal.append(&serde_json::to_vec(&entry)?)?;
        apply(&mut self.groups, entry);
        if self.journal.len() > self.rewrite_at {
            self.rewrite()?;
        }
        Ok(())
    }

    /// One entry per group instead of one per commit.
    fn rewrite(&mut self) -> io::Result<()> {
        let entries = self.groups.iter().map(|(group, offsets)| {
            let entry = Entry::Committed {
                group: group.clone(),
                commits: commits(offsets),
            };
            serde_json::to_vec(&entry)
        });
        let entries = entries.collect::<Result<Vec<_>, _>>()?;
        self.journal.rewrite(&entries)?;
        self.rewrite_at = (self.journal.len() * 4).max(REWRITE_BYTES_MIN);
        Ok(())
    }
}

fn apply(groups: &mut BTreeMap<String, Group>, entry: Entry) {
    match entry {
        Entry::Committed { group, commits } => {
            let group = groups.entry(group).or_default();
            for commit in commits {
                group.insert((commit.topic, commit.partition), commit.committed);
            }
        }
        Entry::TopicDeleted { topic } => {
            for group in groups.values_mut() {
                group.retain(|(known, _), _| *known != topic);
            }
            groups.retain(|_, group| !group.is_empty());
        }
    }
}

fn commits(offsets: &Group) -> Vec<Commit> {
    let commit = |((topic, partition), committed): (&(String, i32), &Committed)| Commit {
        topic: topic.clone(),
        partition: *partition,
        committed: committed.clone(),
    };
    offsets.iter().map(commit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::faulty::{Disk, Syncs};

    fn open(disk: &Disk) -> Offsets {
        Offsets::open(Arc::new(disk.clone()), Path::new("/")).unwrap()
    }

    fn commit(topic: &str, partition: i32, offset: i64) -> Commit {
        let committed = Committed {
            offset,
            metadata: "m".repeat(1_000),
        };
        Commit {
            topic: topic.to_owned(),
            partition,
            committed,
        }
    }

    fn offset(offsets: &Offsets, topic: &str) -> Option<i64> {
        offsets.get("g", topic, 0).map(|committed| committed.offset)
    }

    #[test]
    fn the_latest_commit_counts_also_after_the_journal_was_rewritten() {
        let disk = Disk::new(Syncs::Honest);
        let offsets = open(&disk);
        offsets.commit("other", vec![commit("a", 0, 7)]).unwrap();
        for at in 0..3_000 {
            offsets.commit("g", vec![commit("a", 0, at)]).unwrap();
        }
        let bytes = offsets.lock().journal.len();
        assert!(
            bytes < REWRITE_BYTES_MIN * 2,
            "3 MB were written, {bytes} bytes are left"
        );
        for offsets in [offsets, open(&disk)] {
            assert_eq!(offset(&offsets, "a"), Some(2_999));
            assert_eq!(offsets.of_group("other"), [commit("a", 0, 7)]);
        }
    }

    #[test]
    fn a_deleted_topic_is_forgotten_and_others_are_not() {
        let disk = Disk::new(Syncs::Honest);
        let offsets = open(&disk);
        offsets
            .commit("g", vec![commit("a", 0, 1), commit("b", 0, 2)])
            .unwrap();
        offsets.forget_topic("a").unwrap();
        for offsets in [offsets, open(&disk)] {
            assert_eq!(
                (offset(&offsets, "a"), offset(&offsets, "b")),
                (None, Some(2))
            );
        }
    }
}
