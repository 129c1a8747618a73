//! The file layer: everything durable goes through the narrow [`Files`] trait, so that tests can
//! put a disk below it that forgets what was not synced.

#[cfg(test)]
pub(crate) mod faulty;
pub(crate) mod journal;
pub(crate) mod lock;
pub(crate) mod mark;
pub(crate) mod real;

use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Error;

/// A tree of files. All calls block.
///
/// Data is durable after [`File::sync`]; a name (created, renamed or removed) is durable after
/// [`Files::sync_dir`] of the directory that holds it. Until then a crash may or may not undo it.
pub(crate) trait Files: Debug + Send + Sync + 'static {
    /// Creates the directory if it is missing; its parent must exist.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// The names inside a directory, sorted.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Opens an existing file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// Creates a file, or empties an existing one.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// Renames a file over another one, atomically.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes the names inside a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// An open file. All calls block.
pub(crate) trait File: Debug + Send + Sync {
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// When it was last written, in milliseconds since the Unix epoch.
    fn modified_ms(&self) -> io::Result<i64>;
    /// Fills the buffer from a position; fails if the file ends before.
    fn read_exact_at(&self, buf: &mut [u8], position: u64) -> io::Result<()>;
    /// Writes all bytes at a position, growing the file as needed.
    fn write_all_at(&self, data: &[u8], position: u64) -> io::Result<()>;
    /// Cuts the file.
    fn truncate(&self, len: u64) -> io::Result<()>;
    /// Makes the content durable.
    fn sync(&self) -> io::Result<()>;
}

/// Creates a directory if it is missing and makes its name durable.
pub(crate) fn ensure_dir(files: &dyn Files, path: &Path) -> Result<(), Error> {
    files.create_dir(path).map_err(|e| Error::io(path, e))?;
    if let Some(parent) = path.parent() {
        files.sync_dir(parent).map_err(|e| Error::io(parent, e))?;
    }
    Ok(())
}

/// The whole content of a file, or None if there is no such file.
pub(crate) fn read(files: &dyn Files, path: &Path) -> Result<Option<Vec<u8>>, Error> {
    let file = match files.open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io(path, e)),
    };
    read_open(file.as_ref())
        .map(Some)
        .map_err(|e| Error::io(path, e))
}

/// The whole content of an open file.
pub(crate) fn read_open(file: &dyn File) -> io::Result<Vec<u8>> {
    let len = usize::try_from(file.len()?).map_err(io::Error::other)?;
    let mut content = vec![0; len];
    file.read_exact_at(&mut content, 0)?;
    Ok(content)
}

/// Replaces a file's content so that a crash leaves the old content or the new, never a mixture.
/// Durable when it returns.
pub(crate) fn write_atomically(files: &dyn Files, path: &Path, data: &[u8]) -> io::Result<()> {
    let temporary = temporary_name(path);
    let file = files.create(&temporary)?;
    file.write_all_at(data, 0)?;
    file.sync()?;
    files.rename(&temporary, path)?;
    let parent = path.parent().unwrap_or(Path::new("."));
    files.sync_dir(parent)
}

/// The suffix of files that [`write_atomically`] has not finished: a crash may leave them behind.
pub(crate) const TEMPORARY_SUFFIX: &str = ".tmp";

fn temporary_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(TEMPORARY_SUFFIX);
    PathBuf::from(name)
}
