//! Every adapter of the `Log` port keeps its contract.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

use std::sync::Arc;

use async_trait::async_trait;
use messaging::clock::SystemClock;
use messaging::log::Log;
use messaging::log::contract::Fixture;
use messaging::log::memory::MemoryLog;

struct InMemory(MemoryLog);

async fn in_memory() -> InMemory {
    InMemory(MemoryLog::new(Arc::new(SystemClock)))
}

#[async_trait]
impl Fixture for InMemory {
    fn log(&self) -> &dyn Log {
        &self.0
    }

    async fn delete_before(&self, topic: &str, partition: i32, offset: i64) {
        self.0.delete_before(topic, partition, offset);
    }
}

messaging::log_contract!(memory, super::in_memory);
