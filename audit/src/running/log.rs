//! The topics, read partition by partition.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use messaging::limits::FETCH_BYTES_MAX;
use messaging::log::{Bounds, Log, ReadLimit};
use messaging::registry::SchemaRegistry;

use super::Error;
use crate::fold::{Audit, Overflow};
use crate::record::{Record, Topic};

/// The topics in the sequence in which their ends are asked for, which a busy store moves meanwhile:
/// events before the commands that cause them, or an event would be read without its command. What an
/// event caused is read without it at worst: it is in flight then.
const ENDS: [Topic; 5] = [
    Topic::InventoryStock,
    Topic::OrderEvents,
    Topic::InventoryEvents,
    Topic::OrderCommands,
    Topic::InventoryCommands,
];

/// How far a partition was read in this pass.
#[derive(Clone, Copy, Debug)]
struct Position {
    next: i64,
    bounds: Bounds,
}

/// The topics of a store.
pub(super) struct Topics {
    log: Arc<dyn Log>,
    registry: Arc<dyn SchemaRegistry>,
    partitions: i32,
    positions: BTreeMap<(Topic, i32), Position>,
}

impl Topics {
    pub(super) async fn open(
        log: Arc<dyn Log>,
        registry: Arc<dyn SchemaRegistry>,
    ) -> Result<Self, Error> {
        let mut partitions = 0;
        for topic in Topic::ALL {
            let topic = topic.name();
            let found = log.partitions(topic).await?;
            partitions = found.ok_or(Error::NoTopic { topic })?;
        }
        Ok(Self {
            log,
            registry,
            partitions,
            positions: BTreeMap::new(),
        })
    }

    /// The number of partitions of every topic.
    pub(super) fn partitions(&self) -> i32 {
        self.partitions
    }

    /// Asks where every partition begins and ends now.
    pub(super) async fn extents(&mut self, audit: &mut Audit) -> Result<(), Error> {
        for topic in ENDS {
            for partition in 0..self.partitions {
                let bounds = self.log.bounds(topic.name(), partition).await?;
                let position = self
                    .positions
                    .entry((topic, partition))
                    .or_insert(Position {
                        next: bounds.first,
                        bounds,
                    });
                position.bounds = bounds;
                // Retention may have passed since.
                position.next = position.next.max(bounds.first);
                audit.extent(topic, partition, bounds);
            }
        }
        Ok(())
    }

    /// Begins again.
    pub(super) fn rewind(&mut self) {
        for position in self.positions.values_mut() {
            position.next = position.bounds.first;
        }
    }

    /// Reads on to the ends that were asked for last; `tell` hears how many records are done, of
    /// how many.
    pub(super) async fn read(
        &mut self,
        audit: &mut Audit,
        tell: &mut (dyn FnMut(u64, u64) + Send),
    ) -> Result<Result<(), Overflow>, Error> {
        let left = |position: &Position| position.bounds.next - position.next;
        let of = u64::try_from(self.positions.values().map(left).sum::<i64>()).unwrap_or(0);
        let mut done = 0;
        for (&(topic, partition), position) in &mut self.positions {
            while position.next < position.bounds.next {
                let limit = ReadLimit {
                    bytes_max: FETCH_BYTES_MAX,
                    wait_max: Duration::ZERO,
                };
                let batch = self
                    .log
                    .read(topic.name(), partition, position.next, limit)
                    .await?;
                if batch.records.is_empty() {
                    // Offsets have gaps: one may be all that is left below the end.
                    position.next = position.bounds.next;
                }
                for consumed in &batch.records {
                    // What came after the end was asked for belongs to the next look.
                    if consumed.offset >= position.bounds.next {
                        break;
                    }
                    let at = (partition, self.partitions);
                    let record = Record::of(topic, at, consumed, &*self.registry).await?;
                    position.next = consumed.offset + 1;
                    done += 1;
                    if let Err(overflow) = audit.record(&record) {
                        return Ok(Err(overflow));
                    }
                }
                let beyond = batch.records.last();
                if beyond.is_some_and(|last| last.offset >= position.bounds.next) {
                    position.next = position.bounds.next;
                }
                tell(done, of);
            }
        }
        Ok(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_what_is_caused_is_asked_for_before_the_end_of_its_cause() {
        let at = |wanted| ENDS.iter().position(|topic| *topic == wanted).unwrap();
        assert!(Topic::ALL.into_iter().all(|topic| ENDS.contains(&topic)));
        for (caused, cause) in [
            (Topic::InventoryStock, Topic::InventoryCommands),
            (Topic::OrderEvents, Topic::OrderCommands),
            (Topic::InventoryEvents, Topic::InventoryCommands),
            (Topic::InventoryEvents, Topic::OrderCommands),
        ] {
            assert!(at(caused) < at(cause), "{caused:?}");
        }
    }
}
