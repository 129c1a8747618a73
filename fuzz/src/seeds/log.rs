//! What clients of the log send.

use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};

use super::Seed;

/// Uncompressed, of two records.
fn batch() -> Vec<u8> {
    let record = |offset: i64| Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: TimestampType::Creation,
        offset,
        sequence: i32::try_from(offset).expect("few"),
        timestamp: 1_795_000_000_000,
        key: Some(Bytes::from_static(b"ORDER_001")),
        value: Some(Bytes::from_static(b"\0\0\0\0\x01value")),
        headers: [(StrBytes::from("ce_id"), Some(Bytes::from_static(b"1")))]
            .into_iter()
            .collect(),
    };
    let options = RecordEncodeOptions {
        version: 2,
        compression: Compression::None,
    };
    let mut batch = BytesMut::new();
    RecordBatchEncoder::encode(&mut batch, &[record(0), record(1)], &options).expect("a batch");
    batch.to_vec()
}

pub(super) fn batches() -> Vec<Seed> {
    let plain = batch();
    // Snappy: the length of what is packed, and all of it as one literal.
    let records = &plain[61..];
    let length = u8::try_from(records.len()).expect("a short batch");
    let mut snappy = [&plain[..61], &[length | 0x80, 1, 0xf0, length - 1], records].concat();
    if length < 0x80 {
        snappy = [&plain[..61], &[length, 0xf0, length - 1], records].concat();
    }
    snappy[22] = 2;
    let seed = |name: &str, what: u8, batch: &[u8]| {
        ("log_batches", name.to_owned(), [&[what], batch].concat())
    };
    vec![
        seed("sealed", 0, &plain),
        seed("plain", 1, &plain),
        seed("snappy", 1, &snappy),
    ]
}

/// A request of a client without a name, by its API's number and version.
fn request(api: i16, version: i16, body: &[&[u8]]) -> Vec<u8> {
    let body = body.concat();
    let length = u32::try_from(body.len() + 10).expect("a short request");
    let head = [
        &api.to_be_bytes()[..],
        &version.to_be_bytes(),
        &[0, 0, 0, 7],
        &[0xff, 0xff],
    ];
    [&length.to_be_bytes()[..], &head.concat(), &body].concat()
}

pub(super) fn frames() -> Vec<Seed> {
    const ONE: &[u8] = &[0, 0, 0, 1];
    const NONE: &[u8] = &[0, 0, 0, 0];
    const TEXT: &[u8] = &[0, 1, b't'];
    const NULL: &[u8] = &[0xff, 0xff];
    const LONG: &[u8] = &[0; 8];
    let batch = batch();
    let length = u32::try_from(batch.len())
        .expect("a short batch")
        .to_be_bytes();
    let produce = request(
        0,
        7,
        &[
            NULL,
            &[0xff, 0xff],
            ONE,
            ONE,
            TEXT,
            ONE,
            NONE,
            &length,
            &batch,
        ],
    );
    let fetch = request(
        1,
        4,
        &[
            NONE,
            ONE,
            ONE,
            &[0, 1, 0, 0],
            &[0],
            ONE,
            TEXT,
            ONE,
            NONE,
            LONG,
            &[0, 1, 0, 0],
        ],
    );
    let offsets = request(2, 1, &[NONE, ONE, TEXT, ONE, NONE, &[0xff; 8]]);
    let metadata = request(3, 4, &[ONE, TEXT, &[0]]);
    let commit = request(
        8,
        2,
        &[
            TEXT,
            &[0xff; 4],
            &[0, 0],
            LONG,
            ONE,
            TEXT,
            ONE,
            NONE,
            LONG,
            NULL,
        ],
    );
    let committed = request(9, 1, &[TEXT, ONE, TEXT, ONE, NONE]);
    let coordinator = request(10, 0, &[TEXT]);
    let join = request(
        11,
        0,
        &[
            TEXT,
            &[0, 0, 0x27, 0x10],
            &[0, 0],
            TEXT,
            ONE,
            TEXT,
            &[0xff; 4],
        ],
    );
    let heartbeat = request(12, 0, &[TEXT, ONE, TEXT]);
    let leave = request(13, 0, &[TEXT, TEXT]);
    let sync = request(14, 0, &[TEXT, ONE, TEXT, ONE, TEXT, NONE]);
    let versions = request(18, 0, &[]);
    let newest = request(18, 4, &[]);
    let create = request(
        19,
        2,
        &[ONE, &[0, 1, b'u'], ONE, &[0, 1], NONE, NONE, ONE, &[0]],
    );
    let delete = request(20, 1, &[ONE, TEXT, ONE]);
    let trim = request(21, 0, &[ONE, TEXT, ONE, NONE, LONG, ONE]);
    let producer = request(22, 0, &[NULL, ONE]);
    let seed = |name: &str, bytes: &[&[u8]]| ("log_frames", name.to_owned(), bytes.concat());
    vec![
        seed("versions", &[&versions, &newest, &metadata]),
        seed("produce-fetch", &[&produce, &produce, &offsets, &fetch]),
        seed("trim", &[&produce, &trim, &fetch]),
        seed("topics", &[&create, &metadata, &delete, &metadata]),
        seed("offsets", &[&coordinator, &commit, &committed]),
        seed("group", &[&join, &sync, &heartbeat, &leave]),
        seed("producer", &[&producer]),
    ]
}
