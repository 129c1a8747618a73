//! What a partition's directory holds after the process has died at any point: a torn tail is cut
//! off, leftovers are removed, and anything else that does not fit is corruption.

use std::io::ErrorKind;
use std::path::Path;

use super::segment::Segment;
use super::store::{State, Store};
use super::tail::Tail;
use crate::Error;
use crate::files::mark::{Mark, Synced};
use crate::files::{self, Files};

/// Reads a partition's directory. Nothing is changed before everything has been found sound.
pub(super) fn recover(
    files: &dyn Files,
    dir: &Path,
    mark: &Mark,
) -> Result<(State, Synced), Error> {
    let log_start = read_start(files, dir)?;
    let names = files.list(dir).map_err(|e| match e.kind() {
        ErrorKind::NotFound => Error::corrupt(dir, 0, "the partition's directory is missing"),
        _ => Error::io(dir, e),
    })?;
    let mut bases: Vec<i64> = names
        .iter()
        .filter_map(|n| Segment::parse_file_name(n))
        .collect();
    bases.sort_unstable();
    // Segments that end at or below the start were about to be removed.
    let first = bases
        .partition_point(|base| *base <= log_start)
        .saturating_sub(1);
    let (dead, live) = bases.split_at(first);

    let mut segments: Vec<Segment> = Vec::new();
    for (at, base) in live.iter().enumerate() {
        let path = dir.join(Segment::file_name(*base));
        let expected = segments
            .last()
            .map_or(log_start, |previous| previous.end_offset);
        let follows = if at == 0 {
            *base <= expected
        } else {
            *base == expected
        };
        if !follows {
            return Err(Error::corrupt(
                &path,
                0,
                "the records before this segment are missing",
            ));
        }
        let file = files.open(&path).map_err(|e| Error::io(&path, e))?;
        let segment = Segment::scan(path, *base, file.as_ref())?;
        let file_bytes = file.len().map_err(|e| Error::io(&segment.path, e))?;
        if at + 1 < live.len() && segment.bytes < file_bytes {
            return Err(Error::corrupt(
                &segment.path,
                segment.bytes,
                "a record batch is damaged",
            ));
        }
        segments.push(segment);
    }
    let Some(last) = segments.last() else {
        return Err(Error::corrupt(dir, 0, "the partition has no segment"));
    };
    check_acknowledged(last, mark.read(), log_start)?;

    let synced = Synced {
        id: last.base_offset as u64,
        position: last.bytes,
    };
    let active = files
        .open(&last.path)
        .map_err(|e| Error::io(&last.path, e))?;
    if active.len().map_err(|e| Error::io(&last.path, e))? > last.bytes {
        tracing::info!(path = %last.path.display(), position = last.bytes, "cutting off a torn tail");
        active
            .truncate(last.bytes)
            .map_err(|e| Error::io(&last.path, e))?;
    }
    // What was written but not synced when the process died may be in the page cache only.
    active.sync().map_err(|e| Error::io(&last.path, e))?;
    for base in dead {
        let path = dir.join(Segment::file_name(*base));
        files.remove_file(&path).map_err(|e| Error::io(&path, e))?;
    }
    files.sync_dir(dir).map_err(|e| Error::io(dir, e))?;
    Ok((
        State {
            log_start,
            segments,
            active,
            tail: Tail::default(),
        },
        synced,
    ))
}

/// Damage below what was acknowledged is no torn tail.
fn check_acknowledged(last: &Segment, synced: Option<Synced>, start: i64) -> Result<(), Error> {
    if last.end_offset < start {
        return Err(Error::corrupt(
            &last.path,
            last.bytes,
            "acknowledged records are missing",
        ));
    }
    let Some(synced) = synced else { return Ok(()) };
    let base = last.base_offset as u64;
    if synced.id > base {
        return Err(Error::corrupt(
            &last.path,
            last.bytes,
            "the segment behind it is missing",
        ));
    }
    if synced.id == base && synced.position > last.bytes {
        return Err(Error::corrupt(
            &last.path,
            last.bytes,
            "an acknowledged batch is damaged",
        ));
    }
    Ok(())
}

/// The first readable offset: 0 until records were removed.
fn read_start(files: &dyn Files, dir: &Path) -> Result<i64, Error> {
    let path = Store::start_path(dir);
    let Some(content) = files::read(files, &path)? else {
        return Ok(0);
    };
    decode_start(&content).ok_or_else(|| Error::corrupt(&path, 0, "the start offset is damaged"))
}

/// The content of the file that holds the first readable offset.
pub(super) fn encode_start(offset: i64) -> Vec<u8> {
    let offset = offset.to_le_bytes();
    [&offset[..], &crc32c::crc32c(&offset).to_le_bytes()].concat()
}

fn decode_start(content: &[u8]) -> Option<i64> {
    let (offset, crc) = content.split_first_chunk::<8>()?;
    (crc == crc32c::crc32c(offset).to_le_bytes()).then(|| i64::from_le_bytes(*offset))
}
