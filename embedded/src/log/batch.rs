//! The header of a record batch, format version 2, and what the log refuses to store.
//!
//! ```text
//!  0 base offset: i64        the log's business, outside the checksum
//!  8 length: i32             of everything behind this field
//! 12 leader epoch: i32       the log's business, outside the checksum
//! 16 magic: i8 = 2
//! 17 crc32c: u32             of everything behind this field
//! 21 attributes: i16         0-2 compression, 3 timestamp type, 4 transactional, 5 control
//! 23 last offset delta: i32
//! 27 base timestamp: i64
//! 35 max timestamp: i64
//! 43 producer id: i64, epoch: i16, base sequence: i32
//! 57 record count: i32
//! 61 records
//! ```
//!
//! Source: <https://kafka.apache.org/documentation/#recordbatch>.

/// Bytes of a batch before its records.
pub(super) const HEADER_BYTES: usize = 61;
/// Bytes of a batch that its length field does not count.
pub(super) const LENGTH_OVERHEAD: usize = 12;

/// The fields of a batch header that the log looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Offset of the first record.
    pub(super) base_offset: i64,
    /// Bytes of the whole batch.
    pub(super) bytes: usize,
    /// Offset of the last record, less `base_offset`.
    pub(super) last_offset_delta: i32,
    /// Compression, timestamp type, transactional and control flags.
    pub(super) attributes: i16,
    /// Milliseconds since the Unix epoch that record timestamps are relative to.
    pub(super) base_timestamp: i64,
    /// Latest timestamp of a record, in milliseconds since the Unix epoch.
    pub(super) max_timestamp: i64,
    /// Number of records.
    pub(super) count: i32,
}

/// Why bytes are not a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Malformed {
    /// They end before the batch does.
    Short,
    /// They are of an older message format.
    OldFormat,
    /// They are no batch, or a damaged one.
    Damaged,
}

impl Header {
    /// Reads the header at the start of `bytes`; the checksum is not looked at.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let head: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(Malformed::Short)?;
        if matches!(head[16], 0 | 1) {
            return Err(Malformed::OldFormat);
        }
        let length = i32_at(head, 8);
        let bytes = usize::try_from(length).map_err(|_| Malformed::Damaged)? + LENGTH_OVERHEAD;
        let header = Self {
            base_offset: i64_at(head, 0),
            bytes,
            last_offset_delta: i32_at(head, 23),
            attributes: i16::from_be_bytes([head[21], head[22]]),
            base_timestamp: i64_at(head, 27),
            max_timestamp: i64_at(head, 35),
            count: i32_at(head, 57),
        };
        let sound = head[16] == 2 && bytes >= HEADER_BYTES && header.last_offset_delta >= 0;
        if sound {
            Ok(header)
        } else {
            Err(Malformed::Damaged)
        }
    }

    /// Reads the header at the start of `bytes` and proves the checksum of the whole batch.
    pub(super) fn verify(bytes: &[u8]) -> Result<Self, Malformed> {
        let header = Self::read(bytes)?;
        let batch = bytes.get(..header.bytes).ok_or(Malformed::Short)?;
        let crc = u32::from_be_bytes([batch[17], batch[18], batch[19], batch[20]]);
        if crc == crc32c::crc32c(&batch[21..]) {
            Ok(header)
        } else {
            Err(Malformed::Damaged)
        }
    }

    /// The offset behind the last record.
    pub(super) fn next_offset(&self) -> i64 {
        self.base_offset
            .saturating_add(i64::from(self.last_offset_delta))
            .saturating_add(1)
    }

    /// Number of the compression codec.
    pub(super) fn compression(&self) -> i16 {
        self.attributes & 0b111
    }

    /// Whether this batch belongs to a transaction or is a transaction's marker.
    pub(super) fn is_transactional_or_control(&self) -> bool {
        self.attributes & 0b11_0000 != 0
    }
}

/// Gives a batch its place in the log: base offset and leader epoch stand outside the checksum.
pub(super) fn assign(batch: &mut [u8], base_offset: i64) {
    batch[..8].copy_from_slice(&base_offset.to_be_bytes());
    batch[12..16].copy_from_slice(&0_i32.to_be_bytes());
}

fn i32_at(head: &[u8; HEADER_BYTES], at: usize) -> i32 {
    i32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]])
}

fn i64_at(head: &[u8; HEADER_BYTES], at: usize) -> i64 {
    (i64::from(i32_at(head, at)) << 32) | i64::from(i32_at(head, at + 4) as u32)
}
