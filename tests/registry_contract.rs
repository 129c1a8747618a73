//! Every adapter of the `SchemaRegistry` port keeps its contract.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

use async_trait::async_trait;
use messaging::registry::SchemaRegistry;
use messaging::registry::confluent::ConfluentRegistry;
use messaging::registry::contract::Fixture;
use messaging::registry::memory::MemoryRegistry;
use messaging::server::bind;
use tempfile::TempDir;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

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

/// The Confluent adapter against the embedded registry, over a real socket and real files.
struct OverHttp {
    registry: ConfluentRegistry,
    stop: CancellationToken,
    server: Mutex<JoinSet<()>>,
    _dir: TempDir,
}

async fn over_http() -> OverHttp {
    let dir = tempfile::tempdir().unwrap();
    let listener = bind("--listen-registry", "127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let config = embedded::registry::Config::new(dir.path());
    let embedded = embedded::registry::Registry::open(config).unwrap();
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let mut server = JoinSet::new();
    server.spawn(async move { embedded.serve(listener, stopped).await.unwrap() });
    OverHttp {
        registry: ConfluentRegistry::new(&url).unwrap(),
        stop,
        server: Mutex::new(server),
        _dir: dir,
    }
}

#[async_trait]
impl Fixture for OverHttp {
    fn registry(&self) -> &dyn SchemaRegistry {
        &self.registry
    }

    async fn stop(&self) {
        self.stop.cancel();
        while let Some(ended) = self.server.lock().await.join_next().await {
            ended.unwrap();
        }
    }
}

messaging::registry_contract!(confluent, super::over_http);
