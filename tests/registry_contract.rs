//! Every adapter of the `SchemaRegistry` port keeps its contract.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

use async_trait::async_trait;
use messaging::registry::SchemaRegistry;
use messaging::registry::contract::Fixture;
use messaging::registry::memory::MemoryRegistry;

struct InMemory(MemoryRegistry);

async fn in_memory() -> InMemory {
    InMemory(MemoryRegistry::new())
}

#[async_trait]
impl Fixture for InMemory {
    fn registry(&self) -> &dyn SchemaRegistry {
        &self.0
    }

    async fn stop(&self) {
        self.0.set_down(true);
    }
}

messaging::registry_contract!(memory, super::in_memory);
