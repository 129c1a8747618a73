//! How each part is started.

use std::net::TcpListener;
use std::path::Path;

use contracts::topics;
use futures::future::{BoxFuture, FutureExt};
use messaging::health::{Condition, Health};
use messaging::log::Log as _;
use messaging::log::kafka::{self, KafkaLog};
use messaging::program;
use tokio_util::sync::CancellationToken;

use super::error::Error;
use super::part::Part;
use super::plan::Plan;
use super::tls::TlsDir;

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
        Part::Order => {
            migrate(start.plan, part).await?;
            Ok(order(start))
        }
        Part::Inventory => {
            migrate(start.plan, part).await?;
            Ok(inventory(start))
        }
        Part::Gateway => Ok(gateway(start)),
    }
}

/// Creates every topic, as an operator does for a shared log: a service waits for the topics that
/// others write, and the others may come later.
pub(super) async fn create_topics(plan: &Plan) -> Result<(), Error> {
    let log = KafkaLog::new(kafka::Config {
        bootstrap: plan.log_args().log,
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

/// Brings the tables of a service's database up to date, if the flags say so.
async fn migrate(plan: &Plan, part: Part) -> Result<(), Error> {
    let store = plan.store(part);
    let migrated = match part {
        Part::Order if plan.elsewhere.migrate => order::migrate(&store).await,
        Part::Inventory if plan.elsewhere.migrate => inventory::migrate(&store).await,
        _ => Ok(()),
    };
    migrated.map_err(|error| ended(plan, part, &error))
}

fn order(start: Start<'_>) -> Life {
    let (plan, part) = (start.plan.clone(), Part::Order);
    let args = order::Args {
        log: plan.log_args(),
        registry: plan.registry_args(),
        auth: plan.auth.clone(),
        store: plan.store(part),
        tls: plan.server_tls(part),
        trace: plan.trace.clone(),
        reserve_within: plan.reserve_within,
    };
    let running = order::run(args, start.listener, start.health, start.stop);
    async move { running.await.map_err(|error| ended(&plan, part, &error)) }.boxed()
}

fn inventory(start: Start<'_>) -> Life {
    let (plan, part) = (start.plan.clone(), Part::Inventory);
    let args = inventory::Args {
        log: plan.log_args(),
        registry: plan.registry_args(),
        auth: plan.auth.clone(),
        store: plan.store(part),
        tls: plan.server_tls(part),
        trace: plan.trace.clone(),
    };
    let running = inventory::run(args, start.listener, start.health, start.stop);
    async move { running.await.map_err(|error| ended(&plan, part, &error)) }.boxed()
}

fn gateway(start: Start<'_>) -> Life {
    let services = start.plan.tls.as_ref();
    let args = gateway::Args {
        log: start.plan.log_args(),
        registry: start.plan.registry_args(),
        auth: start.plan.auth.clone(),
        rate: start.plan.rate,
        order: start.plan.endpoint(Part::Order),
        inventory: start.plan.endpoint(Part::Inventory),
        services: services.map(TlsDir::services).unwrap_or_default(),
        tls: start.plan.server_tls(Part::Gateway),
        trace: start.plan.trace.clone(),
    };
    let running = gateway::run(args, start.listener, start.health, start.stop);
    async { running.await.map_err(|error| failed(Part::Gateway, &error)) }.boxed()
}

/// Why a service has ended, with the flag that names its database here.
fn ended(plan: &Plan, part: Part, error: &program::Error) -> Error {
    let source: &dyn std::error::Error = match error {
        program::Error::Lease { source, .. } => source,
        program::Error::Store { source, .. } => source,
        other => return failed(part, other),
    };
    match plan.elsewhere.store(part) {
        None => data_error(&plan.data_dir, part, source),
        Some((flag, store)) => Error::Store {
            flag,
            location: store.to_string(),
            detail: source.to_string(),
        },
    }
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
