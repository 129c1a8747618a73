//! The schema registry, as a port: id <-> schema.

use async_trait::async_trait;

use crate::codec::Schema;
pub use crate::codec::SchemaId;

pub mod access;
pub mod confluent;
#[cfg(feature = "test-util")]
pub mod contract;
pub mod memory;
pub mod subjects;

/// The port for the schema registry.
///
/// # Contract
///
/// - An id names one schema for ever; a schema registered under several subjects keeps its id.
/// - `schema` answers from memory once it has answered: a registry that is down stops only what
///   was never seen. A failure is never remembered as an answer.
/// - `register` is idempotent. A subject that has no compatibility level of its own gets
///   FULL_TRANSITIVE first; a schema that the subject's level refuses is
///   [`ErrorKind::Incompatible`].
/// - Every call returns within the adapter's request timeout.
#[async_trait]
pub trait SchemaRegistry: Send + Sync + 'static {
    /// The schema with this id.
    async fn schema(&self, id: SchemaId) -> Result<Schema, Error>;

    /// The id of `schema` (its literal text) under `subject`, if it is registered there.
    async fn lookup(&self, subject: &str, schema: &str) -> Result<SchemaId, Error>;

    /// Registers `schema` (its literal text) under `subject` unless it is there already.
    async fn register(&self, subject: &str, schema: &str) -> Result<SchemaId, Error>;
}

/// What a caller does about a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The registry could not be asked; later it may.
    Retry,
    /// The registry answered that there is no such schema or subject.
    NotFound,
    /// The registry refuses this version of the schema.
    Incompatible,
    /// The registry's schema cannot be read by this program.
    Invalid,
}

impl ErrorKind {
    /// All kinds, for counters that exist before the first error.
    pub(crate) const ALL: [Self; 4] = [
        Self::Retry,
        Self::NotFound,
        Self::Incompatible,
        Self::Invalid,
    ];

    /// Its name in metrics.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::NotFound => "not_found",
            Self::Incompatible => "incompatible",
            Self::Invalid => "invalid",
        }
    }
}

/// A failed call, with what it was about.
#[derive(Debug, thiserror::Error)]
#[error("schema registry: {subject}: {detail}")]
pub struct Error {
    /// What to do about it.
    pub kind: ErrorKind,
    /// The subject, or `schema id N`.
    pub subject: String,
    /// The registry's answer or the transport's failure.
    pub detail: String,
}

/// Most characters of an answer that are told.
const TOLD_CHARS_MAX: usize = 1_000;

/// What a registry answered, as one line of bearable length: registries quote schemas, and what is no
/// registry may answer anything.
fn one_line(text: &str) -> String {
    let mut line = String::new();
    for word in text.split_whitespace() {
        let gap = if line.is_empty() { "" } else { " " };
        let left = TOLD_CHARS_MAX.saturating_sub(line.chars().count() + gap.len());
        if word.chars().count() > left {
            line.extend([gap, &word.chars().take(left).collect::<String>(), "..."]);
            break;
        }
        line.extend([gap, word]);
    }
    line
}

/// An error with its causes: the first one of reqwest's says only which URL.
fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_told_in_one_bearable_line() {
        assert_eq!(one_line(" bad\r\n  gateway\n"), "bad gateway");
        assert_eq!(one_line(""), "");
        for long in ["x".repeat(1 << 20), "ü ".repeat(1 << 20)] {
            let told = one_line(&long);
            assert!(told.ends_with("..."));
            assert!(told.chars().count() <= TOLD_CHARS_MAX + 3);
        }
    }
}
