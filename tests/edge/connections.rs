//! Attacks on connections: silent, half open, flooding, too many, too old.

use std::time::Duration;

use messaging::server::Limits;

use crate::service::{GET_ORDER, Server, get};
use crate::wire::{
    CANCEL, ENHANCE_YOUR_CALM, GOAWAY, NO_ERROR, PING, PREFACE, REFUSED_STREAM, RST_STREAM,
    SETTINGS, Wire, frame, malformed_request, request,
};

#[tokio::test]
async fn half_a_preface_is_given_up() {
    let server = Server::start(Limits {
        handshake_max: Duration::from_millis(100),
        ..Limits::default()
    });
    let mut silent = Wire::connect(server.addr).await;
    let mut half = Wire::connect(server.addr).await;
    half.write(&PREFACE[..10]).await;
    silent.ended().await;
    half.ended().await;
}

#[tokio::test]
async fn another_protocol_is_refused_at_once() {
    let server = Server::start(Limits::default());
    let mut browser = Wire::connect(server.addr).await;
    browser.write(b"GET / HTTP/1.1\r\n").await;
    browser.ended().await;
}

#[tokio::test]
async fn a_connection_that_answers_no_ping_is_closed() {
    let server = Server::start(Limits {
        keepalive_interval: Duration::from_millis(50),
        keepalive_timeout: Duration::from_millis(50),
        ..Limits::default()
    });
    let mut wire = Wire::open(server.addr).await;
    wire.read_until(PING).await.expect("a ping");
    wire.ended().await;
}

#[tokio::test]
async fn streams_beyond_the_limit_are_refused() {
    let server = Server::start(Limits {
        streams_per_connection_max: 2,
        ..Limits::default()
    });
    let mut wire = Wire::open(server.addr).await;
    for stream in [1, 3, 5] {
        wire.write(&request(stream, GET_ORDER)).await;
    }
    let refused = wire.read_until(RST_STREAM).await.expect("a reset");
    assert_eq!((refused.stream, refused.error_code()), (5, REFUSED_STREAM));
}

#[tokio::test]
async fn a_flood_of_bad_streams_ends_the_connection() {
    let limit = 20;
    let server = Server::start(Limits {
        local_resets_max: limit,
        ..Limits::default()
    });
    let mut wire = Wire::open(server.addr).await;
    for stream in (1..).step_by(2).take(limit + 2) {
        wire.write(&malformed_request(stream)).await;
    }
    let farewell = wire.read_until(GOAWAY).await.expect("a GOAWAY");
    assert_eq!(farewell.error_code(), ENHANCE_YOUR_CALM);
    server.client().get_order(get("any")).await.unwrap();
}

/// The attack known as rapid reset (CVE-2023-44487).
#[tokio::test]
async fn a_flood_of_streams_given_up_at_once_ends_the_connection() {
    let server = Server::start(Limits::default());
    let mut wire = Wire::open(server.addr).await;
    let mut flood = Vec::new();
    for stream in (1..).step_by(2).take(500) {
        flood.extend(request(stream, GET_ORDER));
        flood.extend(frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes()));
    }
    wire.write(&flood).await;
    let farewell = wire.read_until(GOAWAY).await.expect("a GOAWAY");
    assert_eq!(farewell.error_code(), ENHANCE_YOUR_CALM);
    server.client().get_order(get("any")).await.unwrap();
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_room() {
    let server = Server::start(Limits {
        connections_max: 1,
        ..Limits::default()
    });
    let mut first = Wire::open(server.addr).await;
    first.read_until(SETTINGS).await.expect("settings");
    let mut second = Wire::open(server.addr).await;
    assert!(second.silent_for(Duration::from_millis(200)).await);
    drop(first);
    second.read_until(SETTINGS).await.expect("settings");
}

#[tokio::test]
async fn an_aged_connection_is_asked_to_go_and_then_closed() {
    let server = Server::start(Limits {
        connection_age_max: Duration::from_millis(50),
        connection_age_grace: Duration::from_millis(50),
        ..Limits::default()
    });
    let mut wire = Wire::open(server.addr).await;
    wire.write(&request(1, GET_ORDER)).await;
    let farewell = wire.read_until(GOAWAY).await.expect("a GOAWAY");
    assert_eq!(farewell.error_code(), NO_ERROR);
    wire.ended().await;
}
