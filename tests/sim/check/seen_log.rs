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
    /// Partitions that have lost an acknowledged tail.
    damaged: Vec<Home>,
}

impl SeenLog {
    pub(crate) fn new(registry: Arc<dyn SchemaRegistry>, partitions: i32) -> Self {
        Self {
            registry,
            partitions,
            homes: BTreeMap::new(),
            damaged: Vec::new(),
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
        if let Some(records) = self.homes.get_mut(&home) {
            records.split_off(&offset);
        }
        self.damaged.push(home);
    }

    pub(crate) fn is_damaged(&self, topic: &str, partition: i32) -> bool {
        self.damaged
            .iter()
            .any(|home| home.0 == topic && home.1 == partition)
    }

    pub(crate) fn at(&self, home: &Home, offset: i64) -> Option<&Entry> {
        self.homes.get(home)?.get(&offset)
    }

    /// The records of `home` from one offset to before another.
    pub(crate) fn between(
        &self,
        home: &Home,
        from: i64,
        to: i64,
    ) -> impl Iterator<Item = (i64, &Entry)> {
        let records = self.homes.get(home).filter(|_| from < to);
        records
            .into_iter()
            .flat_map(move |records| records.range(from..to))
            .map(|(offset, entry)| (*offset, entry))
    }
}
