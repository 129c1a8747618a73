//! Attacks on calls: too long, too large, too many, and handlers that panic.

use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use messaging::limits;
use messaging::server::Limits;
use tokio::net::TcpStream;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

use crate::service::{GET_ORDER, Server, WATCH_ORDER, get, soon, watch_request};

/// A call by a client that leaves the watching of its deadline to the server; returns
/// `grpc-status`. `message` is the
/// framed request.
async fn call_with_timeout(server: &Server, path: &str, timeout: &str, message: Vec<u8>) -> String {
    call_with_header(server, path, ("grpc-timeout", timeout), message).await
}

/// As [`call_with_timeout`], with any header.
pub(crate) async fn call_with_header(
    server: &Server,
    path: &str,
    (name, value): (&str, &str),
    message: Vec<u8>,
) -> String {
    let stream = TcpStream::connect(server.addr).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let call = async {
        let request = hyper::Request::post(format!("http://edge.test{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header(name, value)
            .body(Full::new(bytes::Bytes::from(message)))
            .unwrap();
        let response = sender.send_request(request).await.unwrap();
        let status = response.headers().get("grpc-status").cloned();
        let trailers = response.into_body().collect().await.unwrap();
        let trailers = trailers
            .trailers()
            .and_then(|map| map.get("grpc-status").cloned());
        status.or(trailers).unwrap().to_str().unwrap().to_owned()
    };
    tokio::select! {
        status = soon(call) => status,
        ended = connection => panic!("the connection ended: {ended:?}"),
    }
}

/// The framed message that asks for an order: not compressed, length, in field 1 a message whose
/// field 1 is the id as text.
pub(crate) fn framed(order_id: &str) -> Vec<u8> {
    let len = u8::try_from(order_id.len()).unwrap();
    let mut frame = vec![0, 0, 0, 0, len + 4, 0x0a, len + 2, 0x0a, len];
    frame.extend_from_slice(order_id.as_bytes());
    frame
}

fn exceeded() -> String {
    (Code::DeadlineExceeded as i32).to_string()
}

#[tokio::test]
async fn the_clients_deadline_is_answered_as_exceeded_and_the_handler_dropped() {
    let server = Server::start(Limits::default());
    let status = call_with_timeout(&server, GET_ORDER, "100m", framed("hang")).await;
    assert_eq!(status, exceeded());
    server.running(0).await;
}

#[tokio::test]
async fn a_stream_ends_with_the_clients_deadline() {
    let server = Server::start(Limits::default());
    let status = call_with_timeout(&server, WATCH_ORDER, "100m", framed("any")).await;
    assert_eq!(status, exceeded());
}

#[tokio::test]
async fn a_longer_deadline_than_the_servers_is_capped() {
    let server = Server::start(Limits {
        call_deadline_max: Duration::from_millis(100),
        ..Limits::default()
    });
    let status = call_with_timeout(&server, GET_ORDER, "1H", framed("hang")).await;
    assert_eq!(status, exceeded());
}

#[tokio::test]
async fn a_request_that_dribbles_in_meets_the_deadline() {
    let server = Server::start(Limits {
        call_deadline_max: Duration::from_millis(100),
        ..Limits::default()
    });
    let mut wire = crate::wire::Wire::open(server.addr).await;
    wire.write(&crate::wire::request(1, GET_ORDER)).await;
    let answer = wire.read_until(crate::wire::HEADERS).await.unwrap();
    assert_eq!(answer.stream, 1);
}

#[tokio::test]
async fn a_stream_outlives_the_cap_of_unary_calls() {
    let server = Server::start(Limits {
        call_deadline_max: Duration::from_millis(100),
        ..Limits::default()
    });
    let mut client = server.client();
    let mut watch = client
        .watch_order(watch_request())
        .await
        .unwrap()
        .into_inner();
    // The cap passes for a call that was started after the watch.
    let capped = client.get_order(get("hang")).await.unwrap_err();
    assert_eq!(capped.code(), Code::DeadlineExceeded);
    server.events.release.notify_one();
    assert!(soon(watch.message()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_and_the_connection_goes_on() {
    let server = Server::start(Limits::default());
    let mut client = server.client();
    for _ in 0..3 {
        let large = get(&"x".repeat(limits::REQUEST_BYTES_MAX + 1));
        let refused = client.get_order(large).await.unwrap_err();
        assert_eq!(refused.code(), Code::OutOfRange, "{refused:?}");
        client.get_order(get("small")).await.unwrap();
    }
}

#[tokio::test]
async fn headers_over_the_limit_are_refused_and_the_connection_goes_on() {
    let server = Server::start(Limits::default());
    let mut client = server.client();
    let mut request = Request::new(get("small"));
    let large = "x".repeat(limits::HEADER_LIST_BYTES_MAX as usize);
    request
        .metadata_mut()
        .insert("large", large.parse().unwrap());
    client.get_order(request).await.unwrap_err();
    client.get_order(get("small")).await.unwrap();
}

#[tokio::test]
async fn calls_beyond_the_limit_are_shed_with_advice_but_health_answers() {
    let server = Server::start(Limits {
        calls_in_flight_max: 1,
        ..Limits::default()
    });
    let mut other = server.client();
    let waiting = async { server.client().get_order(get("wait")).await.unwrap() };
    let attack = async {
        server.running(1).await;
        let shed = other.get_order(get("any")).await.unwrap_err();
        assert_eq!(shed.code(), Code::ResourceExhausted);
        let advice = shed.get_error_details().retry_info().unwrap().retry_delay;
        assert_eq!(advice, Some(limits::RETRY_AFTER));
        HealthClient::new(server.channel())
            .check(HealthCheckRequest::default())
            .await
            .unwrap();
        server.events.release.notify_one();
    };
    tokio::join!(waiting, attack);
    other.get_order(get("any")).await.unwrap();
}

#[tokio::test]
async fn a_panic_is_internal_without_its_words_and_the_connection_goes_on() {
    let server = Server::start(Limits::default());
    let mut client = server.client();
    let status = client.get_order(get("panic")).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert!(!format!("{status:?}").contains("secret"), "{status:?}");
    client.get_order(get("any")).await.unwrap();
}

#[tokio::test]
async fn an_unknown_method_is_unimplemented() {
    let server = Server::start(Limits::default());
    let path = "/shop.v1.OrderQueryService/Nothing";
    let status = call_with_timeout(&server, path, "5S", framed("any")).await;
    assert_eq!(status, (Code::Unimplemented as i32).to_string());
}
