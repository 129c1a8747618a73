//! How a command ends: the exit statuses that scripts rely on.

use std::io;
use std::process::ExitCode;

/// Exit statuses; success is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The store refused, or `--wait` ended in another terminal status.
    Refused = 1,
    /// The command line or its input file cannot be used.
    Usage = 2,
    /// The store cannot be reached, or did not answer in time.
    Unreachable = 3,
    /// Time ran out with the order standing.
    TimedOut = 4,
    /// A part of the store cannot start or go on.
    CannotStart = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command failed: for people, and for `$?`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The exit status.
    pub exit: Exit,
    /// One line, or more when there are details; empty when everything has been said.
    pub message: String,
}

impl Failure {
    /// A failure that `message` tells.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
        }
    }

    /// Writes the message to stderr.
    pub fn tell(&self) {
        if !self.message.is_empty() {
            eprintln!("error: {}", self.message);
        }
    }
}

impl From<io::Error> for Failure {
    /// Standard output is the only thing that is written without its own error: a reader that
    /// has seen enough (`shop orders | head`) is no failure worth a line.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(Exit::Refused, "");
        }
        Self::new(Exit::Refused, format!("cannot write the output: {error}"))
    }
}
