//! How each part is started.

use std::net::TcpListener;
use std::path::Path;

use contracts::topics;
use futures::future::{BoxFuture, FutureExt};
use messaging::config::access::AccessArgs;
use messaging::config::{LogArgs, RegistryArgs, StoreLocation};
use messaging::health::{Condition, Health};
use messaging::log::Log as _;
use messaging::log::kafka::{self, KafkaLog};
use tokio_util::sync::CancellationToken;

use super::error::Error;
use super::part::Part;
use super::plan::Plan;

/// A part's life, from its start to its end.
pub(super) type Life = BoxFuture<'static, Result<(), Error>>;

/// What a part is started with; the plan's addresses are the real ones.
pub(super) struct Start<'a> {
    pub(super) plan: &'a Plan,
    pub(super) listener: TcpListener,
    pub(super) health: Health,
    pub(super) stop: CancellationToken,
}

/// Starts `part`. The embedded ones have recovered their files when this returns.
pub(super) async fn launch(part: Part, start: Start<'_>) -> Result<Life, Error> {
    match part {
        Part::Log => log(start).await,
        Part::Registry => registry(start).await,
        Part::Order => Ok(order(start)),
        Part::Inventory => Ok(inventory(start)),
        Part::Gateway => Ok(gateway(start)),
    }
}

/// Creates every topic, as an operator does for a shared log: a service waits for the topics that
/// others write, and the others may come later.
pub(super) async fn create_topics(plan: &Plan) -> Result<(), Error> {
    let log = KafkaLog::new(kafka::Config {
        bootstrap: vec![plan.addresses[&Part::Log].to_string()],
        client_id: "shop".to_owned(),
    });
    for topic in topics::ALL {
        log.create_topic(topic, plan.partitions)
            .await
            .map_err(Error::Topic)?;
    }
    Ok(())
}

async fn log(start: Start<'_>) -> Result<Life, Error> {
    let config = embedded::log::Config::new(start.plan.data_dir.join("log"));
    let opened = tokio::task::spawn_blocking(|| embedded::log::Log::open(config)).await;
    let log = opened
        .map_err(|panic| failed(Part::Log, &panic))?
        .map_err(|error| unusable(start.plan, Part::Log, &error))?;
    start.health.set("serving", Condition::Running);
    let serving = log.serve(start.listener, start.stop);
    Ok(async { serving.await.map_err(|error| failed(Part::Log, &error)) }.boxed())
}

async fn registry(start: Start<'_>) -> Result<Life, Error> {
    let config = embedded::registry::Config::new(start.plan.data_dir.join("registry"));
    let opened = tokio::task::spawn_blocking(|| embedded::registry::Registry::open(config)).await;
    let registry = opened
        .map_err(|panic| failed(Part::Registry, &panic))?
        .map_err(|error| unusable(start.plan, Part::Registry, &error))?;
    start.health.set("serving", Condition::Running);
    let serving = registry.serve(start.listener, start.stop);
    Ok(async {
        serving
            .await
            .map_err(|error| failed(Part::Registry, &error))
    }
    .boxed())
}

fn order(start: Start<'_>) -> Life {
    let args = order::Args {
        log: log_args(start.plan),
        registry: registry_args(start.plan),
        store: database(&start.plan.data_dir, "order.db"),
    };
    let data_dir = start.plan.data_dir.clone();
    let running = order::run(args, start.listener, start.health, start.stop);
    async move {
        running.await.map_err(|error| match error {
            order::Error::Lease { source, .. } => data_error(&data_dir, Part::Order, &source),
            order::Error::Store { source, .. } => data_error(&data_dir, Part::Order, &source),
            other => failed(Part::Order, &other),
        })
    }
    .boxed()
}

fn inventory(start: Start<'_>) -> Life {
    let args = inventory::Args {
        log: log_args(start.plan),
        registry: registry_args(start.plan),
        store: database(&start.plan.data_dir, "inventory.db"),
    };
    let data_dir = start.plan.data_dir.clone();
    let running = inventory::run(args, start.listener, start.health, start.stop);
    async move {
        running.await.map_err(|error| match error {
            inventory::Error::Lease { source, .. } => {
                data_error(&data_dir, Part::Inventory, &source)
            }
            inventory::Error::Store { source, .. } => {
                data_error(&data_dir, Part::Inventory, &source)
            }
            other => failed(Part::Inventory, &other),
        })
    }
    .boxed()
}

fn gateway(start: Start<'_>) -> Life {
    let args = gateway::Args {
        log: log_args(start.plan),
        registry: registry_args(start.plan),
        order: url(start.plan, Part::Order),
        inventory: url(start.plan, Part::Inventory),
    };
    let running = gateway::run(args, start.listener, start.health, start.stop);
    async { running.await.map_err(|error| failed(Part::Gateway, &error)) }.boxed()
}

fn log_args(plan: &Plan) -> LogArgs {
    LogArgs {
        log: vec![plan.addresses[&Part::Log].to_string()],
        partitions: plan.partitions,
        replication_factor: None,
        access: AccessArgs::default(),
    }
}

fn registry_args(plan: &Plan) -> RegistryArgs {
    RegistryArgs {
        registry: url(plan, Part::Registry),
        register_schemas: true,
    }
}

fn url(plan: &Plan, part: Part) -> String {
    format!("http://{}", plan.addresses[&part])
}

fn database(data_dir: &Path, name: &str) -> StoreLocation {
    StoreLocation::Sqlite(data_dir.join(name))
}

fn failed(part: Part, error: &dyn std::error::Error) -> Error {
    Error::Part {
        part: part.name(),
        detail: error.to_string(),
    }
}

fn unusable(plan: &Plan, part: Part, error: &embedded::Error) -> Error {
    data_error(&plan.data_dir, part, error)
}

fn data_error(data_dir: &Path, part: Part, error: &dyn std::error::Error) -> Error {
    Error::Data {
        data_dir: data_dir.to_owned(),
        part,
        detail: error.to_string(),
    }
}
