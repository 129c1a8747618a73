//! What a shard turns over: Order under the shipped runtime, on SQLite, with the log in memory. From
//! the append of so many commands to the last of their events in the log: read, decoded, decided,
//! committed, published.

#![allow(
    clippy::expect_used,
    reason = "what cannot be prepared cannot be measured: the panic says why"
)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::batches::{commands, writer};
use common::service::Surroundings;
use contracts::topics;
use criterion::{BenchmarkId, Throughput};
use messaging::clock::SystemClock;
use messaging::ids::SystemIds;
use messaging::log::memory::MemoryLog;
use messaging::log::{Log, ReadLimit};
use messaging::message::Writer;
use messaging::registry::memory::MemoryRegistry;
use messaging::store::sqlite::SqliteStore;
use order::context::OrderContext;
use order::store::sqlite::{MIGRATIONS, OrderTables};
use tokio::time::Instant;

fn main() {
    let runtime = common::runtime();
    let directory = common::directory();
    let path = directory.path().join("order.db");
    let log = Arc::new(MemoryLog::new(Arc::new(SystemClock)));
    let registry = Arc::new(MemoryRegistry::new());
    let (writer, service) = runtime.block_on(async {
        let writer = writer(&*registry).await;
        let store = SqliteStore::open(&path, &MIGRATIONS, OrderTables).await;
        let surroundings = surroundings(&log, registry).await;
        let store = Arc::new(store.expect("a new database"));
        (
            writer,
            surroundings.start(OrderContext::default(), store).await,
        )
    });
    let mut placed = 0;
    common::run("turn", |group| {
        for orders in [1, 10, 100, 500] {
            group.throughput(Throughput::Elements(orders));
            group.bench_function(BenchmarkId::new("orders placed", orders), |bencher| {
                bencher.iter_custom(|times| {
                    let from = placed;
                    placed += times * orders;
                    runtime.block_on(turns(&log, &writer, from, orders, times))
                });
            });
        }
    });
    runtime.block_on(service.stop());
}

/// One shard, with its input topics.
async fn surroundings(log: &Arc<MemoryLog>, registry: Arc<MemoryRegistry>) -> Surroundings {
    for topic in [topics::ORDER_COMMANDS, topics::INVENTORY_EVENTS] {
        let created = log.create_topic(topic, 1).await;
        created.expect("a topic");
    }
    Surroundings {
        log: Arc::clone(log) as Arc<dyn Log>,
        registry,
        clock: Arc::new(SystemClock),
        ids: Arc::new(SystemIds),
        partitions: 1,
    }
}

async fn turns(
    log: &MemoryLog,
    writer: &Writer,
    mut from: u64,
    orders: u64,
    times: u64,
) -> Duration {
    let mut took = Duration::ZERO;
    for _ in 0..times {
        let batch = commands(writer, from, orders);
        from += orders;
        let start = Instant::now();
        let appended = log.append(topics::ORDER_COMMANDS, 0, batch).await;
        appended.expect("the log takes it");
        until_published(log, from).await;
        took += start.elapsed();
    }
    took
}

/// Waits until the log has as many of Order's events.
async fn until_published(log: &MemoryLog, events: u64) {
    let limit = ReadLimit {
        bytes_max: 1,
        wait_max: Duration::from_secs(5),
    };
    let last = i64::try_from(events).unwrap_or(i64::MAX) - 1;
    let mut next = 0;
    while next <= last {
        let bounds = log.bounds(topics::ORDER_EVENTS, 0).await;
        next = bounds.expect("the topic is there").next;
        let read = log.read(topics::ORDER_EVENTS, 0, next.min(last), limit);
        let read = read.await.expect("the log is read");
        assert!(!read.records.is_empty(), "nothing comes for five seconds");
    }
}
