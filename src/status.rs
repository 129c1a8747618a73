//! Error kinds as gRPC status, in one place.
//!
//! Clients get what they can act on: a code, a sentence, and details (`google.rpc.RetryInfo`,
//! `google.rpc.BadRequest`). What a driver said goes to the log only.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::auth::{Need, Refusal};
use crate::{codec, lease, limits, log, registry, store};

/// One invalid field of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field, for example `order.lines[2].quantity`.
    pub field: String,
    /// What the field must be.
    pub description: String,
}

/// INVALID_ARGUMENT with a `google.rpc.BadRequest` that names every violation.
#[must_use]
pub fn invalid(violations: impl IntoIterator<Item = Violation>) -> Status {
    let mut details = ErrorDetails::new();
    let mut fields = Vec::new();
    for violation in violations {
        fields.push(violation.field.clone());
        details.add_bad_request_violation(violation.field, violation.description);
    }
    Status::with_error_details(
        Code::InvalidArgument,
        format!("invalid: {}", fields.join(", ")),
        details,
    )
}

/// UNAVAILABLE with a `google.rpc.RetryInfo`.
#[must_use]
pub fn unavailable(message: impl Into<String>) -> Status {
    with_retry_info(Code::Unavailable, message, limits::RETRY_AFTER)
}

/// RESOURCE_EXHAUSTED with a `google.rpc.RetryInfo`.
#[must_use]
pub fn exhausted(message: impl Into<String>) -> Status {
    exhausted_for(message, limits::RETRY_AFTER)
}

/// RESOURCE_EXHAUSTED with a `google.rpc.RetryInfo`: not before `wait` is over.
#[must_use]
pub fn exhausted_for(message: impl Into<String>, wait: Duration) -> Status {
    with_retry_info(Code::ResourceExhausted, message, wait)
}

/// UNAUTHENTICATED, with the reason.
#[must_use]
pub fn unauthenticated(refusal: Refusal) -> Status {
    Status::unauthenticated(refusal.to_string())
}

/// UNAUTHENTICATED for a stream whose token has expired while it was open.
#[must_use]
pub fn expired() -> Status {
    Status::unauthenticated(
        "the token has expired; open the stream again with a new one, from where it ended",
    )
}

/// PERMISSION_DENIED: the caller's token is good, and not for this call.
#[must_use]
pub fn denied(need: Need) -> Status {
    Status::permission_denied(match need {
        Need::Scope(scope) => format!("this call needs a token with the scope {scope}"),
        Need::Nothing | Need::Token => "this call is not for the token's bearer".to_owned(),
    })
}

/// INTERNAL without any detail.
#[must_use]
pub fn internal() -> Status {
    Status::internal("internal error; the service's log tells more")
}

fn with_retry_info(code: Code, message: impl Into<String>, wait: Duration) -> Status {
    let details = ErrorDetails::with_retry_info(Some(wait));
    Status::with_error_details(code, message, details)
}

/// The answer to a call that the log failed.
#[must_use]
pub fn of_log(error: &log::Error) -> Status {
    match error.kind {
        // Health tells of an outage; a line per call would bury it.
        log::ErrorKind::Retry | log::ErrorKind::UnknownTopic => {
            tracing::debug!(%error, "a call failed on the log");
            unavailable("the log cannot be reached; nothing was accepted")
        }
        log::ErrorKind::Ambiguous => {
            tracing::debug!(%error, "a call's outcome on the log is unknown");
            outcome_unknown()
        }
        log::ErrorKind::OutOfRange | log::ErrorKind::Fatal => {
            tracing::error!(%error, "the log refuses a call");
            internal()
        }
    }
}

/// UNAVAILABLE for a command that may or may not have reached the log.
#[must_use]
pub fn outcome_unknown() -> Status {
    unavailable(
        "the log did not acknowledge in time, so the outcome is unknown; repeating the same \
         request is safe",
    )
}

/// UNAVAILABLE for a command that could not be written at all: a topic or a schema is missing yet.
#[must_use]
pub fn not_writable() -> Status {
    unavailable("the log's topics or the schemas are not ready; nothing was accepted")
}

/// The answer to a call that the lease of the shards failed: whatever it is, it may pass.
#[must_use]
pub fn of_lease(error: &lease::Error) -> Status {
    tracing::debug!(%error, "a call failed on the lease");
    unavailable("who owns the shards cannot be told: the lease cannot be reached")
}

/// The answer to a call that the database failed.
#[must_use]
pub fn of_store(error: &store::Error) -> Status {
    match error.kind {
        store::ErrorKind::Retry
        | store::ErrorKind::Unknown
        | store::ErrorKind::Fenced
        | store::ErrorKind::CursorMoved => {
            tracing::debug!(%error, "a call failed on the database");
            unavailable("the database is busy or cannot be reached")
        }
        store::ErrorKind::Rejected | store::ErrorKind::Fatal => {
            tracing::error!(%error, "the database refuses a call");
            internal()
        }
    }
}

/// The answer to a call that the schema registry failed.
#[must_use]
pub fn of_registry(error: &registry::Error) -> Status {
    match error.kind {
        registry::ErrorKind::Retry | registry::ErrorKind::NotFound => {
            tracing::debug!(%error, "a call failed on the schema registry");
            unavailable("the schema registry cannot be reached or lacks a schema")
        }
        registry::ErrorKind::Incompatible | registry::ErrorKind::Invalid => {
            tracing::error!(%error, "the schema registry refuses a call");
            internal()
        }
    }
}

/// The answer to a call whose message could not be written or read.
#[must_use]
pub fn of_codec(error: &codec::Error) -> Status {
    tracing::error!(error = error.outline(), "a message could not be coded");
    internal()
}

/// A code's name in the gRPC specification.
#[must_use]
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_error(kind: log::ErrorKind) -> log::Error {
        log::Error {
            kind,
            operation: "append",
            topic: "order.commands".to_owned(),
            partition: 0,
            source: "secret detail of the driver".into(),
        }
    }

    #[test]
    fn every_violation_is_named() {
        let status = invalid([
            Violation {
                field: "order.currency".to_owned(),
                description: "must be three capital letters".to_owned(),
            },
            Violation {
                field: "request_id".to_owned(),
                description: "must be a UUID".to_owned(),
            },
        ]);
        assert_eq!(status.code(), Code::InvalidArgument);
        let details = status.get_error_details();
        let fields: Vec<_> = details
            .bad_request()
            .unwrap()
            .field_violations
            .iter()
            .map(|violation| violation.field.as_str())
            .collect();
        assert_eq!(fields, ["order.currency", "request_id"]);
    }

    #[test]
    fn a_failure_that_may_pass_says_when_to_come_back() {
        let away = lease::Error::Unreachable("secret detail of the driver".into());
        for status in [
            of_log(&log_error(log::ErrorKind::Retry)),
            of_log(&log_error(log::ErrorKind::Ambiguous)),
            of_lease(&away),
        ] {
            assert_eq!(status.code(), Code::Unavailable);
            let delay = status.get_error_details().retry_info().unwrap().retry_delay;
            assert_eq!(delay, Some(limits::RETRY_AFTER));
        }
    }

    #[test]
    fn no_detail_of_a_driver_reaches_a_client() {
        let select = || "SELECT secret FROM orders";
        let statuses = [
            of_lease(&lease::Error::Unreachable(select().into())),
            of_log(&log_error(log::ErrorKind::Retry)),
            of_log(&log_error(log::ErrorKind::Fatal)),
            of_store(&store::Error::new(
                store::ErrorKind::Fatal,
                "load",
                select(),
            )),
            of_store(&store::Error::new(
                store::ErrorKind::Retry,
                "load",
                select(),
            )),
        ];
        for status in statuses {
            assert!(!format!("{status:?}").contains("secret"), "{status:?}");
        }
    }
}
