//! The canonical form of a command's content, to tell a repetition from a conflict.

use messaging::context::ContentHash;

/// Builds canonical bytes. Every part is prefixed with its length, so that no two contents
/// share a form.
#[derive(Debug, Default)]
pub(crate) struct Canonical(Vec<u8>);

impl Canonical {
    pub(crate) fn text(mut self, text: &str) -> Self {
        self.0.extend_from_slice(&(text.len() as u64).to_be_bytes());
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    pub(crate) fn number(mut self, number: i64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    pub(crate) fn hash(self) -> ContentHash {
        ContentHash::of(&self.0)
    }
}
