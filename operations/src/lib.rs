//! What a service offers to the people who run it, over gRPC: parked messages, conflicts, who owns
//! its shards and how far they have come.
//!
//! | room | what is there |
//! |---|---|
//! | [`Desk`] | the gRPC service over the store's port for operators |
//! | `request` | what requests may hold; pages and their tokens |
//! | `asking` | an action from its submission to its outcome |
//! | `shards` | owners, cursors and lag put together |
//! | `measure` | outbox and conflicts as gauges |
//! | `decode` | a parked record as far as it can be read |
//! | `convert` | rows as messages |
//!
//! Changes are only asked for here: the shard's owner, wherever it runs, carries them out.

use std::sync::Arc;

use contracts::proto::operations_service_server::OperationsServiceServer;
use messaging::clock::Clock;
use messaging::ids::Ids;
use messaging::lease::Lease;
use messaging::log::Log;
use messaging::registry::SchemaRegistry;
use messaging::runtime::{Feed, Ports};
use messaging::store::Operations;

mod asking;
mod convert;
mod decode;
mod limits;
mod measure;
mod request;
mod service;
mod shards;

pub use contracts::proto::operations_service_server::SERVICE_NAME;
pub use measure::METRICS;

/// The operators' service of one context.
#[derive(Clone)]
pub struct Desk {
    source: &'static str,
    store: Arc<dyn Operations>,
    log: Arc<dyn Log>,
    lease: Arc<dyn Lease>,
    registry: Arc<dyn SchemaRegistry>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    feed: Feed,
}

impl Desk {
    /// The desk of the context that is known as `source` (its CloudEvents source), over its
    /// database `store`; actions wake the shards that share `feed`.
    #[must_use]
    pub fn new(
        source: &'static str,
        store: Arc<dyn Operations>,
        ports: &Ports,
        feed: Feed,
    ) -> Self {
        Self {
            source,
            store,
            log: Arc::clone(&ports.log),
            lease: Arc::clone(&ports.lease),
            registry: Arc::clone(&ports.registry),
            clock: Arc::clone(&ports.clock),
            ids: Arc::clone(&ports.ids),
            feed,
        }
    }

    /// As a service to be added to a server's routes.
    #[must_use]
    pub fn into_service(self) -> OperationsServiceServer<Self> {
        OperationsServiceServer::new(self)
            .max_decoding_message_size(messaging::limits::REQUEST_BYTES_MAX)
    }
}
