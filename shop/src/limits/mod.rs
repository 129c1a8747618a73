//! The physical limits of a store on this machine, each measured alone: what `load` measures, with
//! the embedded log and both services' databases, in a folder of their own.
//!
//! | room | what happens there |
//! |---|---|
//! | `database` | the rows of orders through both databases, in ideal batches |

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use load::limits::messages::{self, Batch};
use load::limits::meter::Period;
use load::limits::{self, Appends, Disk, Limits};
use load::plan::Plan;
use messaging::clock::{Clock, SystemClock};
use messaging::ids::SystemIds;
use messaging::log::Log;
use messaging::log::kafka::{self, KafkaLog};
use messaging::{server, store};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

mod database;

pub use database::postgres::Server;

/// What is measured, and where.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The load: its way, its products, its names.
    pub plan: Plan,
    /// How many call at the same time, at least 1.
    pub callers: usize,
    /// Connections that they share, at least 1.
    pub connections: usize,
    /// Partitions of every topic, at least 1.
    pub partitions: i32,
    /// The folder of a store's data: what is written goes beside it, to the same disk, and is
    /// removed.
    pub data_dir: PathBuf,
    /// A database server to measure instead of SQLite.
    pub server: Option<Server>,
    /// How long each limit is measured.
    pub duration: Duration,
}

/// Why the limits are not known.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A limit cannot be measured.
    #[error(transparent)]
    Limit(#[from] limits::Error),
    /// Nothing can be written beside the data.
    #[error("--data-dir {}: nothing can be written beside it: {source}", data_dir.display())]
    Folder {
        /// The folder of the data.
        data_dir: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The embedded log does not open.
    #[error("the log: {0}")]
    Embedded(#[from] embedded::Error),
    /// The log's address cannot be had.
    #[error(transparent)]
    Address(#[from] server::Error),
    /// The database cannot be used.
    #[error("the database: {0}")]
    Store(#[from] store::Error),
    /// Or refuses a statement.
    #[error("the database: {0}")]
    Sql(#[from] sqlx::Error),
    /// It was told to stop.
    #[error("stopped before the limits were known")]
    Stopped,
}

/// Measures one limit after the other, until `stop`; nothing is left of what it writes.
///
/// # Errors
/// When a limit cannot be measured, or it is stopped.
pub async fn measure(settings: &Settings, stop: &CancellationToken) -> Result<Limits, Error> {
    let folder = folder(&settings.data_dir)?;
    let period = Period::of(settings.duration);
    let now = SystemClock.now();
    let batch = messages::batch(&settings.plan, Arc::new(SystemIds), now).await?;
    let batch = Arc::new(batch);
    let calls = limits::calls::calls(
        &settings.plan,
        Arc::new(SystemIds),
        settings.callers,
        settings.connections,
        period,
    );
    let calls = until(stop, calls).await??;
    let log = log(settings, folder.path(), &batch, period);
    let log = until(stop, log).await??;
    let database = database::measure(settings, folder.path(), &batch, period, stop).await?;
    let disk = disk(folder.path(), period).await?;
    Ok(Limits::new(calls, log, database, disk))
}

/// What `measuring` comes to, unless it is stopped.
async fn until<V>(
    stop: &CancellationToken,
    measuring: impl Future<Output = V>,
) -> Result<V, Error> {
    let measured = stop.run_until_cancelled(measuring).await;
    measured.ok_or(Error::Stopped)
}

/// A folder beside `data_dir`; it is removed when it is dropped.
fn folder(data_dir: &Path) -> Result<TempDir, Error> {
    let beside = data_dir.parent().unwrap_or(data_dir);
    let beside = match beside.as_os_str().is_empty() {
        true => Path::new("."),
        false => beside,
    };
    let made = tempfile::Builder::new()
        .prefix("shop-limits-")
        .tempdir_in(beside);
    made.map_err(|source| Error::Folder {
        data_dir: data_dir.to_owned(),
        source,
    })
}

/// Serves a log in `folder` while it is measured.
async fn log(
    settings: &Settings,
    folder: &Path,
    batch: &Arc<Batch>,
    period: Period,
) -> Result<Appends, Error> {
    let config = embedded::log::Config::new(folder.join("log"));
    let opened = tokio::task::spawn_blocking(|| embedded::log::Log::open(config)).await;
    let opened = opened.map_err(limits::Error::Task)??;
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = server::bind("the log", free)?;
    let address = listener.local_addr().map_err(limits::Error::Disk)?;
    let stop = CancellationToken::new();
    let mut serving = JoinSet::new();
    serving.spawn(opened.serve(listener, stop.clone()));
    let client: Arc<dyn Log> = Arc::new(KafkaLog::new(kafka::Config {
        bootstrap: vec![address.to_string()],
        client_id: "shop-limits".to_owned(),
    }));
    let appends = limits::log::appends(&client, settings.partitions, batch, period).await;
    stop.cancel();
    while let Some(served) = serving.join_next().await {
        served.map_err(limits::Error::Task)??;
    }
    Ok(appends?)
}

async fn disk(folder: &Path, period: Period) -> Result<Disk, Error> {
    let folder = folder.to_owned();
    let syncing = tokio::task::spawn_blocking(move || limits::disk::syncs(&folder, period)).await;
    let disk = syncing.map_err(limits::Error::Task)?;
    Ok(disk.map_err(limits::Error::Disk)?)
}
