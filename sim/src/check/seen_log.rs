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
    /// What each loss took, in the order of the losses.
    lost: BTreeMap<Home, Vec<BTreeMap<i64, Entry>>>,
}

/// When a partition was read: after so many of its losses.
pub(crate) type LossesBefore = usize;

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
        self.lost.entry(home).or_default().push(lost);
    }

    pub(crate) fn is_damaged(&self, topic: &str, partition: i32) -> bool {
        self.lost.contains_key(&(topic.to_owned(), partition))
    }

    /// Everything that stands in the log.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Home, i64, &Entry)> {
        let homes = self.homes.iter();
        homes.flat_map(|(home, records)| {
            let records = records.iter();
            records.map(move |(offset, entry)| (home, *offset, entry))
        })
    }

    pub(crate) fn at(&self, home: &Home, offset: i64) -> Option<&Entry> {
        self.homes.get(home)?.get(&offset)
    }

    /// What stood there before it was lost, the last one first.
    pub(crate) fn lost_at(&self, home: &Home, offset: i64) -> impl Iterator<Item = &Entry> {
        let losses = self.lost_of(home).iter().rev();
        losses.filter_map(move |lost| lost.get(&offset))
    }

    /// How many losses the partition has had.
    pub(crate) fn losses(&self, home: &Home) -> LossesBefore {
        self.lost_of(home).len()
    }

    fn lost_of(&self, home: &Home) -> &[BTreeMap<i64, Entry>] {
        self.lost.get(home).map_or(&[], Vec::as_slice)
    }

    /// The moments at which the records from one offset to before another were not what they are at
    /// any later one; now is the first of them.
    pub(crate) fn moments(&self, home: &Home, from: i64, to: i64) -> Vec<LossesBefore> {
        let losses = self.lost_of(home).iter().enumerate().rev();
        let took = losses.filter(|(_, lost)| from < to && lost.range(from..to).next().is_some());
        std::iter::once(self.losses(home))
            .chain(took.map(|(before, _)| before))
            .collect()
    }

    /// The records of `home` from one offset to before another, as they were read at that moment.
    pub(crate) fn between(
        &self,
        home: &Home,
        from: i64,
        to: i64,
        moment: LossesBefore,
    ) -> BTreeMap<i64, Entry> {
        let mut found = BTreeMap::new();
        let lost = self.lost_of(home)[moment..].iter().rev();
        for records in self.homes.get(home).into_iter().chain(lost) {
            if from < to {
                let range = records.range(from..to);
                found.extend(range.map(|(offset, entry)| (*offset, entry.clone())));
            }
        }
        found
    }
}
