//! A log and a registry on a free port of this machine, in a directory of their own.
#![allow(dead_code, reason = "each test file uses its part")]

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use embedded::{Error, log};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A server that is running.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    shutdown: CancellationToken,
    served: JoinHandle<Result<(), Error>>,
}

impl Server {
    /// Serves the log kept in `dir`.
    pub(crate) fn log(dir: &Path) -> Self {
        Self::log_with(log::Config::new(dir))
    }

    /// Serves a log with these settings.
    pub(crate) fn log_with(config: log::Config) -> Self {
        let log = log::Log::open(config).unwrap();
        Self::start(|listener, shutdown| log.serve(listener, shutdown))
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "a test owns its sockets and tasks"
    )]
    pub(crate) fn start<F>(serve: impl FnOnce(TcpListener, CancellationToken) -> F) -> Self
    where
        F: Future<Output = Result<(), Error>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let served = tokio::spawn(serve(listener, shutdown.clone()));
        Self {
            addr,
            shutdown,
            served,
        }
    }

    /// Ends it, waiting until its directory is free.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.served.await.unwrap().unwrap();
    }
}

/// A plain connection to a server.
#[allow(
    clippy::disallowed_methods,
    reason = "a test owns its sockets and tasks"
)]
pub(crate) async fn connect(addr: SocketAddr) -> tokio::net::TcpStream {
    tokio::net::TcpStream::connect(addr).await.unwrap()
}
