//! What the parts of a store share: the log and the registry.

use std::sync::Arc;

use bytes::Bytes;
use contracts::{source, topics};
use messaging::clock::{Clock, SystemClock};
use messaging::codec;
use messaging::envelope::Envelope;
use messaging::ids::{Ids, SystemIds};
use messaging::log::memory::MemoryLog;
use messaging::log::{Log, Record};
use messaging::message::{Message, Registration};
use messaging::partitioner::partition_of;
use messaging::registry::SchemaRegistry;
use messaging::registry::memory::MemoryRegistry;
use serde_json::Value;

use crate::edition::Edition;

pub(crate) const PARTITIONS: i32 = 2;

pub(crate) struct Bus {
    pub(crate) log: Arc<MemoryLog>,
    pub(crate) registry: Arc<MemoryRegistry>,
}

impl Bus {
    pub(crate) async fn new() -> Self {
        let log = Arc::new(MemoryLog::new(Arc::new(SystemClock)));
        for topic in topics::ALL {
            log.create_topic(topic, PARTITIONS).await.unwrap();
        }
        Self {
            log,
            registry: Arc::new(MemoryRegistry::new()),
        }
    }

    /// Writes a command as the gateway does, by the schema of `edition`.
    pub(crate) async fn command<M: Message>(&self, edition: &Edition, command: &M) {
        let (key, registration) = (command.key(), edition.registration);
        let registered = self
            .registry
            .register(&registration.subject(), registration.schema)
            .await;
        let now = SystemClock.now();
        let envelope = Envelope::command(
            SystemIds.fresh().to_string(),
            M::TYPE,
            source::GATEWAY,
            key,
            now,
        );
        let record = Record {
            key: Some(Bytes::copy_from_slice(key.as_bytes())),
            value: Some(edition.write(registered.unwrap(), command)),
            headers: envelope.to_headers(),
            timestamp: now,
        };
        let partition = partition_of(key.as_bytes(), PARTITIONS);
        self.log
            .append(M::TOPIC, partition, vec![record])
            .await
            .unwrap();
    }
    /// What was written of one type about one order, every field that its writer's schema has.
    pub(crate) async fn written(&self, registration: Registration, order_id: &str) -> Value {
        let partition = partition_of(order_id.as_bytes(), PARTITIONS);
        for consumed in self.log.records(registration.topic, partition) {
            let record = consumed.record;
            let envelope = Envelope::from_headers(&record.headers).unwrap();
            let of_order = record.key.as_deref() == Some(order_id.as_bytes());
            if of_order && envelope.message_type == registration.message_type {
                let (id, datum) = codec::unframe(record.value.as_ref().unwrap()).unwrap();
                let schema = self.registry.schema(id).await.unwrap();
                return codec::decode(&schema, datum).unwrap();
            }
        }
        panic!("no {} of {order_id}", registration.message_type);
    }
}
