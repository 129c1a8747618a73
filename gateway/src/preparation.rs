//! What commands need before they can be written: topics and schemas. Prepared in the background
//! and watched. What may pass is tried again for ever; a registry that refuses a schema ends it.

use std::convert::Infallible;
use std::sync::Arc;

use contracts::inventory::InventoryCommand;
use contracts::order::OrderCommand;
use contracts::topics;
use messaging::clock::Clock;
use messaging::health::{Condition, Health};
use messaging::ids::Ids;
use messaging::log::{self, Log};
use messaging::message::{Binding, Registration, Writer};
use messaging::registry::{self, SchemaRegistry};
use messaging::retry::Backoff;
use tokio::sync::watch;

use crate::limits;
use crate::writable::Writable;

/// The topics that the gateway writes, and so creates.
pub(crate) const TOPICS: [&str; 2] = [topics::ORDER_COMMANDS, topics::INVENTORY_COMMANDS];
/// The part of [`Health`] that tells whether the log answers and the topics are as they must be.
const LOG: &str = "log";
/// The part of [`Health`] that tells whether the schemas are bound.
const SCHEMAS: &str = "schemas";

/// Prepares and watches the way into the log.
pub(crate) struct Preparation {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) registry: Arc<dyn SchemaRegistry>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) partitions: i32,
    pub(crate) binding: Binding,
    pub(crate) health: Health,
}

/// What is wrong with the topics.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error(transparent)]
    Log(#[from] log::Error),
    #[error("the log does not show topic {0} yet")]
    Missing(&'static str),
    #[error(
        "topic {topic} has {found} partitions, not {wanted}; start with --partitions {found} \
         everywhere, or with an empty log"
    )]
    Partitions {
        topic: &'static str,
        found: i32,
        wanted: i32,
    },
}

impl Preparation {
    /// Tells the health of both parts before anything was tried.
    pub(crate) fn announce(&self) {
        self.health.set(LOG, Condition::Starting);
        self.health.set(SCHEMAS, Condition::Starting);
    }

    /// Keeps `writable` true to the state of topics and schemas; returns only when the registry
    /// refuses a schema, with why.
    ///
    /// A log that stops answering does not take a bound writer away: appends fail or wait by
    /// themselves. Topics cut otherwise do: a record would land in the wrong partition.
    pub(crate) async fn run(&self, writable: Writable) -> registry::Error {
        let topics = watch::Sender::new(false);
        let schemas = watch::Sender::new(None);
        let published = publish(topics.subscribe(), schemas.subscribe(), writable);
        let keeping = async { Ok::<Infallible, _>(self.keep_topics(&topics).await) };
        let publishing = async {
            published.await;
            Ok(())
        };
        match tokio::try_join!(keeping, self.bind(&schemas), publishing) {
            Ok((never, (), ())) => match never {},
            Err(refused) => refused,
        }
    }

    /// Creates the topics and looks at them again and again.
    async fn keep_topics(&self, ready: &watch::Sender<bool>) -> Infallible {
        let mut backoff = messaging::limits::BACKOFF.start();
        loop {
            match self.check_topics().await {
                Ok(()) => {
                    backoff.reset();
                    ready.send_replace(true);
                    self.health.set(LOG, Condition::Running);
                    self.clock.sleep(limits::PROBE_EVERY).await;
                    continue;
                }
                Err(problem @ Problem::Partitions { .. }) => {
                    ready.send_replace(false);
                    let reason = problem.to_string();
                    self.health.set(LOG, Condition::Stopped { reason });
                }
                Err(problem) => {
                    let reason = problem.to_string();
                    self.health.set(LOG, Condition::Stalled { reason });
                }
            }
            self.pause(&mut backoff).await;
        }
    }

    async fn check_topics(&self) -> Result<(), Problem> {
        for topic in TOPICS {
            let mut found = self.log.partitions(topic).await?;
            if found.is_none() {
                self.log.create_topic(topic, self.partitions).await?;
                found = self.log.partitions(topic).await?;
            }
            match found {
                Some(found) if found == self.partitions => {}
                Some(found) => {
                    return Err(Problem::Partitions {
                        topic,
                        found,
                        wanted: self.partitions,
                    });
                }
                None => return Err(Problem::Missing(topic)),
            }
        }
        Ok(())
    }

    /// Binds the schemas, once.
    ///
    /// # Errors
    /// When the registry has an answer that only a person can change.
    async fn bind(
        &self,
        bound: &watch::Sender<Option<Arc<Writer>>>,
    ) -> Result<(), registry::Error> {
        let registrations: Vec<Registration> =
            [OrderCommand::REGISTRATIONS, InventoryCommand::REGISTRATIONS].concat();
        let mut backoff = messaging::limits::BACKOFF.start();
        loop {
            let error =
                match Writer::bind(self.registry.as_ref(), &registrations, self.binding).await {
                    Ok(writer) => {
                        bound.send_replace(Some(Arc::new(writer)));
                        self.health.set(SCHEMAS, Condition::Running);
                        return Ok(());
                    }
                    Err(error) => error,
                };
            let reason = error.to_string();
            if error.kind != registry::ErrorKind::Retry {
                self.health.set(SCHEMAS, Condition::Stopped { reason });
                return Err(error);
            }
            self.health.set(SCHEMAS, Condition::Stalled { reason });
            self.pause(&mut backoff).await;
        }
    }

    async fn pause(&self, backoff: &mut Backoff) {
        self.clock.sleep(backoff.next(self.ids.random())).await;
    }
}

/// Commands can be written while the topics are as they must be and the schemas are bound.
async fn publish(
    mut topics: watch::Receiver<bool>,
    mut schemas: watch::Receiver<Option<Arc<Writer>>>,
    writable: Writable,
) {
    loop {
        let ready = *topics.borrow_and_update();
        let writer = schemas.borrow_and_update().clone();
        writable.set(writer.filter(|_| ready));
        let changed = tokio::select! {
            biased;
            changed = topics.changed() => changed,
            changed = schemas.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
    }
}
