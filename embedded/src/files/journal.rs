//! An append-only file of small entries, each durable before [`Journal::append`] returns.
//!
//! ```text
//! header:  "JRNL" version:u32 generation:u64 crc32c:u32      (written with the first entries)
//! entry:   length:u32 crc32c:u32 payload                     (little endian; crc of length+payload)
//! ```
//!
//! A torn entry at the end (the process died while writing it, so nobody was told that it is
//! there) is cut off when the journal opens. A bad entry before the synced mark is corruption.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::mark::{Mark, Synced};
use super::{File, Files};
use crate::Error;

const MAGIC: &[u8; 4] = b"JRNL";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 20;
const ENTRY_HEADER_BYTES: usize = 8;
/// The longest entry; a longer length can only be damage.
const ENTRY_BYTES_MAX: usize = 16 << 20;

/// An open journal.
#[derive(Debug)]
pub(crate) struct Journal {
    files: Arc<dyn Files>,
    path: PathBuf,
    file: Arc<dyn File>,
    mark: Mark,
    generation: u64,
    end: u64,
    /// Set when a sync failed: what the disk holds is then unknown, and only a restart can tell.
    failed: bool,
}

impl Journal {
    /// Opens a journal, creating an empty one where there is none, and returns its entries.
    pub(crate) fn open(files: Arc<dyn Files>, path: &Path) -> Result<(Self, Vec<Vec<u8>>), Error> {
        let mark = Mark::new(Arc::clone(&files), path.with_extension("synced"));
        let synced = mark.read();
        if super::read(files.as_ref(), path)?.is_none() {
            if synced.is_some() {
                return Err(Error::corrupt(path, 0, "the file is missing"));
            }
            super::write_atomically(files.as_ref(), path, &encode(1, &[]))
                .map_err(|e| Error::io(path, e))?;
        }
        let file = files.open(path).map_err(|e| Error::io(path, e))?;
        let content = super::read_open(file.as_ref()).map_err(|e| Error::io(path, e))?;
        let generation = decode_header(&content)
            .ok_or_else(|| Error::corrupt(path, 0, "this is not the header of a journal"))?;
        let (entries, end) = decode_entries(&content);
        let acknowledged = synced
            .filter(|s| s.id == generation)
            .map_or(0, |s| s.position);
        if (end as u64) < acknowledged {
            return Err(Error::corrupt(
                path,
                end as u64,
                "an acknowledged entry is damaged",
            ));
        }
        let end = end as u64;
        if end < content.len() as u64 {
            tracing::info!(path = %path.display(), position = end, "cutting off a torn entry");
            file.truncate(end).map_err(|e| Error::io(path, e))?;
        }
        // A process that was killed may have left its last entry, or the file's very name, unsynced.
        let parent = path.parent().unwrap_or(Path::new("."));
        file.sync()
            .and_then(|()| files.sync_dir(parent))
            .map_err(|e| Error::io(path, e))?;
        let journal = Self {
            files,
            path: path.to_owned(),
            file,
            mark,
            generation,
            end,
            failed: false,
        };
        journal.note_synced();
        Ok((journal, entries))
    }

    /// Appends an entry. When it returns Ok the entry is durable; when it fails the entry is not
    /// there, unless the sync failed, and then the journal takes no more until it is reopened.
    pub(crate) fn append(&mut self, payload: &[u8]) -> io::Result<()> {
        self.refuse_if_failed()?;
        if payload.len() > ENTRY_BYTES_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the entry is too long",
            ));
        }
        let entry = encode_entry(payload);
        if let Err(error) = self.file.write_all_at(&entry, self.end) {
            self.failed = self.file.truncate(self.end).is_err();
            return Err(error);
        }
        if let Err(error) = self.file.sync() {
            self.failed = true;
            return Err(error);
        }
        self.end += entry.len() as u64;
        self.note_synced();
        Ok(())
    }

    /// Replaces all entries, atomically.
    pub(crate) fn rewrite(&mut self, payloads: &[Vec<u8>]) -> io::Result<()> {
        self.refuse_if_failed()?;
        let content = encode(self.generation + 1, payloads);
        let replaced = super::write_atomically(self.files.as_ref(), &self.path, &content)
            .and_then(|()| self.files.open(&self.path));
        match replaced {
            Ok(file) => {
                self.file = file;
                self.generation += 1;
                self.end = content.len() as u64;
                self.note_synced();
                Ok(())
            }
            Err(error) => {
                // The rename may or may not have happened: appending to the old file could be lost.
                self.failed = true;
                Err(error)
            }
        }
    }

    /// Length in bytes, to decide when a rewrite pays.
    pub(crate) fn len(&self) -> u64 {
        self.end
    }

    fn refuse_if_failed(&self) -> io::Result<()> {
        if self.failed {
            return Err(io::Error::other(
                "an earlier sync of this journal failed: restart",
            ));
        }
        Ok(())
    }

    fn note_synced(&self) {
        self.mark.write(Synced {
            id: self.generation,
            position: self.end,
        });
    }
}

fn encode(generation: u64, payloads: &[Vec<u8>]) -> Vec<u8> {
    let mut content = Vec::new();
    content.extend_from_slice(MAGIC);
    content.extend_from_slice(&VERSION.to_le_bytes());
    content.extend_from_slice(&generation.to_le_bytes());
    content.extend_from_slice(&crc32c::crc32c(&content).to_le_bytes());
    for payload in payloads {
        content.extend_from_slice(&encode_entry(payload));
    }
    content
}

fn encode_entry(payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_le_bytes();
    let crc = crc32c::crc32c_append(crc32c::crc32c(&length), payload);
    [&length[..], &crc.to_le_bytes(), payload].concat()
}

/// The generation, if this is the header of a journal.
fn decode_header(content: &[u8]) -> Option<u64> {
    let header = content.get(..HEADER_BYTES)?;
    let (body, crc) = header.split_at(16);
    let ours = body.starts_with(MAGIC)
        && body[4..8] == VERSION.to_le_bytes()
        && crc == crc32c::crc32c(body).to_le_bytes();
    ours.then(|| u64::from_le_bytes(body[8..16].try_into().unwrap_or_default()))
}

/// The entries up to the first that is not whole, and the position behind them.
fn decode_entries(content: &[u8]) -> (Vec<Vec<u8>>, usize) {
    let mut entries = Vec::new();
    let mut position = HEADER_BYTES;
    while let Some(payload) = decode_entry(&content[position..]) {
        position += ENTRY_HEADER_BYTES + payload.len();
        entries.push(payload.to_vec());
    }
    (entries, position)
}

fn decode_entry(content: &[u8]) -> Option<&[u8]> {
    let (length, rest) = content.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let payload = rest.get(..u32::from_le_bytes(*length) as usize)?;
    let expected = crc32c::crc32c_append(crc32c::crc32c(length), payload);
    (u32::from_le_bytes(*crc) == expected).then_some(payload)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::files::faulty::{Disk, Syncs};

    const PATH: &str = "/test.journal";

    fn open(disk: &Disk) -> Result<(Journal, Vec<Vec<u8>>), Error> {
        Journal::open(Arc::new(disk.clone()), Path::new(PATH))
    }

    fn overwrite(disk: &Disk, content: &[u8]) {
        disk.create(Path::new(PATH))
            .unwrap()
            .write_all_at(content, 0)
            .unwrap();
    }

    fn content(disk: &Disk) -> Vec<u8> {
        crate::files::read(disk, Path::new(PATH)).unwrap().unwrap()
    }

    proptest! {
        #[test]
        fn entries_come_back_as_they_were_appended(
            entries in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..8),
            rewritten in any::<bool>(),
        ) {
            let disk = Disk::new(Syncs::Honest);
            let (mut journal, _) = open(&disk).unwrap();
            if rewritten {
                journal.append(b"before").unwrap();
                journal.rewrite(&entries).unwrap();
            } else {
                for entry in &entries {
                    journal.append(entry).unwrap();
                }
            }
            prop_assert_eq!(open(&disk).unwrap().1, entries);
        }

        #[test]
        fn damage_anywhere_is_refused_and_left_alone(at in 0..60_usize, bit in 0..8_u8) {
            let disk = Disk::new(Syncs::Honest);
            let (mut journal, _) = open(&disk).unwrap();
            journal.append(b"the first entry").unwrap();
            journal.append(b"the second").unwrap();
            let mut damaged = content(&disk);
            prop_assume!(at < damaged.len());
            damaged[at] ^= 1 << bit;
            overwrite(&disk, &damaged);
            let refused = open(&disk);
            prop_assert!(matches!(refused, Err(Error::Corrupt { .. })), "{:?}", refused);
            prop_assert_eq!(content(&disk), damaged);
        }

        #[test]
        fn any_bytes_are_refused_without_a_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..100),
            headed in any::<bool>(),
        ) {
            let disk = Disk::new(Syncs::Honest);
            let bytes = if headed { [encode(1, &[]), bytes].concat() } else { bytes };
            overwrite(&disk, &bytes);
            // With a header it is a torn tail, which is cut off; without it is refused.
            prop_assert!(headed == open(&disk).is_ok() || bytes.len() < 20);
        }
    }

    #[test]
    fn a_missing_or_shortened_journal_is_refused() {
        let disk = Disk::new(Syncs::Honest);
        let (mut journal, _) = open(&disk).unwrap();
        journal.append(b"an entry").unwrap();
        let whole = content(&disk);
        overwrite(&disk, &whole[..whole.len() - 3]);
        assert!(matches!(open(&disk), Err(Error::Corrupt { .. })));
        disk.remove_file(Path::new(PATH)).unwrap();
        assert!(matches!(open(&disk), Err(Error::Corrupt { .. })));
    }
}
