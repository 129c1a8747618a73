//! `shop up`: the parts of the store in this process.
//!
//! | room | what happens there |
//! |---|---|
//! | [`plan`] | the flags, checked: what runs here, and where everything is |
//! | [`elsewhere`] | the flags for what other programs keep |
//! | [`store`] | the running parts: start, readiness, ordered stop |
//! | `launch` | how each part is started |
//! | [`tls`] | the certificates that each part uses |
//! | `ready`, `banner` | the ready file for scripts, the banner for people |

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gateway::rate::RateArgs;
use messaging::config::{self, AuthArgs, TelemetryArgs, TraceArgs};
use messaging::telemetry::{self, LogFormat};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::seed;
use crate::token::TokenArgs;

pub mod address;
mod banner;
pub mod elsewhere;
pub mod error;
mod launch;
pub mod part;
pub mod plan;
mod ready;
pub mod store;
pub mod tls;

use address::Address;
use elsewhere::ElsewhereArgs;
pub use error::Error;
use part::Part;
use plan::Plan;
use store::Store;
use tls::TlsDir;

/// Partitions of every topic unless told otherwise.
pub(crate) const PARTITIONS: i32 = 4;
/// How long one call of the seeding may take.
const SEED_CALL_MAX: Duration = Duration::from_secs(10);

/// The flags of `shop up`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Receive the walkthrough's stock, as `shop seed` does, before it counts as ready.
    #[arg(long)]
    pub seed: bool,

    /// Where log, registry and databases are kept, those that are named by no flag [default: data].
    #[arg(long, value_name = "DIR", conflicts_with = "fresh")]
    pub data_dir: Option<PathBuf>,

    /// Keep the data in a temporary directory that is removed at the end.
    #[arg(long)]
    pub fresh: bool,

    /// Parts that run elsewhere; each is expected at its listen address.
    #[arg(
        long,
        value_name = "NAME",
        value_enum,
        value_delimiter = ',',
        conflicts_with = "only"
    )]
    pub without: Vec<Part>,

    /// The parts to run; the others are expected at their listen addresses.
    #[arg(long, value_name = "NAME", value_enum, value_delimiter = ',')]
    pub only: Vec<Part>,

    /// The gateway's address [default: 127.0.0.1:8900].
    #[arg(long, value_name = "ADDRESS")]
    pub listen_gateway: Option<Address>,

    /// The order service's address [default: 127.0.0.1:8902].
    #[arg(long, value_name = "ADDRESS")]
    pub listen_order: Option<Address>,

    /// The inventory service's address [default: 127.0.0.1:8901].
    #[arg(long, value_name = "ADDRESS")]
    pub listen_inventory: Option<Address>,

    /// The log's address [default: 127.0.0.1:9092].
    #[arg(long, value_name = "ADDRESS")]
    pub listen_log: Option<Address>,

    /// The schema registry's address [default: 127.0.0.1:8081].
    #[arg(long, value_name = "ADDRESS")]
    pub listen_registry: Option<Address>,

    /// Metrics and readiness [default: 127.0.0.1:9100; for a single part 9101 inventory,
    /// 9102 order, 9103 gateway, 9104 log, 9105 registry].
    #[arg(long, value_name = "ADDRESS")]
    pub listen_http: Option<Address>,

    /// Partitions of every topic; fixed once there is data.
    #[arg(
        long,
        value_name = "N",
        default_value_t = PARTITIONS,
        value_parser = clap::value_parser!(i32).range(1..=1024)
    )]
    pub partitions: i32,

    /// Serve over TLS with what shop certs has made in this directory: the gateway for everybody, the
    /// services only for those with a certificate (mutual TLS).
    #[arg(long, env = "SHOP_TLS_DIR", value_name = "DIR")]
    pub tls_dir: Option<PathBuf>,

    /// An order without a deadline of its own is rejected if it is not reserved so long after it was
    /// accepted: a number with s, m, h or d [default: it waits for ever].
    #[arg(
        long,
        env = "SHOP_RESERVE_WITHIN",
        value_name = "DURATION",
        value_parser = config::duration
    )]
    pub reserve_within: Option<Duration>,

    /// A file to write, as JSON, once everything serves (and is seeded); removed at the end.
    #[arg(long, value_name = "FILE")]
    pub ready_file: Option<PathBuf>,

    /// What other programs keep.
    #[command(flatten)]
    pub elsewhere: ElsewhereArgs,

    /// Who may call the gateway, Order and Inventory; --seed then takes its token from SHOP_TOKEN.
    #[command(flatten)]
    pub auth: AuthArgs,

    /// How often each customer may.
    #[command(flatten)]
    pub rate: RateArgs,

    /// Traces of the gateway, Order and Inventory.
    #[command(flatten)]
    pub trace: TraceArgs,

    /// The shape of its log lines.
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
}

impl Default for Args {
    /// What a command line without flags means.
    fn default() -> Self {
        Self {
            seed: false,
            data_dir: None,
            fresh: false,
            without: Vec::new(),
            only: Vec::new(),
            listen_gateway: None,
            listen_order: None,
            listen_inventory: None,
            listen_log: None,
            listen_registry: None,
            listen_http: None,
            partitions: PARTITIONS,
            tls_dir: None,
            reserve_within: None,
            ready_file: None,
            elsewhere: ElsewhereArgs::default(),
            auth: AuthArgs::default(),
            rate: RateArgs::default(),
            trace: TraceArgs::default(),
            telemetry: TelemetryArgs {
                log_format: LogFormat::default(),
            },
        }
    }
}

impl Args {
    fn listen(&self, part: Part) -> Option<&Address> {
        match part {
            Part::Gateway => self.listen_gateway.as_ref(),
            Part::Order => self.listen_order.as_ref(),
            Part::Inventory => self.listen_inventory.as_ref(),
            Part::Log => self.listen_log.as_ref(),
            Part::Registry => self.listen_registry.as_ref(),
        }
    }
}

/// Starts the store and runs it until SIGINT or SIGTERM, or until a part fails.
///
/// # Errors
/// [`Exit::CannotStart`] with the error of the part that failed.
pub async fn run(args: Args) -> Result<(), Failure> {
    telemetry::init_logs(args.telemetry.log_format);
    let mut stop = Stop::listen()?;
    let mut plan = Plan::new(&args).map_err(Error::from)?;
    // Lives until the store has stopped; dropping it removes the directory.
    let mut temporary = None;
    if args.fresh {
        let folder = temporary_folder()?;
        plan.data_dir = folder.path().to_owned();
        temporary = Some(folder);
    }
    if let Some(file) = &args.ready_file {
        ready::remove(file).map_err(|source| ready_file_error(file, source))?;
    }
    let mut store = tokio::select! {
        started = Store::start(plan) => started?,
        signal = stop.asked() => {
            tracing::info!(signal, "stopped before the start was complete");
            return Ok(());
        }
    };
    let ended = tokio::select! {
        ended = serve(&args, &mut store) => ended,
        signal = stop.asked() => {
            tracing::info!(signal, "stopping");
            Ok(())
        }
    };
    tokio::select! {
        () = store.stop() => {}
        () = stop.insisted() => tracing::warn!("stopped at once, without draining"),
    }
    if let Some(file) = &args.ready_file {
        ready::remove(file).map_err(|source| ready_file_error(file, source))?;
    }
    drop(temporary);
    ended
}

/// Makes the store ready, says so, and waits for a part to fail.
async fn serve(args: &Args, store: &mut Store) -> Result<(), Failure> {
    store.ready().await?;
    if args.seed {
        let gateway = store.plan().endpoint(Part::Gateway);
        let tls = store.plan().tls.as_ref().map(TlsDir::client);
        let tls = tls.unwrap_or_default();
        let token = TokenArgs::default();
        let seeding = async {
            let bearer = token.bearer()?;
            let mut client = Client::connect(&gateway, &tls, SEED_CALL_MAX, bearer).await?;
            seed::seed(&mut client).await
        };
        seeding
            .await
            .map_err(|failure| Failure::new(Exit::CannotStart, format!("--seed: {failure}")))?;
    }
    if let Some(file) = &args.ready_file {
        ready::write(file, store).map_err(|source| ready_file_error(file, source))?;
    }
    if let Ok(text) = banner::text(store, args.seed) {
        // Whoever started it may have closed its output; the store runs all the same.
        let _ = std::io::stdout().write_all(text.as_bytes());
    }
    Err(store.failure().await.into())
}

pub(crate) fn temporary_folder() -> Result<tempfile::TempDir, Error> {
    tempfile::Builder::new()
        .prefix("shop-")
        .tempdir()
        .map_err(|source| Error::File {
            flag: "--fresh",
            path: std::env::temp_dir(),
            source,
        })
}

fn ready_file_error(path: &Path, source: std::io::Error) -> Error {
    Error::File {
        flag: "--ready-file",
        path: path.to_owned(),
        source,
    }
}

/// The signals that end the process in order.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn listen() -> Result<Self, Failure> {
        let handler = |kind| {
            signal(kind).map_err(|error| {
                Failure::new(Exit::CannotStart, format!("cannot handle signals: {error}"))
            })
        };
        Ok(Self {
            interrupt: handler(SignalKind::interrupt())?,
            terminate: handler(SignalKind::terminate())?,
        })
    }

    /// Completes with the name of the signal that came.
    async fn asked(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }

    /// Completes when somebody presses Ctrl-C. A second SIGTERM says no more than the first:
    /// process managers send it to the process and to its group.
    async fn insisted(&mut self) {
        self.interrupt.recv().await;
    }
}
