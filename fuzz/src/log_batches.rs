//! Record batches as somebody produces them.
//!
//! The first byte says whether the batch is given the magic byte, length and checksum that it needs to
//! get past the header; the others are the batch. Promises: whatever is packed into it, it takes no more
//! memory than the limit of an unpacked batch; what is accepted is stored and read back as it was, byte
//! for byte behind the offset and the leader's epoch, which are the log's; and another codec finds as
//! many records in it.

use bytes::Bytes;
use embedded::log::storage::{self, Storage};
use kafka_protocol::records::RecordBatchDecoder;

use super::directory;

/// Bytes of memory: an unpacked batch of at most 16 MiB in a buffer that grows by doubling.
pub const MEMORY: usize = 56 << 20;
/// Bytes of a batch before its records.
const HEADER_BYTES: usize = 61;

/// Trial of one batch.
pub fn run(data: &[u8]) {
    let Some((how, batch)) = data.split_first() else {
        return;
    };
    let mut batch = batch.to_vec();
    if how & 1 == 1 && batch.len() >= HEADER_BYTES {
        seal(&mut batch);
    }
    let Ok(count) = storage::check(&batch) else {
        return;
    };
    let is_packed = batch[22] & 0b111 != 0;
    if !is_packed {
        let read = RecordBatchDecoder::decode(&mut Bytes::from(batch.clone()));
        let read = read.expect("what is accepted can be read");
        assert_eq!(read.records.len(), usize::try_from(count).expect("a count"));
    }
    is_kept(&batch, count);
}

/// Makes magic byte, length and checksum right.
pub fn seal(batch: &mut [u8]) {
    batch[16] = 2;
    let length = u32::try_from(batch.len() - 12).expect("a short batch");
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}

fn is_kept(batch: &[u8], count: i32) {
    let directory = directory();
    let storage = Storage::create(directory.path(), 1 << 20).expect("a partition");
    let batches = [Bytes::copy_from_slice(batch), Bytes::copy_from_slice(batch)];
    let offsets = storage
        .append(&batches)
        .expect("what is accepted is stored");
    assert_eq!(offsets, [0, i64::from(count)]);
    for offset in offsets {
        let read = storage
            .read(offset, batch.len())
            .expect("what is stored is read");
        assert_eq!(read[..8], offset.to_be_bytes());
        assert_eq!(read[8..12], batch[8..12]);
        assert_eq!(read[16..], batch[16..]);
    }
}
