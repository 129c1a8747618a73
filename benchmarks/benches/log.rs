//! What the embedded log costs: batches of 1 to 500 records, appended (synced) and fetched, by the
//! adapter over TCP and on the storage alone.

#![allow(
    clippy::expect_used,
    reason = "what cannot be prepared cannot be measured: the panic says why"
)]

mod common;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use common::Group;
use common::batches::{batch, commands, writer};
use criterion::{BenchmarkId, Throughput};
use embedded::log::storage::Storage;
use embedded::log::{self, Config};
use messaging::log::kafka::{self, KafkaLog};
use messaging::log::{Log, ReadLimit, Record};
use messaging::registry::memory::MemoryRegistry;
use messaging::server;
use tokio::runtime::Runtime;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const RECORDS: [u64; 4] = [1, 10, 100, 500];

fn main() {
    let runtime = common::runtime();
    let writer = runtime.block_on(writer(&MemoryRegistry::new()));
    let batches = RECORDS.map(|records| commands(&writer, 0, records));
    common::run("log", |group| {
        over_tcp(group, &runtime, &batches);
        alone(group, &batches);
    });
}

/// Everything that a service waits for.
fn over_tcp(group: &mut Group<'_>, runtime: &Runtime, batches: &[Vec<Record>]) {
    let directory = common::directory();
    let listener = server::bind("--listen", SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let listener = listener.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let served = log::Log::open(Config::new(directory.path())).expect("a new log");
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let mut serving = tokio::task::JoinSet::new();
    serving.spawn_on(
        async move { served.serve(listener, stop).await },
        runtime.handle(),
    );
    let log = KafkaLog::new(kafka::Config {
        bootstrap: vec![address.to_string()],
        client_id: "benchmark".to_owned(),
    });
    for batch in batches {
        let records = batch.len();
        group.throughput(Throughput::Elements(records as u64));
        let topic = format!("batches-of-{records}");
        runtime.block_on(async {
            let created = log.create_topic(&topic, 1).await;
            created.expect("the log takes topics");
        });
        group.bench_function(BenchmarkId::new("append over TCP", records), |bencher| {
            bencher.iter_custom(|times| runtime.block_on(appends(&log, &topic, batch, times)));
        });
        group.bench_function(BenchmarkId::new("fetch over TCP", records), |bencher| {
            bencher.iter_custom(|times| runtime.block_on(fetches(&log, &topic, batch, times)));
        });
    }
    shutdown.cancel();
    let ended = runtime.block_on(serving.join_next());
    assert!(matches!(ended, Some(Ok(Ok(())))), "the log ends: {ended:?}");
}

async fn appends(log: &KafkaLog, topic: &str, batch: &[Record], times: u64) -> Duration {
    let mut took = Duration::ZERO;
    for _ in 0..times {
        let batch = batch.to_vec();
        let start = Instant::now();
        let appended = log.append(topic, 0, batch).await;
        took += start.elapsed();
        appended.expect("the log takes it");
    }
    took
}

/// Fetches a topic's first batch.
async fn fetches(log: &KafkaLog, topic: &str, appended: &[Record], times: u64) -> Duration {
    // Room for one batch, and not for two.
    let bytes: usize = appended.iter().map(Record::size).sum();
    let limit = ReadLimit {
        bytes_max: i32::try_from(bytes + bytes / 2).unwrap_or(i32::MAX),
        wait_max: Duration::ZERO,
    };
    let start = Instant::now();
    for _ in 0..times {
        let read = log.read(topic, 0, 0, limit).await;
        let read = read.expect("it was appended").records.len();
        assert_eq!(read, appended.len(), "one batch");
    }
    start.elapsed()
}

/// The check of a batch, the write with its sync, the read.
fn alone(group: &mut Group<'_>, batches: &[Vec<Record>]) {
    for records in batches {
        let (batch, records) = (batch(records.clone()), records.len());
        let directory = common::directory();
        let storage = Storage::create(&directory.path().join("0"), 64 << 20);
        let storage = storage.expect("a new directory");
        group.throughput(Throughput::Elements(records as u64));
        group.bench_function(BenchmarkId::new("check", records), |bencher| {
            bencher.iter(|| log::storage::check(&batch).expect("a sound batch"));
        });
        group.bench_function(BenchmarkId::new("append to storage", records), |bencher| {
            let batches = std::slice::from_ref(&batch);
            bencher.iter(|| storage.append(batches).expect("the disk takes it"));
        });
        group.bench_function(BenchmarkId::new("read from storage", records), |bencher| {
            bencher.iter(|| storage.read(0, batch.len()).expect("it was appended"));
        });
    }
}
