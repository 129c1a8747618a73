//! How far a growing file is known to be synced.
//!
//! After a crash the end of a file may be torn, and that is no damage: nobody was told that it is
//! there. Damage before the synced position is: those bytes were acknowledged. The mark tells the
//! two apart. It is written after each sync and never synced itself, so it costs little and may
//! lag behind after a power loss, but it is never ahead of what is durable.

use std::path::PathBuf;
use std::sync::Arc;

use super::Files;

const BYTES: usize = 20;

/// A small file beside a growing one.
#[derive(Debug)]
pub(crate) struct Mark {
    files: Arc<dyn Files>,
    path: PathBuf,
}

/// What a mark says: in the file with this id (a segment's base offset, a journal's generation)
/// everything before the position is synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Synced {
    /// Which file.
    pub(crate) id: u64,
    /// Bytes known to be durable.
    pub(crate) position: u64,
}

impl Mark {
    /// The mark kept at `path`; nothing is read or written yet.
    pub(crate) fn new(files: Arc<dyn Files>, path: PathBuf) -> Self {
        Self { files, path }
    }

    /// What was written last, or None if nothing readable is left of it.
    pub(crate) fn read(&self) -> Option<Synced> {
        let content = super::read(self.files.as_ref(), &self.path).ok()??;
        let content: [u8; BYTES] = content.try_into().ok()?;
        let (body, crc) = content.split_at(16);
        if crc != crc32c::crc32c(body).to_le_bytes() {
            return None;
        }
        let (id, position) = body.split_at(8);
        Some(Synced {
            id: u64::from_le_bytes(id.try_into().ok()?),
            position: u64::from_le_bytes(position.try_into().ok()?),
        })
    }

    /// Notes what is durable now. A failure is of no consequence: the mark then lags behind.
    pub(crate) fn write(&self, synced: Synced) {
        let mut content = Vec::with_capacity(BYTES);
        content.extend_from_slice(&synced.id.to_le_bytes());
        content.extend_from_slice(&synced.position.to_le_bytes());
        content.extend_from_slice(&crc32c::crc32c(&content).to_le_bytes());
        let file = self
            .files
            .open(&self.path)
            .or_else(|_| self.files.create(&self.path));
        if let Err(error) = file.and_then(|file| file.write_all_at(&content, 0)) {
            tracing::warn!(path = %self.path.display(), %error, "cannot write the synced mark");
        }
    }
}
