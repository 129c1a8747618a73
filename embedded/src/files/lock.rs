//! One process per directory.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::Path;

use super::{Files, real::RealFiles};
use crate::Error;

/// Holds a directory for this process; dropping it lets go, and so does the end of the process.
#[derive(Debug)]
pub(crate) struct DirLock {
    _file: File,
}

impl DirLock {
    /// Creates the directory with its parents where missing, and locks it.
    pub(crate) fn acquire(dir: &Path) -> Result<Self, Error> {
        create_with_parents(dir)?;
        let path = dir.join("lock");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|e| Error::io(&path, e))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(Error::InUse {
                dir: dir.to_owned(),
            }),
            Err(TryLockError::Error(e)) => Err(Error::io(&path, e)),
        }
    }
}

/// Creates missing directories and makes the name of each durable.
fn create_with_parents(dir: &Path) -> Result<(), Error> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_with_parents(parent)?;
    }
    RealFiles.create_dir(dir).map_err(|e| Error::io(dir, e))?;
    let parent = dir.parent().unwrap_or(Path::new("."));
    RealFiles
        .sync_dir(parent)
        .map_err(|e| Error::io(parent, e))?;
    fs::metadata(dir).map(drop).map_err(|e| Error::io(dir, e))
}
