//! Waiting, for what speaks in frames.

use std::time::Duration;

/// Waits for what must come soon.
pub(crate) async fn soon<T>(coming: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), coming)
        .await
        .expect("it did not come in time")
}
