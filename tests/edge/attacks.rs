//! Attacks with what is allowed: headers without end, answers that nobody takes, messages that are not what
//! they seem, and calls that are held.

use std::time::Duration;

use messaging::limits;
use messaging::server::Limits;
use tokio::net::TcpStream;
use tonic::Code;

use crate::calls::{call_with_header, framed};
use crate::service::{GET_ORDER, Server, get, soon, watch_request};
use crate::wire::{
    CONTINUATION, DATA, ENHANCE_YOUR_CALM, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE, PING, SETTINGS,
    Wire, call, frame, half_a_request, request,
};

/// A connection's flood of control frames, none of which is answered by reading.
const CONTROL_FRAMES: usize = 20_000;

fn code(code: Code) -> String {
    (code as i32).to_string()
}

#[tokio::test]
async fn connections_that_say_nothing_make_room_in_bounded_time() {
    let server = Server::start(Limits {
        connections_max: 50,
        handshake_max: Duration::from_millis(300),
        ..Limits::default()
    });
    let mut silent = Vec::new();
    for _ in 0..120 {
        silent.push(TcpStream::connect(server.addr).await.unwrap());
    }
    // Behind all of them, so after three times the limit at most.
    soon(server.client().get_order(get("any"))).await.unwrap();
}

/// The attack known as CONTINUATION flood (CVE-2024-27316 and others).
#[tokio::test]
async fn headers_without_an_end_end_the_connection() {
    let server = Server::start(Limits::default());
    for fragment in [&[][..], b"\0\x01a\x01b"] {
        let mut wire = Wire::open(server.addr).await;
        let mut flood = half_a_request(1, GET_ORDER);
        for _ in 0..10_000 {
            flood.extend(frame(CONTINUATION, 0, 1, fragment));
        }
        wire.write(&flood).await;
        let farewell = wire.read_until(GOAWAY).await;
        // It may be lost: the server closes while there is more to read.
        if let Some(farewell) = farewell {
            assert_eq!(farewell.error_code(), ENHANCE_YOUR_CALM);
        }
        wire.ended().await;
    }
    server.client().get_order(get("any")).await.unwrap();
}

#[tokio::test]
async fn floods_of_control_frames_hold_nobody_up_and_end() {
    let server = Server::start(Limits {
        keepalive_interval: Duration::from_millis(100),
        keepalive_timeout: Duration::from_millis(100),
        ..Limits::default()
    });
    for flooding in [frame(PING, 0, 0, &[0; 8]), frame(SETTINGS, 0, 0, &[])] {
        let mut wire = Wire::open(server.addr).await;
        // No answer is read, so the server stops reading: what does not fit is never written.
        let flood = flooding.repeat(CONTROL_FRAMES);
        let _ = tokio::time::timeout(Duration::from_millis(500), wire.write(&flood)).await;
        soon(server.client().get_order(get("any"))).await.unwrap();
        wire.ended().await;
    }
}

#[tokio::test]
async fn an_answer_that_is_not_taken_ends_its_connection() {
    let server = Server::start(Limits {
        calls_in_flight_max: 1,
        answer_taken_max: Duration::from_millis(300),
        ..Limits::default()
    });
    let mut wire = Wire::open_with(server.addr, &[(INITIAL_WINDOW_SIZE, 0)]).await;
    wire.write(&call(1, GET_ORDER, &framed("any"))).await;
    wire.read_until(HEADERS).await.expect("an answer begins");
    let shed = server.client().get_order(get("any")).await.unwrap_err();
    assert_eq!(shed.code(), Code::ResourceExhausted);
    wire.ended().await;
    server.client().get_order(get("any")).await.unwrap();
}

#[tokio::test]
async fn a_watch_that_is_not_read_is_left_alone_and_takes_no_call_away() {
    let server = Server::start(Limits {
        streams_in_flight_max: 1,
        calls_in_flight_max: 1,
        answer_taken_max: Duration::from_millis(50),
        ..Limits::default()
    });
    let mut client = server.client();
    let mut watch = client
        .watch_order(watch_request())
        .await
        .unwrap()
        .into_inner();
    let shed = server.client().watch_order(watch_request()).await;
    assert_eq!(shed.unwrap_err().code(), Code::ResourceExhausted);
    for _ in 0..10 {
        client.get_order(get("any")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.events.release.notify_one();
    assert!(soon(watch.message()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_connection_leaves_as_many_calls_to_others_as_it_has() {
    let server = Server::start(Limits {
        calls_in_flight_max: 4,
        ..Limits::default()
    });
    let greedy = server.client();
    let held = async {
        let mut clients = [greedy.clone(), greedy.clone()];
        let [first, second] = &mut clients;
        let (first, second) =
            tokio::join!(first.get_order(get("wait")), second.get_order(get("wait")));
        first.unwrap();
        second.unwrap();
    };
    let attack = async {
        server.running(2).await;
        let shed = greedy.clone().get_order(get("any")).await.unwrap_err();
        assert_eq!(shed.code(), Code::ResourceExhausted);
        server.client().get_order(get("any")).await.unwrap();
        server.events.release.notify_one();
        server.running(1).await;
        server.events.release.notify_one();
    };
    tokio::join!(held, attack);
}

#[tokio::test]
async fn a_message_that_announces_too_much_is_refused_before_it_comes() {
    let server = Server::start(Limits::default());
    let mut wire = Wire::open(server.addr).await;
    wire.write(&request(1, GET_ORDER)).await;
    let announced = u32::try_from(limits::REQUEST_BYTES_MAX + 1).unwrap();
    let prefix = [&[0][..], &announced.to_be_bytes()].concat();
    wire.write(&frame(DATA, 0, 1, &prefix)).await;
    let answer = wire.read_until(HEADERS).await.expect("an answer");
    assert_eq!(answer.stream, 1);
}

/// Nothing is decompressed: a bomb stays what it was on the wire.
#[tokio::test]
async fn compressed_messages_are_refused() {
    let server = Server::start(Limits::default());
    for (encoding, refused) in [
        ("gzip", Code::Unimplemented),
        ("deflate", Code::Unimplemented),
        ("zstd", Code::Unimplemented),
        ("identity", Code::Internal),
    ] {
        let mut bomb = framed("any");
        bomb[0] = 1;
        let status = call_with_header(&server, GET_ORDER, ("grpc-encoding", encoding), bomb).await;
        assert_eq!(status, code(refused), "{encoding}");
    }
}

#[tokio::test]
async fn messages_inside_messages_without_end_are_refused() {
    let server = Server::start(Limits::default());
    // The beginning of group 15, again and again: an unknown field, skipped by going down into it.
    let groups = vec![0x7b; limits::REQUEST_BYTES_MAX / 2];
    let len = u32::try_from(groups.len()).unwrap().to_be_bytes();
    let framed = [&[0][..], &len, &groups].concat();
    let header = ("grpc-timeout", "5S");
    let status = call_with_header(&server, GET_ORDER, header, framed).await;
    assert_eq!(status, code(Code::Internal));
    server.client().get_order(get("any")).await.unwrap();
}
