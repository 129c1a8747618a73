//! What stands in the log, read past every proxy.

use std::time::Duration;

use contracts::inventory::{InventoryCommand, ReceiveStock};
use contracts::topics;
use messaging::codec;
use messaging::envelope::Envelope;
use messaging::limits::FETCH_BYTES_MAX;
use messaging::log::kafka::{self, KafkaLog};
use messaging::log::{Consumed, Log, ReadLimit};
use messaging::registry::SchemaRegistry;
use messaging::registry::confluent::ConfluentRegistry;

use crate::process::Role;
use crate::world::{PARTITIONS, World};

/// The log and the registry of a world.
pub(crate) struct Topics {
    pub(crate) log: KafkaLog,
    pub(crate) registry: ConfluentRegistry,
}

impl Topics {
    pub(crate) fn of(world: &World) -> Self {
        let config = kafka::Config {
            bootstrap: vec![world.address(Role::Log).to_string()],
            client_id: "check".to_owned(),
        };
        let registry = format!("http://{}", world.address(Role::Registry));
        Self {
            log: KafkaLog::new(config),
            registry: ConfluentRegistry::new(&registry).unwrap(),
        }
    }

    /// The next offset of every partition of every topic.
    pub(crate) async fn ends(&self) -> Vec<(&'static str, i32, i64)> {
        let mut ends = Vec::new();
        for topic in topics::ALL {
            for partition in 0..PARTITIONS {
                let bounds = self.log.bounds(topic, partition).await.unwrap();
                ends.push((topic, partition, bounds.next));
            }
        }
        ends
    }

    /// Every record of a topic, partition by partition.
    pub(crate) async fn records(&self, topic: &str) -> Vec<Consumed> {
        let limit = ReadLimit {
            bytes_max: FETCH_BYTES_MAX,
            wait_max: Duration::ZERO,
        };
        let mut records = Vec::new();
        for partition in 0..PARTITIONS {
            let mut next = 0;
            loop {
                let batch = self.log.read(topic, partition, next, limit).await.unwrap();
                let Some(last) = batch.records.last() else {
                    break;
                };
                next = last.offset + 1;
                records.extend(batch.records);
            }
        }
        records
    }

    /// The ids of all messages in a topic, repetitions included.
    pub(crate) async fn ids(&self, topic: &str) -> Vec<String> {
        let records = self.records(topic).await.into_iter();
        let envelopes = records.map(|found| Envelope::from_headers(&found.record.headers));
        envelopes.map(|envelope| envelope.unwrap().id).collect()
    }

    /// All deliveries that Inventory was told of, repetitions included.
    pub(crate) async fn receipts(&self) -> Vec<ReceiveStock> {
        let mut receipts = Vec::new();
        for found in self.records(topics::INVENTORY_COMMANDS).await {
            let envelope = Envelope::from_headers(&found.record.headers).unwrap();
            let value = found.record.value.unwrap();
            let (id, datum) = codec::unframe(&value).unwrap();
            let schema = self.registry.schema(id).await.unwrap();
            let command = InventoryCommand::decode(&envelope.message_type, &schema, datum);
            let InventoryCommand::Receive(receipt) = command.unwrap().unwrap();
            receipts.push(receipt);
        }
        receipts
    }
}
