//! The rows of orders through the databases of both services, in ideal batches: what an order leaves
//! there and what passes through, in as few statements as there can be, and nothing else. Nothing is
//! read, looked up or decided, and changes that are alike go in one statement.
//!
//! An order takes three steps, each of them a transaction for [`ORDERS`] orders:
//!
//! | step | database | rows |
//! |---|---|---|
//! | place | Order | orders, inserted |
//! | hold | Inventory | reservations with their lines, inserted; stock of each product once, updated |
//! | reserve | Order | orders, updated |
//!
//! and each of them the library's rows: what was published leaves the outbox and its offset is noted,
//! the cursor moves, a sequence number is taken, and the events of all orders are one row of the
//! outbox.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use contracts::topics::{INVENTORY_EVENTS, ORDER_COMMANDS, ORDER_EVENTS};
use load::limits::messages::{Batch, ORDERS};
use load::limits::meter::{Measured, Meter, Period};
use load::limits::{self, Database};
use load::plan::Names;
use messaging::clock::{Clock, SystemClock, Timestamp};
use messaging::ids::{Ids, SystemIds};
use messaging::store::{outbox, sql};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Error, Settings, until};

pub(super) mod postgres;
mod sqlite;

/// Transactions that an order of a full batch takes part in.
const STEPS: f64 = 3.0;
/// Batches that wait between two steps.
const WAITING_MAX: usize = 2;
/// Pieces of each product that there are: nothing is ever short.
const ON_HAND: i64 = 1_000_000_000_000;
/// [`ORDERS`], as the databases count.
const ORDERS_I64: i64 = ORDERS as i64;

/// Measures the databases that `settings` name, in `folder` if they are files.
pub(super) async fn measure(
    settings: &Settings,
    folder: &Path,
    batch: &Batch,
    period: Period,
    stop: &CancellationToken,
) -> Result<Database, Error> {
    let rows = Arc::new(Rows::of(batch, settings));
    let (kind, measured) = match &settings.server {
        None => {
            let measured = until(stop, sqlite::measure(folder, &rows, period)).await??;
            ("sqlite", measured)
        }
        Some(server) => {
            let measured = postgres::measure(server, &rows, period, stop).await?;
            ("postgres", measured)
        }
    };
    let orders_per_second = measured.per_second();
    #[expect(clippy::cast_precision_loss, reason = "hundreds")]
    let batches_per_second = orders_per_second / ORDERS as f64;
    Ok(Database {
        kind,
        orders_per_second,
        transactions_per_second: STEPS * batches_per_second,
    })
}

/// A step of an order's way through the databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Place,
    Hold,
    Reserve,
}

/// Both databases of a store, with statements for whole batches.
trait Databases: Send + Sync + 'static {
    /// Commits one step of a batch.
    fn write(
        &self,
        step: Step,
        turn: &Turn,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
}

/// What is the same in every batch.
#[derive(Debug)]
struct Rows {
    partitions: i64,
    names: Names,
    customer_id: String,
    currency: String,
    on_shortage: &'static str,
    /// Each order's lines with their prices, as JSON.
    lines: Vec<String>,
    /// What each order asks for, as JSON.
    held: Vec<String>,
    /// Pieces of each product that a batch takes.
    taken: Vec<(String, i64)>,
    /// The events of a step, as they stand in the outbox.
    events: [Bytes; 3],
}

/// A batch: its orders, and where it stands among the others.
#[derive(Debug)]
struct Turn {
    number: i64,
    at: Timestamp,
    order_ids: Vec<String>,
    message_ids: Vec<String>,
}

/// What a step commits beside its orders.
#[derive(Debug)]
struct Effects {
    shard: i64,
    /// The topic that was read, and up to where.
    read: &'static str,
    next_offset: i64,
    /// The topic that is written, and what was acknowledged of it.
    written: &'static str,
    acknowledged: i64,
    /// Rows of the outbox up to this one are published.
    published: i64,
    /// The new row's number.
    sequence: i64,
    records: Bytes,
}

impl Rows {
    fn of(batch: &Batch, settings: &Settings) -> Self {
        let commands = || batch.orders.iter().map(|order| &order.command);
        let lines = commands().map(|command| {
            let lines = command.lines.iter();
            sql::json(lines.map(|line| (&line.product_id, line.quantity, line.unit_price_minor)))
        });
        let held = commands().map(|command| {
            let lines = command.lines.iter();
            sql::json(lines.map(|line| (&line.product_id, line.quantity)))
        });
        let mut taken: BTreeMap<String, i64> = BTreeMap::new();
        for line in commands().flat_map(|command| &command.lines) {
            *taken.entry(line.product_id.clone()).or_default() += i64::from(line.quantity);
        }
        let first = commands().next();
        Self {
            partitions: settings.partitions.max(1).into(),
            names: settings.plan.names,
            customer_id: first.map_or_else(String::new, |one| one.customer_id.clone()),
            currency: first.map_or_else(String::new, |one| one.currency.clone()),
            on_shortage: first.map_or("", |one| one.on_shortage.as_str()),
            lines: lines.collect(),
            held: held.collect(),
            taken: taken.into_iter().collect(),
            events: [&batch.placed, &batch.held, &batch.reserved]
                .map(|records| outbox::encode(records)),
        }
    }

    /// The batch with this number: other orders of the same products.
    fn turn(&self, number: i64) -> Turn {
        let ids = SystemIds;
        let name = || match self.names {
            Names::Rising => ids.fresh().to_string(),
            Names::Random => format!("{:016x}{:016x}", ids.random(), ids.random()),
        };
        Turn {
            number,
            at: SystemClock.now(),
            order_ids: (0..ORDERS).map(|_| name()).collect(),
            message_ids: (0..ORDERS).map(|_| ids.fresh().to_string()).collect(),
        }
    }

    /// Pieces of each product that are reserved once `turn` has taken its own.
    fn reserved(&self, turn: &Turn) -> impl Iterator<Item = (&String, i64)> {
        let batches = turn.number + 1;
        let taken = self.taken.iter();
        taken.map(move |(product, pieces)| (product, pieces * batches))
    }

    /// Batches go to the shards in turn. A step's row in the outbox is published by its next batch.
    fn effects(&self, step: Step, turn: &Turn) -> Effects {
        let round = turn.number / self.partitions;
        let [placed, held, reserved] = &self.events;
        let (read, written, records) = match step {
            Step::Place => (ORDER_COMMANDS, ORDER_EVENTS, placed),
            Step::Hold => (ORDER_EVENTS, INVENTORY_EVENTS, held),
            Step::Reserve => (INVENTORY_EVENTS, ORDER_EVENTS, reserved),
        };
        // Order's two steps share an outbox: one has the odd numbers, one the even ones.
        let (sequence, published) = match step {
            Step::Place => (2 * round + 1, 2 * round - 1),
            Step::Hold => (round + 1, round),
            Step::Reserve => (2 * round + 2, 2 * round),
        };
        Effects {
            shard: turn.number % self.partitions,
            read,
            next_offset: (round + 1) * ORDERS_I64,
            written,
            acknowledged: round * ORDERS_I64,
            published,
            sequence,
            records: records.clone(),
        }
    }
}

impl Turn {
    /// The sequence of its first order's placement and of its last one's.
    fn sequences(&self) -> (i64, i64) {
        let first = self.number * ORDERS_I64;
        (first + 1, first + ORDERS_I64)
    }
}

/// Drives batches through every lane's databases; the steps of several batches overlap.
async fn drive<D: Databases>(
    lanes: Vec<D>,
    rows: &Arc<Rows>,
    period: Period,
) -> Result<Measured, limits::Error> {
    let meter = Arc::new(Meter::default());
    let mut tasks = JoinSet::new();
    let stride = lanes.len().max(1);
    for (lane, databases) in lanes.into_iter().enumerate() {
        let databases = Arc::new(databases);
        let (first, placing) = mpsc::channel(WAITING_MAX);
        let (placed, holding) = mpsc::channel(WAITING_MAX);
        let (held, reserving) = mpsc::channel(WAITING_MAX);
        let numbers = (0_i64..).skip(lane).step_by(stride);
        tasks.spawn(make(Arc::clone(rows), numbers, first));
        for (step, waiting, next) in [
            (Step::Place, placing, Next::Step(placed)),
            (Step::Hold, holding, Next::Step(held)),
            (Step::Reserve, reserving, Next::Done(Arc::clone(&meter))),
        ] {
            tasks.spawn(take(Arc::clone(&databases), step, waiting, next));
        }
    }
    meter.measure(period, &mut tasks).await
}

/// Where a batch goes after a step.
enum Next {
    Step(mpsc::Sender<Turn>),
    Done(Arc<Meter>),
}

async fn make(
    rows: Arc<Rows>,
    numbers: impl Iterator<Item = i64>,
    first: mpsc::Sender<Turn>,
) -> limits::Error {
    for number in numbers {
        if first.send(rows.turn(number)).await.is_err() {
            break;
        }
    }
    neighbour_failed().await
}

/// Takes a step with each batch that waits for it.
async fn take<D: Databases>(
    databases: Arc<D>,
    step: Step,
    mut waiting: mpsc::Receiver<Turn>,
    next: Next,
) -> limits::Error {
    while let Some(turn) = waiting.recv().await {
        if let Err(error) = databases.write(step, &turn).await {
            return limits::Error::Database(error.into());
        }
        match &next {
            Next::Done(meter) => meter.done(ORDERS as u64),
            Next::Step(waiting) => {
                if waiting.send(turn).await.is_err() {
                    break;
                }
            }
        }
    }
    neighbour_failed().await
}

/// The step before or behind has failed, and says why: this one waits until it is stopped.
async fn neighbour_failed() -> limits::Error {
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use load::limits::messages;
    use load::plan::{Plan, Until};

    use super::*;

    /// A plain load on four partitions.
    pub(super) fn settings() -> Settings {
        let plan = Plan::plain(1, 20, Until::Orders(1));
        Settings {
            plan,
            callers: 1,
            connections: 1,
            partitions: 4,
            data_dir: "data".into(),
            server: None,
            duration: Duration::from_millis(50),
        }
    }

    pub(super) async fn rows(settings: &Settings) -> Rows {
        let batch = messages::batch(&settings.plan, Arc::new(SystemIds), Timestamp(0)).await;
        Rows::of(&batch.unwrap(), settings)
    }

    #[tokio::test]
    async fn every_row_of_the_outbox_has_a_number_of_its_own_and_is_published_later() {
        let rows = rows(&settings()).await;
        let mut waiting: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        for number in 0..12 {
            let turn = rows.turn(number);
            for step in [Step::Place, Step::Reserve] {
                let effects = rows.effects(step, &turn);
                let waiting = waiting.entry(effects.shard).or_default();
                waiting.retain(|sequence| *sequence > effects.published);
                assert!(!waiting.contains(&effects.sequence), "{effects:?}");
                waiting.push(effects.sequence);
            }
        }
        assert_eq!(waiting.len(), 4);
        assert!(
            waiting.values().all(|waiting| waiting.len() == 2),
            "{waiting:?}"
        );
    }

    #[tokio::test]
    async fn batches_are_of_different_orders_and_of_the_same_products() {
        let rows = rows(&settings()).await;
        let (one, other) = (rows.turn(0), rows.turn(1));
        assert!(one.order_ids.iter().all(|id| !other.order_ids.contains(id)));
        assert_eq!(one.sequences(), (1, ORDERS_I64));
        assert_eq!(other.sequences(), (ORDERS_I64 + 1, 2 * ORDERS_I64));
        let pieces = |turn| rows.reserved(turn).map(|(_, pieces)| pieces).sum::<i64>();
        assert_eq!(pieces(&one), ORDERS_I64);
        assert_eq!(pieces(&other), 2 * ORDERS_I64);
    }
}
