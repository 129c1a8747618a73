//! Reflection, and what operators see over HTTP.

use std::time::Duration;

use futures::StreamExt;
use messaging::health::{Condition, Health};
use messaging::server::{self, Limits};
use messaging::spawner::{Spawner, TokioSpawner};
use messaging::telemetry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tonic_reflection::pb::{v1, v1alpha};

use crate::service::{Server, get, list, soon};
use crate::wire::{HEADERS, Wire, request};

/// Answer of the operators' server to `GET path`: status code and body.
async fn fetch(addr: std::net::SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: edge.test\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let code = head.split_whitespace().nth(1).unwrap().parse().unwrap();
    (code, body.to_owned())
}

#[tokio::test]
async fn readiness_tells_the_condition_of_every_part() {
    let listener = server::bind("--listen-http", "127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = listener.local_addr().unwrap();
    let health = Health::new();
    health.set("shard 0", Condition::Running);
    let shutdown = CancellationToken::new();
    let services = vec![("order".to_owned(), health.clone())];
    let serving = server::serve_http(listener, services, telemetry::metrics(), shutdown.clone());
    let task = TokioSpawner.spawn("http", Box::pin(async { serving.await.unwrap() }));

    assert_eq!(fetch(addr, "/livez").await, (200, "ok\n".to_owned()));
    assert_eq!(fetch(addr, "/readyz").await.0, 200);
    health.set(
        "shard 1",
        Condition::Stalled {
            reason: "the log is down".to_owned(),
        },
    );
    let (code, body) = fetch(addr, "/readyz").await;
    assert_eq!(code, 503);
    let report: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(report["ready"], false);
    let parts = &report["services"]["order"]["parts"];
    assert_eq!(parts["shard 0"]["condition"], "running");
    assert_eq!(parts["shard 1"]["reason"], "the log is down");
    let (code, metrics) = fetch(addr, "/metrics").await;
    assert_eq!(code, 200);
    assert!(metrics.contains("build_info"), "{metrics}");

    shutdown.cancel();
    soon(task.join()).await.unwrap();
}

/// Reads until the server ends the connection; how many bytes came.
async fn read_all(mut stream: TcpStream) -> usize {
    let mut read = Vec::new();
    // A connection that is cut off has ended too.
    let _ = soon(stream.read_to_end(&mut read)).await;
    read.len()
}

#[tokio::test]
async fn operators_connections_are_bounded_in_number_and_time() {
    let listener = server::bind("--listen-http", "127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = listener.local_addr().unwrap();
    let limits = Limits {
        connections_max: 3,
        handshake_max: Duration::from_millis(200),
        call_deadline_max: Duration::from_millis(600),
        ..Limits::default()
    };
    let shutdown = CancellationToken::new();
    let serving = server::serve_http_within(
        limits,
        listener,
        vec![],
        telemetry::metrics(),
        shutdown.clone(),
    );
    let task = TokioSpawner.spawn("http", Box::pin(async { serving.await.unwrap() }));
    let attack = async |bytes: &[u8]| {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream
    };
    // Each holds one of three places, until its time is over.
    let held = [
        attack(b"").await,
        attack(b"GET /livez HTTP/1.1\r\nhost: e").await,
        attack(b"POST /livez HTTP/1.1\r\ncontent-length: 9999999999\r\n\r\nx").await,
    ];
    assert_eq!(fetch(addr, "/livez").await.0, 200);
    for stream in held {
        read_all(stream).await;
    }
    // One request each: a second one is not answered.
    let both = b"GET /livez HTTP/1.1\r\nhost: e\r\n\r\n".repeat(2);
    let answered = read_all(attack(&both).await).await;
    assert!(answered > 0 && answered < 250, "{answered} bytes");
    // Who says it is compressed, or sends large headers, gets no more than a refusal.
    let large = format!("GET /livez HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(1 << 20));
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let _ = stream.write_all(large.as_bytes()).await;
    assert!(read_all(stream).await < 250);
    assert_eq!(fetch(addr, "/livez").await.0, 200);
    shutdown.cancel();
    soon(task.join()).await.unwrap();
}

#[tokio::test]
async fn reflection_lists_the_services_in_both_versions() {
    let server = Server::start(Limits::default());

    let mut client = v1::server_reflection_client::ServerReflectionClient::new(server.channel());
    let list = v1::server_reflection_request::MessageRequest::ListServices(String::new());
    let request = v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(list),
    };
    let answers = client
        .server_reflection_info(futures::stream::iter([request]))
        .await
        .unwrap();
    let answer = soon(answers.into_inner().next()).await.unwrap().unwrap();
    let text = format!("{answer:?}");
    for name in ["shop.v1.OrderQueryService", "grpc.health.v1.Health"] {
        assert!(text.contains(name), "{text}");
    }
    // Described by the same descriptors, but not served here.
    assert!(!text.contains("shop.v1.StockQueryService"), "{text}");

    let mut client =
        v1alpha::server_reflection_client::ServerReflectionClient::new(server.channel());
    let list = v1alpha::server_reflection_request::MessageRequest::ListServices(String::new());
    let request = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(list),
    };
    let answers = client
        .server_reflection_info(futures::stream::iter([request]))
        .await
        .unwrap();
    let answer = soon(answers.into_inner().next()).await.unwrap().unwrap();
    assert!(format!("{answer:?}").contains("shop.v1.OrderQueryService"));
}

#[tokio::test]
async fn calls_are_counted_by_method_and_code() {
    let metrics = telemetry::metrics();
    let server = Server::start(Limits::default());
    let mut client = server.client();
    client.get_order(get("any")).await.unwrap();
    client.list_orders(list()).await.unwrap_err();
    let refused = client.get_order(get(&"x".repeat(2 << 20))).await;
    refused.unwrap_err();
    let text = metrics.render();
    for line in [
        r#"grpc_server_calls_total{method="/shop.v1.OrderQueryService/GetOrder",code="Ok"}"#,
        r#"grpc_server_calls_total{method="/shop.v1.OrderQueryService/GetOrder",code="OutOfRange"}"#,
        r#"grpc_server_calls_total{method="/shop.v1.OrderQueryService/ListOrders",code="Unimplemented"}"#,
        r#"grpc_server_answer_seconds_count{method="/shop.v1.OrderQueryService/GetOrder",code="OutOfRange"}"#,
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn paths_made_up_by_clients_become_no_labels() {
    let metrics = telemetry::metrics();
    let none_in_flight = Limits {
        calls_in_flight_max: 0,
        ..Limits::default()
    };
    // One server that does not know the method, and one that refuses before it could know.
    for limits in [Limits::default(), none_in_flight] {
        let server = Server::start(limits);
        let mut wire = Wire::open(server.addr).await;
        wire.write(&request(1, "/made.Up/Path")).await;
        wire.read_until(HEADERS).await.unwrap();
    }
    let text = metrics.render();
    assert!(!text.contains("made.Up"), "{text}");
    for code in ["Unimplemented", "ResourceExhausted"] {
        let line = format!(r#"grpc_server_answer_seconds_count{{method="unknown",code="{code}"}}"#);
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
}
