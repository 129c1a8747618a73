//! The listener and its connections: a request each, all of it in bounded time.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::Error;

/// Most connections; further ones wait in the listener's backlog.
const CONNECTIONS_MAX: usize = 256;
/// The head of a request must arrive within this time.
const HEAD_MAX: Duration = Duration::from_secs(5);
/// A connection lives no longer: its request must have arrived, been answered, and the answer been
/// taken.
const CONNECTION_MAX: Duration = Duration::from_secs(15);
/// How long requests may take to finish when the registry is shut down.
const DRAIN_MAX: Duration = Duration::from_secs(2);
/// How long to wait after the listener failed to accept (out of file descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `shutdown`.
pub(super) async fn serve(
    routes: Router,
    listener: std::net::TcpListener,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let listen = |source| Error::Listener { source };
    listener.set_nonblocking(true).map_err(listen)?;
    let listener = TcpListener::from_std(listener).map_err(listen)?;
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut open = JoinSet::new();
    loop {
        let next = async {
            // The semaphore is never closed.
            let slot = Arc::clone(&slots).acquire_owned().await;
            (slot, listener.accept().await)
        };
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = open.join_next() => {}
            (slot, accepted) = next => match accepted {
                Ok((stream, _)) => {
                    let work = timeout(CONNECTION_MAX, converse(stream, routes.clone()));
                    open.spawn(async move {
                        if work.await.is_err() {
                            tracing::debug!("closed a connection that took too long");
                        }
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let drained = async { while open.join_next().await.is_some() {} };
    if timeout(DRAIN_MAX, drained).await.is_err() {
        open.shutdown().await;
    }
    Ok(())
}

/// Answers one request. Connections are not kept: their time is that of the request.
async fn converse(stream: TcpStream, routes: Router) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection failed");
    }
}
