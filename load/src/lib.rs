//! Load for a running store: places orders by a plan, follows what becomes of them, and tells rates,
//! latencies, and what it cost.
//!
//! | room | what is there |
//! |---|---|
//! | [`plan`] | what is asked of the store, and how fast |
//! | `orders`, `dice`, `stock` | the orders, one after the other, and what they need |
//! | `source` | when the next one is placed: open and closed loop |
//! | `callers` | who places them: calls and streams |
//! | `flight`, `outcomes` | orders on their way, and their outcomes as the log tells them |
//! | `tally` | counts and histograms |
//! | `processes`, `counters` | memory, processor, and the store's own counters |
//! | [`limits`] | what each thing that an order takes would do alone |
//! | [`report`] | what came out |

use std::sync::Arc;
use std::time::Duration;

use contracts::client::Channel;
use contracts::proto::order_service_client::OrderServiceClient;
use contracts::topics::ORDER_EVENTS;
use messaging::ids::Ids;
use messaging::log::{self, Log};
use messaging::tls;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tonic::Status;

mod callers;
pub mod counters;
mod dice;
mod flight;
pub mod limits;
mod orders;
mod outcomes;
pub mod plan;
pub mod processes;
pub mod report;
mod source;
mod stock;
pub mod tally;

use callers::Caller;
use counters::Counters;
use flight::Flight;
use orders::Orders;
use plan::{Pace, Plan, Way};
use processes::Watch;
pub use report::Report;
use source::Source;
use tally::Tally;

/// Callers of an open loop: so many calls may be under way; their latencies count from when they
/// were due, so it does not matter that a call waits for one.
const OPEN_CALLERS: usize = 1_024;
/// How often the load tells how far it is, and looks at the processes.
const TELL_EVERY: Duration = Duration::from_millis(500);
/// How often orders on their way are counted.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How exactly the end of the drain is told.
const DRAIN_LOOK_EVERY: Duration = Duration::from_millis(2);
/// How long no outcome may come before the rest is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running store.
#[derive(Clone)]
pub struct Store {
    /// Connections to the gateway; callers share them evenly. At least one.
    pub gateway: Vec<Channel>,
    /// The log, for the orders' outcomes.
    pub log: Arc<dyn Log>,
    /// Where metrics are (`http://host:port/metrics`).
    pub metrics: Vec<String>,
    /// What listens at which port of this machine, for memory and processor time.
    pub parts: Vec<(String, u16)>,
    /// Names for orders and requests.
    pub ids: Arc<dyn Ids>,
}

/// How far a load has come.
#[derive(Clone, Debug)]
pub struct Progress {
    /// Since the first call.
    pub elapsed: Duration,
    /// The counts so far.
    pub counts: tally::Counts,
    /// Orders on their way.
    pub in_flight: usize,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stock that the orders need was refused.
    #[error("the stock for the load was not accepted: {0}")]
    Stock(Box<Status>),
    /// The log cannot be asked for the orders' outcomes.
    #[error(transparent)]
    Log(#[from] log::Error),
    /// A metrics page cannot be read.
    #[error("no metrics at {url}: {source}; give --metrics URL")]
    Metrics {
        /// Where.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The log has no topic of orders' events.
    #[error("the log has no topic {ORDER_EVENTS}; is it the log of a store")]
    NoTopic,
    /// A task of the load has ended before its time.
    #[error("a task of the load: {0}")]
    Task(#[from] tokio::task::JoinError),
    /// The store has no gateway.
    #[error("a load needs a connection to a gateway")]
    NoGateway,
}

/// Carries out `plan` on `store`; `tell` hears twice a second how far it is.
///
/// # Errors
/// When the load cannot begin, or the log cannot be followed to its end.
pub async fn run(
    plan: &Plan,
    store: &Store,
    tell: &mut (dyn FnMut(Progress) + Send),
) -> Result<Report, Error> {
    let orders = Orders::new(plan, Arc::clone(&store.ids));
    let channel = store.gateway.first().ok_or(Error::NoGateway)?;
    let received = stock::receive(channel, orders.stock()).await;
    received.map_err(|status| Error::Stock(Box::new(status)))?;
    let flight = Arc::new(Flight::new(plan.in_flight_max));
    let tally = Arc::new(Tally::default());
    let mut readers = JoinSet::new();
    outcomes::follow(&store.log, &flight, &tally, &mut readers).await?;
    let before = counters(store).await?;
    let mut watch = Watch::begin(&store.parts);
    let source = Source::new(plan.pace, plan.until, orders, Arc::clone(&flight));
    let source = Arc::new(source);
    let start = source.start();
    tally.begin(start);
    let mut calling = call(plan, store, &source, &flight, &tally)?;
    let mut told = start;
    let mut look = || {
        let in_flight = flight.count();
        tally.in_flight(in_flight);
        if told.elapsed() < TELL_EVERY {
            return;
        }
        told = Instant::now();
        watch.look();
        tell(Progress {
            elapsed: start.elapsed(),
            counts: tally.so_far(),
            in_flight,
        });
    };
    let called = loop {
        tokio::select! {
            ended = calling.join_next() => match ended {
                Some(ended) => ended?,
                None => break start.elapsed(),
            },
            failed = readers.join_next() => return Err(failure(failed)),
            () = sleep(LOOK_EVERY) => look(),
        }
    };
    let whole = drain(&flight, &tally, &mut readers, start, &mut look).await?;
    let mut report = Report::of(tally.so_far(), called, whole, flight.count());
    report.per_order = counters(store).await?.per_order(&before, report.accepted);
    report.processes = watch.end();
    report.over_time = tally.points(whole);
    Ok(report)
}

/// Starts the callers.
fn call(
    plan: &Plan,
    store: &Store,
    source: &Arc<Source>,
    flight: &Arc<Flight>,
    tally: &Arc<Tally>,
) -> Result<JoinSet<()>, Error> {
    let callers = match plan.pace {
        Pace::Closed { callers } => callers,
        Pace::Open { .. } if plan.way == Way::Unary => OPEN_CALLERS,
        Pace::Open { .. } => store.gateway.len(),
    };
    let mut calling = JoinSet::new();
    for number in 0..callers {
        let connection = number.checked_rem(store.gateway.len());
        let channel = connection.and_then(|number| store.gateway.get(number));
        let channel = channel.ok_or(Error::NoGateway)?;
        let caller = Caller {
            source: Arc::clone(source),
            flight: Arc::clone(flight),
            tally: Arc::clone(tally),
            client: OrderServiceClient::new(channel.clone()),
        };
        match plan.way {
            Way::Unary => calling.spawn(caller.call()),
            Way::Stream => calling.spawn(caller.stream()),
        };
    }
    Ok(calling)
}

/// Waits until every order has its outcome, or none has come for long; returns how long the load
/// lasted until the last one came.
async fn drain(
    flight: &Flight,
    tally: &Tally,
    readers: &mut JoinSet<log::Error>,
    start: Instant,
    look: &mut (dyn FnMut() + Send),
) -> Result<Duration, Error> {
    let (mut seen, mut came) = (tally.outcomes(), Instant::now());
    while flight.count() > 0 && came.elapsed() < PATIENCE {
        tokio::select! {
            failed = readers.join_next() => return Err(failure(failed)),
            () = sleep(DRAIN_LOOK_EVERY) => {}
        }
        let now = tally.outcomes();
        if now > seen {
            (seen, came) = (now, Instant::now());
        }
        look();
    }
    Ok(came - start)
}

fn failure(ended: Option<Result<log::Error, tokio::task::JoinError>>) -> Error {
    match ended {
        Some(Ok(error)) => Error::Log(error),
        Some(Err(error)) => Error::Task(error),
        None => Error::NoTopic,
    }
}

/// The store's counters now, over all its metrics pages.
async fn counters(store: &Store) -> Result<Counters, Error> {
    let mut sum = Counters::default();
    for url in &store.metrics {
        let failed = |source| Error::Metrics {
            url: url.clone(),
            source,
        };
        let client = tls::http(None).build().map_err(failed)?;
        let page = client.get(url).send().await.map_err(failed)?;
        let text = page.text().await.map_err(failed)?;
        sum = sum.and(Counters::of_text(&text));
    }
    Ok(sum)
}
