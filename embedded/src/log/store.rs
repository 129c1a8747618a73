//! One partition on disk: segments, the first offset that may be read, and recovery. All calls
//! block.
//!
//! ```text
//! <dir>/00000000000000000000.log    batches from offset 0
//! <dir>/00000000000000001234.log    batches from offset 1234: the active segment
//! <dir>/start                       first readable offset, replaced atomically
//! <dir>/active.synced               how far the active segment is durable (see files::mark)
//! ```
//!
//! Invariants: segments follow each other without a gap from `start` on; all but the active one
//! are durable to their end; readers see only what is durable; records are removed from the front
//! only, and only after `start` has moved behind them, durably.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::{Bytes, BytesMut};

use super::batch::{self, Header};
use super::segment::Segment;
use super::tail::Tail;
use crate::Error;
use crate::files::mark::{Mark, Synced};
use crate::files::{self, File, Files};

/// Where a partition is kept and how its segments are cut.
#[derive(Debug, Clone)]
pub(super) struct Options {
    /// The file layer.
    pub(super) files: Arc<dyn Files>,
    /// A segment that has reached this many bytes is followed by a new one.
    pub(super) segment_bytes: u64,
    /// A segment older than this, in milliseconds, is followed by a new one.
    pub(super) segment_age_ms: i64,
}

/// A partition's files.
#[derive(Debug)]
pub(super) struct Store {
    options: Options,
    dir: PathBuf,
    /// Held by whoever changes the files; guards against a second writer.
    writer: Mutex<Writer>,
    state: RwLock<State>,
}

#[derive(Debug)]
struct Writer {
    mark: Mark,
    status: Status,
}

/// Whether the partition takes writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Open,
    /// A sync failed: what the disk holds is unknown until the partition is recovered.
    Failed,
    /// The topic was deleted.
    Closed,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) log_start: i64,
    /// In order; the last is the active one.
    pub(super) segments: Vec<Segment>,
    pub(super) active: Arc<dyn File>,
    pub(super) tail: Tail,
}

impl State {
    /// The offset behind the last durable record.
    pub(super) fn end(&self) -> i64 {
        self.segments
            .last()
            .map_or(self.log_start, |segment| segment.end_offset)
    }
}

/// The offsets that can be read: `start..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// First offset that is still there.
    pub(super) start: i64,
    /// Offset of the next record to come: the high watermark.
    pub(super) end: i64,
}

/// Why nothing was appended.
#[derive(Debug, thiserror::Error)]
pub(super) enum AppendError {
    /// Nothing was written; trying again may work (disk full).
    #[error("cannot write to the log: {0}")]
    Io(#[from] io::Error),
    /// An earlier sync failed: the partition takes no writes until the log is opened again.
    #[error("the partition takes no writes since a sync failed: restart the log")]
    Failed,
    /// The topic was deleted.
    #[error("the topic was deleted")]
    Closed,
}

const START_FILE: &str = "start";
const MARK_FILE: &str = "active.synced";

impl Store {
    /// Creates the files of an empty partition, durable when it returns.
    pub(super) fn create(files: &dyn Files, dir: &Path, now_ms: i64) -> Result<(), Error> {
        files::ensure_dir(files, dir)?;
        Segment::create(files, dir, 0, now_ms).map_err(|e| Error::io(dir, e))?;
        Ok(())
    }

    /// Recovers a partition: cuts off the torn tail of the last segment.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if anything that was acknowledged is damaged or missing; no file is
    /// changed then.
    pub(super) fn open(options: Options, dir: PathBuf) -> Result<Self, Error> {
        let mark = Mark::new(Arc::clone(&options.files), dir.join(MARK_FILE));
        let (state, synced) = super::recovery::recover(options.files.as_ref(), &dir, &mark)?;
        mark.write(synced);
        let writer = Mutex::new(Writer {
            mark,
            status: Status::Open,
        });
        Ok(Self {
            options,
            dir,
            writer,
            state: RwLock::new(state),
        })
    }

    /// The path of the file that holds the first readable offset.
    pub(super) fn start_path(dir: &Path) -> PathBuf {
        dir.join(START_FILE)
    }

    /// What can be read now.
    pub(super) fn bounds(&self) -> Bounds {
        let state = self.read_state();
        Bounds {
            start: state.log_start,
            end: state.end(),
        }
    }

    /// Appends batches with one write and one sync, and returns the first offset of each. They
    /// are durable, and readers see them, when it returns; when it fails none of them is there.
    pub(super) fn append(&self, batches: &[Bytes], now_ms: i64) -> Result<Vec<i64>, AppendError> {
        let mut writer = self.lock_writer();
        match writer.status {
            Status::Open => {}
            Status::Failed => return Err(AppendError::Failed),
            Status::Closed => return Err(AppendError::Closed),
        }
        self.roll_if_due(&writer, now_ms)?;
        let (file, position, mut next_offset) = {
            let state = self.read_state();
            let bytes = state.segments.last().map_or(0, |segment| segment.bytes);
            (Arc::clone(&state.active), bytes, state.end())
        };
        let mut data = BytesMut::with_capacity(batches.iter().map(Bytes::len).sum());
        let mut headers = Vec::with_capacity(batches.len());
        for batch in batches {
            let start = data.len();
            data.extend_from_slice(batch);
            batch::assign(&mut data[start..], next_offset);
            let header = Header::read(&data[start..])
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not a record batch"))?;
            next_offset = header.next_offset();
            headers.push(header);
        }
        if let Err(error) = file.write_all_at(&data, position) {
            if file.truncate(position).is_err() {
                writer.status = Status::Failed;
            }
            return Err(error.into());
        }
        if let Err(error) = file.sync() {
            // The kernel may have dropped the dirty pages: a later sync could succeed over a hole.
            writer.status = Status::Failed;
            return Err(error.into());
        }
        metrics::counter!("embedded_log_fsyncs_total").increment(1);
        let end = position + data.len() as u64;
        let base_offset = self.publish(&headers, &data, now_ms);
        writer.mark.write(Synced {
            id: base_offset as u64,
            position: end,
        });
        Ok(headers.iter().map(|header| header.base_offset).collect())
    }

    /// Lets readers see durable batches; returns the base offset of the active segment.
    fn publish(&self, headers: &[Header], mut data: &[u8], now_ms: i64) -> i64 {
        let mut state = self.write_state();
        let State { segments, tail, .. } = &mut *state;
        let Some(active) = segments.last_mut() else {
            return 0;
        };
        for header in headers {
            active.push(header, now_ms);
            let (batch, rest) = data.split_at(header.bytes);
            tail.push(header, batch);
            data = rest;
        }
        active.base_offset
    }

    /// Starts a new segment if the active one is full or old.
    fn roll_if_due(&self, writer: &Writer, now_ms: i64) -> io::Result<()> {
        let due = self.read_state().segments.last().is_some_and(|active| {
            let old = now_ms.saturating_sub(active.started_ms) > self.options.segment_age_ms;
            active.bytes >= self.options.segment_bytes || (old && active.bytes > 0)
        });
        if due {
            self.roll(writer, now_ms)
        } else {
            Ok(())
        }
    }

    fn roll(&self, writer: &Writer, now_ms: i64) -> io::Result<()> {
        let base_offset = self.bounds().end;
        let (segment, file) =
            Segment::create(self.options.files.as_ref(), &self.dir, base_offset, now_ms)?;
        let mut state = self.write_state();
        state.segments.push(segment);
        state.active = file;
        drop(state);
        writer.mark.write(Synced {
            id: base_offset as u64,
            position: 0,
        });
        Ok(())
    }

    /// Makes `offset` the first readable one, durably, and removes the segments below it. An
    /// offset beyond the end counts as the end, one already passed changes nothing.
    pub(super) fn remove_before(&self, offset: i64, now_ms: i64) -> Result<Bounds, AppendError> {
        let writer = self.lock_writer();
        if writer.status == Status::Closed {
            return Err(AppendError::Closed);
        }
        let bounds = self.bounds();
        let offset = offset.min(bounds.end);
        if offset > bounds.start {
            if offset == bounds.end
                && self
                    .read_state()
                    .segments
                    .last()
                    .is_some_and(|s| s.bytes > 0)
            {
                self.roll(&writer, now_ms)?;
            }
            let path = Self::start_path(&self.dir);
            files::write_atomically(
                self.options.files.as_ref(),
                &path,
                &super::recovery::encode_start(offset),
            )?;
            self.write_state().log_start = offset;
        }
        self.remove_dead_segments()?;
        Ok(self.bounds())
    }

    /// Removes segments that end at or below the start, oldest first.
    fn remove_dead_segments(&self) -> io::Result<()> {
        loop {
            let dead = {
                let mut state = self.write_state();
                let log_start = state.log_start;
                let is_dead = state.segments.len() > 1
                    && state
                        .segments
                        .first()
                        .is_some_and(|first| first.end_offset <= log_start);
                if !is_dead {
                    return Ok(());
                }
                state.segments.remove(0)
            };
            self.options.files.remove_file(&dead.path)?;
            self.options.files.sync_dir(&self.dir)?;
        }
    }

    /// Ends all writing, for a topic that is being deleted.
    pub(super) fn close(&self) {
        self.lock_writer().status = Status::Closed;
    }

    /// The file of a segment, which may have been removed since it was looked up.
    pub(super) fn open_segment(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.options.files.open(path)
    }

    pub(super) fn read_state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_state(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
