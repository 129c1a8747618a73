//! How far a service has come, shard by shard.

use std::collections::BTreeMap;

use messaging::clock::Timestamp;

use crate::record::Topic;

/// How far one shard has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shard {
    /// The next offset to consume, by topic; a topic not read from yet is missing.
    pub cursors: BTreeMap<Topic, i64>,
    /// Rows in the outbox of its output partition.
    pub outbox_rows: i64,
    /// When the oldest of them was written.
    pub outbox_oldest: Option<Timestamp>,
}

/// How far a service has come, by shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// The shards, by number; the number is the partition's.
    pub shards: BTreeMap<i32, Shard>,
}

impl Checkpoint {
    /// The next offset that will be consumed of `topic`.
    #[must_use]
    pub fn cursor(&self, topic: Topic, partition: i32) -> i64 {
        let shard = self.shards.get(&partition);
        let cursor = shard.and_then(|shard| shard.cursors.get(&topic));
        cursor.copied().unwrap_or(0)
    }

    /// Whether messages for output partition `partition` wait to be published.
    #[must_use]
    pub fn publishes(&self, partition: i32) -> bool {
        self.shards
            .get(&partition)
            .is_some_and(|shard| shard.outbox_rows > 0)
    }
}

/// How far both services have come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoints {
    /// Order.
    pub order: Checkpoint,
    /// Inventory.
    pub inventory: Checkpoint,
}

impl Checkpoints {
    /// The next offset that the consumer of `topic` will consume; `None` if nobody does.
    #[must_use]
    pub fn cursor(&self, topic: Topic, partition: i32) -> Option<i64> {
        let consumer = match topic {
            Topic::OrderCommands | Topic::InventoryEvents => &self.order,
            Topic::OrderEvents | Topic::InventoryCommands => &self.inventory,
            Topic::InventoryStock => return None,
        };
        Some(consumer.cursor(topic, partition))
    }
}
