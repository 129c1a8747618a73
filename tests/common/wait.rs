//! Waiting for a condition, never for a time.

use std::future::Future;
use std::time::Duration;

/// How long anything here may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Polls until `probe` answers; fails the test after [`PATIENCE`].
pub(crate) async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let polling = async {
        loop {
            if let Some(found) = probe().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    within(polling, what).await
}

/// Awaits `future`; fails the test after [`PATIENCE`].
pub(crate) async fn within<F: Future>(future: F, what: &str) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"))
}
