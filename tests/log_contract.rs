//! Every adapter of the `Log` port keeps its contract.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

use std::sync::Arc;

use async_trait::async_trait;
use messaging::clock::SystemClock;
use messaging::ids::{Ids, SystemIds};
use messaging::log::Log;
use messaging::log::contract::Fixture;
use messaging::log::kafka::{Config, KafkaLog};
use messaging::log::memory::MemoryLog;
use messaging::server::bind;
use rskafka::client::ClientBuilder;
use rskafka::client::partition::UnknownTopicHandling;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

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

/// The rskafka adapter against the embedded log, over a real socket and real files.
struct OverKafka {
    log: KafkaLog,
    address: String,
    _server: JoinSet<()>,
    _dir: TempDir,
}

async fn over_kafka() -> OverKafka {
    let dir = tempfile::tempdir().unwrap();
    let listener = bind("--listen-log", "127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let embedded = embedded::log::Log::open(embedded::log::Config::new(dir.path())).unwrap();
    let mut server = JoinSet::new();
    server.spawn(async move {
        embedded
            .serve(listener, CancellationToken::new())
            .await
            .unwrap();
    });
    OverKafka {
        log: KafkaLog::new(Config {
            bootstrap: vec![address.clone()],
            client_id: "contract".to_owned(),
        }),
        address,
        _server: server,
        _dir: dir,
    }
}

#[async_trait]
impl Fixture for OverKafka {
    fn log(&self) -> &dyn Log {
        &self.log
    }

    async fn delete_before(&self, topic: &str, partition: i32, offset: i64) {
        delete_before(vec![self.address.clone()], topic, partition, offset).await;
    }
}

async fn delete_before(bootstrap: Vec<String>, topic: &str, partition: i32, offset: i64) {
    let client = ClientBuilder::new(bootstrap).build().await.unwrap();
    let partition = client
        .partition_client(topic, partition, UnknownTopicHandling::Error)
        .await
        .unwrap();
    partition.delete_records(offset, 1_000).await.unwrap();
}

messaging::log_contract!(kafka, super::over_kafka);

/// The rskafka adapter against a cluster that is there already: topics of its own, no process.
struct OverCluster {
    log: KafkaLog,
    bootstrap: Vec<String>,
    topic: String,
}

async fn over_cluster() -> OverCluster {
    let bootstrap = std::env::var("MESSAGING_TEST_KAFKA").expect("export $(tests/kafka up)");
    let bootstrap: Vec<_> = bootstrap.split(',').map(str::to_owned).collect();
    OverCluster {
        log: KafkaLog::new(Config {
            bootstrap: bootstrap.clone(),
            client_id: "contract".to_owned(),
        }),
        bootstrap,
        topic: format!("contract.{:016x}", SystemIds.random()),
    }
}

#[async_trait]
impl Fixture for OverCluster {
    fn log(&self) -> &dyn Log {
        &self.log
    }

    fn topic(&self) -> &str {
        &self.topic
    }

    async fn delete_before(&self, topic: &str, partition: i32, offset: i64) {
        delete_before(self.bootstrap.clone(), topic, partition, offset).await;
    }
}

messaging::log_contract!(
    #[ignore = "needs a Kafka cluster: export $(tests/kafka up 3), which sets MESSAGING_TEST_KAFKA"]
    cluster,
    super::over_cluster
);
