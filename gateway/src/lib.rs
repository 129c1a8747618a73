//! The public edge of the store.
//!
//! Commands are checked, encoded and appended to the log; the answer follows the log's
//! acknowledgement. Queries go to the service that owns the data. The gateway keeps no state, so
//! any number of them can stand side by side.
//!
//! | room | what happens there |
//! |---|---|
//! | [`cli`] | the command line of the program |
//! | `request` | requests as commands, every invalid field at once (pure) |
//! | [`behind`] | TLS towards the services |
//! | `commands` | into the log, with retries inside the caller's deadline |
//! | `visitor` | who calls, and whose orders that concerns |
//! | `origin` | what a call carries beside its content: its trace |
//! | [`rate`] | how often each customer may call (pure) |
//! | `outcome` | `wait_for`: what becomes of an order |
//! | `placing` | `PlaceOrder` and the `PlaceOrders` stream |
//! | `queries` | the services behind, with deadlines |
//! | `order_service`, `inventory_service` | the gRPC services |
//! | `preparation` | topics and schemas, in the background |
//! | `writable` | the way into the log, once it is open |
//! | `wiring` | the adapters |

use std::error::Error as StdError;
use std::net::TcpListener;
use std::pin::Pin;
use std::sync::Arc;

use contracts::proto::inventory_service_server::InventoryServiceServer;
use contracts::proto::order_service_server::OrderServiceServer;
use messaging::clock::Clock;
use messaging::config::tls::ServerTlsArgs;
use messaging::config::{self, AuthArgs, LogArgs, Refusal, RegistryArgs, TraceArgs, access, auth};
use messaging::health::Health;
use messaging::ids::Ids;
use messaging::limits::REQUEST_BYTES_MAX;
use messaging::log::Log;
use messaging::log::appender::Appender;
use messaging::message::Binding;
use messaging::registry::{self, SchemaRegistry};
use messaging::server::{self, Guard, Listener};
use messaging::spawner::Spawner;
use messaging::trace::{self, Tracer};
use messaging::{telemetry, tls};
use tokio_util::sync::CancellationToken;
use tonic::service::RoutesBuilder;
use tonic::transport::Channel;

use crate::behind::ServicesTlsArgs;
use crate::commands::Commands;
pub use crate::inventory_service::Inventory;
pub use crate::order_service::Orders;
use crate::placing::Placing;
use crate::preparation::Preparation;
use crate::queries::{OrderQueries, StockQueries};
use crate::rate::{Rate, RateArgs};
use crate::visitor::Door;
pub use crate::visitor::METRICS;
use crate::writable::Writable;

pub mod behind;
pub mod cli;
mod commands;
mod inventory_service;
mod limits;
mod order_service;
mod origin;
mod outcome;
mod placing;
mod preparation;
mod queries;
pub mod rate;
mod request;
mod visitor;
mod wiring;
mod writable;

/// The names that the health service answers for, beside `""`.
pub const SERVICES: [&str; 2] = ["shop.v1.OrderService", "shop.v1.InventoryService"];

/// What the gateway is told at start.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// The log.
    #[command(flatten)]
    pub log: LogArgs,

    /// The schema registry.
    #[command(flatten)]
    pub registry: RegistryArgs,

    /// Who may call.
    #[command(flatten)]
    pub auth: AuthArgs,

    /// How often.
    #[command(flatten)]
    pub rate: RateArgs,

    /// URL of the order service (gRPC).
    #[arg(
        long,
        env = "SHOP_ORDER",
        value_name = "URL",
        default_value = "http://127.0.0.1:8902"
    )]
    pub order: String,

    /// URL of the inventory service (gRPC).
    #[arg(
        long,
        env = "SHOP_INVENTORY",
        value_name = "URL",
        default_value = "http://127.0.0.1:8901"
    )]
    pub inventory: String,

    /// TLS towards both.
    #[command(flatten)]
    pub services: ServicesTlsArgs,

    /// TLS on the public side.
    #[command(flatten)]
    pub tls: ServerTlsArgs,

    /// Traces.
    #[command(flatten)]
    pub trace: TraceArgs,
}

/// The world as the gateway sees it.
#[derive(Clone)]
pub struct Ports {
    /// The log that takes the commands.
    pub log: Arc<dyn Log>,
    /// The registry of their schemas.
    pub registry: Arc<dyn SchemaRegistry>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Ids and randomness.
    pub ids: Arc<dyn Ids>,
    /// Tasks.
    pub spawner: Arc<dyn Spawner>,
    /// The order service.
    pub order: Channel,
    /// Further connections to it, for watches: those that stay open must not fill the one that every
    /// query needs. At least one.
    pub watches: Vec<Channel>,
    /// The inventory service.
    pub inventory: Channel,
    /// Who stands before the services; nobody: everybody may do everything.
    pub guard: Option<Guard>,
    /// Traces.
    pub tracer: Tracer,
}

/// What holds for the whole run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Partitions of every topic.
    pub partitions: i32,
    /// What to do about schemas that the registry lacks.
    pub binding: Binding,
    /// How often each customer may call, if there is a limit; it needs a guard to tell them apart.
    pub rate: Option<Rate>,
}

/// Why the gateway cannot start; each message is one line.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A flag's value is no usable URL.
    #[error("{flag} {url}: not a usable URL: {source}")]
    Url {
        /// The flag.
        flag: &'static str,
        /// Its value.
        url: String,
        /// What is wrong with it.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The log cannot be used as the flags say.
    #[error(transparent)]
    Access(#[from] access::Error),
    /// The registry cannot be used as the flags say.
    #[error(transparent)]
    RegistryAccess(#[from] config::registry::Error),
    /// TLS cannot be used as the flags say.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// Spans cannot be sent as the flags say.
    #[error(transparent)]
    Trace(#[from] trace::Error),
    /// The keys of those who may call cannot be used.
    #[error(transparent)]
    Auth(#[from] auth::Error),
    /// The registry refuses a schema that the gateway writes.
    #[error(transparent)]
    Registry(registry::Error),
    /// The same, with the flags that say where.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The server cannot run.
    #[error(transparent)]
    Server(#[from] server::Error),
}

impl Error {
    fn url(
        flag: &'static str,
        url: &str,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self::Url {
            flag,
            url: url.to_owned(),
            source: source.into(),
        }
    }
}

/// Serves the public API on `listener` until `shutdown`, then drains.
///
/// It serves from the start: what it needs (topics, schemas) is prepared in the background, and
/// `health` tells how far that is. A gateway that must not write does not go on serving.
///
/// # Errors
/// When an argument is unusable, the registry refuses a schema, or the listener cannot be served.
pub async fn run(
    args: Args,
    listener: TcpListener,
    health: Health,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let options = Options {
        partitions: args.log.partitions,
        binding: args.registry.binding(),
        rate: args.rate.rate(),
    };
    let listener = Listener::new(listener, args.tls.server()?);
    let (ports, tracing) = wiring::ports(&args).await?;
    let served = serve(ports, options, listener, health, shutdown).await;
    tracing.drain().await;
    served.map_err(|error| match error {
        Error::Registry(source) => args.registry.refusal(source).into(),
        other => other,
    })
}

/// As [`run`], over `ports`.
///
/// # Errors
/// When the registry refuses a schema, or the listener cannot be served.
pub async fn serve(
    ports: Ports,
    options: Options,
    listener: impl Into<Listener>,
    health: Health,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let Gateway {
        orders,
        inventory,
        preparing,
    } = Gateway::new(&ports, options, &health, &shutdown);
    let listener: Listener = listener.into();
    let listener = listener.traced(&ports.tracer);
    let routes = Guard::around(ports.guard, routes(orders, inventory, &health)?);
    telemetry::describe(METRICS);
    let within = server::Limits {
        streams_in_flight_max: limits::STREAMS_IN_FLIGHT_MAX,
        ..server::Limits::default()
    };
    tokio::select! {
        served = server::serve_grpc_within(within, listener, routes, shutdown) => Ok(served?),
        refused = preparing => Err(Error::Registry(refused)),
    }
}

/// The gateway without its server: the services themselves, callable like any function.
pub struct Gateway {
    /// `shop.v1.OrderService`.
    pub orders: Orders,
    /// `shop.v1.InventoryService`.
    pub inventory: Inventory,
    /// Keeps topics and schemas prepared; commands wait until it has run that far. It ends only with
    /// the registry's refusal of a schema: then the gateway must not go on.
    pub preparing: Pin<Box<dyn Future<Output = registry::Error> + Send>>,
}

impl Gateway {
    /// The services over `ports`, whose waits end at `shutdown`; `health` tells how far the
    /// preparation is.
    #[must_use]
    pub fn new(
        ports: &Ports,
        options: Options,
        health: &Health,
        shutdown: &CancellationToken,
    ) -> Self {
        let preparation = Preparation {
            log: Arc::clone(&ports.log),
            registry: Arc::clone(&ports.registry),
            clock: Arc::clone(&ports.clock),
            ids: Arc::clone(&ports.ids),
            partitions: options.partitions,
            binding: options.binding,
            health: health.clone(),
        };
        preparation.announce();
        let writable = Writable::default();
        let (orders, inventory) = services(ports, options, writable.clone(), shutdown);
        Self {
            orders,
            inventory,
            preparing: Box::pin(async move { preparation.run(writable).await }),
        }
    }
}

fn services(
    ports: &Ports,
    options: Options,
    writable: Writable,
    shutdown: &CancellationToken,
) -> (Orders, Inventory) {
    let appender = |topic| {
        let log = Arc::clone(&ports.log);
        let (partitions, spawner) = (options.partitions, ports.spawner.as_ref());
        let appender = Appender::new(log, topic, partitions, &ports.clock, spawner);
        (topic, appender)
    };
    let commands = Commands::new(
        preparation::TOPICS.map(appender).into(),
        writable,
        Arc::clone(&ports.clock),
        Arc::clone(&ports.ids),
        ports.tracer.clone(),
    );
    let queries = OrderQueries::new(ports.order.clone(), &ports.watches);
    let door = Door::new(options.rate);
    let placing = Arc::new(Placing {
        door: door.clone(),
        commands: commands.clone(),
        queries: queries.clone(),
        clock: Arc::clone(&ports.clock),
        ids: Arc::clone(&ports.ids),
        shutdown: shutdown.clone(),
    });
    let orders = Orders {
        door: door.clone(),
        placing,
        commands: commands.clone(),
        queries,
    };
    let inventory = Inventory {
        door,
        commands,
        queries: StockQueries::new(ports.inventory.clone()),
    };
    (orders, inventory)
}

fn routes(orders: Orders, inventory: Inventory, health: &Health) -> Result<RoutesBuilder, Error> {
    let mut routes = server::routes(health, &SERVICES, &[contracts::FILE_DESCRIPTOR_SET])?;
    routes
        .add_service(OrderServiceServer::new(orders).max_decoding_message_size(REQUEST_BYTES_MAX))
        .add_service(
            InventoryServiceServer::new(inventory).max_decoding_message_size(REQUEST_BYTES_MAX),
        );
    Ok(routes)
}
