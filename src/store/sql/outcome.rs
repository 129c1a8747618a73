//! Counting transactions by how they end and how long their COMMIT took, and errors by kind.

use tokio::time::Instant;

use crate::store::{Error, ErrorKind};

/// Lets the counters exist before the first error: their rise from nothing would be no rise.
pub(crate) fn announce_errors() {
    // The other kinds are a turn's own findings: no call has failed.
    for kind in [
        ErrorKind::Retry,
        ErrorKind::Unknown,
        ErrorKind::Rejected,
        ErrorKind::Fatal,
    ] {
        errors(kind).increment(0);
    }
}

/// A database's error, counted where it becomes the store's.
pub(crate) fn counted(error: Error) -> Error {
    errors(error.kind).increment(1);
    error
}

fn errors(kind: ErrorKind) -> metrics::Counter {
    metrics::counter!("store_errors_total", "kind" => kind.label())
}

/// Waits for a COMMIT, and records how long it took.
pub(crate) async fn timed<V>(commit: impl Future<Output = V>) -> V {
    let begun = Instant::now();
    let committed = commit.await;
    metrics::histogram!("store_commit_seconds").record(begun.elapsed());
    committed
}

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
