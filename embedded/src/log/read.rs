//! Reading a partition: by offset and by time. All calls block.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::batch::{HEADER_BYTES, Header};
use super::limits::INDEX_INTERVAL_BYTES;
use super::records::{self, Stamp};
use super::segment::Segment;
use super::store::{Bounds, State, Store};
use crate::files::File;

/// Batches, and what could have been read at that moment.
#[derive(Debug, Clone)]
pub(super) struct Read {
    /// Whole batches; the first one holds the offset asked for, and may start before it.
    pub(super) batches: Bytes,
    /// What can be read.
    pub(super) bounds: Bounds,
}

/// Why nothing was read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// The offset is before the start or beyond the end.
    #[error("the offset is out of range")]
    OutOfRange(Bounds),
    /// The file cannot be read.
    #[error("cannot read the log: {0}")]
    Io(#[from] io::Error),
}

/// A part of a segment, to be read without holding a lock.
struct Extent {
    path: PathBuf,
    open: Option<Arc<dyn File>>,
    position: u64,
    end: u64,
}

impl Extent {
    fn new(state: &State, at: usize, position: u64) -> Self {
        let segment: &Segment = &state.segments[at];
        let active = at + 1 == state.segments.len();
        Self {
            path: segment.path.clone(),
            open: active.then(|| Arc::clone(&state.active)),
            position,
            end: segment.bytes,
        }
    }

    fn file(&self, store: &Store) -> io::Result<Arc<dyn File>> {
        self.open
            .as_ref()
            .map_or_else(|| store.open_segment(&self.path), |f| Ok(Arc::clone(f)))
    }
}

impl Store {
    /// As [`Store::read`], of what is kept in memory, without blocking; `None` if it must be read
    /// from the files.
    pub(super) fn read_recent(
        &self,
        offset: i64,
        bytes_max: usize,
        at_least_one: bool,
    ) -> Option<Result<Read, ReadError>> {
        let state = self.read_state();
        let bounds = Bounds {
            start: state.log_start,
            end: state.end(),
        };
        if offset < bounds.start || offset > bounds.end {
            return Some(Err(ReadError::OutOfRange(bounds)));
        }
        let batches = if offset == bounds.end {
            Bytes::new()
        } else {
            state.tail.read(offset, bytes_max, at_least_one)?
        };
        Some(Ok(Read { batches, bounds }))
    }

    /// Reads batches from the one that holds `offset` on: as many whole ones as fit into
    /// `bytes_max`, or with `at_least_one` the first one even if it does not fit.
    pub(super) fn read(
        &self,
        offset: i64,
        bytes_max: usize,
        at_least_one: bool,
    ) -> Result<Read, ReadError> {
        let (bounds, extents) = {
            let state = self.read_state();
            let bounds = Bounds {
                start: state.log_start,
                end: state.end(),
            };
            if offset < bounds.start || offset > bounds.end {
                return Err(ReadError::OutOfRange(bounds));
            }
            let first = state
                .segments
                .partition_point(|segment| segment.end_offset <= offset);
            let extents: Vec<Extent> = (first..state.segments.len())
                .map(|at| Extent::new(&state, at, state.segments[at].seek(offset)))
                .collect();
            (bounds, extents)
        };
        let mut batches = BytesMut::new();
        for extent in extents {
            let must = at_least_one && batches.is_empty();
            let room = bytes_max.saturating_sub(batches.len());
            let whole = match read_extent(self, &extent, offset, room, must, &mut batches) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // Removed by retention between the look-up and now.
                    return Err(ReadError::OutOfRange(self.bounds()));
                }
                other => other?,
            };
            if !whole {
                break;
            }
        }
        Ok(Read {
            batches: batches.freeze(),
            bounds,
        })
    }

    /// The first record written at or after a time (milliseconds since the Unix epoch).
    pub(super) fn find_time(&self, timestamp: i64) -> Result<Option<(i64, i64)>, ReadError> {
        let (log_start, extents) = {
            let state = self.read_state();
            let extents: Vec<Extent> = (0..state.segments.len())
                .filter(|at| state.segments[*at].timestamp_max >= timestamp)
                .map(|at| Extent::new(&state, at, state.segments[at].seek_time(timestamp)))
                .collect();
            (state.log_start, extents)
        };
        for extent in extents {
            let file = match extent.file(self) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            let mut position = extent.position;
            while position < extent.end {
                let header = read_header(file.as_ref(), position)?;
                if header.max_timestamp >= timestamp && header.next_offset() > log_start {
                    let matches = |stamp: &Stamp| {
                        stamp.timestamp >= timestamp
                            && header.base_offset + i64::from(stamp.offset_delta) >= log_start
                    };
                    let found = read_stamps(file.as_ref(), &header, position)?
                        .into_iter()
                        .find(matches);
                    if let Some(stamp) = found {
                        let offset = header.base_offset + i64::from(stamp.offset_delta);
                        return Ok(Some((offset, stamp.timestamp)));
                    }
                }
                position += header.bytes as u64;
            }
        }
        Ok(None)
    }
}

/// Appends whole batches of an extent to `out`; tells whether the extent was read to its end.
fn read_extent(
    store: &Store,
    extent: &Extent,
    offset: i64,
    room: usize,
    must: bool,
    out: &mut BytesMut,
) -> io::Result<bool> {
    if extent.position >= extent.end {
        return Ok(true);
    }
    let file = extent.file(store)?;
    let Some(position) = locate(file.as_ref(), extent, offset)? else {
        return Ok(true);
    };
    let left = usize::try_from(extent.end - position).map_err(io::Error::other)?;
    let first = read_header(file.as_ref(), position)?;
    let wanted = if must { room.max(first.bytes) } else { room }.min(left);
    if wanted < first.bytes {
        return Ok(false);
    }
    let start = out.len();
    out.resize(start + wanted, 0);
    file.read_exact_at(&mut out[start..], position)?;
    let whole = whole_batches(&out[start..]);
    out.truncate(start + whole);
    Ok(whole == left)
}

/// Bytes of the whole batches at the start of `data`.
fn whole_batches(data: &[u8]) -> usize {
    let mut whole = 0;
    while let Ok(header) = Header::read(&data[whole..]) {
        if whole + header.bytes > data.len() {
            break;
        }
        whole += header.bytes;
    }
    whole
}

/// The position of the first batch that ends behind `offset`.
fn locate(file: &dyn File, extent: &Extent, offset: i64) -> io::Result<Option<u64>> {
    let mut position = extent.position;
    while position < extent.end {
        // One read covers what the index skips; a batch that reaches beyond it starts the next.
        let bytes = (extent.end - position).min(INDEX_INTERVAL_BYTES + HEADER_BYTES as u64);
        let mut block = vec![0; usize::try_from(bytes).map_err(io::Error::other)?];
        file.read_exact_at(&mut block, position)?;
        let mut at = 0;
        while let Some(Ok(header)) = block.get(at..).map(Header::read) {
            if header.next_offset() > offset {
                return Ok(Some(position + at as u64));
            }
            at += header.bytes;
        }
        if at == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a stored batch is damaged",
            ));
        }
        position += at as u64;
    }
    Ok(None)
}

fn read_header(file: &dyn File, position: u64) -> io::Result<Header> {
    let mut head = [0; HEADER_BYTES];
    file.read_exact_at(&mut head, position)?;
    Header::read(&head)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "a stored batch is damaged"))
}

fn read_stamps(file: &dyn File, header: &Header, position: u64) -> io::Result<Vec<Stamp>> {
    let mut batch = vec![0; header.bytes];
    file.read_exact_at(&mut batch, position)?;
    records::stamps(header, &batch).map_err(io::Error::other)
}
