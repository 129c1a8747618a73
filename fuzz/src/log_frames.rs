//! Whatever a client of the log sends.
//!
//! The bytes are what a connection carries; before them a topic `t` of one partition is made. Promises:
//! there are whole answers, each to a request and in their order, or an orderly end; nothing panics,
//! also not off the connection's own task; and the log can be opened again afterwards.

use embedded::log::{Config, Log};

use super::{block_on, directory};

/// Bytes of memory: a frame of at most 4 MiB and its decoded request, and batches while they are unpacked.
pub const MEMORY: usize = 96 << 20;

/// `CreateTopics` in version 2: topic `t`, one partition, one replica.
const CREATE: &[u8] = b"\0\0\0\x24\0\x13\0\x02\0\0\0\0\xff\xff\0\0\0\x01\0\x01t\0\0\0\x01\0\x01\
    \0\0\0\0\0\0\0\0\0\0\x03\xe8\0";

/// Trial of one connection.
pub fn run(data: &[u8]) {
    let directory = directory();
    let config = Config::new(directory.path());
    let log = Log::open(config.clone()).expect("a new log");
    let (created, ended) = block_on(log.exchange(CREATE));
    assert_eq!(
        (frames(&created).len(), ended),
        (1, None),
        "the topic is made"
    );
    let (answers, ended) = block_on(log.exchange(data));
    let requests = frames(data);
    let mut asked = requests.iter().filter_map(|request| request.get(4..8));
    for answer in frames(&answers) {
        let id = answer
            .get(..4)
            .expect("an answer begins with the request's number");
        assert!(asked.any(|asked| asked == id), "an answer to nothing");
    }
    assert!(ended.is_none_or(|why| !why.is_empty()));
    drop(log);
    Log::open(config).expect("whatever was sent, the log is whole");
}

/// The whole frames that `bytes` begins with, without their lengths.
fn frames(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut frames = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let length = usize::try_from(i32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let Some((frame, rest)) = rest.split_at_checked(length) else {
            break;
        };
        frames.push(frame);
        bytes = rest;
    }
    frames
}
