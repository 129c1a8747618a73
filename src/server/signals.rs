//! How the system tells a process to stop.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cancels `shutdown` on SIGINT or SIGTERM; returns once it is cancelled, by whomever.
///
/// # Errors
/// When the process cannot listen for signals.
pub async fn cancel_on_signal(shutdown: &CancellationToken) -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        () = shutdown.cancelled() => {}
    }
    shutdown.cancel();
    Ok(())
}
