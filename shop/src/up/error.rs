//! Why the store cannot start or go on: one line that names the flag to change.

use std::io;
use std::path::PathBuf;

use messaging::{log, server};

use super::part::Part;
use super::plan;
use crate::exit::{Exit, Failure};

/// Why the store cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The flags do not go together.
    #[error(transparent)]
    Plan(#[from] plan::Error),
    /// An address cannot be listened on; the server's error names the flag.
    #[error(transparent)]
    Bind(#[from] server::Error),
    /// The host of an address is not known.
    #[error("{flag} {address}: {source}")]
    Resolve {
        /// The flag that named it.
        flag: &'static str,
        /// As given.
        address: String,
        /// The resolver's answer.
        source: io::Error,
    },
    /// A directory or file cannot be used.
    #[error("{flag} {}: {source}", path.display())]
    File {
        /// The flag that named it.
        flag: &'static str,
        /// As given.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A certificate is not there.
    #[error(
        "--tls-dir: {}: {source}; make what it should hold: shop certs --out DIR", path.display()
    )]
    Certificates {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A part's data cannot be used.
    #[error("--data-dir {}: {part}: {detail}", data_dir.display())]
    Data {
        /// The directory.
        data_dir: PathBuf,
        /// The part whose data it is.
        part: Part,
        /// What is wrong with it.
        detail: String,
    },
    /// A service's database cannot be used.
    #[error("{flag} {location}: {detail}")]
    Store {
        /// The flag that named it.
        flag: &'static str,
        /// As given, without a password.
        location: String,
        /// What is wrong with it.
        detail: String,
    },
    /// A part ended with its own error.
    #[error("{part}: {detail}")]
    Part {
        /// The part.
        part: &'static str,
        /// Its error.
        detail: String,
    },
    /// A topic cannot be created.
    #[error("cannot create a topic: {0}")]
    Topic(#[source] log::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = match error {
            Error::Plan(_) => Exit::Usage,
            _ => Exit::CannotStart,
        };
        Self::new(exit, error.to_string())
    }
}
