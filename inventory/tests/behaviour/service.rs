//! The context under the real runtime, over a log and a registry in memory and SQLite: from
//! records of the log to records of the log.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use contracts::inventory::{InventoryCommand, Line, ReceiveStock, ReservationEvent, StockEvent};
use contracts::order::{OnShortage, OrderCancelled, OrderEvent, OrderPlaced, OrderReserved};
use contracts::topics;
use inventory::context::InventoryContext;
use inventory::store::Queries;
use inventory::store::sqlite::{MIGRATIONS, SqliteQueries, SqliteTables};
use messaging::clock::{Clock, SystemClock};
use messaging::codec::{self, Schema};
use messaging::envelope::Envelope;
use messaging::health::Health;
use messaging::ids::SystemIds;
use messaging::lease::file::FileLease;
use messaging::log::memory::MemoryLog;
use messaging::log::{Log, Record};
use messaging::message::{Binding, Message, Writer};
use messaging::partitioner::partition_of;
use messaging::registry::SchemaRegistry;
use messaging::registry::memory::MemoryRegistry;
use messaging::runtime::{self, Feed, Options, Ports};
use messaging::spawner::TokioSpawner;
use messaging::store::sqlite::SqliteStore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const PARTITIONS: i32 = 4;
const PATIENCE: Duration = Duration::from_secs(20);

/// The log and the registry, which outlive the service.
struct World {
    log: Arc<MemoryLog>,
    registry: Arc<MemoryRegistry>,
    writer: Writer,
    sent: usize,
}

struct Service {
    store: Arc<SqliteStore<SqliteTables>>,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), runtime::Error>>,
}

impl World {
    async fn new() -> Self {
        let log = Arc::new(MemoryLog::new(Arc::new(SystemClock)));
        for topic in [topics::ORDER_EVENTS, topics::INVENTORY_COMMANDS] {
            log.create_topic(topic, PARTITIONS).await.unwrap();
        }
        let registry = Arc::new(MemoryRegistry::new());
        let written = [OrderEvent::REGISTRATIONS, InventoryCommand::REGISTRATIONS].concat();
        let writer = Writer::bind(&*registry, &written, Binding::Register)
            .await
            .unwrap();
        Self {
            log,
            registry,
            writer,
            sent: 0,
        }
    }

    #[allow(clippy::disallowed_methods, reason = "the test owns this task")]
    async fn start(&self, path: &Path) -> Service {
        let lease = FileLease::lock(&path.with_extension("lock")).unwrap();
        let store = SqliteStore::open(path, &MIGRATIONS, SqliteTables::default())
            .await
            .unwrap();
        let store = Arc::new(store);
        let lease = lease.starting_after(store.highest_epoch().await.unwrap());
        let ports = Ports {
            log: self.log.clone(),
            registry: self.registry.clone(),
            lease: Arc::new(lease),
            clock: Arc::new(SystemClock),
            ids: Arc::new(SystemIds),
            spawner: Arc::new(TokioSpawner),
            tracer: messaging::trace::Tracer::off(),
        };
        let options = Options {
            partitions: PARTITIONS,
            binding: Binding::Register,
        };
        let (health, shutdown) = (Health::new(), CancellationToken::new());
        let running = runtime::run(
            Arc::new(InventoryContext::default()),
            Arc::clone(&store),
            ports,
            options,
            Feed::new(),
            health.clone(),
            shutdown.clone(),
        );
        let task = tokio::spawn(running);
        tokio::time::timeout(PATIENCE, health.ready())
            .await
            .unwrap();
        Service {
            store,
            shutdown,
            task,
        }
    }

    async fn send<M: Message>(&mut self, message: &M) {
        self.sent += 1;
        let id = format!("message {}", self.sent);
        self.send_as(&id, message).await;
    }

    async fn send_as<M: Message>(&self, id: &str, message: &M) {
        let key = message.key();
        let now = SystemClock.now();
        let record = Record {
            key: Some(Bytes::from(key.to_owned())),
            value: Some(self.writer.encode(message).unwrap()),
            headers: Envelope::command(id.to_owned(), M::TYPE, "/test", key, now).to_headers(),
            timestamp: now,
        };
        let partition = partition_of(key.as_bytes(), PARTITIONS);
        self.log
            .append(M::TOPIC, partition, vec![record])
            .await
            .unwrap();
    }

    /// Waits until the log holds `count` events about an order.
    async fn reservation(&self, order: &str, count: usize) -> Vec<(Envelope, ReservationEvent)> {
        let found = self.events(topics::INVENTORY_EVENTS, order, count).await;
        let mut events = Vec::new();
        for (envelope, schema, datum) in found {
            let event = ReservationEvent::decode(&envelope.message_type, &schema, &datum);
            events.push((envelope, event.unwrap().unwrap()));
        }
        events
    }

    async fn received(&self, product: &str, count: usize) -> Vec<StockEvent> {
        let found = self.events(topics::INVENTORY_STOCK, product, count).await;
        let decode = |(envelope, schema, datum): (Envelope, Schema, Vec<u8>)| {
            StockEvent::decode(&envelope.message_type, &schema, &datum)
                .unwrap()
                .unwrap()
        };
        found.into_iter().map(decode).collect()
    }

    async fn events(
        &self,
        topic: &str,
        key: &str,
        count: usize,
    ) -> Vec<(Envelope, Schema, Vec<u8>)> {
        let partition = partition_of(key.as_bytes(), PARTITIONS);
        let mut events = Vec::new();
        let arrived = async {
            loop {
                let records = self.log.records(topic, partition);
                events = records
                    .into_iter()
                    .map(|consumed| consumed.record)
                    .filter(|record| record.key.as_deref() == Some(key.as_bytes()))
                    .collect();
                if events.len() >= count {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, arrived).await;
        assert!(
            in_time.is_ok(),
            "{count} events about {key}, found {events:?}"
        );
        let mut found = Vec::new();
        for record in events {
            let value = record.value.unwrap();
            let (id, datum) = codec::unframe(&value).unwrap();
            let schema = self.registry.schema(id).await.unwrap();
            let envelope = Envelope::from_headers(&record.headers).unwrap();
            found.push((envelope, schema, datum.to_vec()));
        }
        found
    }
}

impl Service {
    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
        self.store.close().await;
    }
}

fn order(id: &str, product: &str, quantity: i32) -> OrderPlaced {
    OrderPlaced {
        order_id: id.to_owned(),
        version: 1,
        lines: vec![Line {
            product_id: product.to_owned(),
            quantity,
        }],
        on_shortage: OnShortage::Backorder,
        reserve_by: None,
    }
}

fn goods(receipt: &str, product: &str, quantity: i32) -> ReceiveStock {
    ReceiveStock {
        receipt_id: receipt.to_owned(),
        product_id: product.to_owned(),
        quantity,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_of_every_partition_wait_for_goods_of_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new().await;
    let service = world.start(&folder.path().join("i.db")).await;
    world.send(&goods("R1", "P1", 1)).await;
    world.received("P1", 1).await;
    let orders: Vec<_> = (0..8).map(|number| format!("O{number}")).collect();
    for id in &orders {
        world.send(&order(id, "P1", 2)).await;
        let told = world.reservation(id, 1).await;
        assert!(
            matches!(told[0].1, ReservationEvent::Backordered(_)),
            "{told:?}"
        );
    }
    world
        .send_as("the second receipt", &goods("R2", "P1", 15))
        .await;
    let mut correlations = BTreeMap::new();
    for id in &orders {
        let told = world.reservation(id, 2).await;
        assert!(
            matches!(told[1].1, ReservationEvent::Reserved(_)),
            "{told:?}"
        );
        assert_eq!(told[1].1.version(), 2);
        assert_eq!(
            told[1].0.causation_id.as_deref(),
            Some("the second receipt")
        );
        assert_eq!(told[1].0.correlation(), told[0].0.correlation());
        correlations.insert(told[1].0.correlation().to_owned(), id);
    }
    assert_eq!(
        correlations.len(),
        orders.len(),
        "each in the flow of its own order"
    );
    let queries = SqliteQueries::new(service.store.reader().clone());
    let stock = queries.stock("P1").await.unwrap().unwrap();
    assert_eq!((stock.on_hand, stock.reserved, stock.version), (16, 16, 2));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_comes_back_goes_on_and_repeats_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("i.db");
    let mut world = World::new().await;
    let service = world.start(&path).await;
    world.send(&goods("R1", "P1", 5)).await;
    world.received("P1", 1).await;
    world.send(&order("O1", "P1", 3)).await;
    world.reservation("O1", 1).await;
    service.stop().await;

    // Everything again, and what came meanwhile; of Order's own replies nothing is wanted.
    world.send(&goods("R1", "P1", 5)).await;
    world.send(&order("O1", "P1", 3)).await;
    let reply = OrderReserved {
        order_id: "O1".to_owned(),
        version: 2,
    };
    world.send(&reply).await;
    let cancel = OrderCancelled {
        order_id: "O1".to_owned(),
        version: 3,
        reason: "changed my mind".to_owned(),
    };
    world.send(&cancel).await;
    world.send(&goods("R2", "P1", 1)).await;
    let service = world.start(&path).await;
    let told = world.reservation("O1", 2).await;
    assert_eq!(told.len(), 2);
    let ReservationEvent::Released(released) = &told[1].1 else {
        panic!("a cancelled order is released: {told:?}");
    };
    assert_eq!((released.version, released.lines.len()), (2, 1));
    assert_eq!(world.received("P1", 2).await.len(), 2);
    let queries = SqliteQueries::new(service.store.reader().clone());
    let stock = queries.stock("P1").await.unwrap().unwrap();
    assert_eq!((stock.on_hand, stock.reserved, stock.version), (6, 0, 2));
    service.stop().await;
}

/// An order that must be reserved within `span`.
fn hurried(id: &str, product: &str, quantity: i32, span: Duration) -> OrderPlaced {
    OrderPlaced {
        reserve_by: Some(SystemClock.now().plus(span).0),
        ..order(id, product, quantity)
    }
}

fn timed_out(told: &(Envelope, ReservationEvent), deadline: Option<i64>) -> bool {
    let (envelope, event) = told;
    matches!(event, ReservationEvent::Refused(refused) if refused.timed_out)
        && Some(envelope.time.0) >= deadline
}

/// Nothing but the deadline itself wakes the shard.
#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_times_out_in_an_idle_service_and_frees_the_queue() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new().await;
    let service = world.start(&folder.path().join("i.db")).await;
    world.send(&goods("R1", "P1", 1)).await;
    world.received("P1", 1).await;
    let first = hurried("O1", "P1", 2, Duration::from_secs(1));
    world.send(&first).await;
    world.reservation("O1", 1).await;
    world.send(&order("O2", "P1", 1)).await;
    let waits = world.reservation("O2", 1).await;
    assert!(matches!(waits[0].1, ReservationEvent::Backordered(_)));
    let told = world.reservation("O1", 2).await;
    assert!(timed_out(&told[1], first.reserve_by), "{told:?}");
    assert_eq!(told[1].0.causation_id.as_deref(), Some(&*told[0].0.id));
    assert_eq!(told[1].0.correlation(), told[0].0.correlation());
    let served = world.reservation("O2", 2).await;
    assert!(matches!(served[1].1, ReservationEvent::Reserved(_)));
    assert_eq!(served[1].0.causation_id.as_deref(), Some(&*told[1].0.id));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deadlines_survive_a_restart_and_pass_while_nobody_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("i.db");
    let mut world = World::new().await;
    let service = world.start(&path).await;
    world.send(&goods("R1", "P1", 1)).await;
    world.received("P1", 1).await;
    let soon = hurried("O1", "P1", 2, Duration::from_millis(500));
    let later = hurried("O2", "P1", 2, Duration::from_secs(4));
    for order in [&soon, &later] {
        world.send(order).await;
        world.reservation(&order.order_id, 1).await;
    }
    service.stop().await;
    let passed = Duration::from_millis(600);
    tokio::time::sleep(passed).await;
    let service = world.start(&path).await;
    let told = world.reservation("O1", 2).await;
    assert!(timed_out(&told[1], soon.reserve_by), "{told:?}");
    let told = world.reservation("O2", 2).await;
    assert!(timed_out(&told[1], later.reserve_by), "{told:?}");
    service.stop().await;
}
