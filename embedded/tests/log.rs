//! The log as rskafka sees it, over a real socket.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use embedded::log;
use rskafka::BackoffConfig;
use rskafka::chrono::{DateTime, Utc};
use rskafka::client::error::{Error, ProtocolError};
use rskafka::client::partition::{Compression, OffsetAt, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder};
use rskafka::record::Record;
use support::Server;
use tokio::time::{Instant, timeout};

const TOPIC: &str = "order.events";

async fn client(server: &Server) -> Client {
    let backoff = BackoffConfig {
        deadline: Some(Duration::from_secs(5)),
        ..Default::default()
    };
    let broker = server.addr.to_string();
    ClientBuilder::new(vec![broker])
        .backoff_config(backoff)
        .build()
        .await
        .unwrap()
}

async fn create_topic(client: &Client, partitions: i32) {
    let controller = client.controller_client().unwrap();
    controller
        .create_topic(TOPIC, partitions, 1, 5_000)
        .await
        .unwrap();
}

async fn partition(client: &Client, number: i32) -> PartitionClient {
    client
        .partition_client(TOPIC, number, UnknownTopicHandling::Error)
        .await
        .unwrap()
}

fn record(value: &str, timestamp_ms: i64) -> Record {
    Record {
        key: Some(b"ORDER_001".to_vec()),
        value: Some(value.as_bytes().to_vec()),
        headers: BTreeMap::from([("ce_type".to_owned(), b"shop.order.OrderPlaced".to_vec())]),
        timestamp: DateTime::<Utc>::from_timestamp_millis(timestamp_ms).unwrap(),
    }
}

async fn values(partition: &PartitionClient, from: i64) -> Vec<(i64, String)> {
    let (records, _) = partition
        .fetch_records(from, 1..1_000_000, 10)
        .await
        .unwrap();
    let value = |bytes: Option<Vec<u8>>| String::from_utf8(bytes.unwrap()).unwrap();
    records
        .into_iter()
        .map(|r| (r.offset, value(r.record.value)))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn records_come_back_as_they_were_sent_in_every_compression() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::log(dir.path());
    let client = client(&server).await;
    create_topic(&client, 2).await;
    let partition = partition(&client, 1).await;

    let compressions = [
        Compression::NoCompression,
        Compression::Gzip,
        Compression::Snappy,
    ];
    for (at, compression) in compressions.into_iter().enumerate() {
        let sent = vec![record("a", 1_000), record("b", 2_000)];
        let offsets = partition.produce(sent.clone(), compression).await.unwrap();
        let first = at as i64 * 2;
        assert_eq!(offsets, [first, first + 1]);
        let (received, high) = partition
            .fetch_records(first, 1..1_000_000, 10)
            .await
            .unwrap();
        assert_eq!(high, first + 2);
        assert_eq!(
            received.into_iter().map(|r| r.record).collect::<Vec<_>>(),
            sent
        );
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_records_and_offsets_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::log(dir.path());
    let before = client(&server).await;
    create_topic(&before, 1).await;
    let sent = vec![record("one", 1), record("two", 2)];
    partition(&before, 0)
        .await
        .produce(sent, Compression::Gzip)
        .await
        .unwrap();
    server.stop().await;

    let server = Server::log(dir.path());
    let after = client(&server).await;
    let partition = partition(&after, 0).await;
    assert_eq!(
        values(&partition, 0).await,
        [(0, "one".into()), (1, "two".into())]
    );
    let offsets = partition
        .produce(vec![record("three", 3)], Compression::NoCompression)
        .await;
    assert_eq!(offsets.unwrap(), [2]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_poll_wakes_at_once_and_ends_at_shutdown() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::log(dir.path());
    let client = client(&server).await;
    create_topic(&client, 1).await;
    let (consumer, producer) = (partition(&client, 0).await, partition(&client, 0).await);

    let poll = async {
        consumer
            .fetch_records(0, 1..1_000_000, 30_000)
            .await
            .unwrap()
            .0
            .len()
    };
    let send = async {
        producer
            .produce(vec![record("x", 1)], Compression::NoCompression)
            .await
    };
    let (received, sent) = timeout(Duration::from_secs(10), async { tokio::join!(poll, send) })
        .await
        .expect("the poll of 30 s ends when a record comes");
    assert_eq!((received, sent.unwrap()), (1, vec![0]));

    let started = Instant::now();
    let poll = tokio::time::timeout(
        Duration::from_secs(20),
        consumer.fetch_records(1, 1..1_000_000, 30_000),
    );
    let stop = async {
        tokio::task::yield_now().await;
        server.stop().await;
    };
    tokio::select! { _ = async { tokio::join!(poll, std::future::pending::<()>()) } => {}, () = stop => {} }
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "the poll does not hold up the shutdown"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_are_found_by_position_and_by_time() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::log(dir.path());
    let client = client(&server).await;
    create_topic(&client, 1).await;
    let partition = partition(&client, 0).await;
    for start in [10_000, 20_000] {
        let records = vec![record("a", start), record("b", start + 1_000)];
        partition
            .produce(records, Compression::Snappy)
            .await
            .unwrap();
    }
    let at = |ms| OffsetAt::Timestamp(DateTime::<Utc>::from_timestamp_millis(ms).unwrap());
    assert_eq!(partition.get_offset(OffsetAt::Earliest).await.unwrap(), 0);
    assert_eq!(partition.get_offset(OffsetAt::Latest).await.unwrap(), 4);
    assert_eq!(partition.get_offset(at(0)).await.unwrap(), 0);
    assert_eq!(partition.get_offset(at(10_500)).await.unwrap(), 1);
    assert_eq!(partition.get_offset(at(20_000)).await.unwrap(), 2);
    assert_eq!(partition.get_offset(at(99_000)).await.unwrap(), -1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_records_are_out_of_range_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::log(dir.path());
    let before = client(&server).await;
    create_topic(&before, 1).await;
    let writer = partition(&before, 0).await;
    for value in ["a", "b", "c"] {
        writer
            .produce(vec![record(value, 1)], Compression::NoCompression)
            .await
            .unwrap();
    }
    writer.delete_records(2, 1_000).await.unwrap();
    assert_out_of_range(&writer, 1).await;
    assert_out_of_range(&writer, 4).await;
    server.stop().await;

    let server = Server::log(dir.path());
    let after = client(&server).await;
    let reader = partition(&after, 0).await;
    assert_eq!(reader.get_offset(OffsetAt::Earliest).await.unwrap(), 2);
    assert_out_of_range(&reader, 1).await;
    assert_eq!(values(&reader, 2).await, [(2, "c".into())]);
    server.stop().await;
}

async fn assert_out_of_range(partition: &PartitionClient, offset: i64) {
    let refused = partition
        .fetch_records(offset, 1..1_000_000, 10)
        .await
        .unwrap_err();
    assert!(
        matches!(
            refused,
            Error::ServerError {
                protocol_error: ProtocolError::OffsetOutOfRange,
                ..
            }
        ),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_is_created_once_deleted_and_never_by_asking_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::log(dir.path());
    let client = client(&server).await;
    let unknown = client
        .partition_client(TOPIC, 0, UnknownTopicHandling::Error)
        .await;
    assert!(
        unknown.is_err(),
        "no topic comes into being by asking for it"
    );
    create_topic(&client, 3).await;
    let controller = client.controller_client().unwrap();
    let again = controller
        .create_topic(TOPIC, 3, 1, 1_000)
        .await
        .unwrap_err();
    assert!(
        matches!(
            again,
            Error::ServerError {
                protocol_error: ProtocolError::TopicAlreadyExists,
                ..
            }
        ),
        "{again}"
    );
    let topics = client.list_topics().await.unwrap();
    assert_eq!(topics[0].partitions.len(), 3);
    controller.delete_topic(TOPIC, 1_000).await.unwrap();
    assert_eq!(client.list_topics().await.unwrap().len(), 0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_producers_share_a_partition_and_nobody_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::log(dir.path());
    let client = client(&server).await;
    create_topic(&client, 1).await;
    let mut tasks = tokio::task::JoinSet::new();
    for producer in 0..8 {
        let partition = partition(&client, 0).await;
        tasks.spawn(async move {
            let mut offsets = Vec::new();
            for n in 0..25 {
                let record = record(&format!("{producer}/{n}"), 1);
                offsets.extend(
                    partition
                        .produce(vec![record], Compression::NoCompression)
                        .await
                        .unwrap(),
                );
            }
            assert!(offsets.is_sorted());
            offsets
        });
    }
    let mut offsets: Vec<i64> = tasks.join_all().await.concat();
    offsets.sort_unstable();
    assert_eq!(offsets, (0..200).collect::<Vec<_>>());

    let reader = partition(&client, 0).await;
    let mut read = Vec::new();
    while read.len() < 200 {
        // A small budget: many fetches, each at least one batch.
        let (records, _) = reader
            .fetch_records(read.len() as i64, 1..500, 1_000)
            .await
            .unwrap();
        read.extend(records.into_iter().map(|r| r.offset));
    }
    assert_eq!(read, offsets);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_belongs_to_one_log() {
    let dir = tempfile::tempdir().unwrap();
    let first = log::Log::open(log::Config::new(dir.path())).unwrap();
    let second = log::Log::open(log::Config::new(dir.path())).unwrap_err();
    assert!(matches!(second, log::Error::InUse { .. }), "{second}");
    drop(first);
    log::Log::open(log::Config::new(dir.path())).unwrap();
}

/// The only segment of the only partition.
fn segment(dir: &Path) -> PathBuf {
    dir.join(format!("topics/1-{TOPIC}/0/00000000000000000000.log"))
}

/// A log that was stopped with two batches in it.
async fn stopped_log() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::log(dir.path());
    let client = client(&server).await;
    create_topic(&client, 1).await;
    let writer = partition(&client, 0).await;
    for value in ["a", "b"] {
        writer
            .produce(vec![record(value, 1)], Compression::NoCompression)
            .await
            .unwrap();
    }
    server.stop().await;
    dir
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_to_what_was_acknowledged_is_refused_by_name_and_left_alone() {
    let dir = stopped_log().await;
    let path = segment(dir.path());
    let sound = std::fs::read(&path).unwrap();
    let half = sound.len() / 2;
    let flip = |at: usize| {
        let mut damaged = sound.clone();
        damaged[at] ^= 1;
        damaged
    };
    let first = (0, "the first batch");
    let second = (half as u64, "the second batch");
    let cases = [
        (flip(70), first),
        (flip(half + 70), second),
        (sound[..sound.len() - 1].to_vec(), second),
        (sound[..half].to_vec(), second),
        (Vec::new(), first),
    ];
    for (damaged, (position, what)) in cases {
        std::fs::write(&path, &damaged).unwrap();
        let refused = log::Log::open(log::Config::new(dir.path())).unwrap_err();
        match &refused {
            log::Error::Corrupt {
                file, position: at, ..
            } => {
                assert_eq!((file, *at), (&path, position), "{what}");
            }
            other => panic!("{what}: {other}"),
        }
        assert_eq!(refused.to_string().lines().count(), 1);
        assert_eq!(std::fs::read(&path).unwrap(), damaged, "nothing is changed");
    }
    std::fs::write(&path, &sound).unwrap();
    log::Log::open(log::Config::new(dir.path())).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_tail_is_cut_off() {
    let dir = stopped_log().await;
    let path = segment(dir.path());
    let sound = std::fs::read(&path).unwrap();
    for torn in [&[0; 30][..], &[0xff; 100], &sound[..sound.len() / 2 + 20]] {
        std::fs::write(&path, [&sound, torn].concat()).unwrap();
        let server = Server::log(dir.path());
        let client = client(&server).await;
        let reader = partition(&client, 0).await;
        assert_eq!(reader.get_offset(OffsetAt::Latest).await.unwrap(), 2);
        server.stop().await;
        assert_eq!(std::fs::read(&path).unwrap(), sound);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_files_are_refused() {
    for missing in ["topics.journal", "groups.journal"] {
        let dir = stopped_log().await;
        std::fs::remove_file(dir.path().join(missing)).unwrap();
        let refused = log::Log::open(log::Config::new(dir.path())).unwrap_err();
        assert!(
            matches!(refused, log::Error::Corrupt { .. }),
            "{missing}: {refused}"
        );
        assert!(segment(dir.path()).exists());
    }
    let dir = stopped_log().await;
    std::fs::remove_file(segment(dir.path())).unwrap();
    let refused = log::Log::open(log::Config::new(dir.path())).unwrap_err();
    assert!(matches!(refused, log::Error::Corrupt { .. }), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_are_cut_found_again_and_removed_by_size() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = log::Config::new(dir.path());
    config.segment_bytes = 2_000;
    let server = Server::log_with(config.clone());
    let before = client(&server).await;
    create_topic(&before, 1).await;
    let writer = partition(&before, 0).await;
    for n in 0..100 {
        let values = vec![record(&n.to_string(), n)];
        writer
            .produce(values, Compression::NoCompression)
            .await
            .unwrap();
    }
    server.stop().await;

    let server = Server::log_with(config.clone());
    let after = client(&server).await;
    let reader = partition(&after, 0).await;
    for offset in [0, 1, 17, 50, 98, 99] {
        let read = values(&reader, offset).await;
        assert_eq!(read[0], (offset, offset.to_string()));
        assert_eq!(read.last().unwrap().0, 99, "one fetch crosses segments");
        let at = OffsetAt::Timestamp(DateTime::<Utc>::from_timestamp_millis(offset).unwrap());
        assert_eq!(reader.get_offset(at).await.unwrap(), offset);
    }
    server.stop().await;

    config.retention.max_bytes = Some(5_000);
    let server = Server::log_with(config);
    let shrunk = client(&server).await;
    let reader = partition(&shrunk, 0).await;
    let removed = async {
        while reader.get_offset(OffsetAt::Earliest).await.unwrap() == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), removed)
        .await
        .expect("retention runs at the start");
    assert_out_of_range(&reader, 0).await;
    let start = reader.get_offset(OffsetAt::Earliest).await.unwrap();
    assert_eq!(values(&reader, start).await.last().unwrap().0, 99);
    server.stop().await;
}
