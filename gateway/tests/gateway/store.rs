//! A gateway and what surrounds it.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use contracts::order::{OrderCommand, PlaceOrder};
use contracts::proto::inventory_service_client::InventoryServiceClient;
use contracts::proto::order_service_client::OrderServiceClient;
use contracts::proto::{Order, OrderLine, PlaceOrderRequest};
use gateway::{Options, Ports};
use messaging::clock::SystemClock;
use messaging::codec;
use messaging::envelope::Envelope;
use messaging::health::{Condition, Health};
use messaging::ids::SystemIds;
use messaging::log::Consumed;
use messaging::log::memory::MemoryLog;
use messaging::message::Binding;
use messaging::partitioner::partition_of;
use messaging::registry::SchemaRegistry;
use messaging::registry::memory::MemoryRegistry;
use messaging::server;
use messaging::spawner::{Spawner, Task, TokioSpawner};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use crate::services::Services;

/// Partitions of every topic.
pub(crate) const PARTITIONS: i32 = 4;

/// Longer than anything here takes; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for what must come soon.
pub(crate) async fn soon<T>(coming: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, coming)
        .await
        .expect("it did not come in time")
}

/// A gateway with everything around it.
pub(crate) struct Store {
    pub(crate) log: Arc<MemoryLog>,
    pub(crate) registry: Arc<MemoryRegistry>,
    pub(crate) health: Health,
    pub(crate) shutdown: CancellationToken,
    pub(crate) services_addr: SocketAddr,
    task: Task,
    channel: Channel,
    services: Option<(TcpListener, Option<Services>)>,
}

impl Store {
    /// A gateway over `log` and `registry`; the services behind it are not started yet.
    pub(crate) fn over(log: Arc<MemoryLog>, registry: Arc<MemoryRegistry>) -> Self {
        let listener = loopback();
        let services = loopback();
        let services_addr = services.local_addr().unwrap();
        let ports = Ports {
            log: log.clone(),
            registry: registry.clone(),
            clock: Arc::new(SystemClock),
            ids: Arc::new(SystemIds),
            spawner: Arc::new(TokioSpawner),
            order: endpoint(services_addr).connect_lazy(),
            watches: vec![endpoint(services_addr).connect_lazy()],
            inventory: endpoint(services_addr).connect_lazy(),
            guard: None,
            tracer: messaging::trace::Tracer::off(),
        };
        let options = Options {
            partitions: PARTITIONS,
            binding: Binding::Register,
            rate: None,
        };
        // The client's own limit is far beyond the deadlines that the gateway must keep.
        let channel = endpoint(listener.local_addr().unwrap())
            .timeout(PATIENCE)
            .connect_lazy();
        let (health, shutdown) = (Health::new(), CancellationToken::new());
        let serving = gateway::serve(ports, options, listener, health.clone(), shutdown.clone());
        let task = TokioSpawner.spawn("gateway", Box::pin(async { serving.await.unwrap() }));
        Self {
            log,
            registry,
            health,
            shutdown,
            services_addr,
            task,
            channel,
            services: Some((services, None)),
        }
    }

    /// A gateway that is ready, with its services.
    pub(crate) async fn ready() -> (Self, Services) {
        let mut store = Self::without_services().await;
        let services = store.start_services();
        (store, services)
    }

    /// A gateway that is ready, whose services do not answer: they listen, and that is all.
    pub(crate) async fn without_services() -> Self {
        let store = Self::over(memory_log(), Arc::new(MemoryRegistry::new()));
        soon(store.health.ready()).await;
        store
    }

    /// Starts the services behind the gateway.
    pub(crate) fn start_services(&mut self) -> Services {
        let (listener, _) = self.services.take().unwrap();
        Services::start(listener)
    }

    /// Takes the services' address away: connections are refused.
    pub(crate) fn refuse_services(&mut self) {
        self.services = None;
    }

    /// A client of the order service.
    pub(crate) fn orders(&self) -> OrderServiceClient<Channel> {
        OrderServiceClient::new(self.channel.clone())
    }

    /// A client of the inventory service.
    pub(crate) fn inventory(&self) -> InventoryServiceClient<Channel> {
        InventoryServiceClient::new(self.channel.clone())
    }

    /// Completes when the gateway has ended by itself.
    pub(crate) async fn ended(self) {
        soon(self.task.join()).await.unwrap();
    }

    /// The records of a key.
    pub(crate) fn records(&self, topic: &str, key: &str) -> Vec<Consumed> {
        let mut records = self
            .log
            .records(topic, partition_of(key.as_bytes(), PARTITIONS));
        records.retain(|found| found.record.key.as_deref() == Some(key.as_bytes()));
        records
    }

    /// The envelope and the command in a record of `order.commands`.
    pub(crate) async fn read(&self, consumed: &Consumed) -> (Envelope, OrderCommand) {
        let envelope = Envelope::from_headers(&consumed.record.headers).unwrap();
        let (id, datum) = codec::unframe(consumed.record.value.as_ref().unwrap()).unwrap();
        let schema = self.registry.schema(id).await.unwrap();
        let command = OrderCommand::decode(&envelope.message_type, &schema, datum);
        (envelope, command.unwrap().unwrap())
    }

    /// Completes when a part of the gateway is in a condition that fits.
    pub(crate) async fn condition(&self, part: &str, fits: impl Fn(&Condition) -> bool) {
        let mut changes = self.health.subscribe();
        let fitting = changes.wait_for(|parts| parts.get(part).is_some_and(&fits));
        soon(fitting).await.unwrap();
    }
}

/// A log of its own.
pub(crate) fn memory_log() -> Arc<MemoryLog> {
    Arc::new(MemoryLog::new(Arc::new(SystemClock)))
}

fn loopback() -> TcpListener {
    server::bind("--listen", "127.0.0.1:0".parse().unwrap()).unwrap()
}

fn endpoint(addr: SocketAddr) -> Endpoint {
    Endpoint::from_shared(format!("http://{addr}")).unwrap()
}

/// An order of two lines, as a client gives it.
pub(crate) fn order(order_id: &str) -> Order {
    let line = |product_id: &str, quantity, unit_price_minor| OrderLine {
        product_id: product_id.to_owned(),
        quantity,
        unit_price_minor,
    };
    Order {
        order_id: order_id.to_owned(),
        customer_id: "CUSTOMER_001".to_owned(),
        currency: "GBP".to_owned(),
        lines: vec![line("PRODUCT_002", 2, 500), line("PRODUCT_001", 3, 1_000)],
        ..Order::default()
    }
}

/// The request that places [`order`].
pub(crate) fn place(order_id: &str) -> PlaceOrderRequest {
    PlaceOrderRequest {
        request_id: String::new(),
        order: Some(order(order_id)),
        wait_for: None,
    }
}

/// What the command of [`order`] must be.
pub(crate) fn placed(order_id: &str) -> PlaceOrder {
    let line = |product_id: &str, quantity, unit_price_minor| contracts::order::PlaceOrderLine {
        product_id: product_id.to_owned(),
        quantity,
        unit_price_minor,
    };
    PlaceOrder {
        order_id: order_id.to_owned(),
        customer_id: "CUSTOMER_001".to_owned(),
        currency: "GBP".to_owned(),
        lines: vec![line("PRODUCT_001", 3, 1_000), line("PRODUCT_002", 2, 500)],
        on_shortage: contracts::order::OnShortage::Backorder,
        reserve_by: None,
    }
}

/// `message` with a deadline in `millis`.
pub(crate) fn within<T>(message: T, millis: u64) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(Duration::from_millis(millis));
    request
}

/// Asserts that a status is UNAVAILABLE and says when to come back.
pub(crate) fn assert_unavailable(status: &Status) {
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    let details = status.get_error_details();
    assert!(details.retry_info().is_some(), "{status:?}");
}
