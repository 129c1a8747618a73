//! One file of a partition: batches, one behind the other, named by the first offset.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::batch::Header;
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
        let mut window = Window::new(file, file_bytes);
        while let Some(header) = window.batch_at(segment.bytes).map_err(io)? {
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

/// Reads a file from front to back in large pieces.
struct Window<'a> {
    file: &'a dyn File,
    file_bytes: u64,
    buffer: Vec<u8>,
    start: u64,
    filled: usize,
}

impl<'a> Window<'a> {
    fn new(file: &'a dyn File, file_bytes: u64) -> Self {
        let bytes = file_bytes.min(2 * BATCH_BYTES_MAX as u64);
        let buffer = vec![0; bytes as usize];
        Self {
            file,
            file_bytes,
            buffer,
            start: 0,
            filled: 0,
        }
    }

    /// The header of the batch at `position`, or None if there is no sound one.
    fn batch_at(&mut self, position: u64) -> std::io::Result<Option<Header>> {
        let mut at = (position - self.start) as usize;
        let left = self.file_bytes.saturating_sub(position);
        if ((self.filled - at) as u64) < left.min(BATCH_BYTES_MAX as u64) {
            self.filled = left.min(self.buffer.len() as u64) as usize;
            self.file
                .read_exact_at(&mut self.buffer[..self.filled], position)?;
            self.start = position;
            at = 0;
        }
        let header = Header::verify(&self.buffer[at..self.filled]).ok();
        Ok(header.filter(|header| header.bytes <= BATCH_BYTES_MAX))
    }
}
