//! The log on the wire: what clients other than rskafka send, and what hostile ones do.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

mod support;

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};
use support::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const TOPIC: &str = "order.events";

/// A connection that speaks in bytes.
struct Wire(TcpStream);

impl Wire {
    async fn to(server: &Server) -> Self {
        Self(support::connect(server.addr).await)
    }

    async fn send(&mut self, api: ApiKey, version: i16, body: &[u8]) {
        // That the other side has closed the connection shows when the answer is awaited.
        let _ = self.0.write_all(&request(api, version, body)).await;
    }

    /// The next response, or None if the connection was closed.
    async fn receive(&mut self) -> Option<Bytes> {
        let receive = async {
            let length = self.0.read_i32().await.ok()?;
            let mut frame = vec![0; length as usize];
            self.0.read_exact(&mut frame).await.ok()?;
            Some(Bytes::from(frame))
        };
        timeout(Duration::from_secs(20), receive)
            .await
            .expect("an answer or the end")
    }

    /// The body of the response, up to the codec-free readers below.
    async fn call(&mut self, api: ApiKey, version: i16, body: &[u8]) -> Bytes {
        self.send(api, version, body).await;
        let mut frame = self.receive().await.expect("a response");
        assert_eq!(frame.get_i32(), 7, "the correlation id");
        frame
    }

    async fn create_topic(&mut self, configs: &[(&str, &str)]) -> i16 {
        let mut body = BytesMut::new();
        body.put_i32(1);
        body.put_slice(&string(TOPIC));
        body.put_i32(1); // partitions
        body.put_i16(1); // replicas
        body.put_i32(0); // assignments
        body.put_i32(configs.len() as i32);
        for (name, value) in configs {
            body.put_slice(&string(name));
            body.put_slice(&string(value));
        }
        body.put_i32(1_000);
        body.put_u8(0);
        let mut created = self.call(ApiKey::CreateTopics, 4, &body).await;
        assert_eq!(
            (created.get_i32(), created.get_i32()),
            (0, 1),
            "throttle time, topics"
        );
        assert_eq!(read_string(&mut created), TOPIC);
        created.get_i16()
    }

    async fn produce(&mut self, batch: &[u8]) -> i16 {
        let mut produced = self
            .call(ApiKey::Produce, 7, &produce_body(batch, -1))
            .await;
        read_topic_and_partition(&mut produced);
        let error = produced.get_i16();
        produced.advance(8 + 8 + 8); // base offset, append time, log start
        assert_eq!(produced.get_i32(), 0, "never throttled");
        assert!(!produced.has_remaining());
        error
    }

    async fn end(&mut self) -> i64 {
        let mut body = BytesMut::new();
        body.put_i32(-1);
        body.put_i32(1);
        body.put_slice(&string(TOPIC));
        body.put_i32(1);
        body.put_i32(0);
        body.put_i64(-1);
        let mut offsets = self.call(ApiKey::ListOffsets, 1, &body).await;
        read_topic_and_partition(&mut offsets);
        assert_eq!(
            (offsets.get_i16(), offsets.get_i64()),
            (0, -1),
            "error, time"
        );
        offsets.get_i64()
    }

    /// The records of a fetch from the start.
    async fn fetch(&mut self, wait_ms: i32, min_bytes: usize, max_bytes: usize) -> Bytes {
        let body = fetch_body(0, wait_ms, min_bytes as i32, max_bytes as i32);
        let mut fetched = self.call(ApiKey::Fetch, 4, &body).await;
        assert_eq!(fetched.get_i32(), 0, "never throttled");
        read_topic_and_partition(&mut fetched);
        assert_eq!(fetched.get_i16(), 0);
        fetched.advance(8 + 8); // high watermark, last stable offset
        assert!(fetched.get_i32() <= 0, "no aborted transactions");
        let length = fetched.get_i32();
        assert_eq!(fetched.remaining(), length as usize);
        fetched
    }
}

fn request(api: ApiKey, version: i16, body: &[u8]) -> BytesMut {
    let client_id = string("test");
    let mut frame = BytesMut::new();
    frame.put_i32((8 + client_id.len() + body.len()) as i32);
    frame.put_i16(api as i16);
    frame.put_i16(version);
    frame.put_i32(7); // correlation id
    frame.put_slice(&client_id);
    frame.put_slice(body);
    frame
}

fn read_string(from: &mut Bytes) -> String {
    let length = from.get_i16();
    String::from_utf8(from.split_to(length as usize).to_vec()).unwrap()
}

/// Skips to the only partition of the only topic.
fn read_topic_and_partition(response: &mut Bytes) {
    assert_eq!(response.get_i32(), 1);
    assert_eq!(read_string(response), TOPIC);
    assert_eq!((response.get_i32(), response.get_i32()), (1, 0));
}

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as i16).to_be_bytes()[..], text.as_bytes()].concat()
}

fn produce_body(batch: &[u8], acks: i16) -> BytesMut {
    let mut body = BytesMut::new();
    body.put_i16(-1); // no transaction
    body.put_i16(acks);
    body.put_i32(1_000);
    body.put_i32(1);
    body.put_slice(&string(TOPIC));
    body.put_i32(1);
    body.put_i32(0);
    body.put_i32(batch.len() as i32);
    body.put_slice(batch);
    body
}

fn fetch_body(offset: i64, wait_ms: i32, min_bytes: i32, max_bytes: i32) -> BytesMut {
    let mut body = BytesMut::new();
    body.put_i32(-1);
    body.put_i32(wait_ms);
    body.put_i32(min_bytes);
    body.put_i32(max_bytes);
    body.put_u8(0);
    body.put_i32(1);
    body.put_slice(&string(TOPIC));
    body.put_i32(1);
    body.put_i32(0);
    body.put_i64(offset);
    body.put_i32(max_bytes);
    body
}

fn batch(value: &[u8], header: Option<&'static [u8]>) -> Bytes {
    let record = Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: TimestampType::Creation,
        offset: 0,
        sequence: 0,
        timestamp: 1,
        key: None,
        value: Some(Bytes::copy_from_slice(value)),
        headers: [(StrBytes::from("h"), header.map(Bytes::from_static))]
            .into_iter()
            .collect(),
    };
    let mut batch = BytesMut::new();
    let options = RecordEncodeOptions {
        version: 2,
        compression: Compression::None,
    };
    RecordBatchEncoder::encode(&mut batch, &[record], &options).unwrap();
    batch.freeze()
}

async fn serve() -> (tempfile::TempDir, Server, Wire) {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::log(dir.path());
    let mut wire = Wire::to(&server).await;
    assert_eq!(wire.create_topic(&[]).await, 0);
    (dir, server, wire)
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_that_would_poison_consumers_are_refused_and_leave_no_trace() {
    let (_dir, server, mut wire) = serve().await;
    let fine = batch(b"a", Some(b""));
    let mut zstd = fine.to_vec();
    zstd[22] = 4;
    let crc = crc32c::crc32c(&zstd[21..]);
    zstd[17..21].copy_from_slice(&crc.to_be_bytes());
    let mut flipped = fine.to_vec();
    flipped[65] ^= 1;
    let long = batch(&vec![0; 1_100_000], Some(b""));
    assert_eq!(
        wire.produce(&batch(b"a", None)).await,
        87,
        "a header without a value"
    );
    assert_eq!(wire.produce(&zstd).await, 76, "an unknown compression");
    assert_eq!(wire.produce(&flipped).await, 2, "a wrong checksum");
    assert_eq!(wire.produce(&long).await, 10, "too long");
    assert_eq!(wire.end().await, 0);
    assert_eq!(wire.produce(&fine).await, 0, "the connection stays usable");
    assert_eq!(wire.end().await, 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_acknowledgement_there_is_no_answer_but_a_record() {
    let (_dir, server, mut wire) = serve().await;
    wire.send(
        ApiKey::Produce,
        7,
        &produce_body(&batch(b"a", Some(b"")), 0),
    )
    .await;
    assert_eq!(
        wire.end().await,
        1,
        "the next answer is to the next request"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_keeps_to_its_bytes_and_waits_for_enough_of_them() {
    let (_dir, server, mut wire) = serve().await;
    let value = [7; 1_000];
    for _ in 0..3 {
        assert_eq!(wire.produce(&batch(&value, Some(b""))).await, 0);
    }
    let size = batch(&value, Some(b"")).len();
    assert_eq!(wire.fetch(0, 1, 10).await.len(), size, "always one batch");
    assert_eq!(
        wire.fetch(0, 1, size * 2 + 10).await.len(),
        size * 2,
        "whole batches only"
    );
    assert_eq!(wire.fetch(0, 1, size * 9).await.len(), size * 3);

    // given a fetch that wants four batches, when the fourth comes, then it ends
    let mut producer = Wire::to(&server).await;
    let fetched = async { wire.fetch(30_000, size * 4, size * 9).await.len() };
    let fourth = batch(&value, Some(b""));
    let (fetched, produced) = tokio::join!(fetched, producer.produce(&fourth));
    assert_eq!((fetched, produced), (size * 4, 0));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_topics_that_delete_by_age_are_created() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::log(dir.path());
    let mut wire = Wire::to(&server).await;
    assert_eq!(
        wire.create_topic(&[("cleanup.policy", "compact")]).await,
        40
    );
    assert_eq!(wire.create_topic(&[("retention.ms", "1")]).await, 40);
    assert_eq!(wire.create_topic(&[("cleanup.policy", "delete")]).await, 0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_names_the_address_that_was_reached_and_creates_nothing() {
    let (_dir, server, mut wire) = serve().await;
    let mut body = BytesMut::new();
    body.put_i32(2);
    body.put_slice(&string("unknown"));
    body.put_slice(&string(TOPIC));
    body.put_u8(1); // do create it
    for _ in 0..2 {
        let mut metadata = wire.call(ApiKey::Metadata, 4, &body).await;
        assert_eq!(
            (metadata.get_i32(), metadata.get_i32()),
            (0, 1),
            "throttle time, brokers"
        );
        assert_eq!(metadata.get_i32(), 1, "the broker's number");
        let host = read_string(&mut metadata);
        let advertised = format!("{host}:{}", metadata.get_i32());
        assert_eq!(advertised, server.addr.to_string());
        assert_eq!(metadata.get_i16(), -1, "no rack");
        read_string(&mut metadata);
        assert_eq!(
            (metadata.get_i32(), metadata.get_i32()),
            (1, 2),
            "controller, topics"
        );
        assert_eq!(
            (metadata.get_i16(), read_string(&mut metadata)),
            (3, "unknown".to_owned())
        );
        assert_eq!(
            (metadata.get_u8(), metadata.get_i32()),
            (0, 0),
            "internal, partitions"
        );
        assert_eq!(
            (metadata.get_i16(), read_string(&mut metadata)),
            (0, TOPIC.to_owned())
        );
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_client_is_told_which_versions_there_are() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::log(dir.path());
    let mut wire = Wire::to(&server).await;
    wire.send(ApiKey::ApiVersions, 99, &[]).await;
    let mut frame = wire.receive().await.unwrap();
    assert_eq!(frame.get_i32(), 7);
    assert_eq!(
        frame.get_i16(),
        35,
        "UNSUPPORTED_VERSION, in the format of version 0"
    );
    let apis = frame.get_i32();
    assert!(apis > 10);
    assert_eq!(frame.remaining(), apis as usize * 6);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_frames_close_their_connection_and_nothing_else() {
    let (_dir, server, mut wire) = serve().await;
    let huge_array = [&[0xff; 14][..], &[0x7f, 0xff, 0xff, 0xff]].concat();
    let mut frames: Vec<Vec<u8>> = vec![
        i32::MAX.to_be_bytes().to_vec(),
        (-1_i32).to_be_bytes().to_vec(),
        vec![0, 0, 0, 1, 9],
        vec![0, 0, 0, 0],
    ];
    for (api, version, body) in [
        (ApiKey::Metadata, 4, &[0x7f, 0xff, 0xff, 0xff, 0][..]),
        (ApiKey::Fetch, 4, &huge_array),
        (ApiKey::Produce, 7, &[0; 9]),
        (ApiKey::Produce, 99, &[]),
        (ApiKey::AlterConfigs, 0, &[]),
        (ApiKey::SyncGroup, 0, &[0xff; 40]),
    ] {
        frames.push(request(api, version, body).to_vec());
    }
    for frame in frames {
        let mut hostile = Wire::to(&server).await;
        hostile.0.write_all(&frame).await.unwrap();
        assert_eq!(hostile.receive().await, None, "{frame:?}");
    }
    assert_eq!(wire.end().await, 0, "other connections go on");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_a_limit_to_connections() {
    let (_dir, server, mut wire) = serve().await;
    let mut open = Vec::new();
    let refused = loop {
        let mut next = Wire::to(&server).await;
        next.send(ApiKey::Metadata, 4, &[0, 0, 0, 0, 0]).await;
        if next.receive().await.is_none() {
            break open.len();
        }
        open.push(next);
    };
    assert!((100..1_000).contains(&refused), "{refused} connections");
    assert_eq!(wire.end().await, 0, "those that are open go on");
    open.truncate(refused / 2);
    let served = async {
        loop {
            let mut next = Wire::to(&server).await;
            next.send(ApiKey::Metadata, 4, &[0, 0, 0, 0, 0]).await;
            if next.receive().await.is_some() {
                return;
            }
        }
    };
    timeout(Duration::from_secs(20), served)
        .await
        .expect("there is room again");
    server.stop().await;
}
