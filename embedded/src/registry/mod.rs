//! The schema registry: Confluent's REST API over one file, Avro only.
//!
//! `connection` bounds each connection, `http` maps paths to the calls of `store`, `store` keeps subjects, versions and settings in a
//! journal, and asks the crate `evolution` what may follow what; `failure` holds Confluent's error
//! codes.

mod connection;
#[cfg(test)]
mod durability;
mod failure;
mod http;
mod state;
mod store;

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use self::store::Store;
pub use crate::Error;
use crate::files::lock::DirLock;
use crate::files::real::RealFiles;

/// Settings of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The directory that holds everything; created when missing, one process at a time.
    pub data_dir: PathBuf,
}

impl Config {
    /// A registry kept in this directory.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
        }
    }
}

/// A recovered registry, ready to be served. Holds the lock of its directory until dropped.
#[derive(Debug)]
pub struct Registry {
    store: Arc<Store>,
    _lock: DirLock,
}

impl Registry {
    /// Locks the directory and reads the journal; a torn entry at its end is cut off. Blocks.
    ///
    /// # Errors
    /// [`Error::InUse`] if another process has the directory, [`Error::Corrupt`] if something
    /// acknowledged is damaged or missing (nothing is changed then), [`Error::Io`].
    pub fn open(config: Config) -> Result<Self, Error> {
        let lock = DirLock::acquire(&config.data_dir)?;
        let store = Arc::new(Store::open(Arc::new(RealFiles), &config.data_dir)?);
        Ok(Self { store, _lock: lock })
    }

    /// Serves the REST API until `shutdown`, then lets requests finish and returns within
    /// seconds. What was acknowledged is on disk.
    ///
    /// # Errors
    /// [`Error::Listener`] if the listener cannot be used.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> Result<(), Error> {
        connection::serve(http::routes(Arc::clone(&self.store)), listener, shutdown).await
    }

    /// The REST API without a socket, for trials.
    #[cfg(feature = "test-util")]
    #[must_use]
    pub fn calls(&self) -> Calls {
        Calls(http::routes(Arc::clone(&self.store)))
    }
}

/// The REST API as a function.
#[cfg(feature = "test-util")]
#[derive(Debug)]
pub struct Calls(axum::Router);

#[cfg(feature = "test-util")]
impl Calls {
    /// The status and the body that a request is answered with; `None` if `method` or `path` is none
    /// of HTTP's.
    pub async fn answer(&self, method: &str, path: &str, body: &[u8]) -> Option<(u16, Vec<u8>)> {
        use tower::ServiceExt;
        let request = axum::http::Request::builder().method(method).uri(path);
        let body = axum::body::Body::from(body.to_vec());
        let answer = self.0.clone().oneshot(request.body(body).ok()?).await;
        let (parts, body) = answer.ok()?.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.ok()?;
        Some((parts.status.as_u16(), body.to_vec()))
    }
}
