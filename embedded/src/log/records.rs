//! Looks into a batch: to refuse what would poison a consumer, and to find a record by time.
//!
//! Consumers built on rskafka stop for good at a batch they cannot read (a header without a
//! value, an unknown compression, a transaction marker, a count that does not fit), so the log
//! takes nothing that such a consumer could not take back out.

use std::io::Read;

use super::batch::{HEADER_BYTES, Header, Malformed};
use super::limits::{BATCH_BYTES_MAX, BATCH_BYTES_UNCOMPRESSED_MAX};

/// Why a batch is refused. The log then stays as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// The checksum or the structure of the header is wrong.
    #[error("the batch is damaged")]
    Damaged,
    /// Message format 0 or 1.
    #[error("the message format is too old: only record batches of version 2 are stored")]
    OldFormat,
    /// Longer than the limit, as sent or once decompressed.
    #[error("the batch is longer than the log stores")]
    TooLarge,
    /// A codec that consumers of this log cannot read.
    #[error("the compression is not supported: use none, gzip or snappy")]
    Compression,
    /// The records break a rule.
    #[error("{0}")]
    Invalid(&'static str),
}

const ONE_BATCH: &str = "a request carries exactly one batch for a partition";
const TRANSACTION: Refusal =
    Refusal::Invalid("transactional and control batches are not supported");

/// Where a record stands and when it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Offset in the batch.
    pub(super) offset_delta: i32,
    /// Milliseconds since the Unix epoch.
    pub(super) timestamp: i64,
}

/// Checks the payload of one partition of a produce request: exactly one sound batch that every
/// consumer can read.
pub(super) fn check(bytes: &[u8]) -> Result<Header, Refusal> {
    let header = Header::verify(bytes).map_err(|malformed| match malformed {
        Malformed::OldFormat => Refusal::OldFormat,
        Malformed::Short | Malformed::Damaged => Refusal::Damaged,
    })?;
    if header.bytes > BATCH_BYTES_MAX {
        return Err(Refusal::TooLarge);
    }
    if header.bytes != bytes.len() {
        return Err(Refusal::Invalid(ONE_BATCH));
    }
    if header.is_transactional_or_control() {
        return Err(TRANSACTION);
    }
    if header.count < 1 || header.last_offset_delta != header.count - 1 {
        return Err(Refusal::Invalid(
            "the record count does not fit the offsets",
        ));
    }
    let stamps = stamps(&header, bytes)?;
    if !is_time(header.max_timestamp) || !stamps.iter().all(|stamp| is_time(stamp.timestamp)) {
        return Err(Refusal::Invalid("a timestamp is out of range"));
    }
    Ok(header)
}

/// Offset and time of every record of a batch, proving on the way that all of it can be read.
pub(super) fn stamps(header: &Header, batch: &[u8]) -> Result<Vec<Stamp>, Refusal> {
    let packed = &batch[HEADER_BYTES..header.bytes];
    let unpacked;
    let mut records = match header.compression() {
        0 => packed,
        1 => {
            unpacked = gunzip(packed)?;
            &unpacked[..]
        }
        2 => {
            unpacked = unsnap(packed)?;
            &unpacked[..]
        }
        _ => return Err(Refusal::Compression),
    };
    let mut stamps = Vec::new();
    for expected_delta in 0..header.count {
        let stamp = read_record(&mut records, header.base_timestamp).ok_or(Refusal::Invalid(
            "a record is malformed or has a header without a value",
        ))?;
        if stamp.offset_delta != expected_delta {
            return Err(Refusal::Invalid("the records are not numbered in sequence"));
        }
        stamps.push(stamp);
    }
    if !records.is_empty() {
        return Err(Refusal::Invalid("there is data behind the last record"));
    }
    Ok(stamps)
}

/// Between the years 0 and 9999: what every client's calendar can hold, and -1 for "no time".
fn is_time(timestamp: i64) -> bool {
    (-62_167_219_200_000..=253_402_300_799_999).contains(&timestamp)
}

/// Reads one record off the front, if it is sound.
fn read_record(input: &mut &[u8], base_timestamp: i64) -> Option<Stamp> {
    let length = usize::try_from(varint(input)?).ok()?;
    let (mut record, rest) = input.split_at_checked(length)?;
    *input = rest;
    let record = &mut record;
    take(record, 1)?; // attributes
    let timestamp = base_timestamp.checked_add(varint(record)?)?;
    let offset_delta = i32::try_from(varint(record)?).ok()?;
    nullable(record)?; // key
    nullable(record)?; // value
    for _ in 0..u32::try_from(varint(record)?).ok()? {
        let name = usize::try_from(varint(record)?).ok()?;
        std::str::from_utf8(take(record, name)?).ok()?;
        let value = usize::try_from(varint(record)?).ok()?;
        take(record, value)?;
    }
    record.is_empty().then_some(Stamp {
        offset_delta,
        timestamp,
    })
}

fn nullable(input: &mut &[u8]) -> Option<()> {
    match i32::try_from(varint(input)?).ok()? {
        -1 => Some(()),
        length => take(input, usize::try_from(length).ok()?).map(drop),
    }
}

fn take<'a>(input: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = input.split_at_checked(length)?;
    *input = rest;
    Some(taken)
}

/// A zigzag variable-length integer of up to 64 bits.
fn varint(input: &mut &[u8]) -> Option<i64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = input.split_first()?;
        *input = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    None
}

fn gunzip(packed: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut unpacked = Vec::new();
    let limit = BATCH_BYTES_UNCOMPRESSED_MAX as u64 + 1;
    let mut decoder = flate2::read::GzDecoder::new(packed);
    let read = decoder.by_ref().take(limit).read_to_end(&mut unpacked);
    read.map_err(|_| Refusal::Invalid("the gzip data is damaged"))?;
    if unpacked.len() as u64 == limit {
        return Err(Refusal::TooLarge);
    }
    if !decoder.into_inner().is_empty() {
        return Err(Refusal::Invalid("there is data behind the gzip block"));
    }
    Ok(unpacked)
}

/// Snappy as a single block, or framed the way Java clients do.
fn unsnap(packed: &[u8]) -> Result<Vec<u8>, Refusal> {
    const JAVA_HEADER: &[u8] = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
    let Some(mut framed) = packed.strip_prefix(JAVA_HEADER) else {
        return unsnap_block(packed, BATCH_BYTES_UNCOMPRESSED_MAX);
    };
    let mut unpacked = Vec::new();
    while !framed.is_empty() {
        let damaged = Refusal::Invalid("the snappy data is damaged");
        let (length, rest) = framed.split_first_chunk::<4>().ok_or(damaged)?;
        let length = u32::from_be_bytes(*length) as usize;
        let (block, rest) = rest.split_at_checked(length).ok_or(damaged)?;
        framed = rest;
        unpacked.extend(unsnap_block(
            block,
            BATCH_BYTES_UNCOMPRESSED_MAX.saturating_sub(unpacked.len()),
        )?);
    }
    Ok(unpacked)
}

fn unsnap_block(block: &[u8], bytes_max: usize) -> Result<Vec<u8>, Refusal> {
    let damaged = Refusal::Invalid("the snappy data is damaged");
    if block.is_empty() {
        return Err(damaged);
    }
    if snap::raw::decompress_len(block).map_err(|_| damaged)? > bytes_max {
        return Err(Refusal::TooLarge);
    }
    snap::raw::Decoder::new()
        .decompress_vec(block)
        .map_err(|_| damaged)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use kafka_protocol::protocol::StrBytes;
    use kafka_protocol::records::{Compression, Record};
    use proptest::prelude::*;

    use super::*;
    use crate::log::testing::{batch, encode, record, reseal};

    const GZIP: Compression = Compression::Gzip;
    const SNAPPY: Compression = Compression::Snappy;

    /// A batch whose attributes, behind the checksum, are set to something else.
    fn with_attributes(attributes: u8) -> Vec<u8> {
        let mut changed = batch(&["a"]).to_vec();
        changed[22] = attributes;
        reseal(&mut changed);
        changed
    }

    fn with_header(value: Option<&'static [u8]>, compression: Compression) -> Bytes {
        let mut poisoned = record(0, b"a", 1);
        poisoned.headers = [(StrBytes::from("h"), value.map(Bytes::from_static))]
            .into_iter()
            .collect();
        encode(&[poisoned], compression)
    }

    #[test]
    fn a_sound_batch_is_taken_in_every_supported_compression() {
        let records = [record(0, b"a", 5), record(1, b"b", 7)];
        for compression in [Compression::None, GZIP, SNAPPY] {
            let header = check(&encode(&records, compression)).unwrap();
            assert_eq!(
                (header.count, header.last_offset_delta, header.max_timestamp),
                (2, 1, 7)
            );
        }
    }

    #[test]
    fn a_header_without_a_value_is_refused_in_every_compression() {
        for compression in [Compression::None, GZIP, SNAPPY] {
            assert_eq!(check(&with_header(Some(b""), compression)).err(), None);
            let refused = check(&with_header(None, compression));
            assert!(matches!(refused, Err(Refusal::Invalid(_))), "{refused:?}");
        }
    }

    #[test]
    fn what_no_consumer_could_read_is_refused() {
        let lz4 = with_attributes(3);
        let zstd = with_attributes(4);
        let transactional = with_attributes(0b1_0000);
        let control = with_attributes(0b10_0000);
        let mislabelled = with_attributes(1);
        let two = [batch(&["a"]), batch(&["b"])].concat();
        let mut count = batch(&["a"]).to_vec();
        count[60] = 2;
        reseal(&mut count);
        let mut delta = batch(&["a", "b"]).to_vec();
        delta[26] = 7;
        reseal(&mut delta);
        let late = encode(&[record(0, b"a", i64::MAX)], Compression::None);
        let mut old = batch(&["a"]).to_vec();
        old[16] = 1;
        let mut flipped = batch(&["a"]).to_vec();
        flipped[70] ^= 1;
        let long = encode(
            &[record(0, &vec![0; BATCH_BYTES_MAX], 1)],
            Compression::None,
        );
        let bomb = encode(
            &[record(0, &vec![0; BATCH_BYTES_UNCOMPRESSED_MAX], 1)],
            GZIP,
        );
        let count_refused = Refusal::Invalid("the record count does not fit the offsets");
        let cases: [(&str, &[u8], Refusal); 13] = [
            ("lz4", &lz4, Refusal::Compression),
            ("zstd", &zstd, Refusal::Compression),
            ("transactional", &transactional, TRANSACTION),
            ("control", &control, TRANSACTION),
            (
                "not the gzip it says",
                &mislabelled,
                Refusal::Invalid("the gzip data is damaged"),
            ),
            ("two batches", &two, Refusal::Invalid(ONE_BATCH)),
            ("a record missing", &count, count_refused),
            ("a last offset that does not fit", &delta, count_refused),
            (
                "a time no calendar holds",
                &late,
                Refusal::Invalid("a timestamp is out of range"),
            ),
            ("message format 1", &old, Refusal::OldFormat),
            ("a flipped bit", &flipped, Refusal::Damaged),
            ("too long", &long, Refusal::TooLarge),
            ("too long once unpacked", &bomb, Refusal::TooLarge),
        ];
        for (what, bytes, expected) in cases {
            assert_eq!(check(bytes), Err(expected), "{what}");
        }
        assert_eq!(check(b""), Err(Refusal::Damaged));
    }

    fn any_record() -> impl Strategy<Value = Record> {
        let bytes = || proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40));
        let headers = proptest::collection::vec(("[a-z]{0,8}", any::<[u8; 3]>()), 0..4);
        (bytes(), bytes(), 0..4_000_000_000_000_i64, headers).prop_map(
            |(key, value, at, headers)| {
                let mut any = record(0, b"", at);
                any.key = key.map(Bytes::from);
                any.value = value.map(Bytes::from);
                any.headers = headers
                    .into_iter()
                    .map(|(name, value)| {
                        (StrBytes::from(name), Some(Bytes::copy_from_slice(&value)))
                    })
                    .collect();
                any
            },
        )
    }

    fn any_compression() -> impl Strategy<Value = Compression> {
        prop_oneof![Just(Compression::None), Just(GZIP), Just(SNAPPY)]
    }

    proptest! {
        #[test]
        fn what_another_codec_writes_is_read_here(
            mut records in proptest::collection::vec(any_record(), 1..12),
            compression in any_compression(),
        ) {
            for (at, record) in records.iter_mut().enumerate() {
                record.offset = at as i64;
                record.sequence = at as i32;
            }
            let batch = encode(&records, compression);
            let header = check(&batch).unwrap();
            prop_assert_eq!(header.bytes, batch.len());
            let times: Vec<i64> = records.iter().map(|record| record.timestamp).collect();
            let read = stamps(&header, &batch).unwrap();
            prop_assert_eq!(read.iter().map(|stamp| stamp.timestamp).collect::<Vec<_>>(), times);
        }

        #[test]
        fn a_base_offset_changes_nothing_that_the_checksum_covers(offset in any::<i64>()) {
            let mut moved = batch(&["a", "b"]).to_vec();
            crate::log::batch::assign(&mut moved, offset);
            let header = Header::verify(&moved).unwrap();
            prop_assert_eq!(header.base_offset, offset);
            prop_assert_eq!(header.next_offset(), offset.saturating_add(1).saturating_add(1));
        }

        #[test]
        fn damage_anywhere_behind_the_checksum_is_noticed(at in 17..90_usize, bit in 0..8_u8) {
            let mut damaged = batch(&["a", "b"]).to_vec();
            prop_assume!(at < damaged.len());
            damaged[at] ^= 1 << bit;
            prop_assert!(check(&damaged).is_err());
        }

        #[test]
        fn any_bytes_are_refused_without_a_panic(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..200),
            sealed in any::<bool>(),
        ) {
            if sealed && bytes.len() > HEADER_BYTES {
                bytes[16] = 2;
                let length = bytes.len() as i32 - 12;
                bytes[8..12].copy_from_slice(&length.to_be_bytes());
                reseal(&mut bytes);
            }
            // Whatever the answer is, it is an answer.
            let _ = check(&bytes);
        }
    }
}
