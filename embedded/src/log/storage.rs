//! The storage of one partition without the protocol around it, to measure what each of them costs.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::records;
use super::store::{Options, Store};
use crate::files::real::RealFiles;
use crate::{Error, clock};

/// A partition's files, as a served log has them. All calls block.
#[derive(Debug)]
pub struct Storage(Store);

impl Storage {
    /// Makes the files of a new partition in `dir`, with segments of `segment_bytes`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(dir: &Path, segment_bytes: u64) -> Result<Self, Error> {
        Store::create(&RealFiles, dir, clock::now_ms())?;
        let options = Options {
            files: Arc::new(RealFiles),
            segment_bytes,
            segment_age_ms: i64::MAX,
        };
        Store::open(options, dir.to_owned()).map(Self)
    }

    /// Appends record batches with one write and one sync; returns the first offset of each.
    ///
    /// # Errors
    /// When the disk refuses them.
    pub fn append(&self, batches: &[Bytes]) -> std::io::Result<Vec<i64>> {
        self.0
            .append(batches, clock::now_ms())
            .map_err(std::io::Error::other)
    }

    /// Whole batches from the one that holds `offset` on, up to `bytes_max` bytes.
    ///
    /// # Errors
    /// When the disk cannot be read, or holds no such offset.
    pub fn read(&self, offset: i64, bytes_max: usize) -> std::io::Result<Bytes> {
        self.0
            .read(offset, bytes_max, true)
            .map(|read| read.batches)
            .map_err(std::io::Error::other)
    }
}

/// Checks a record batch as the log does before it takes it; returns its number of records.
///
/// # Errors
/// Why the log would refuse it.
pub fn check(batch: &[u8]) -> Result<i32, String> {
    records::check(batch)
        .map(|header| header.count)
        .map_err(|refusal| refusal.to_string())
}
