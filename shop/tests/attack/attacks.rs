//! The attacks, each with the setting that bounds it.

use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use contracts::proto;
use contracts::proto::order_service_client::OrderServiceClient;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::Streaming;
use tonic::transport::Endpoint;

use crate::wire::{
    CANCEL, CONTINUATION, DATA, INITIAL_WINDOW_SIZE, PING, PREFACE, RST_STREAM, SETTINGS, call,
    frame, half_a_request, malformed_request, request,
};

const GET_ORDER: &str = "/shop.v1.OrderService/GetOrder";

/// How long an attacker tries to write what nobody reads.
const WRITE_MAX: Duration = Duration::from_millis(500);

/// What an attack holds.
#[derive(Default)]
pub(crate) struct Held {
    pub(crate) streams: Vec<TcpStream>,
    pub(crate) watches: Vec<Streaming<proto::WatchOrderResponse>>,
}

type Begin = fn(SocketAddr) -> Pin<Box<dyn Future<Output = Held> + Send>>;

/// An attack.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    /// What bounds it, by its name in the sources.
    pub(crate) setting: &'static str,
    /// Which part is attacked, by its name in the ready file.
    pub(crate) part: &'static str,
    /// When all its connections have ended; `None`: they are held, in a bounded number.
    pub(crate) ends_within: Option<Duration>,
    /// Opens the connections and begins.
    pub(crate) begin: Begin,
}

const fn within(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

/// Those that last longest come first.
pub(crate) const ATTACKS: &[Attack] = &[
    Attack {
        name: "100 connections, 10 bodies each that do not end",
        setting: "CALL_DEADLINE_MAX 30 s; a connection's share of 1,024 calls",
        part: "gateway",
        ends_within: within(45),
        begin: |to| Box::pin(many(to, 100, bodies_without_end())),
    },
    Attack {
        name: "100 connections, 10 answers each without room for them",
        setting: "ANSWER_TAKEN_MAX 30 s; keepalive 20 s and 10 s",
        part: "gateway",
        ends_within: within(62),
        begin: |to| Box::pin(many(to, 100, answers_without_room())),
    },
    Attack {
        name: "100 connections, 20,000 PINGs each, no answer read",
        setting: "h2: one answer waits; keepalive 20 s and 10 s",
        part: "gateway",
        ends_within: within(45),
        begin: |to| Box::pin(many(to, 100, flood(&frame(PING, 0, 0, &[0; 8]), 20_000))),
    },
    Attack {
        name: "100 connections, 20,000 SETTINGS each, no answer read",
        setting: "h2: one answer waits; keepalive 20 s and 10 s",
        part: "gateway",
        ends_within: within(45),
        begin: |to| Box::pin(many(to, 100, flood(&frame(SETTINGS, 0, 0, &[]), 20_000))),
    },
    Attack {
        name: "200 requests of 4 MiB to the log, a byte short",
        setting: "REQUESTS_BYTES_MAX 64 MiB; FIRST_REQUEST_MAX 10 s",
        part: "log",
        ends_within: within(45),
        begin: |to| Box::pin(many(to, 200, frame_without_end())),
    },
    Attack {
        name: "300 requests to the registry whose bodies do not come",
        setting: "CONNECTION_MAX 15 s; 256 connections",
        part: "registry",
        ends_within: within(40),
        begin: |to| {
            Box::pin(many(
                to,
                300,
                b"POST /subjects/a HTTP/1.1\r\ncontent-length: 9999\r\n\r\n{".to_vec(),
            ))
        },
    },
    Attack {
        name: "300 connections that say nothing",
        setting: "HANDSHAKE_MAX 10 s; 1,024 connections",
        part: "gateway",
        ends_within: within(20),
        begin: |to| Box::pin(many(to, 300, vec![])),
    },
    Attack {
        name: "300 halves of a preface",
        setting: "HANDSHAKE_MAX 10 s; 1,024 connections",
        part: "gateway",
        ends_within: within(20),
        begin: |to| Box::pin(many(to, 300, PREFACE[..10].to_vec())),
    },
    Attack {
        name: "200 connections to the log that ask nothing",
        setting: "FIRST_REQUEST_MAX 10 s; 256 connections",
        part: "log",
        ends_within: within(20),
        begin: |to| Box::pin(many(to, 200, vec![0, 0])),
    },
    Attack {
        name: "300 halves of a request for metrics",
        setting: "HANDSHAKE_MAX 10 s; 1,024 connections",
        part: "http",
        ends_within: within(20),
        begin: |to| Box::pin(many(to, 300, b"GET /metrics HTTP/1.1\r\nhost: a".to_vec())),
    },
    Attack {
        name: "100 connections, 5,000 streams each given up at once",
        setting: "h2: 20 resets wait to be accepted",
        part: "gateway",
        ends_within: within(10),
        begin: |to| Box::pin(many(to, 100, given_up_at_once())),
    },
    Attack {
        name: "100 connections, 5,000 malformed streams each",
        setting: "LOCAL_RESETS_MAX 256",
        part: "gateway",
        ends_within: within(10),
        begin: |to| Box::pin(many(to, 100, malformed())),
    },
    Attack {
        name: "100 connections, headers with 20,000 continuations",
        setting: "HEADER_LIST_BYTES_MAX 16 KiB",
        part: "gateway",
        ends_within: within(10),
        begin: |to| Box::pin(many(to, 100, headers_without_end())),
    },
    Attack {
        name: "100 connections, 20 messages of 16,384 groups in groups each, and one that says gzip",
        setting: "prost: 100 levels; REQUEST_BYTES_MAX 1 MiB; no decompression",
        part: "gateway",
        ends_within: within(45),
        begin: |to| Box::pin(many(to, 100, nested_and_compressed())),
    },
    Attack {
        name: "600 watches that nobody reads",
        setting: "STREAMS_IN_FLIGHT_MAX 512, apart from other calls",
        part: "gateway",
        ends_within: None,
        begin: |to| Box::pin(watches(to)),
    },
];

/// Opens `count` connections and writes `bytes` on each, as much as is taken.
async fn many(to: SocketAddr, count: usize, bytes: Vec<u8>) -> Held {
    let one = async |bytes: &[u8]| {
        let mut stream = TcpStream::connect(to).await.unwrap();
        let _ = timeout(WRITE_MAX, stream.write_all(bytes)).await;
        stream
    };
    let streams = futures::future::join_all((0..count).map(|_| one(&bytes))).await;
    Held {
        streams,
        watches: vec![],
    }
}

/// What a client says first, with `settings`.
fn opening(settings: &[u8]) -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, settings)].concat()
}

fn numbers(count: usize) -> impl Iterator<Item = u32> {
    (1..).step_by(2).take(count)
}

fn flood(frame: &[u8], count: usize) -> Vec<u8> {
    [opening(&[]), frame.repeat(count)].concat()
}

fn bodies_without_end() -> Vec<u8> {
    let begin = |stream| [request(stream, GET_ORDER), frame(DATA, 0, stream, &[0, 0])].concat();
    [opening(&[]), numbers(10).flat_map(begin).collect()].concat()
}

/// The framed message that asks for an order.
fn unknown_order() -> Vec<u8> {
    let id = b"UNKNOWN";
    [&[0, 0, 0, 0, 9, 0x0a, 7][..], id].concat()
}

fn answers_without_room() -> Vec<u8> {
    let none = [&INITIAL_WINDOW_SIZE.to_be_bytes()[..], &[0; 4]].concat();
    let path = "/shop.v1.InventoryService/ListStock";
    // An empty message; the answer is a page of products.
    let ask = |stream| call(stream, path, &[0; 5]);
    [opening(&none), numbers(10).flat_map(ask).collect()].concat()
}

fn given_up_at_once() -> Vec<u8> {
    let reset = |stream| {
        let reset = frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes());
        [request(stream, GET_ORDER), reset].concat()
    };
    [opening(&[]), numbers(5_000).flat_map(reset).collect()].concat()
}

fn malformed() -> Vec<u8> {
    [
        opening(&[]),
        numbers(5_000).flat_map(malformed_request).collect(),
    ]
    .concat()
}

fn headers_without_end() -> Vec<u8> {
    let more = frame(CONTINUATION, 0, 1, b"\0\x01a\x01b").repeat(20_000);
    [opening(&[]), half_a_request(1, GET_ORDER), more].concat()
}

fn nested_and_compressed() -> Vec<u8> {
    let len = 16 << 10;
    let nested = [&[0, 0, 0, 0x40, 0][..], &vec![0x7b; len]].concat();
    let mut compressed = unknown_order();
    compressed[0] = 1;
    let nested = numbers(20).flat_map(|stream| call(stream, GET_ORDER, &nested));
    let mut bytes = [opening(&[]), nested.collect()].concat();
    bytes.extend(call(41, GET_ORDER, &compressed));
    bytes
}

fn frame_without_end() -> Vec<u8> {
    let len: usize = 4 << 20;
    let mut bytes = i32::try_from(len).unwrap().to_be_bytes().to_vec();
    bytes.resize(4 + len - 1, 0);
    bytes
}

/// Opens more watches than there may be, on six connections; those that are refused are not held.
async fn watches(to: SocketAddr) -> Held {
    let mut watches = Vec::new();
    for _ in 0..6 {
        let endpoint = Endpoint::from_shared(format!("http://{to}")).unwrap();
        let client = OrderServiceClient::new(endpoint.connect().await.unwrap());
        let one = async |number: usize| {
            let request = proto::WatchOrderRequest {
                order_id: format!("WATCHED_{number}"),
                after_version: 0,
            };
            client.clone().watch_order(request).await.ok()
        };
        let opened = futures::future::join_all((0..100).map(one)).await;
        watches.extend(
            opened
                .into_iter()
                .flatten()
                .map(tonic::Response::into_inner),
        );
    }
    assert!(
        (300..=512).contains(&watches.len()),
        "{} watches",
        watches.len()
    );
    Held {
        streams: vec![],
        watches,
    }
}
