//! Accepting connections: a cap on how many are open, and a drain that ends.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Error, Limits};

/// Pause after a failed accept that is not one connection's own fault (file descriptors ran out):
/// the failure would repeat at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves connections until `shutdown`, then drains them.
///
/// At most [`Limits::connections_max`] are open; further ones wait in the listener's backlog. At
/// shutdown the listener closes at once, and `connection` is expected to finish what it has; what
/// is still open after [`Limits::drain_max`] is cut off.
pub(super) async fn serve<F, C>(
    listener: std::net::TcpListener,
    limits: &Limits,
    shutdown: &CancellationToken,
    connection: F,
) -> Result<(), Error>
where
    F: Fn(TcpStream) -> C,
    C: Future<Output = ()> + Send + 'static,
{
    listener.set_nonblocking(true).map_err(Error::Listener)?;
    let listener = TcpListener::from_std(listener).map_err(Error::Listener)?;
    let permits = Arc::new(Semaphore::new(limits.connections_max));
    let mut open = JoinSet::new();
    while let Some((stream, permit)) = shutdown
        .run_until_cancelled(accept(&listener, &permits))
        .await
    {
        let work = connection(stream);
        open.spawn(async move {
            work.await;
            drop(permit);
        });
        while open.try_join_next().is_some() {}
    }
    drop(listener);
    let drained = async { while open.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.drain_max, drained)
        .await
        .is_err()
    {
        tracing::warn!(
            count = open.len(),
            "cut off connections that did not drain in time"
        );
        open.shutdown().await;
    }
    Ok(())
}

/// Waits for room, then for a connection.
async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed, so there is always a permit.
    let permit = Arc::clone(permits).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "a connection went away while it was accepted");
                    continue;
                }
                return (stream, permit);
            }
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}
