//! The Order context on the shipped runtime: real SQLite, the log and the registry in memory.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "shared by several test programs; a failed test is the report"
)]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use contracts::inventory::{
    ReservationEvent, StockBackordered, StockRefused, StockReleased, StockReserved,
};
use contracts::order::{
    CancelOrder, CompleteOrder, OrderCommand, OrderEvent, PlaceOrder, PlaceOrderLine,
};
use contracts::shared::{OnShortage, Refusal};
use contracts::{source, topics};
use messaging::clock::{Clock, SystemClock, Timestamp};
use messaging::codec;
use messaging::envelope::Envelope;
use messaging::health::Health;
use messaging::ids::{Ids, SystemIds};
use messaging::lease::file::FileLease;
use messaging::log::memory::MemoryLog;
use messaging::log::{Log, Record};
use messaging::message::{Binding, Message, Registration, Writer};
use messaging::partitioner::partition_of;
use messaging::registry::SchemaRegistry;
use messaging::registry::memory::MemoryRegistry;
use messaging::runtime::{self, Feed, Options, Ports};
use messaging::spawner::{Spawner, Task, TokioSpawner};
use messaging::store::sqlite::SqliteStore;
use order::context::OrderContext;
use order::domain::{Order, Status};
use order::store::Queries;
use order::store::sqlite::{MIGRATIONS, OrderTables, SqliteQueries};
use tokio_util::sync::CancellationToken;

pub const PARTITIONS: i32 = 2;
/// How long a condition may take; only a broken build takes as long.
const PATIENCE: Duration = Duration::from_secs(20);

/// What outlives a restart of the service: the log, the registry, the database file.
pub struct World {
    pub log: Arc<MemoryLog>,
    pub registry: Arc<MemoryRegistry>,
    writer: Writer,
    directory: tempfile::TempDir,
}

/// A running Order service.
pub struct Service {
    pub queries: SqliteQueries,
    pub feed: Feed,
    pub health: Health,
    store: Arc<SqliteStore<OrderTables>>,
    shutdown: CancellationToken,
    running: Task,
}

impl World {
    pub async fn new() -> Self {
        let registry = Arc::new(MemoryRegistry::new());
        let registrations: Vec<Registration> =
            [OrderCommand::REGISTRATIONS, ReservationEvent::REGISTRATIONS].concat();
        let writer = Writer::bind(&*registry, &registrations, Binding::Register)
            .await
            .unwrap();
        let log = Arc::new(MemoryLog::new(Arc::new(SystemClock)));
        for topic in [topics::ORDER_COMMANDS, topics::INVENTORY_EVENTS] {
            log.create_topic(topic, PARTITIONS).await.unwrap();
        }
        Self {
            log,
            registry,
            writer,
            directory: tempfile::tempdir().unwrap(),
        }
    }

    /// Starts the service on what the last one left.
    pub async fn start(&self) -> Service {
        let path = self.directory.path().join("order.db");
        let lease = FileLease::lock(&self.directory.path().join("order.db.lock")).unwrap();
        let store = SqliteStore::open(&path, &MIGRATIONS, OrderTables)
            .await
            .unwrap();
        let lease = lease.starting_after(store.highest_epoch().await.unwrap());
        let store = Arc::new(store);
        let ports = Ports {
            log: Arc::clone(&self.log) as _,
            registry: Arc::clone(&self.registry) as _,
            lease: Arc::new(lease),
            clock: Arc::new(SystemClock),
            ids: Arc::new(SystemIds),
            spawner: Arc::new(TokioSpawner),
            tracer: messaging::trace::Tracer::off(),
        };
        let (feed, health, shutdown) = (Feed::new(), Health::new(), CancellationToken::new());
        let running = runtime::run(
            Arc::new(OrderContext::default()),
            Arc::clone(&store),
            ports,
            Options {
                partitions: PARTITIONS,
                binding: Binding::Register,
            },
            feed.clone(),
            health.clone(),
            shutdown.clone(),
        );
        let running = TokioSpawner.spawn("order", Box::pin(async { running.await.unwrap() }));
        Service {
            queries: SqliteQueries::new(store.reader().clone()),
            feed,
            health,
            store,
            shutdown,
            running,
        }
    }

    /// Writes a command as the gateway does, under a fresh id.
    pub async fn command(&self, command: impl Into<OrderCommand>) {
        let id = SystemIds.fresh().to_string();
        self.command_with_id(&id, command).await;
    }

    pub async fn command_with_id(&self, id: &str, command: impl Into<OrderCommand>) {
        match command.into() {
            OrderCommand::Place(message) => self.write(id, source::GATEWAY, &message).await,
            OrderCommand::Cancel(message) => self.write(id, source::GATEWAY, &message).await,
            OrderCommand::Complete(message) => self.write(id, source::GATEWAY, &message).await,
        }
    }

    /// Writes an event as Inventory does.
    pub async fn inventory(&self, event: impl Into<ReservationEvent>) {
        let id = SystemIds.fresh().to_string();
        match event.into() {
            ReservationEvent::Reserved(event) => self.write(&id, source::INVENTORY, &event).await,
            ReservationEvent::Backordered(event) => {
                self.write(&id, source::INVENTORY, &event).await;
            }
            ReservationEvent::Refused(event) => self.write(&id, source::INVENTORY, &event).await,
            ReservationEvent::Released(event) => self.write(&id, source::INVENTORY, &event).await,
            ReservationEvent::Shipped(event) => self.write(&id, source::INVENTORY, &event).await,
        }
    }

    async fn write<M: Message>(&self, id: &str, source: &str, message: &M) {
        let now = SystemClock.now();
        let envelope = Envelope::command(id.to_owned(), M::TYPE, source, message.key(), now);
        let record = Record {
            key: Some(Bytes::copy_from_slice(message.key().as_bytes())),
            value: Some(self.writer.encode(message).unwrap()),
            headers: envelope.to_headers(),
            timestamp: now,
        };
        let partition = partition_of(message.key().as_bytes(), PARTITIONS);
        self.log
            .append(M::TOPIC, partition, vec![record])
            .await
            .unwrap();
    }

    /// Everything that Order has told of one order, with its metadata, in the log's order.
    pub async fn told(&self, order_id: &str) -> Vec<(Envelope, OrderEvent)> {
        let partition = partition_of(order_id.as_bytes(), PARTITIONS);
        let mut told = Vec::new();
        for consumed in self.log.records(topics::ORDER_EVENTS, partition) {
            let record = consumed.record;
            if record.key.as_deref() != Some(order_id.as_bytes()) {
                continue;
            }
            let envelope = Envelope::from_headers(&record.headers).unwrap();
            let (schema, datum) = codec::unframe(record.value.as_ref().unwrap()).unwrap();
            let schema = self.registry.schema(schema).await.unwrap();
            let event = OrderEvent::decode(&envelope.message_type, &schema, datum);
            told.push((envelope, event.unwrap().unwrap()));
        }
        told
    }

    /// The types of what Order has told of one order, without the namespace.
    pub async fn told_types(&self, order_id: &str) -> Vec<String> {
        let short = |(envelope, _): (Envelope, _)| {
            let name = envelope.message_type.strip_prefix("shop.order.").unwrap();
            name.to_owned()
        };
        self.told(order_id).await.into_iter().map(short).collect()
    }
}

impl Service {
    pub async fn order(&self, order_id: &str) -> Option<Order> {
        self.queries.get(order_id).await.unwrap()
    }

    /// Waits until the order stands at `status`.
    pub async fn until(&self, order_id: &str, status: Status) -> Order {
        let reached = async {
            loop {
                let change = self.feed.watch(order_id).changed();
                match self.order(order_id).await {
                    Some(order) if order.status == status => return order,
                    _ => tokio::select! {
                        () = change => {}
                        () = SystemClock.sleep(Duration::from_millis(20)) => {}
                    },
                }
            }
        };
        match tokio::time::timeout(PATIENCE, reached).await {
            Ok(order) => order,
            Err(_) => panic!(
                "{order_id} should be {status:?} but is {:?}; health {:?}",
                self.order(order_id).await,
                self.health.report()
            ),
        }
    }

    /// Waits until everything in the input topics is consumed and everything told is in the log.
    pub async fn settled(&self, world: &World) {
        let settled = async {
            while !self.is_settled(world).await {
                SystemClock.sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, settled)
            .await
            .unwrap_or_else(|_| panic!("not settled; health {:?}", self.health.report()));
    }

    async fn is_settled(&self, world: &World) -> bool {
        let mut unread = 0;
        for topic in [topics::ORDER_COMMANDS, topics::INVENTORY_EVENTS] {
            for partition in 0..PARTITIONS {
                let next = world.log.bounds(topic, partition).await.unwrap().next;
                let cursor: Option<i64> = sqlx::query_scalar(
                    "SELECT next_offset FROM cursor WHERE shard = $1 AND topic = $2",
                )
                .bind(partition)
                .bind(topic)
                .fetch_optional(self.store.reader())
                .await
                .unwrap();
                unread += next - cursor.unwrap_or(0);
            }
        }
        unread == 0 && self.count("outbox").await == 0
    }

    /// Rows of a table of the messaging library, or of a part of it.
    pub async fn count(&self, table: &'static str) -> i64 {
        let sql = match table {
            "outbox" => "SELECT count(*) FROM outbox",
            "conflict" => "SELECT count(*) FROM conflict",
            "parked" => "SELECT count(*) FROM parked",
            "inbox" => "SELECT count(*) FROM inbox",
            "lasting" => "SELECT count(*) FROM inbox WHERE lasting = 1",
            other => panic!("no count for {other}"),
        };
        sqlx::query_scalar(sql)
            .fetch_one(self.store.reader())
            .await
            .unwrap()
    }

    /// Ends the service as a person would.
    pub async fn stop(self) {
        self.shutdown.cancel();
        self.running.join().await.unwrap();
        self.store.close().await;
    }
}

/// 3 x P1 at 10.00, or as many as asked.
pub fn place(order_id: &str, customer_id: &str, quantity: i32) -> PlaceOrder {
    PlaceOrder {
        order_id: order_id.to_owned(),
        customer_id: customer_id.to_owned(),
        currency: "GBP".to_owned(),
        lines: vec![PlaceOrderLine {
            product_id: "P1".to_owned(),
            quantity,
            unit_price_minor: 1_000,
        }],
        on_shortage: OnShortage::Backorder,
        reserve_by: None,
    }
}

pub fn cancel(order_id: &str, reason: &str) -> CancelOrder {
    CancelOrder {
        order_id: order_id.to_owned(),
        reason: reason.to_owned(),
        customer_id: None,
    }
}

/// A customer's cancellation.
pub fn cancel_of(customer_id: &str, order_id: &str, reason: &str) -> CancelOrder {
    CancelOrder {
        customer_id: Some(customer_id.to_owned()),
        ..cancel(order_id, reason)
    }
}

pub fn complete(order_id: &str) -> CompleteOrder {
    CompleteOrder {
        order_id: order_id.to_owned(),
    }
}

pub fn reserved(order_id: &str, version: i64) -> StockReserved {
    StockReserved {
        order_id: order_id.to_owned(),
        version,
        lines: Vec::new(),
    }
}

pub fn backordered(order_id: &str, version: i64) -> StockBackordered {
    StockBackordered {
        order_id: order_id.to_owned(),
        version,
        short: vec!["P1".to_owned()],
    }
}

pub fn refused(order_id: &str, version: i64) -> StockRefused {
    StockRefused {
        order_id: order_id.to_owned(),
        version,
        reason: Refusal::OutOfStock,
        short: vec!["P1".to_owned()],
        timed_out: false,
    }
}

pub fn released(order_id: &str, version: i64) -> StockReleased {
    StockReleased {
        order_id: order_id.to_owned(),
        version,
        lines: Vec::new(),
    }
}

/// A time that no clock shows, for orders made up by a test.
pub const EPOCH: Timestamp = Timestamp(0);
