//! `shop load limits`, and the limits beside a load.

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::time::Duration;

use ::load::limits::Limits;
use messaging::server::cancel_on_signal;
use tokio_util::sync::CancellationToken;

use super::shape::Shape;
use crate::exit::{Exit, Failure};
use crate::limits::{self, Error, Server, Settings};
use crate::output::Format;
use crate::up::PARTITIONS;

/// Seconds that each limit is measured unless told otherwise.
const SECONDS: u64 = 3;

/// The flags of `shop load limits`.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    shape: Shape,

    /// How long to measure each limit, in seconds, after a warm-up.
    #[arg(long, value_name = "SECONDS", default_value_t = SECONDS, value_parser = clap::value_parser!(u64).range(1..=3600))]
    duration: u64,

    #[command(flatten)]
    place: Place,

    /// A table for people, or JSON for programs.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// The flags of `shop load` about the limits beside it.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct BesideArgs {
    /// Measure the limits first, while the store is idle, and report the load as shares of them: see
    /// shop load limits.
    #[arg(long)]
    pub(super) limits: bool,

    /// How long to measure each limit, in seconds [default: 3].
    #[arg(long, value_name = "SECONDS", requires = "limits", value_parser = clap::value_parser!(u64).range(1..=3600))]
    limits_duration: Option<u64>,

    #[command(flatten)]
    place: Place,
}

/// Where limits are measured.
#[derive(clap::Args, Clone, Debug)]
struct Place {
    /// The folder of the store's data. Limits are measured in a new folder beside it, on the same
    /// disk, which is removed [default: data].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// A database on a server, as postgres://USER:PASSWORD@HOST:PORT/DATABASE, whose limit is measured
    /// instead of SQLite's: in two new schemas, which are dropped.
    #[arg(
        long,
        env = "SHOP_LIMITS_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    database_url: Option<Server>,

    /// Partitions of every topic [default: 4].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=1024))]
    partitions: Option<i32>,
}

impl Place {
    fn settings(&self, shape: &Shape, duration: Duration) -> Settings {
        let data_dir = self.data_dir.clone();
        Settings {
            plan: shape.plan(duration),
            callers: shape.callers.into(),
            connections: shape.connections(),
            partitions: self.partitions.unwrap_or(PARTITIONS),
            data_dir: data_dir.unwrap_or_else(|| crate::up::plan::DATA_DIR.into()),
            server: self.database_url.clone(),
            duration,
        }
    }
}

impl BesideArgs {
    /// Refuses flags that say where limits are measured when none are.
    ///
    /// # Errors
    /// A usage failure.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let Place {
            data_dir,
            partitions,
            // It may come from the environment, where it stands for other loads as well.
            database_url: _,
        } = &self.place;
        if !self.limits && (data_dir.is_some() || partitions.is_some()) {
            let message = "--data-dir and --partitions are about the limits: give --limits as well";
            return Err(Failure::new(Exit::Usage, message.to_owned()));
        }
        Ok(())
    }

    /// The limits of a load of this shape.
    ///
    /// # Errors
    /// When one cannot be measured, or `stop` comes.
    pub(super) async fn measure(
        &self,
        shape: &Shape,
        stop: &CancellationToken,
    ) -> Result<Limits, Failure> {
        let duration = Duration::from_secs(self.limits_duration.unwrap_or(SECONDS));
        let settings = self.place.settings(shape, duration);
        Ok(limits::measure(&settings, stop).await?)
    }
}

/// Measures each limit alone, and tells them.
pub(super) async fn limits(args: &Args) -> Result<(), Failure> {
    let duration = Duration::from_secs(args.duration);
    let settings = args.place.settings(&args.shape, duration);
    let measured = until_signal(async |stop| Ok(limits::measure(&settings, stop).await?)).await?;
    let mut out = stdout().lock();
    match args.output {
        Format::Table => write!(out, "{measured}")?,
        Format::Json => {
            let json = serde_json::to_string(&measured).map_err(std::io::Error::other)?;
            writeln!(out, "{json}")?;
        }
    }
    Ok(())
}

/// Does `work`, which leaves files and schemas behind unless it ends in order: a signal cancels its
/// token.
pub(super) async fn until_signal<V>(
    work: impl AsyncFnOnce(&CancellationToken) -> Result<V, Failure>,
) -> Result<V, Failure> {
    let stop = CancellationToken::new();
    let signals = cancel_on_signal(stop.clone()).map_err(|error| {
        Failure::new(Exit::CannotStart, format!("cannot handle signals: {error}"))
    })?;
    let working = async {
        let done = work(&stop).await;
        stop.cancel();
        done
    };
    tokio::join!(working, signals).0
}

/// It was stopped by a signal.
pub(super) fn stopped() -> Failure {
    Error::Stopped.into()
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = match &error {
            Error::Folder { .. } => Exit::Usage,
            Error::Store(_) | Error::Sql(_) => Exit::Unreachable,
            Error::Limit(_) | Error::Embedded(_) | Error::Address(_) | Error::Stopped => {
                Exit::Refused
            }
        };
        Self::new(exit, error.to_string())
    }
}
