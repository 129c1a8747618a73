//! The log: the Kafka protocol over files, for one machine.
//!
//! A record is acknowledged once it is synced to disk, and read only then. The map, from the
//! socket to the disk: `connection` reads frames, `api` answers requests, `topics` knows the
//! partitions, `partition` commits in groups and wakes readers, `store`, `read` and `recovery`
//! keep one partition's segments. `records` decides what is refused, `groups` and `offsets` serve
//! consumer groups.

mod api;
mod batch;
mod connection;
#[cfg(test)]
mod durability;
mod groups;
mod limits;
mod offsets;
mod partition;
mod read;
mod records;
mod recovery;
mod retention;
mod segment;
mod shape;
#[cfg(feature = "test-util")]
pub mod storage;
mod store;
mod tail;
#[cfg(test)]
mod testing;
mod topics;

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use self::api::Broker;
use self::store::Options;
pub use crate::Error;
use crate::clock;
use crate::files::Files;
use crate::files::lock::DirLock;
use crate::files::real::RealFiles;

/// How long records are kept. Both limits remove whole segments, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Segments last written longer ago than this are removed. The clock is the log's, not the
    /// timestamps that producers give.
    pub max_age: Duration,
    /// A partition's oldest segments are removed while the others hold this many bytes.
    pub max_bytes: Option<u64>,
}

/// Settings of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The directory that holds everything; created when missing, one process at a time.
    pub data_dir: PathBuf,
    /// How long records are kept.
    pub retention: Retention,
    /// How often to look for records to remove.
    pub retention_interval: Duration,
    /// Bytes after which a partition starts a new segment file.
    pub segment_bytes: u64,
}

impl Config {
    /// Seven days of retention without a size limit, segments of 64 MiB.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            retention: Retention {
                max_age: Duration::from_secs(7 * 24 * 3600),
                max_bytes: None,
            },
            retention_interval: limits::RETENTION_INTERVAL,
            segment_bytes: 64 << 20,
        }
    }
}

/// A recovered log, ready to be served. Holds the lock of its directory until dropped.
#[derive(Debug)]
pub struct Log {
    broker: Arc<Broker>,
    config: Config,
    _lock: DirLock,
}

impl Log {
    /// Locks and recovers the directory: torn tails are cut off, leftovers removed. Blocks.
    ///
    /// # Errors
    /// [`Error::InUse`] if another process has it, [`Error::Corrupt`] if something acknowledged is
    /// damaged or missing (nothing is changed then), [`Error::Io`].
    pub fn open(config: Config) -> Result<Self, Error> {
        crate::counters::describe();
        let lock = DirLock::acquire(&config.data_dir)?;
        let broker = Arc::new(open_broker(Arc::new(RealFiles), &config)?);
        Ok(Self {
            broker,
            config,
            _lock: lock,
        })
    }

    /// Serves Kafka clients until `shutdown`, then ends long polls, lets requests finish and
    /// returns within seconds. What was acknowledged is on disk.
    ///
    /// # Errors
    /// [`Error::Listener`] if the listener cannot be used.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> Result<(), Error> {
        connection::serve(&self.broker, &self.config, listener, shutdown).await
    }

    /// What a client is answered that sends these bytes and then nothing more, and why its connection
    /// was closed if not for that: for trials without a socket.
    #[cfg(feature = "test-util")]
    pub async fn exchange(&self, sent: &[u8]) -> (Vec<u8>, Option<String>) {
        let mut answers = Vec::new();
        let peer = api::Peer {
            reached: std::net::SocketAddr::from(([127, 0, 0, 1], 9092)),
            shutdown: &CancellationToken::new(),
        };
        let room =
            tokio::sync::Semaphore::new(limits::REQUESTS_BYTES_MAX / limits::FRAME_BYTES_SMALL);
        let stream = tokio::io::join(sent, &mut answers);
        let ended = connection::exchange(&self.broker, &room, &peer, stream).await;
        (answers, ended.err().map(|closed| closed.to_string()))
    }
}

/// Recovers everything below the data directory.
fn open_broker(files: Arc<dyn Files>, config: &Config) -> Result<Broker, Error> {
    let age_ms = i64::try_from(config.retention.max_age.as_millis()).unwrap_or(i64::MAX);
    let options = Options {
        files: Arc::clone(&files),
        segment_bytes: config.segment_bytes,
        // So that what is removed by age is removed in portions.
        segment_age_ms: (age_ms / 8).max(1),
    };
    let topics = topics::Topics::open(options, &config.data_dir)?;
    let offsets = offsets::Offsets::open(files, &config.data_dir)?;
    Ok(Broker::new(topics, offsets, clock::now_ms()))
}
