//! How the system tells a process to stop.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Listens for SIGINT and SIGTERM from now on; the future returned cancels `shutdown` when one
/// comes, and completes once `shutdown` is cancelled, by whomever.
///
/// # Errors
/// When the process cannot listen for signals.
pub fn cancel_on_signal(
    shutdown: CancellationToken,
) -> io::Result<impl Future<Output = ()> + Send> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = shutdown.cancelled() => {}
        }
        shutdown.cancel();
    })
}
