//! The log as its writers have told it: what stands where.

use std::collections::BTreeMap;
use std::sync::Arc;

use messaging::log::{Consumed, Record};
use messaging::registry::SchemaRegistry;

use super::told::Told;

/// A partition of a topic.
pub(crate) type Home = (String, i32);

/// A record and what it says.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) record: Record,
    pub(crate) told: Arc<Told>,
}

/// Everything that was appended and not lost.
pub(crate) struct SeenLog {
    registry: Arc<dyn SchemaRegistry>,
    partitions: i32,
    homes: BTreeMap<Home, BTreeMap<i64, Entry>>,
    /// What stood where before it was lost.
    lost: BTreeMap<Home, BTreeMap<i64, Entry>>,
}

impl SeenLog {
    pub(crate) fn new(registry: Arc<dyn SchemaRegistry>, partitions: i32) -> Self {
        Self {
            registry,
            partitions,
            homes: BTreeMap::new(),
            lost: BTreeMap::new(),
        }
    }

    pub(crate) fn append(&mut self, topic: &str, partition: i32, consumed: &Consumed) {
        let entry = Entry {
            record: consumed.record.clone(),
            told: Arc::new(self.read(&consumed.record, partition)),
        };
        self.homes
            .entry((topic.to_owned(), partition))
            .or_default()
            .insert(consumed.offset, entry);
    }

    /// What a record of `partition` says.
    pub(crate) fn read(&self, record: &Record, partition: i32) -> Told {
        Told::by(record, &*self.registry, partition, self.partitions)
    }

    pub(crate) fn lose(&mut self, topic: &str, partition: i32, offset: i64) {
        let home = (topic.to_owned(), partition);
        let records = self.homes.entry(home.clone()).or_default();
        let lost = records.split_off(&offset);
        self.lost.entry(home).or_default().extend(lost);
    }

    pub(crate) fn is_damaged(&self, topic: &str, partition: i32) -> bool {
        self.lost.contains_key(&(topic.to_owned(), partition))
    }

    pub(crate) fn at(&self, home: &Home, offset: i64) -> Option<&Entry> {
        self.homes.get(home)?.get(&offset)
    }

    /// What stood there before it was lost.
    pub(crate) fn lost_at(&self, home: &Home, offset: i64) -> Option<&Entry> {
        self.lost.get(home)?.get(&offset)
    }

    /// The records of `home` from one offset to before another, as a turn has read them: now, or
    /// `before` the log lost what stood there.
    pub(crate) fn between(
        &self,
        home: &Home,
        from: i64,
        to: i64,
        before: bool,
    ) -> BTreeMap<i64, Entry> {
        let mut found = BTreeMap::new();
        let lost = self.lost.get(home).filter(|_| before);
        for records in self.homes.get(home).into_iter().chain(lost) {
            if from < to {
                let range = records.range(from..to);
                found.extend(range.map(|(offset, entry)| (*offset, entry.clone())));
            }
        }
        found
    }
}
