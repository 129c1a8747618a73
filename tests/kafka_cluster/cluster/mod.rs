//! The cluster that `tests/kafka` has started.

mod faults;
mod load;
mod security;
mod store;
mod topics;

use std::fmt;
use std::path::Path;
use std::process::Command;

use bytes::{Buf, BufMut, BytesMut};
use messaging::ids::{Ids, SystemIds};
use messaging::log::kafka::{Config, KafkaLog};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What `tests/kafka up` has printed.
pub(super) fn variable(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: export $(tests/kafka up 3 --secure)"))
}

pub(super) fn config(variable_name: &str) -> Config {
    Config {
        bootstrap: variable(variable_name)
            .split(',')
            .map(str::to_owned)
            .collect(),
        client_id: "test".to_owned(),
    }
}

pub(super) fn log() -> KafkaLog {
    KafkaLog::new(config("MESSAGING_TEST_KAFKA"))
}

/// A name that no topic has yet.
pub(super) fn topic() -> String {
    format!("cluster.{:016x}", SystemIds.random())
}

/// One of the brokers.
#[derive(Clone, Copy)]
pub(super) struct Node(u8);

impl Node {
    pub(super) const ALL: [Self; 3] = [Self(1), Self(2), Self(3)];

    /// Ends it in order.
    pub(super) fn stop(self) {
        self.script("stop");
    }

    /// Ends it at once.
    pub(super) fn kill(self) {
        self.script("kill");
    }

    /// Starts it and waits until it serves.
    pub(super) fn start(self) {
        self.script("start");
    }

    /// Lets it stand still, with its connections open.
    pub(super) fn pause(self) {
        self.script("pause");
    }

    /// Lets it go on as if nothing had happened.
    pub(super) fn resume(self) {
        self.script("resume");
    }

    /// Lets something happen to it, off the threads of the tests.
    pub(super) async fn meet(self, fault: fn(Self)) {
        tokio::task::spawn_blocking(move || fault(self))
            .await
            .unwrap();
    }

    fn script(self, command: &str) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka");
        let status = Command::new(script)
            .args([command, &self.to_string()])
            .env(
                "MESSAGING_TEST_KAFKA_DIR",
                variable("MESSAGING_TEST_KAFKA_DIR"),
            )
            .status()
            .unwrap();
        assert!(status.success(), "{command} {self} failed");
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Creates a compacted topic, by a request written by hand: rskafka's has no settings.
pub(super) async fn create_compacted(topic: &str) {
    const CREATE_TOPICS: i16 = 19;
    const VERSION: i16 = 4;
    const NO_CLIENT_ID: i16 = -1;
    let mut frame = BytesMut::new();
    frame.put_i16(CREATE_TOPICS);
    frame.put_i16(VERSION);
    frame.put_i32(0);
    frame.put_i16(NO_CLIENT_ID);
    frame.put_i32(1);
    put_string(&mut frame, topic);
    frame.put_i32(1);
    frame.put_i16(1);
    frame.put_i32(0);
    frame.put_i32(1);
    put_string(&mut frame, "cleanup.policy");
    put_string(&mut frame, "compact");
    frame.put_i32(5_000);
    frame.put_u8(0);

    let address = config("MESSAGING_TEST_KAFKA").bootstrap.remove(0);
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_i32(i32::try_from(frame.len()).unwrap())
        .await
        .unwrap();
    stream.write_all(&frame).await.unwrap();
    let length = usize::try_from(stream.read_i32().await.unwrap()).unwrap();
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).await.unwrap();
    // Correlation id, throttle time, one topic, its name; then its error code.
    let error_code = (&answer[4 + 4 + 4 + 2 + topic.len()..]).get_i16();
    assert_eq!(error_code, 0);
}

fn put_string(frame: &mut BytesMut, text: &str) {
    frame.put_i16(i16::try_from(text.len()).unwrap());
    frame.put_slice(text.as_bytes());
}
