//! One file of a partition: batches, one behind the other, named by the first offset.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::batch::{HEADER_BYTES, Header};
use super::limits::{BATCH_BYTES_MAX, INDEX_INTERVAL_BYTES};
use crate::files::{File, Files};
use crate::{Error, clock};

/// An entry of the sparse index: the batch at `position` starts at `offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IndexEntry {
    pub(super) offset: i64,
    pub(super) position: u64,
    /// Latest timestamp of the batches before this one in the segment.
    pub(super) timestamp_before: i64,
}

/// What is known of a segment: only what is durable.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) base_offset: i64,
    /// The offset behind the last record.
    pub(super) end_offset: i64,
    /// Bytes of durable batches.
    pub(super) bytes: u64,
    /// Latest timestamp of a record, in milliseconds since the Unix epoch.
    pub(super) timestamp_max: i64,
    /// When the first batch was written, about.
    pub(super) started_ms: i64,
    /// When the last batch was written.
    pub(super) written_ms: i64,
    pub(super) index: Vec<IndexEntry>,
}

impl Segment {
    /// The file name of a segment that starts at `base_offset`.
    pub(super) fn file_name(base_offset: i64) -> String {
        format!("{base_offset:020}.log")
    }

    /// The first offset of the segment with this file name.
    pub(super) fn parse_file_name(name: &str) -> Option<i64> {
        let digits = name
            .strip_suffix(".log")
            .filter(|digits| digits.len() == 20)?;
        digits.parse().ok()
    }

    /// Creates an empty segment, durable when it returns.
    pub(super) fn create(
        files: &dyn Files,
        dir: &Path,
        base_offset: i64,
        now_ms: i64,
    ) -> std::io::Result<(Self, Arc<dyn File>)> {
        let path = dir.join(Self::file_name(base_offset));
        let file = files.create(&path)?;
        file.sync()?;
        files.sync_dir(dir)?;
        Ok((Self::empty(path, base_offset, now_ms), file))
    }

    fn empty(path: PathBuf, base_offset: i64, now_ms: i64) -> Self {
        Self {
            path,
            base_offset,
            end_offset: base_offset,
            bytes: 0,
            timestamp_max: i64::MIN,
            started_ms: now_ms,
            written_ms: now_ms,
            index: Vec::new(),
        }
    }

    /// Takes a batch into account that was written at the end.
    pub(super) fn push(&mut self, header: &Header, now_ms: i64) {
        let indexed = self.index.last().map_or(0, |entry| entry.position);
        if self.index.is_empty() || self.bytes >= indexed + INDEX_INTERVAL_BYTES {
            self.index.push(IndexEntry {
                offset: header.base_offset,
                position: self.bytes,
                timestamp_before: self.timestamp_max,
            });
        }
        if self.bytes == 0 {
            self.started_ms = now_ms;
        }
        self.bytes += header.bytes as u64;
        self.end_offset = header.next_offset();
        self.timestamp_max = self.timestamp_max.max(header.max_timestamp);
        self.written_ms = now_ms;
    }

    /// Where to start reading for an offset: at or before its batch.
    pub(super) fn seek(&self, offset: i64) -> u64 {
        let behind = self.index.partition_point(|entry| entry.offset <= offset);
        behind
            .checked_sub(1)
            .map_or(0, |at| self.index[at].position)
    }

    /// Where to start reading for the first record at or after a time.
    pub(super) fn seek_time(&self, timestamp: i64) -> u64 {
        let behind = self
            .index
            .partition_point(|entry| entry.timestamp_before < timestamp);
        behind
            .checked_sub(1)
            .map_or(0, |at| self.index[at].position)
    }

    /// Reads the segment's file from the start, up to the first batch that is not whole, not
    /// sound, or not the one that must follow. `self.bytes` says how far that is.
    pub(super) fn scan(path: PathBuf, base_offset: i64, file: &dyn File) -> Result<Self, Error> {
        let io = |e| Error::io(&path, e);
        let file_bytes = file.len().map_err(io)?;
        let written_ms = file.modified_ms().map_err(io)?.min(clock::now_ms());
        let mut segment = Self::empty(path.clone(), base_offset, written_ms);
        let mut buffer = Vec::new();
        while let Some(header) =
            next_batch(file, segment.bytes, file_bytes, &mut buffer).map_err(io)?
        {
            if header.base_offset != segment.end_offset {
                break;
            }
            segment.push(&header, written_ms);
            if segment.bytes == header.bytes as u64 {
                segment.started_ms = header.base_timestamp.min(written_ms);
            }
        }
        Ok(segment)
    }
}

/// The sound batch at `position`, read into `buffer`, or None.
fn next_batch(
    file: &dyn File,
    position: u64,
    file_bytes: u64,
    buffer: &mut Vec<u8>,
) -> std::io::Result<Option<Header>> {
    let left = file_bytes.saturating_sub(position);
    if left < HEADER_BYTES as u64 {
        return Ok(None);
    }
    buffer.resize(HEADER_BYTES, 0);
    file.read_exact_at(buffer, position)?;
    let Ok(header) = Header::read(buffer) else {
        return Ok(None);
    };
    if header.bytes > BATCH_BYTES_MAX || header.bytes as u64 > left {
        return Ok(None);
    }
    buffer.resize(header.bytes, 0);
    file.read_exact_at(buffer, position)?;
    Ok(Header::verify(buffer).ok())
}
