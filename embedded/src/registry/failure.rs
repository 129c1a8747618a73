//! What the registry answers when it does not do what it was asked: Confluent's error codes.
//!
//! Source: <https://docs.confluent.io/platform/current/schema-registry/develop/api.html#errors>.

use axum::http::StatusCode;

/// A refusal or a failure, as the client sees it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// There is no such subject.
    #[error("Subject '{0}' not found.")]
    SubjectNotFound(String),
    /// The subject has no such version.
    #[error("Version {0} not found.")]
    VersionNotFound(u32),
    /// There is no such schema, or not under this subject.
    #[error("Schema not found")]
    SchemaNotFound,
    /// The subject has no compatibility level of its own.
    #[error("Subject '{0}' does not have subject-level compatibility configured")]
    LevelNotConfigured(String),
    /// The subject has no mode of its own.
    #[error("Subject '{0}' does not have subject-level mode configured")]
    ModeNotConfigured(String),
    /// The schema breaks the subject's compatibility level.
    #[error(
        "Schema being registered is incompatible with an earlier schema for subject \"{subject}\", details: {details}"
    )]
    Incompatible {
        /// The subject.
        subject: String,
        /// What does not fit, one finding behind the other.
        details: String,
    },
    /// The schema cannot be parsed, or is of a kind that is not kept here.
    #[error("Invalid schema: {0}")]
    InvalidSchema(String),
    /// The version is neither a positive number nor `latest`.
    #[error(
        "The specified version '{0}' is not a valid version id. Allowed values are between [1, 2^31-1] and the string \"latest\""
    )]
    InvalidVersion(String),
    /// There is no such compatibility level.
    #[error(
        "Invalid compatibility level. Valid values are none, backward, forward, full, backward_transitive, forward_transitive, and full_transitive"
    )]
    InvalidLevel,
    /// There is no such mode.
    #[error("Invalid mode. Valid values are READWRITE and READONLY")]
    InvalidMode,
    /// The subject may only be read.
    #[error("Subject {0} is in read-only mode")]
    ReadOnly(String),
    /// Only a subject in import mode takes a schema under a given id, and there is no such mode here.
    #[error("Subject {0} is not in import mode")]
    NotImporting(String),
    /// The name is none for a subject.
    #[error("The specified subject '{0}' is not a valid subject name.")]
    InvalidSubject(String),
    /// The body is not the JSON that was expected.
    #[error("the request body is not valid: {0}")]
    BadBody(String),
    /// This is no request of the API: an unknown path or method, or a body that is too long.
    #[error("HTTP {0}")]
    Refused(StatusCode),
    /// The journal could not be written.
    #[error("Error while storing the request: {0}")]
    Storage(String),
}

impl Failure {
    /// HTTP status and Confluent error code.
    pub(super) fn codes(&self) -> (StatusCode, u32) {
        match self {
            Self::SubjectNotFound(_) => (StatusCode::NOT_FOUND, 40401),
            Self::VersionNotFound(_) => (StatusCode::NOT_FOUND, 40402),
            Self::SchemaNotFound => (StatusCode::NOT_FOUND, 40403),
            Self::LevelNotConfigured(_) => (StatusCode::NOT_FOUND, 40408),
            Self::ModeNotConfigured(_) => (StatusCode::NOT_FOUND, 40409),
            Self::Refused(status) => (*status, status.as_u16().into()),
            Self::Incompatible { .. } => (StatusCode::CONFLICT, 409),
            Self::InvalidSchema(_) => (StatusCode::UNPROCESSABLE_ENTITY, 42201),
            Self::InvalidVersion(_) => (StatusCode::UNPROCESSABLE_ENTITY, 42202),
            Self::InvalidLevel => (StatusCode::UNPROCESSABLE_ENTITY, 42203),
            Self::InvalidMode => (StatusCode::UNPROCESSABLE_ENTITY, 42204),
            Self::ReadOnly(_) | Self::NotImporting(_) => (StatusCode::UNPROCESSABLE_ENTITY, 42205),
            Self::InvalidSubject(_) => (StatusCode::UNPROCESSABLE_ENTITY, 42208),
            Self::BadBody(_) => (StatusCode::BAD_REQUEST, 400),
            Self::Storage(_) => (StatusCode::INTERNAL_SERVER_ERROR, 50001),
        }
    }
}
