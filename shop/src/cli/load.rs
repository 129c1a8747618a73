//! `shop load`.

use std::io::{IsTerminal, Write, stderr, stdout};
use std::sync::Arc;
use std::time::Duration;

use ::load::plan::{IN_FLIGHT_MAX, Names, Pace, Plan, Until, Way};
use ::load::{Error, Progress, Report, Store};
use messaging::ids::SystemIds;
use tonic::transport::Uri;

use crate::client::{ClientArgs, channel};
use crate::exit::{Exit, Failure};
use crate::output::Format;
use crate::services::{LogArgs, Service, ServicesArgs, log_failure};

/// Callers that share a connection.
const CALLERS_PER_CONNECTION: usize = 32;
/// Connections of an open loop.
const OPEN_CONNECTIONS: usize = 4;

/// The flags of `shop load`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Callers that place orders one after the other (closed loop).
    #[arg(long, value_name = "COUNT", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    callers: u16,

    /// Orders per second, each at its time whatever became of those before (open loop); latencies
    /// count from when an order was due.
    #[arg(long, value_name = "PER_SECOND", conflicts_with = "callers", value_parser = rate)]
    rate: Option<f64>,

    /// Place over streams (PlaceOrders), one per caller, instead of a call per order.
    #[arg(long)]
    stream: bool,

    /// How long to place orders, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    duration: u64,

    /// How many orders to place, instead of for how long.
    #[arg(long, value_name = "COUNT", conflicts_with = "duration")]
    orders: Option<u64>,

    /// Products that the orders are of.
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    products: u16,

    /// Skew of the products by Zipf's law: 0 takes all alike, 1 the second half as often as the first.
    #[arg(long, value_name = "EXPONENT", default_value_t = 0.0, value_parser = skew)]
    skew: f64,

    /// Share of calls that repeat an earlier order.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    duplicates: f64,

    /// Share of orders that ask for more than there is, and are rejected.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    shortages: f64,

    /// Share of orders that are cancelled once they are acknowledged.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    cancels: f64,

    /// Name orders at random, not by time.
    #[arg(long)]
    random_ids: bool,

    /// Wait in every call until the order is RESERVED.
    #[arg(long)]
    wait: bool,

    /// Orders that may be on their way to an outcome; further ones wait to be placed.
    #[arg(long, value_name = "COUNT", default_value_t = IN_FLIGHT_MAX, value_parser = clap::value_parser!(u32).range(1..))]
    in_flight_max: u32,

    /// What the dice begin with.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,

    /// A page of metrics; several for a store in several processes [default: port 9100 of the
    /// gateway's host].
    #[arg(long, value_name = "URL")]
    metrics: Vec<String>,

    #[command(flatten)]
    client: ClientArgs,

    #[command(flatten)]
    services: ServicesArgs,

    #[command(flatten)]
    log: LogArgs,
}

/// Places orders, and tells how fast the store was and what it cost.
pub(super) async fn load(args: &Args) -> Result<(), Failure> {
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
    let report = report.map_err(|error| failure(&error))?;
    print(&report, args.client.output)?;
    match report.without_outcome {
        0 => Ok(()),
        count => {
            let message = format!("{count} accepted orders have no outcome: see shop audit");
            Err(Failure::new(Exit::TimedOut, message))
        }
    }
}

fn plan(args: &Args) -> Plan {
    Plan {
        pace: match args.rate {
            Some(per_second) => Pace::Open { per_second },
            None => Pace::Closed {
                callers: args.callers.into(),
            },
        },
        way: if args.stream { Way::Stream } else { Way::Unary },
        until: match args.orders {
            Some(orders) => Until::Orders(orders),
            None => Until::Time(Duration::from_secs(args.duration)),
        },
        products: args.products.into(),
        skew: args.skew,
        duplicates: args.duplicates,
        shortages: args.shortages,
        cancels: args.cancels,
        names: match args.random_ids {
            true => Names::Random,
            false => Names::Rising,
        },
        waits_for_reserved: args.wait,
        in_flight_max: args.in_flight_max,
        seed: args.seed,
    }
}

async fn store(args: &Args, plan: &Plan) -> Result<Store, Failure> {
    let connections = match plan.pace {
        Pace::Closed { callers } => callers.div_ceil(CALLERS_PER_CONNECTION),
        Pace::Open { .. } => OPEN_CONNECTIONS,
    };
    let mut gateway = Vec::new();
    for _ in 0..connections {
        gateway.push(channel("gateway", &args.client.gateway).await?);
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

fn share(text: &str) -> Result<f64, String> {
    let share = text
        .parse()
        .ok()
        .filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "a share is a number from 0 to 1".to_owned())
}

fn skew(text: &str) -> Result<f64, String> {
    let skew = text.parse().ok().filter(|skew| (0.0..=10.0).contains(skew));
    skew.ok_or_else(|| "an exponent is a number from 0 to 10".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text
        .parse()
        .ok()
        .filter(|rate| (0.001..=1e6).contains(rate));
    rate.ok_or_else(|| "a rate is a number from 0.001 to 1,000,000 per second".to_owned())
}
