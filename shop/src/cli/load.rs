//! `shop load`.

use std::io::{IsTerminal, Write, stderr, stdout};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ::load::limits::Limits;
use ::load::plan::{IN_FLIGHT_MAX, Pace, Plan, Until};
use ::load::report::folder::{self, Folder};
use ::load::{Error, Progress, Report, Store};
use messaging::ids::SystemIds;
use tonic::transport::Uri;

use crate::client::{ClientArgs, channel};
use crate::exit::{Exit, Failure};
use crate::output::Format;
use crate::services::{LogArgs, Service, ServicesArgs, log_failure};

mod limits;
mod shape;

use limits::BesideArgs;
use shape::Shape;

/// Connections of an open loop.
const OPEN_CONNECTIONS: usize = 4;

/// The flags of `shop load`.
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    instead: Option<Instead>,

    #[command(flatten)]
    shape: Shape,

    /// Orders per second, each at its time whatever became of those before (open loop); latencies
    /// count from when an order was due.
    #[arg(long, value_name = "PER_SECOND", conflicts_with = "callers", value_parser = rate)]
    rate: Option<f64>,

    /// How long to place orders, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    duration: u64,

    /// How many orders to place, instead of for how long.
    #[arg(long, value_name = "COUNT", conflicts_with = "duration")]
    orders: Option<u64>,

    /// Share of calls that repeat an earlier order.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    duplicates: f64,

    /// Share of orders that ask for more than there is, and are rejected.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    shortages: f64,

    /// Share of orders that are cancelled once they are acknowledged.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    cancels: f64,

    /// Wait in every call until the order is RESERVED.
    #[arg(long)]
    wait: bool,

    /// Orders that may be on their way to an outcome; further ones wait to be placed.
    #[arg(long, value_name = "COUNT", default_value_t = IN_FLIGHT_MAX, value_parser = clap::value_parser!(u32).range(1..))]
    in_flight_max: u32,

    /// A page of metrics; several for a store in several processes [default: port 9100 of the
    /// gateway's host].
    #[arg(long, value_name = "URL")]
    metrics: Vec<String>,

    /// Write a page with figures and plots (index.html), the plots (latency.svg, throughput.svg) and
    /// the figures (report.json) into this folder; it is made if need be, and an earlier report in it
    /// is replaced.
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,

    #[command(flatten)]
    beside: BesideArgs,

    #[command(flatten)]
    client: ClientArgs,

    #[command(flatten)]
    services: ServicesArgs,

    #[command(flatten)]
    log: LogArgs,
}

/// What to do instead of placing orders.
#[derive(clap::Subcommand, Debug)]
enum Instead {
    /// Measure the physical limits of a store on this machine, each alone: the same calls to a handler
    /// that does nothing, the same records through the embedded log, the same rows through the
    /// database, the syncs of the disk. It takes no running store.
    Limits(limits::Args),
}

/// Places orders, and tells how fast the store was and what it cost; or measures the limits.
pub(super) async fn load(args: &Args) -> Result<(), Failure> {
    if let Some(Instead::Limits(args)) = &args.instead {
        return limits::limits(args).await;
    }
    args.beside.check()?;
    let folder = args.report.as_deref().map(Folder::make).transpose();
    let folder = folder.map_err(|error| unwritten(&error))?;
    if !args.beside.limits {
        return place(args, folder.as_ref(), None).await;
    }
    limits::until_signal(async |stop| {
        let limits = args.beside.measure(&args.shape, stop).await?;
        let placing = place(args, folder.as_ref(), Some(limits));
        let placing = stop.run_until_cancelled(placing);
        placing.await.unwrap_or_else(|| Err(limits::stopped()))
    })
    .await
}

/// Places orders; the report goes into `folder` as well, and `limits` were measured before.
async fn place(
    args: &Args,
    folder: Option<&Folder>,
    limits: Option<Limits>,
) -> Result<(), Failure> {
    let plan = plan(args);
    let store = store(args, &plan).await?;
    let shows = stderr().is_terminal();
    let mut tell = |progress: Progress| {
        if shows {
            show(&progress);
        }
    };
    let report = ::load::run(&plan, &store, &mut tell).await;
    if shows {
        eprintln!();
    }
    let mut report = report.map_err(|error| failure(&error))?;
    report.limits = limits.map(|limits| limits.beside(report.reserved_per_second));
    print(&report, args.client.output)?;
    if let Some(folder) = folder {
        let page = folder.write(&plan, &report);
        let page = page.map_err(|error| unwritten(&error))?;
        eprintln!("report: {}", page.display());
    }
    match report.without_outcome {
        0 => Ok(()),
        count => {
            let message = format!("{count} accepted orders have no outcome: see shop audit");
            Err(Failure::new(Exit::TimedOut, message))
        }
    }
}

fn plan(args: &Args) -> Plan {
    let plain = args.shape.plan(Duration::from_secs(args.duration));
    Plan {
        pace: match args.rate {
            Some(per_second) => Pace::Open { per_second },
            None => plain.pace,
        },
        until: args.orders.map_or(plain.until, Until::Orders),
        duplicates: args.duplicates,
        shortages: args.shortages,
        cancels: args.cancels,
        waits_for_reserved: args.wait,
        in_flight_max: args.in_flight_max,
        ..plain
    }
}

async fn store(args: &Args, plan: &Plan) -> Result<Store, Failure> {
    let connections = match plan.pace {
        Pace::Closed { .. } => args.shape.connections(),
        Pace::Open { .. } => OPEN_CONNECTIONS,
    };
    let bearer = args.client.token.bearer()?;
    let mut gateway = Vec::new();
    for _ in 0..connections {
        let client = &args.client;
        gateway.push(channel("gateway", &client.gateway, &client.tls, bearer.clone()).await?);
    }
    let uri: Uri = args.client.gateway.parse().unwrap_or_default();
    let metrics = match args.metrics.is_empty() {
        true => vec![format!(
            "http://{}:9100/metrics",
            uri.host().unwrap_or("127.0.0.1")
        )],
        false => args.metrics.clone(),
    };
    Ok(Store {
        gateway,
        log: args.log.log(&args.client.gateway, "shop-load")?,
        metrics,
        parts: parts(args),
        ids: Arc::new(SystemIds),
    })
}

/// What listens at which port of this machine.
fn parts(args: &Args) -> Vec<(String, u16)> {
    let gateway = &args.client.gateway;
    let services = Service::ALL.map(|service| (service.name(), args.services.url(service)));
    let services = services.map(|(name, url)| (name, url.to_owned()));
    let brokers = args.log.brokers(gateway).into_iter();
    let brokers = brokers.map(|broker| ("log", format!("http://{broker}")));
    let others = [
        ("gateway", gateway.clone()),
        ("registry", args.log.registry_url(gateway)),
    ];
    let named = services.into_iter().chain(brokers).chain(others);
    let ports = named.filter_map(|(name, url)| {
        let uri: Uri = url.parse().ok()?;
        Some((name.to_owned(), uri.port_u16()?))
    });
    ports.collect()
}

fn show(progress: &Progress) {
    let settled: u64 = progress.counts.outcomes.values().sum();
    let acknowledged = &progress.counts.acknowledged;
    eprint!(
        "\r{:>5.0} s  {:>9} accepted  {settled:>9} settled  {:>6} on their way  {:>7.2} ms, 99th {:>7.2} ms ",
        progress.elapsed.as_secs_f64(),
        progress.counts.accepted,
        progress.in_flight,
        acknowledged.millis_at(0.5),
        acknowledged.millis_at(0.99),
    );
    let _ = stderr().flush();
}

fn print(report: &Report, format: Format) -> Result<(), Failure> {
    let mut out = stdout().lock();
    match format {
        Format::Table => write!(out, "{report}")?,
        Format::Json => {
            let json = serde_json::to_string(report).map_err(std::io::Error::other)?;
            writeln!(out, "{json}")?;
        }
    }
    Ok(())
}

fn failure(error: &Error) -> Failure {
    match error {
        Error::Log(error) => log_failure(error),
        Error::Stock(status) => Failure::from((**status).clone()),
        Error::Metrics { .. } => Failure::new(Exit::Unreachable, error.to_string()),
        Error::NoTopic | Error::Task(_) | Error::NoGateway => {
            Failure::new(Exit::Refused, error.to_string())
        }
    }
}

fn unwritten(error: &folder::Error) -> Failure {
    match error {
        folder::Error::Folder { .. } => {
            Failure::new(Exit::Usage, format!("{error} with --report DIR"))
        }
        folder::Error::File { .. } | folder::Error::Plot { .. } | folder::Error::Json(_) => {
            Failure::new(Exit::Refused, error.to_string())
        }
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share = text
        .parse()
        .ok()
        .filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "a share is a number from 0 to 1".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text
        .parse()
        .ok()
        .filter(|rate| (0.001..=1e6).contains(rate));
    rate.ok_or_else(|| "a rate is a number from 0.001 to 1,000,000 per second".to_owned())
}
