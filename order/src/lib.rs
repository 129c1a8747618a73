//! The Order bounded context: takes orders, follows what becomes of them, answers for them.
//!
//! | room | what is there |
//! |---|---|
//! | [`domain`] | the transition table; pure |
//! | [`context`] | the domain as the messaging runtime sees it |
//! | [`store`] | the order tables, and the port for reading them |
//! | [`service`] | the gRPC queries; what operators call is in the crate `operations` |
//! | [`cli`] | the command line of the program |
//! | `wiring` | which adapters stand behind the ports |

pub mod cli;
pub mod context;
pub mod domain;
mod limits;
mod measure;
pub mod service;
pub mod store;
mod wiring;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use contracts::proto::order_audit_service_server::{self, OrderAuditServiceServer};
use contracts::proto::order_query_service_server::{OrderQueryServiceServer, SERVICE_NAME};
use contracts::{access, source};
pub use measure::METRICS;
use messaging::config::tls::ServerTlsArgs;
use messaging::config::{self, AuthArgs, LogArgs, RegistryArgs, StoreLocation, TraceArgs};
use messaging::health::Health;
pub use messaging::program::Error;
use messaging::runtime::{self, Feed, Options};
use messaging::server::{self, Guard, Listener};
use messaging::store::{Operations, Store};
use messaging::telemetry;
use operations::Desk;
use tokio_util::sync::CancellationToken;

use crate::context::OrderContext;
use crate::domain::Defaults;
use crate::service::OrderQueries;
use crate::service::export::OrderExport;

/// Settings of the order service.
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

    /// The service's database: sqlite:PATH, made if it is not there, or
    /// postgres://USER:PASSWORD@HOST:PORT/DATABASE, which must be there and may have several
    /// instances of the service.
    #[arg(
        long,
        env = "SHOP_STORE",
        hide_env_values = true,
        value_name = "URL",
        default_value = "sqlite:data/order.db"
    )]
    pub store: StoreLocation,

    /// TLS, and who may call.
    #[command(flatten)]
    pub tls: ServerTlsArgs,

    /// Traces.
    #[command(flatten)]
    pub trace: TraceArgs,

    /// An order without a deadline of its own is rejected if it is not reserved so long after it was
    /// accepted: a number with s, m, h or d [default: it waits for ever].
    #[arg(
        long,
        env = "SHOP_RESERVE_WITHIN",
        value_name = "DURATION",
        value_parser = config::duration
    )]
    pub reserve_within: Option<Duration>,
}

/// Runs the order service until `shutdown`: consumes its topics, publishes its events, and serves
/// queries and health over gRPC on `listener`. `health` tells how each part is doing.
///
/// # Errors
/// When the service cannot start, or cannot go on.
pub async fn run(
    args: Args,
    listener: TcpListener,
    health: Health,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let listener = Listener::new(listener, args.tls.server()?);
    match &args.store {
        StoreLocation::Sqlite(path) => {
            let parts = wiring::sqlite(&args, path).await?;
            let store = Arc::clone(&parts.store);
            serve(&args, parts, listener, health, shutdown).await?;
            store.close().await;
        }
        StoreLocation::Postgres(location) => {
            let opened = wiring::postgres(&args, location, &health, &shutdown).await?;
            let Some(parts) = opened else {
                return Ok(());
            };
            let store = Arc::clone(&parts.store);
            serve(&args, parts, listener, health, shutdown).await?;
            store.close().await;
        }
    }
    Ok(())
}

/// Brings the tables of `store` up to date, if that is not done by opening it.
///
/// # Errors
/// When the database cannot be reached, or used; one line.
pub async fn migrate(store: &StoreLocation) -> Result<(), Error> {
    wiring::migrate(store).await
}

/// Runs the service on whichever store.
async fn serve<S: Store<OrderContext> + Operations>(
    args: &Args,
    parts: wiring::Parts<S>,
    listener: Listener,
    health: Health,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let wiring::Parts {
        ports,
        tracing,
        store,
        queries,
        export,
        waiting,
    } = parts;
    let guard = args
        .auth
        .guard(access::need, &ports.clock, ports.spawner.as_ref());
    let guard = guard.await?;
    let feed = Feed::new();
    let service = OrderQueries::new(queries, feed.clone(), Arc::clone(&ports.clock));
    let desk = Desk::new(source::ORDER, store.clone(), &ports, feed.clone());
    telemetry::describe(METRICS);
    let measuring = desk.clone().measure();
    let counting = measure::measure(waiting, Arc::clone(&ports.clock));
    let services = [
        SERVICE_NAME,
        operations::SERVICE_NAME,
        order_audit_service_server::SERVICE_NAME,
    ];
    let mut routes = server::routes(&health, &services, &[contracts::FILE_DESCRIPTOR_SET])?;
    routes.add_service(desk.into_service());
    routes.add_service(
        OrderAuditServiceServer::new(OrderExport::new(export))
            .max_decoding_message_size(messaging::limits::REQUEST_BYTES_MAX),
    );
    routes.add_service(
        OrderQueryServiceServer::new(service)
            .max_decoding_message_size(messaging::limits::REQUEST_BYTES_MAX),
    );
    let options = Options {
        partitions: args.log.partitions,
        binding: args.registry.binding(),
    };
    let consuming = runtime::run(
        Arc::new(OrderContext::with(Defaults {
            reserve_within: args.reserve_within,
        })),
        store,
        ports,
        options,
        feed,
        health,
        shutdown.clone(),
    );
    let routes = Guard::around(guard, routes);
    let serving = server::serve_grpc(listener.traced(tracing.tracer()), routes, shutdown);
    let measured = async {
        tokio::select! {
            ended = serving => ended,
            never = measuring => match never {},
            never = counting => match never {},
        }
    };
    // The first to fail takes the other with it.
    let ended = tokio::try_join!(
        async {
            let ended = consuming.await;
            ended.map_err(|error| Error::ended(error, &args.registry))
        },
        async { measured.await.map_err(Error::Server) },
    );
    tracing.drain().await;
    ended.map(drop)
}
