//! Before the first shard: topics there, partitions agreed, the database as new as its own events,
//! schemas bound.

use std::collections::BTreeSet;

use crate::context::Context;
use crate::health::{Condition, Health};
use crate::limits::BACKOFF;
use crate::log;
use crate::message::Writer;
use crate::registry;
use crate::runtime::takeover::check_database;
use crate::runtime::{Error, Options, Ports, supervise};
use crate::store::{self, Store};

/// The health part of start-up.
const PART: &str = "start";

/// Creates output topics, waits for input topics, checks partitions and the database, binds schemas.
pub(crate) async fn prepare<C: Context, S: Store<C>>(
    context: &C,
    store: &S,
    ports: &Ports,
    options: Options,
    health: &Health,
) -> Result<Writer, Error> {
    health.set(PART, Condition::Starting);
    let mut backoff = BACKOFF.start();
    loop {
        match attempt(context, store, ports, options).await {
            Ok(writer) => {
                // Announced first: in between the service would look ready without a shard.
                health.set(supervise::PART, Condition::Starting);
                health.set(PART, Condition::Running);
                return Ok(writer);
            }
            Err(error) if may_pass(&error) => {
                let reason = error.to_string();
                health.set(PART, Condition::Stalled { reason });
                ports.clock.sleep(backoff.next(ports.ids.random())).await;
            }
            Err(error) => {
                health.set(
                    PART,
                    Condition::Stopped {
                        reason: error.to_string(),
                    },
                );
                return Err(error);
            }
        }
    }
}

async fn attempt<C: Context, S: Store<C>>(
    context: &C,
    store: &S,
    ports: &Ports,
    options: Options,
) -> Result<Writer, Error> {
    // First the topics that are there: a wrong setting must not become the database's. Then the
    // database: nor must it become that of topics yet to be created.
    for topic in topics(context) {
        if let Some(found) = ports.log.partitions(topic).await? {
            expect_partitions(&format!("topic {topic}"), found, options.partitions)?;
        }
    }
    let stored = store.agree_on_partitions(options.partitions).await?;
    expect_partitions("the database", stored, options.partitions)?;
    for registration in context.writes() {
        if ports.log.partitions(registration.topic).await?.is_none() {
            ports
                .log
                .create_topic(registration.topic, options.partitions)
                .await?;
        }
    }
    check_topics(context, ports, options.partitions).await?;
    for topic in topics(context) {
        ports.log.check_topic(topic).await?;
    }
    check_database(context, store, ports, options.partitions).await?;
    Ok(Writer::bind(&*ports.registry, context.writes(), options.binding).await?)
}

/// Checks that every topic of the context has the agreed number of partitions.
pub(crate) async fn check_topics<C: Context>(
    context: &C,
    ports: &Ports,
    partitions: i32,
) -> Result<(), Error> {
    for topic in topics(context) {
        match ports.log.partitions(topic).await? {
            Some(found) => expect_partitions(&format!("topic {topic}"), found, partitions)?,
            None => return Err(missing(topic).into()),
        }
    }
    Ok(())
}

/// The topics that a context reads or writes.
fn topics<C: Context>(context: &C) -> BTreeSet<&'static str> {
    let inputs = context.inputs().iter().map(|input| input.topic);
    let outputs = context
        .writes()
        .iter()
        .map(|registration| registration.topic);
    inputs.chain(outputs).collect()
}

fn expect_partitions(place: &str, found: i32, expected: i32) -> Result<(), Error> {
    if found == expected {
        return Ok(());
    }
    Err(Error::PartitionsChanged {
        place: place.to_owned(),
        found,
        expected,
    })
}

fn missing(topic: &str) -> log::Error {
    log::Error {
        kind: log::ErrorKind::UnknownTopic,
        operation: "partitions",
        topic: topic.to_owned(),
        partition: -1,
        source: "the topic does not exist yet; the service that writes it creates it".into(),
    }
}

/// Whether trying again later can help.
pub(crate) fn may_pass(error: &Error) -> bool {
    match error {
        Error::Log(error) => error.kind != log::ErrorKind::Fatal,
        Error::Registry(error) => error.kind == registry::ErrorKind::Retry,
        Error::Store(error) => {
            use store::ErrorKind::{CursorMoved, Fenced, Retry, Unknown};
            matches!(error.kind, Retry | Unknown | CursorMoved | Fenced)
        }
        Error::Lease(error) => matches!(error, crate::lease::Error::Unreachable(_)),
        Error::PartitionsChanged { .. }
        | Error::LogBehind { .. }
        | Error::RetentionPassed { .. }
        | Error::DatabaseBehind { .. }
        | Error::Defect { .. } => false,
    }
}
