//! Who owns each shard, and how far behind it is: the lease, the database and the log put together.

use std::collections::BTreeMap;

use contracts::proto;
use futures::future::join_all;
use futures::stream::{self, StreamExt};
use messaging::clock::Timestamp;
use messaging::lease::Holding;
use messaging::shard::ShardId;
use messaging::status;
use messaging::store::{Cursor, ShardCheckpoint};
use tokio::time::timeout;
use tonic::Status;

use crate::Desk;
use crate::limits::{LAG_WAIT_MAX, SHARDS_ASKED_AT_ONCE};

impl Desk {
    /// The shards that were ever owned, by number.
    pub(crate) async fn shards(&self) -> Result<Vec<proto::Shard>, Status> {
        let holders = self.lease.holders().await;
        let holders = holders.map_err(|error| status::of_lease(&error))?;
        let mut holders: BTreeMap<ShardId, Holding> = holders
            .into_iter()
            .map(|holding| (holding.grant.shard, holding))
            .collect();
        let found = self.store.checkpoint().await;
        let found = found.map_err(|error| status::of_store(&error))?;
        let shards = stream::iter(found).map(|checkpoint| {
            let holding = holders.remove(&checkpoint.shard);
            self.shard(checkpoint, holding)
        });
        Ok(shards.buffered(SHARDS_ASKED_AT_ONCE).collect().await)
    }

    async fn shard(&self, checkpoint: ShardCheckpoint, holding: Option<Holding>) -> proto::Shard {
        let shard = checkpoint.shard;
        let inputs = checkpoint.cursors.into_iter();
        let inputs = join_all(inputs.map(|cursor| self.input(shard, cursor)));
        let epoch = holding.as_ref().map(|holding| holding.grant.epoch);
        proto::Shard {
            shard: shard.0,
            owner: holding
                .and_then(|holding| holding.holder)
                .unwrap_or_default(),
            epoch: epoch.unwrap_or_default().max(checkpoint.epoch).0,
            inputs: inputs.await,
            outbox_rows: checkpoint.outbox_rows,
            outbox_age: checkpoint.outbox_oldest.map(|oldest| self.age(oldest)),
            parked: checkpoint.parked,
        }
    }

    fn age(&self, since: Timestamp) -> prost_types::Duration {
        // Longer than it can tell is as good as for ever.
        let age = self.clock.now().since(since).try_into();
        age.unwrap_or(prost_types::Duration {
            seconds: i64::MAX,
            nanos: 0,
        })
    }

    /// A log that does not answer leaves its part open: who owns what is worth knowing just then.
    async fn input(&self, shard: ShardId, cursor: Cursor) -> proto::ShardInput {
        let asked = timeout(LAG_WAIT_MAX, self.log.bounds(&cursor.topic, shard.0));
        let bounds = asked.await.ok().and_then(Result::ok);
        let high_watermark = bounds.map(|bounds| bounds.next);
        proto::ShardInput {
            topic: cursor.topic,
            next_offset: cursor.next_offset,
            high_watermark,
            lag: high_watermark.map(|end| (end - cursor.next_offset).max(0)),
        }
    }
}
