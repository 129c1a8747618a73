//! A whole store in one process: embedded log and registry, services and gateway on spare ports,
//! each to be stopped and started on its own.

#![allow(dead_code, reason = "each test file uses its part of this")]

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};

use clap::Parser;
use contracts::proto;
use contracts::proto::inventory_service_client::InventoryServiceClient;
use contracts::proto::order::Status;
use contracts::proto::order_service_client::OrderServiceClient;
use messaging::config::StoreLocation;
use messaging::health::Health;
use messaging::store::postgres::scratch;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

pub(crate) mod place;
pub(crate) mod topics;
mod wait;

pub(crate) use place::Place;
pub(crate) use wait::{eventually, within};

/// Partitions of the store under test.
pub(crate) const PARTITIONS: i32 = 4;

/// The parts of a store, by their names on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Log,
    Registry,
    Order,
    Inventory,
    Gateway,
}

struct Running {
    health: Health,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), String>>,
}

/// A store under test.
pub(crate) struct Store {
    pub(crate) dir: TempDir,
    place: Place,
    addresses: BTreeMap<Part, SocketAddr>,
    running: BTreeMap<Part, Running>,
}

#[derive(Parser)]
struct Settings<A: clap::Args> {
    #[command(flatten)]
    args: A,
}

fn settings<A: clap::Args>(flags: &[(&str, String)]) -> A {
    let words = flags
        .iter()
        .flat_map(|(flag, value)| [(*flag).to_owned(), value.clone()]);
    Settings::<A>::parse_from(std::iter::once("test".to_owned()).chain(words)).args
}

impl Store {
    /// Everything started and ready.
    pub(crate) async fn start() -> Self {
        Self::start_at(Place::default()).await
    }

    /// Everything but what is elsewhere started and ready.
    pub(crate) async fn start_at(place: Place) -> Self {
        Self::start_with(place, &[Part::Order, Part::Inventory, Part::Gateway]).await
    }

    /// Log, registry and `parts`, ready.
    pub(crate) async fn start_only(parts: &[Part]) -> Self {
        Self::start_with(Place::default(), parts).await
    }

    async fn start_with(place: Place, parts: &[Part]) -> Self {
        let all = [
            Part::Log,
            Part::Registry,
            Part::Order,
            Part::Inventory,
            Part::Gateway,
        ];
        let addresses = all.into_iter().map(|part| (part, spare())).collect();
        let dir = tempfile::tempdir().unwrap();
        let mut store = Self {
            dir,
            place,
            addresses,
            running: BTreeMap::new(),
        };
        order::migrate(&store.store(Part::Order)).await.unwrap();
        inventory::migrate(&store.store(Part::Inventory))
            .await
            .unwrap();
        store.launch_bus();
        for part in parts {
            store.launch(*part);
        }
        for part in parts {
            store.ready(*part).await;
        }
        store
    }

    /// Starts the log, if it is not elsewhere, and the registry.
    pub(crate) fn launch_bus(&mut self) {
        if self.place.brokers.is_none() {
            self.launch(Part::Log);
        }
        self.launch(Part::Registry);
    }

    /// Brokers of the log.
    pub(crate) fn brokers(&self) -> String {
        let here = || self.address(Part::Log).to_string();
        self.place.brokers.clone().unwrap_or_else(here)
    }

    pub(crate) fn address(&self, part: Part) -> SocketAddr {
        self.addresses[&part]
    }

    pub(crate) fn url(&self, part: Part) -> String {
        format!("http://{}", self.address(part))
    }

    /// The file that a service keeps its data in, if its database is not elsewhere.
    pub(crate) fn database(&self, part: Part) -> PathBuf {
        self.dir.path().join(if part == Part::Order {
            "order.db"
        } else {
            "inventory.db"
        })
    }

    fn store(&self, part: Part) -> StoreLocation {
        match &self.place.databases {
            Some([order, _]) if part == Part::Order => StoreLocation::Postgres(order.clone()),
            Some([_, inventory]) => StoreLocation::Postgres(inventory.clone()),
            None => StoreLocation::Sqlite(self.database(part)),
        }
    }

    /// Counts the rows that `query` finds in a service's database.
    pub(crate) async fn count(&self, part: Part, query: &'static str) -> i64 {
        match self.store(part) {
            StoreLocation::Postgres(location) => {
                let mut connection = scratch::connect(&location).await;
                let counted = sqlx::query_scalar(query).fetch_one(&mut connection);
                counted.await.unwrap()
            }
            StoreLocation::Sqlite(file) => count(&file, query).await,
        }
    }

    pub(crate) fn health(&self, part: Part) -> &Health {
        &self.running[&part].health
    }

    /// Starts a part and waits until it is ready.
    pub(crate) async fn start_part(&mut self, part: Part) {
        self.launch(part);
        self.ready(part).await;
    }

    async fn ready(&self, part: Part) {
        let running = &self.running[&part];
        within(running.health.ready(), &format!("{part:?} ready")).await;
    }

    /// Waits until a part refuses to run; returns its words.
    pub(crate) async fn refusal(&mut self, part: Part) -> String {
        let running = self.running.remove(&part).unwrap();
        within(running.task, "the refusal")
            .await
            .unwrap()
            .unwrap_err()
    }

    /// Starts a part and waits for nothing.
    pub(crate) fn launch(&mut self, part: Part) {
        let health = Health::new();
        let shutdown = CancellationToken::new();
        let listener = bind(self.address(part));
        let mut flags = vec![
            ("--log", self.brokers()),
            ("--registry", self.url(Part::Registry)),
            ("--partitions", PARTITIONS.to_string()),
        ];
        flags.extend(self.place.flags.iter().cloned());
        let (stop, state) = (shutdown.clone(), health.clone());
        let task = match part {
            Part::Log => {
                let config = embedded::log::Config::new(self.dir.path().join("log"));
                spawn(async move {
                    let log = embedded::log::Log::open(config).map_err(|e| e.to_string())?;
                    log.serve(listener, stop).await.map_err(|e| e.to_string())
                })
            }
            Part::Registry => {
                let config = embedded::registry::Config::new(self.dir.path().join("registry"));
                spawn(async move {
                    let registry =
                        embedded::registry::Registry::open(config).map_err(|e| e.to_string())?;
                    registry
                        .serve(listener, stop)
                        .await
                        .map_err(|e| e.to_string())
                })
            }
            Part::Order => {
                let mut args: order::Args = settings(&flags);
                args.store = self.store(part);
                spawn(async move {
                    order::run(args, listener, state, stop)
                        .await
                        .map_err(|e| e.to_string())
                })
            }
            Part::Inventory => {
                let mut args: inventory::Args = settings(&flags);
                args.store = self.store(part);
                spawn(async move {
                    inventory::run(args, listener, state, stop)
                        .await
                        .map_err(|e| e.to_string())
                })
            }
            Part::Gateway => {
                flags.push(("--order", self.url(Part::Order)));
                flags.push(("--inventory", self.url(Part::Inventory)));
                flags.extend(self.place.gateway_flags.iter().cloned());
                let args = settings(&flags);
                spawn(async move {
                    gateway::run(args, listener, state, stop)
                        .await
                        .map_err(|e| e.to_string())
                })
            }
        };
        self.running.insert(
            part,
            Running {
                health,
                shutdown,
                task,
            },
        );
    }

    /// Stops a part gracefully.
    pub(crate) async fn stop_part(&mut self, part: Part) {
        let running = self.running.remove(&part).unwrap();
        running.shutdown.cancel();
        within(running.task, &format!("{part:?} stopped"))
            .await
            .unwrap()
            .unwrap();
    }

    /// Stops everything gracefully, services before the log; the data stays.
    pub(crate) async fn stop(&mut self) {
        for part in [
            Part::Gateway,
            Part::Inventory,
            Part::Order,
            Part::Registry,
            Part::Log,
        ] {
            if self.running.contains_key(&part) {
                self.stop_part(part).await;
            }
        }
    }

    fn channel(&self) -> Channel {
        Endpoint::from_shared(self.url(Part::Gateway))
            .unwrap()
            .connect_lazy()
    }

    pub(crate) fn orders(&self) -> OrderServiceClient<Channel> {
        OrderServiceClient::new(self.channel())
    }

    pub(crate) fn inventory(&self) -> InventoryServiceClient<Channel> {
        InventoryServiceClient::new(self.channel())
    }

    /// Receives stock and waits until it is booked.
    pub(crate) async fn receive(&self, receipt: &str, product: &str, quantity: i32) {
        let before = self.stock(product).await.map_or(0, |stock| stock.version);
        let request = proto::ReceiveStockRequest {
            receipt_id: receipt.to_owned(),
            product_id: product.to_owned(),
            quantity,
        };
        self.inventory().receive_stock(request).await.unwrap();
        eventually("the receipt is booked", async || {
            self.stock(product)
                .await
                .filter(|stock| stock.version > before)
        })
        .await;
    }

    /// A product's stock, or `None` if nobody knows it.
    pub(crate) async fn stock(&self, product: &str) -> Option<proto::StockLevel> {
        let request = proto::GetStockRequest {
            product_id: product.to_owned(),
        };
        self.inventory()
            .get_stock(request)
            .await
            .ok()?
            .into_inner()
            .stock
    }

    /// `(on_hand, reserved)` of a product.
    pub(crate) async fn levels(&self, product: &str) -> (i64, i64) {
        let stock = self.stock(product).await.unwrap();
        (stock.on_hand, stock.reserved)
    }

    pub(crate) async fn place(&self, order: proto::Order) {
        self.orders().place_order(request(order)).await.unwrap();
    }

    /// An order, or `None` if it is not known yet.
    pub(crate) async fn order(&self, id: &str) -> Option<proto::Order> {
        let request = proto::GetOrderRequest {
            order_id: id.to_owned(),
        };
        self.orders()
            .get_order(request)
            .await
            .ok()?
            .into_inner()
            .order
    }

    /// Waits until an order has this status.
    pub(crate) async fn reaches(&self, id: &str, status: Status) -> proto::Order {
        eventually(&format!("{id} is {status:?}"), async || {
            self.order(id)
                .await
                .filter(|order| order.status() == status)
        })
        .await
    }
}

/// An order of `(product, quantity)` lines.
pub(crate) fn order(id: &str, lines: &[(&str, i32)]) -> proto::Order {
    proto::Order {
        order_id: id.to_owned(),
        customer_id: "CUSTOMER_001".to_owned(),
        currency: "GBP".to_owned(),
        lines: lines
            .iter()
            .map(|(product, quantity)| proto::OrderLine {
                product_id: (*product).to_owned(),
                quantity: *quantity,
                unit_price_minor: 100,
            })
            .collect(),
        ..proto::Order::default()
    }
}

pub(crate) fn request(order: proto::Order) -> proto::PlaceOrderRequest {
    proto::PlaceOrderRequest {
        order: Some(order),
        ..proto::PlaceOrderRequest::default()
    }
}

/// An order of a `PlaceOrders` stream.
pub(crate) fn streamed(order: proto::Order) -> proto::PlaceOrdersRequest {
    proto::PlaceOrdersRequest {
        request: Some(request(order)),
    }
}

async fn count(database: &Path, query: &'static str) -> i64 {
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(database)
        .read_only(true);
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    let count = sqlx::query_scalar(query).fetch_one(&pool).await.unwrap();
    pool.close().await;
    count
}

#[allow(clippy::disallowed_methods, reason = "the harness owns these tasks")]
fn spawn(
    work: impl Future<Output = Result<(), String>> + Send + 'static,
) -> JoinHandle<Result<(), String>> {
    tokio::spawn(work)
}

/// A port that is free now and that the system gives to nobody unasked: below its range for
/// outgoing connections, so that a part can come back to its address.
fn spare() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed) % 2_000;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if messaging::server::bind("", address).is_ok() {
            return address;
        }
    }
}

fn bind(address: SocketAddr) -> TcpListener {
    messaging::server::bind("--listen", address).unwrap()
}
