//! The log and the registry against clients that hold them up, or mean harm.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

mod support;

use std::time::Duration;

use embedded::registry;
use serde_json::{Value, json};
use support::{Server, connect};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// Longer than anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads until the server ends the connection; what came.
async fn ended(mut stream: TcpStream) -> Vec<u8> {
    let mut read = Vec::new();
    // A connection that is cut off has ended too.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut read))
        .await
        .expect("an end");
    read
}

async fn attack(server: &Server, bytes: &[u8]) -> TcpStream {
    let mut stream = connect(server.addr).await;
    // A server that closes early does not take all of it.
    let _ = stream.write_all(bytes).await;
    stream
}

fn registry(dir: &std::path::Path) -> Server {
    let registry = registry::Registry::open(registry::Config::new(dir)).unwrap();
    Server::start(|listener, shutdown| registry.serve(listener, shutdown))
}

async fn post(server: &Server, path: &str, body: &str) -> (u16, Value) {
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: registry\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = ended(attack(server, request.as_bytes()).await).await;
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap())
}

async fn register(server: &Server, subject: &str, schema: &str) -> (u16, Value) {
    let path = format!("/subjects/{subject}/versions");
    post(server, &path, &json!({"schema": schema}).to_string()).await
}

#[tokio::test(start_paused = true)]
async fn a_registrys_connections_end_in_bounded_time_and_make_room() {
    let dir = tempfile::tempdir().unwrap();
    let server = registry(dir.path());
    let begun = Instant::now();
    let mut held = Vec::new();
    for number in 0..300 {
        held.push(match number % 3 {
            0 => attack(&server, b"").await,
            1 => attack(&server, b"GET /subjects HTTP/1.1\r\nhost: r").await,
            _ => {
                attack(
                    &server,
                    b"POST /subjects/a HTTP/1.1\r\ncontent-length: 900\r\n\r\n{",
                )
                .await
            }
        });
    }
    let schema = json!({"schema": "\"int\""}).to_string();
    let (status, _) = post(&server, "/subjects/a", &schema).await;
    assert_eq!(status, 404);
    for stream in held {
        ended(stream).await;
    }
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(40), "{took:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_nested_without_end_is_no_schema() {
    let dir = tempfile::tempdir().unwrap();
    let server = registry(dir.path());
    let deep = 100_000;
    let array = r#"{"type":"array","items":"#.repeat(deep / 10);
    for schema in [
        "[".repeat(deep),
        format!("{}{}", "[".repeat(deep), "]".repeat(deep)),
        format!("{array}\"int\"{}", "}".repeat(deep / 10)),
    ] {
        let (status, told) = register(&server, "deep", &schema).await;
        assert_eq!(status, 422, "{told}");
    }
    let (status, _) = post(&server, "/subjects/a/versions", &"{\"a\":".repeat(deep)).await;
    assert_eq!(status, 400);
    // As deep as JSON may be here.
    let array = r#"{"type":"array","items":"#.repeat(120);
    let schema = format!("{array}\"int\"{}", "}".repeat(120));
    assert_eq!(register(&server, "deep", &schema).await.0, 200);
    assert_eq!(register(&server, "deep", r#""int""#).await.0, 409);
    server.stop().await;
}

/// Records of which each holds the one before it: small, flat, and deep once names are followed.
fn chain(length: usize, is_reader: bool) -> String {
    let link = |at: usize| {
        let of = match at {
            0 => "\"int\"".to_owned(),
            _ => format!("\"R{}\"", at - 1),
        };
        format!(
            r#"{{"name":"l{at}","type":{{"type":"record","name":"R{at}","fields":[{{"name":"of","type":{of}}}]}}}}"#
        )
    };
    let links = (0..length).map(link).collect::<Vec<_>>().join(",");
    let last = format!(r#"{{"name":"last","type":"R{}"}}"#, length - 1);
    let hidden = format!(r#"{{"type":"record","name":"Hidden","fields":[{links}]}}"#);
    let links = match is_reader {
        true => format!(r#"{{"name":"hidden","type":["null",{hidden}],"default":null}}"#),
        false => links,
    };
    format!(r#"{{"type":"record","name":"Root","fields":[{links},{last}]}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_made_to_exhaust_the_stack_is_refused_and_the_registry_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let server = registry(dir.path());
    assert_eq!(register(&server, "a", &chain(1_500, false)).await.0, 200);
    let (status, told) = register(&server, "a", &chain(1_500, true)).await;
    assert_eq!(status, 409);
    let told = told["message"].as_str().unwrap();
    assert!(told.contains("TOO_COMPLEX"), "{told}");
    assert_eq!(register(&server, "b", r#""int""#).await.0, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_keeps_so_many_bytes_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let server = registry(dir.path());
    let large = |number: usize| {
        let doc = "x".repeat(240_000);
        format!(r#"{{"type":"fixed","name":"F{number}","size":1,"doc":"{doc}"}}"#)
    };
    // 139 of them have 32 MiB.
    for number in 0..139 {
        let subject = format!("s{number}");
        assert_eq!(register(&server, &subject, &large(number)).await.0, 200);
    }
    let (status, told) = register(&server, "s139", &large(139)).await;
    assert_eq!(status, 500, "{told}");
    // What is known already takes no more room.
    assert_eq!(register(&server, "again", &large(0)).await.0, 200);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_asks_the_log_nothing_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::log(dir.path());
    let begun = Instant::now();
    let mut silent = Vec::new();
    // No more connections than there may be: all others would be closed at once.
    for number in 0..256 {
        let begin: &[u8] = if number % 2 == 0 { b"" } else { &[0, 0] };
        silent.push(attack(&server, begin).await);
    }
    for stream in silent {
        assert!(ended(stream).await.is_empty());
    }
    let took = begun.elapsed();
    assert!(
        took >= Duration::from_secs(10) && took < Duration::from_secs(25),
        "{took:?}"
    );
    // Announced: too much, less than nothing, and a frame that does not come.
    for (length, most) in [(i32::MAX, 1), (-1, 1), (4 << 20, 11)] {
        let begun = Instant::now();
        assert!(
            ended(attack(&server, &length.to_be_bytes()).await)
                .await
                .is_empty()
        );
        let took = begun.elapsed();
        assert!(took <= Duration::from_secs(most), "{length}: {took:?}");
    }
    server.stop().await;
}

/// A request for the log's versions, which everybody may ask.
fn api_versions() -> Vec<u8> {
    let header = [0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff];
    [&10_i32.to_be_bytes()[..], &header].concat()
}

#[tokio::test(start_paused = true)]
async fn large_requests_that_do_not_come_leave_room_for_small_ones() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::log(dir.path());
    // All the room that there is, by requests of which a byte is missing.
    let frame = [&(4_i32 << 20).to_be_bytes()[..], &vec![0; (4 << 20) - 1]].concat();
    let mut held = Vec::new();
    for _ in 0..20 {
        let mut stream = connect(server.addr).await;
        let _ = timeout(Duration::from_secs(1), stream.write_all(&frame)).await;
        held.push(stream);
    }
    let mut small = attack(&server, &api_versions()).await;
    let mut answer = [0; 8];
    timeout(PATIENCE, small.read_exact(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(answer[4..], [0, 0, 0, 7]);
    for stream in held {
        assert!(ended(stream).await.is_empty());
    }
    server.stop().await;
}
