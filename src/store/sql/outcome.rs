//! Counting transactions by how they end.

use crate::store::{Error, ErrorKind};

/// Counts one write transaction in `store_transactions_total{outcome}` when it ends: `committed`,
/// `unknown`, or `rolled_back`, which includes being dropped.
#[derive(Debug)]
pub(crate) struct Outcome(&'static str);

impl Outcome {
    /// A transaction has begun.
    pub(crate) fn open() -> Self {
        Self("rolled_back")
    }

    /// COMMIT was answered with `result`.
    pub(crate) fn end(mut self, result: &Result<(), Error>) {
        self.0 = match result {
            Ok(()) => "committed",
            Err(error) if error.kind == ErrorKind::Unknown => "unknown",
            Err(_) => "rolled_back",
        };
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        metrics::counter!("store_transactions_total", "outcome" => self.0).increment(1);
    }
}
