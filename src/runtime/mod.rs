//! The shard runtime: runs a [`Context`] over the ports, by the commit protocol.
//!
//! | room | what happens there |
//! |---|---|
//! | [`run`] | start-up: schemas, topics, partitions; then the supervisor |
//! | `supervise` | which shards this process runs |
//! | `keep` | heartbeats: renews what is held |
//! | `takeover` | a shard's new owner checks database and log against each other |
//! | `intake` | steps 1-2: fetch and decode ahead of the turn |
//! | `ahead` | what was read ahead: the next batch, bounded |
//! | `item`, `classify` | what one record is to the context |
//! | `meter` | how long the steps take, what became of the messages |
//! | `slots` | how many turns go side by side |
//! | `shard` | the turn: steps 3-9 in order, and what follows a failure |
//! | `decide` | steps 4-7 as a pure function |
//! | `publisher` | step 10: the outbox to the log |
//! | `spans` | what traces tell of messages and turns |
//! | `feed` | wake-up of watchers after a commit, and of shards by operators |

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::context::Context;
use crate::health::Health;
use crate::ids::Ids;
use crate::lease::{self, Lease};
use crate::log::{self, Log};
use crate::message::Binding;
use crate::registry::{self, SchemaRegistry};
use crate::shard::ShardId;
use crate::spawner::Spawner;
use crate::store::{self, Store};
use crate::trace::Tracer;

mod ahead;
mod classify;
mod decide;
mod feed;
mod handover;
mod intake;
mod item;
mod keep;
mod meter;
mod publisher;
mod service;
mod shard;
mod slots;
mod spans;
mod startup;
mod supervise;
mod takeover;

use slots::Slots;

pub use feed::{Feed, Watch};

/// The world, as the runtime sees it.
#[derive(Clone)]
pub struct Ports {
    /// The durable log.
    pub log: Arc<dyn Log>,
    /// The schema registry.
    pub registry: Arc<dyn SchemaRegistry>,
    /// Ownership of shards.
    pub lease: Arc<dyn Lease>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Fresh ids and jitter.
    pub ids: Arc<dyn Ids>,
    /// Tasks.
    pub spawner: Arc<dyn Spawner>,
    /// Traces.
    pub tracer: Tracer,
}

/// What a service's owner chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Partitions of every topic; fixed for the life of the store.
    pub partitions: i32,
    /// Whether start-up registers schemas or only looks them up.
    pub binding: Binding,
}

/// Runs `context` until `shutdown`.
///
/// A log, registry or lease that cannot be reached is waited for, with the service not ready. A
/// shard that has to stop later (its log lost records, say) is reported in `health` as stopped
/// while the rest goes on. On shutdown each shard finishes its turn, its publisher its append, and
/// the shards are released.
///
/// # Errors
/// When the service must not start at all: see [`Error`].
pub async fn run<C: Context, S: Store<C>>(
    context: Arc<C>,
    store: Arc<S>,
    ports: Ports,
    options: Options,
    feed: Feed,
    health: Health,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let started = tokio::select! {
        biased;
        () = shutdown.cancelled() => return Ok(()),
        started = startup::prepare(&*context, &*store, &ports, options, &health) => started,
    };
    let slots = Slots::new(store.pacing().at_once, options.partitions);
    let service = Arc::new(service::Service {
        context,
        store,
        ports,
        partitions: options.partitions,
        writer: started?,
        feed,
        health,
        handover: handover::Handover::new(options.partitions),
        slots,
    });
    // On the heap: every caller's frame would hold them, and without optimisation several times over,
    // which is more than a thread's stack.
    let supervising = Box::pin(supervise::supervise(Arc::clone(&service), shutdown));
    let listening = Box::pin(handover::listen(&service));
    tokio::select! {
        biased;
        ended = supervising => ended,
        never = listening => match never {},
    }
}

/// Why a service, or one of its shards, must not run; each needs a person.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The topics, the database and the settings disagree on the number of partitions.
    #[error(
        "{place} has {found} partitions, this service is set to {expected}; \
         the number of partitions cannot change: start with --partitions {found}"
    )]
    PartitionsChanged {
        /// `topic NAME` or `the database`.
        place: String,
        /// What it has.
        found: i32,
        /// What the settings say.
        expected: i32,
    },
    /// Acknowledged records are no longer in the log.
    #[error(
        "the log has lost records that were acknowledged: {topic}/{partition} {detail}; \
         restore the log, or restore this database and the log from the same moment"
    )]
    LogBehind {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// What was found.
        detail: String,
    },
    /// Retention has deleted records that this service has not read.
    #[error(
        "unread records of {topic}/{partition} are gone: the next one to read was {expected}, \
         the log starts at {first}; retention was shorter than the outage"
    )]
    RetentionPassed {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The cursor.
        expected: i64,
        /// The log's first offset.
        first: i64,
    },
    /// The log holds events of this service that its database does not know.
    #[error(
        "the database is behind its own published events: {topic}/{partition} offset {offset} \
         holds event {id}, which the database never wrote; it was restored from an older copy or \
         replaced, or the log has lost the records before: restore one that is as new as the log"
    )]
    DatabaseBehind {
        /// The output topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// Where the event stands.
        offset: i64,
        /// Its id.
        id: String,
    },
    /// A task of the runtime panicked.
    #[error("{what} panicked; this is a defect: keep the log output, restart the service")]
    Defect {
        /// Which one.
        what: String,
    },
    /// The registry refuses a schema that this service writes.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// The database is not usable.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The log refuses this service.
    #[error(transparent)]
    Log(#[from] log::Error),
    /// Another process runs this service on the same data.
    #[error(transparent)]
    Lease(#[from] lease::Error),
}

/// The health part of a shard's room.
fn part(shard: ShardId, room: &str) -> String {
    format!("shard {shard} {room}")
}
