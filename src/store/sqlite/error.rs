//! What SQLite's errors mean to a turn (result codes: <https://sqlite.org/rescode.html>).

use sqlx::sqlite::SqliteError;

use crate::store::sql::outcome::counted;
use crate::store::{Error, ErrorKind};

/// The store's error for a failed statement inside a transaction.
pub fn error(operation: &'static str, source: sqlx::Error) -> Error {
    counted(Error::new(kind(&source), operation, source))
}

/// The store's error for a failed COMMIT: definite, unless the file system failed it half way
/// (the frames may be in the file and found by a later recovery) or nobody was left to answer.
pub(super) fn commit_error(operation: &'static str, source: sqlx::Error) -> Error {
    let kind = match &source {
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => ErrorKind::Unknown,
        source if result_code(source) == Some(IOERR) => ErrorKind::Unknown,
        source => kind(source),
    };
    counted(Error::new(kind, operation, source))
}

// Primary result codes, the low byte of what SQLite returns.
pub(super) const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const NOMEM: i32 = 7;
const INTERRUPT: i32 = 9;
const IOERR: i32 = 10;
pub(super) const CORRUPT: i32 = 11;
const FULL: i32 = 13;
pub(super) const CANTOPEN: i32 = 14;
const PROTOCOL: i32 = 15;
const SCHEMA: i32 = 17;
const TOOBIG: i32 = 18;
const CONSTRAINT: i32 = 19;
const MISMATCH: i32 = 20;
pub(super) const NOTADB: i32 = 26;

/// The primary result code, if SQLite itself gave the error.
pub(super) fn result_code(error: &sqlx::Error) -> Option<i32> {
    let code = error
        .as_database_error()?
        .try_downcast_ref::<SqliteError>()?;
    let code: i32 = sqlx::error::DatabaseError::code(code)?.parse().ok()?;
    Some(code & 0xff)
}

fn kind(error: &sqlx::Error) -> ErrorKind {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::WorkerCrashed => {
            ErrorKind::Retry
        }
        // A value that cannot be bound: one of the messages.
        sqlx::Error::Encode(_) => ErrorKind::Rejected,
        _ => match result_code(error) {
            Some(
                BUSY | LOCKED | NOMEM | INTERRUPT | IOERR | FULL | CANTOPEN | PROTOCOL | SCHEMA,
            ) => ErrorKind::Retry,
            Some(CONSTRAINT | TOOBIG | MISMATCH) => ErrorKind::Rejected,
            // Corrupt, read-only, no such table, a column of another type, ...: not the weather,
            // and not the messages either.
            _ => ErrorKind::Fatal,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_asked_is_asked_again() {
        for source in [sqlx::Error::PoolTimedOut, sqlx::Error::WorkerCrashed] {
            assert_eq!(error("load", source).kind, ErrorKind::Retry);
        }
    }

    #[test]
    fn a_commit_that_nobody_answered_may_have_happened() {
        let broken = || sqlx::Error::Io(std::io::Error::other("gone"));
        for source in [broken(), sqlx::Error::WorkerCrashed] {
            assert_eq!(commit_error("commit", source).kind, ErrorKind::Unknown);
        }
        assert_eq!(
            commit_error("commit", sqlx::Error::PoolTimedOut).kind,
            ErrorKind::Retry
        );
    }

    #[test]
    fn a_value_that_cannot_be_stored_is_a_messages_fault_and_a_wrong_query_is_ours() {
        let value = sqlx::Error::Encode("too large".into());
        assert_eq!(error("save", value).kind, ErrorKind::Rejected);
        let query = sqlx::Error::ColumnNotFound("totl".to_owned());
        assert_eq!(error("load", query).kind, ErrorKind::Fatal);
    }
}
