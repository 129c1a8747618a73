//! What stands in the log.

use std::time::Duration;

use contracts::topics;
use messaging::limits::FETCH_BYTES_MAX;
use messaging::log::kafka::{self, KafkaLog};
use messaging::log::{self, Consumed, Log, ReadLimit};
use messaging::registry::confluent::ConfluentRegistry;

use super::PARTITIONS;
use super::backstage::Backstage;

/// Topic, partition, next offset.
pub(crate) type Ends = Vec<(&'static str, i32, i64)>;

/// The log and the registry of a store.
pub(crate) struct Topics {
    pub(crate) log: KafkaLog,
    pub(crate) registry: ConfluentRegistry,
}

impl Topics {
    pub(crate) fn of(backstage: &Backstage) -> Self {
        let config = kafka::Config {
            bootstrap: backstage.brokers.clone(),
            client_id: "check".to_owned(),
        };
        Self {
            log: KafkaLog::new(config),
            registry: ConfluentRegistry::new(&backstage.registry).unwrap(),
        }
    }

    /// The next offset of every partition of every topic.
    ///
    /// # Errors
    /// When the log does not answer.
    pub(crate) async fn ends(&self) -> Result<Ends, log::Error> {
        let mut ends = Vec::new();
        for topic in topics::ALL {
            for partition in 0..PARTITIONS {
                let bounds = self.log.bounds(topic, partition).await?;
                ends.push((topic, partition, bounds.next));
            }
        }
        Ok(ends)
    }

    /// Every record of a partition, by offset.
    pub(crate) async fn partition(&self, topic: &str, partition: i32) -> Vec<Consumed> {
        let limit = ReadLimit {
            bytes_max: FETCH_BYTES_MAX,
            wait_max: Duration::ZERO,
        };
        let mut records: Vec<Consumed> = Vec::new();
        loop {
            let next = records.last().map_or(0, |last| last.offset + 1);
            let batch = self.log.read(topic, partition, next, limit).await.unwrap();
            if batch.records.is_empty() {
                return records;
            }
            records.extend(batch.records);
        }
    }
}
