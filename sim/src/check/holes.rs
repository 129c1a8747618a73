//! The log against what the databases say of it, after it has lost something; and a database
//! against the log, after it was replaced by another copy.

use messaging::log::{Consumed, Record};
use messaging::store::Published;

use super::Side;
use super::seen_log::{Home, SeenLog};
use super::service::Service;

/// A place where the log no longer holds what a database says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hole {
    pub(crate) side: Side,
    /// Topic and partition; the partition's number is the shard's.
    pub(crate) home: Home,
    pub(crate) offset: i64,
    pub(crate) known: Known,
}

/// How a database knows of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Known {
    /// It is the last one before a cursor.
    Read,
    /// It is the last one that was acknowledged.
    Acknowledged,
}

impl Service {
    /// Takes the place of `newer`, whose records the log still holds: what this one has not passed
    /// is yet to be read, also what came after it.
    pub(super) fn replace(&mut self, newer: &Self, log: &SeenLog) {
        self.outbox.replace(&newer.outbox);
        for ((topic, partition), offset, entry) in log.all() {
            let consumed = Consumed {
                offset,
                record: entry.record.clone(),
            };
            self.expect(topic, *partition, &consumed);
        }
    }

    /// The positions that a commit says were acknowledged; the store keeps the highest.
    pub(super) fn acknowledge(&mut self, log: &SeenLog, published: &[Published]) {
        for published in published {
            for (topic, offset) in &published.offsets {
                let home = (topic.clone(), published.partition);
                let known = self.acknowledged.get(&home);
                if known.is_none_or(|(last, _)| last < offset) {
                    let found = log
                        .at(&home, *offset)
                        .or(log.lost_at(&home, *offset).next());
                    let record = found.map(|entry| entry.record.clone());
                    self.acknowledged.insert(home, (*offset, record));
                }
            }
        }
    }

    pub(super) fn holes(&self, log: &SeenLog) -> Vec<Hole> {
        let holds = |home: &Home, offset: i64, known: Option<&Record>| {
            log.at(home, offset).map(|entry| &entry.record) == known
        };
        let hole = |home: Home, offset, known| Hole {
            side: self.side,
            home,
            offset,
            known,
        };
        let read = self.cursors.iter().filter_map(|((shard, topic), next)| {
            let home = (topic.clone(), shard.0);
            let known = self.accounted.get(&home)?.get(&(next - 1))?;
            (!holds(&home, next - 1, Some(known))).then(|| hole(home, next - 1, Known::Read))
        });
        let acknowledged = self.acknowledged.iter();
        let acknowledged = acknowledged.filter_map(|(home, (offset, known))| {
            let held = holds(home, *offset, known.as_ref());
            (!held).then(|| hole(home.clone(), *offset, Known::Acknowledged))
        });
        read.chain(acknowledged).collect()
    }
}
