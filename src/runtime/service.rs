//! What all shards of a service share.

use std::sync::Arc;

use crate::context::Context;
use crate::health::Health;
use crate::message::Writer;
use crate::runtime::handover::Handover;
use crate::runtime::slots::Slots;
use crate::runtime::{Feed, Ports, part};
use crate::shard::ShardId;

/// A context with its database, its ports and its place in this process.
pub(crate) struct Service<C: Context, S> {
    pub(crate) context: Arc<C>,
    pub(crate) store: Arc<S>,
    pub(crate) ports: Ports,
    pub(crate) partitions: i32,
    pub(crate) writer: Writer,
    pub(crate) feed: Feed,
    pub(crate) health: Health,
    pub(crate) handover: Handover,
    pub(crate) slots: Arc<Slots>,
}

impl<C: Context, S> Service<C, S> {
    /// Forgets the health parts of a shard that this process no longer runs.
    pub(crate) fn forget_health(&self, shard: ShardId) {
        let topics = self.context.inputs().iter().map(|input| input.topic);
        for room in topics.chain(["turn", "publisher"]) {
            self.health.remove(&part(shard, room));
        }
    }
}
