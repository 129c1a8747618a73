//! What Postgres's errors mean to a turn (SQLSTATE:
//! <https://www.postgresql.org/docs/current/errcodes-appendix.html>).

use crate::limits;
use crate::store::sql::outcome::counted;
use crate::store::{Error, ErrorKind};

/// The store's error for a failed statement inside a transaction.
pub fn error(operation: &'static str, source: sqlx::Error) -> Error {
    counted(match source {
        sqlx::Error::PoolTimedOut => Error::new(
            ErrorKind::Retry,
            operation,
            format!(
                "no connection within {:?}: the database cannot be reached, or all are in use",
                limits::POSTGRES_ACQUIRE_TIMEOUT
            ),
        ),
        source => Error::new(kind(&source), operation, said(source)),
    })
}

/// What the server says, as far as it quotes no value and no statement: errors are logged.
fn said(source: sqlx::Error) -> Box<dyn std::error::Error + Send + Sync> {
    match sqlstate(&source) {
        Some(code) if code.starts_with(DATA) => {
            format!("a value that the database has no place for (SQLSTATE {code})").into()
        }
        Some(code) if code == SYNTAX => {
            format!("a statement that this server does not know (SQLSTATE {code})").into()
        }
        _ => source.into(),
    }
}

/// The store's error for a failed COMMIT: definite if the server says why, unknown if it could
/// not, or if it was told to stop just then.
pub(super) fn commit_error(operation: &'static str, source: sqlx::Error) -> Error {
    let kind = match sqlstate(&source) {
        Some(code) if code == COMPLETION_UNKNOWN => ErrorKind::Unknown,
        Some(code) => match &code[..2] {
            CONNECTION | SYSTEM | INTERNAL => ErrorKind::Unknown,
            INTERVENTION if code != QUERY_CANCELED => ErrorKind::Unknown,
            _ => kind(&source),
        },
        None => ErrorKind::Unknown,
    };
    counted(Error::new(kind, operation, said(source)))
}

/// The store's error for a call that was not answered in time.
pub(super) fn unanswered(kind: ErrorKind, operation: &'static str) -> Error {
    let detail = format!("no answer within {:?}", limits::POSTGRES_CALL_TIMEOUT);
    counted(Error::new(kind, operation, detail))
}

// Classes of SQLSTATE, its first two characters.
const CONNECTION: &str = "08";
const DATA: &str = "22";
const CONSTRAINT: &str = "23";
const TRANSACTION_STATE: &str = "25";
const ROLLBACK: &str = "40";
const RESOURCES: &str = "53";
const PROGRAM_LIMIT: &str = "54";
const OBJECT_STATE: &str = "55";
const INTERVENTION: &str = "57";
const SYSTEM: &str = "58";
const INTERNAL: &str = "XX";

const COMPLETION_UNKNOWN: &str = "40003";
const SYNTAX: &str = "42601";
const QUERY_CANCELED: &str = "57014";
const DATABASE_DROPPED: &str = "57P04";
const DATA_CORRUPTED: &str = "XX001";
const INDEX_CORRUPTED: &str = "XX002";
pub(super) const NO_SUCH_TABLE: &str = "42P01";
pub(super) const NO_SUCH_DATABASE: &str = "3D000";
pub(super) const BAD_PASSWORD: &str = "28P01";
pub(super) const NOT_AUTHORISED: &str = "28000";
pub(super) const NO_PERMISSION: &str = "42501";

/// The SQLSTATE, if the server itself gave the error.
pub(super) fn sqlstate(error: &sqlx::Error) -> Option<String> {
    let code = error.as_database_error()?.code()?;
    (code.len() == COMPLETION_UNKNOWN.len()).then(|| code.into_owned())
}

fn kind(error: &sqlx::Error) -> ErrorKind {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => ErrorKind::Retry,
        // A value that cannot be bound: one of the messages.
        sqlx::Error::Encode(_) => ErrorKind::Rejected,
        _ => sqlstate(error).map_or(ErrorKind::Fatal, |code| kind_of(&code)),
    }
}

fn kind_of(sqlstate: &str) -> ErrorKind {
    match sqlstate {
        DATABASE_DROPPED | DATA_CORRUPTED | INDEX_CORRUPTED => return ErrorKind::Fatal,
        _ => {}
    }
    match &sqlstate[..2] {
        // Deadlock, lock and statement timeouts, shutdown, a standby that was not promoted yet,
        // full disk, too many connections, ...
        CONNECTION | TRANSACTION_STATE | ROLLBACK | RESOURCES | OBJECT_STATE | INTERVENTION
        | SYSTEM | INTERNAL => ErrorKind::Retry,
        // A value that a constraint, a type or an index has no place for.
        DATA | CONSTRAINT | PROGRAM_LIMIT => ErrorKind::Rejected,
        // No such table, no permission, ...: not the weather, and not the messages either.
        _ => ErrorKind::Fatal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_tried_again_and_what_a_message_is_to_blame_for_is_not() {
        for (sqlstate, expected) in [
            ("40001", ErrorKind::Retry),
            ("40P01", ErrorKind::Retry),
            ("55P03", ErrorKind::Retry),
            ("57014", ErrorKind::Retry),
            ("57P01", ErrorKind::Retry),
            ("57P03", ErrorKind::Retry),
            ("25P03", ErrorKind::Retry),
            ("25006", ErrorKind::Retry),
            ("53100", ErrorKind::Retry),
            ("53300", ErrorKind::Retry),
            ("08006", ErrorKind::Retry),
            ("23505", ErrorKind::Rejected),
            ("23514", ErrorKind::Rejected),
            ("22003", ErrorKind::Rejected),
            ("22021", ErrorKind::Rejected),
            ("54000", ErrorKind::Rejected),
            ("42P01", ErrorKind::Fatal),
            ("42501", ErrorKind::Fatal),
            ("28P01", ErrorKind::Fatal),
            ("XX001", ErrorKind::Fatal),
        ] {
            assert_eq!(kind_of(sqlstate), expected, "{sqlstate}");
        }
    }

    #[test]
    fn a_commit_that_nobody_answered_may_have_happened() {
        let broken = || sqlx::Error::Io(std::io::Error::other("gone"));
        assert_eq!(commit_error("commit", broken()).kind, ErrorKind::Unknown);
        assert_eq!(error("load", broken()).kind, ErrorKind::Retry);
    }

    #[test]
    fn a_value_that_cannot_be_stored_is_a_messages_fault_and_a_wrong_query_is_ours() {
        let value = sqlx::Error::Encode("too large".into());
        assert_eq!(error("save", value).kind, ErrorKind::Rejected);
        let query = sqlx::Error::ColumnNotFound("totl".to_owned());
        assert_eq!(error("load", query).kind, ErrorKind::Fatal);
    }
}
