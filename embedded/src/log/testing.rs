//! Record batches for tests, made by the codec that other Kafka programs use.

use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};

/// A record with a key and a header.
pub(crate) fn record(offset: i64, value: &[u8], timestamp: i64) -> Record {
    Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: TimestampType::Creation,
        offset,
        sequence: offset as i32,
        timestamp,
        key: Some(Bytes::from_static(b"ORDER_001")),
        value: Some(Bytes::copy_from_slice(value)),
        headers: [(StrBytes::from("ce_id"), Some(Bytes::from_static(b"1")))]
            .into_iter()
            .collect(),
    }
}

/// A batch of these records.
pub(crate) fn encode(records: &[Record], compression: Compression) -> Bytes {
    let mut batch = BytesMut::new();
    let options = RecordEncodeOptions {
        version: 2,
        compression,
    };
    let pack = |plain: &mut BytesMut, out: &mut BytesMut, compression: Compression| {
        out.extend_from_slice(&compress(plain, compression));
        Ok(())
    };
    RecordBatchEncoder::encode_with_custom_compression(&mut batch, records, &options, Some(pack))
        .unwrap();
    batch.freeze()
}

fn compress(plain: &[u8], compression: Compression) -> Vec<u8> {
    match compression {
        Compression::Gzip => {
            let mut packed = Vec::new();
            let level = flate2::Compression::fast();
            let mut encoder = flate2::bufread::GzEncoder::new(plain, level);
            std::io::Read::read_to_end(&mut encoder, &mut packed).unwrap();
            packed
        }
        Compression::Snappy => snap::raw::Encoder::new().compress_vec(plain).unwrap(),
        _ => plain.to_vec(),
    }
}

/// An uncompressed batch with one record for each value.
pub(crate) fn batch(values: &[&str]) -> Bytes {
    let records: Vec<Record> = (0..)
        .zip(values)
        .map(|(offset, value)| record(offset, value.as_bytes(), 1_000 + offset))
        .collect();
    encode(&records, Compression::None)
}

/// Makes the checksum right again after the bytes behind it were changed.
pub(crate) fn reseal(batch: &mut [u8]) {
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}
