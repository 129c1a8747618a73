//! Why a log or a registry cannot open or go on.

use std::io;
use std::path::{Path, PathBuf};

/// Why a log or a registry cannot open its directory or go on serving.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process holds the lock of the directory.
    #[error("data directory {} is in use by another process", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// A file does not hold what was acknowledged. Nothing was changed: restore the file from a
    /// backup, or move the directory away.
    #[error("{} is corrupt at byte {position}: {reason}; nothing was changed", file.display())]
    Corrupt {
        /// The damaged file.
        file: PathBuf,
        /// Where in the file, in bytes.
        position: u64,
        /// What is wrong there.
        reason: &'static str,
    },
    /// The operating system refused a file operation.
    #[error("cannot use {}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The operating system refused to accept connections.
    #[error("cannot serve the listener: {source}")]
    Listener {
        /// The operating system's answer.
        source: io::Error,
    },
}

impl Error {
    /// An operating system error about `path`.
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    /// A damaged file.
    pub(crate) fn corrupt(file: &Path, position: u64, reason: &'static str) -> Self {
        Self::Corrupt {
            file: file.to_owned(),
            position,
            reason,
        }
    }
}
