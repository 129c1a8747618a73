//! What the services say of themselves, to whoever operates them: how far they have come, and which
//! messages were conflicts, are parked, or were replayed or discarded.

use audit::checkpoint::{Checkpoint, Checkpoints, Shard};
use audit::fold::Known;
use audit::record::{Place, Topic};
use messaging::shard::ShardId;
use messaging::store::{self, Conflicting, Error, Operations, ParkedFilter, ParkedRow};

/// More rows than a run has.
const ALL: usize = 1_000_000;

/// What both services say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) known: Known,
    pub(crate) checkpoints: Checkpoints,
}

/// Asks both services.
pub(crate) async fn by(
    order: &impl Operations,
    inventory: &impl Operations,
) -> Result<Said, Error> {
    let mut known = Known::default();
    learn(&mut known, order).await?;
    learn(&mut known, inventory).await?;
    let checkpoints = Checkpoints {
        order: checkpoint(order.checkpoint().await?),
        inventory: checkpoint(inventory.checkpoint().await?),
    };
    Ok(Said { known, checkpoints })
}

/// Adds what one service knows of single messages.
async fn learn(known: &mut Known, service: &impl Operations) -> Result<(), Error> {
    for row in service.parked(&ParkedFilter::default(), 0, ALL).await? {
        park(known, row);
    }
    for record in service.trail(i64::MAX, ALL, ALL).await? {
        let shard = record.action.shard;
        let outcomes = record.outcomes.iter();
        let places = outcomes.filter_map(|outcome| {
            let store::Place { topic, offset } = &outcome.place;
            place(topic, shard, *offset)
        });
        known.set_aside.extend(places);
    }
    for Conflicting {
        shard, conflict, ..
    } in service.conflicts(None, 0, ALL).await?
    {
        let place = place(&conflict.topic, shard, conflict.offset);
        known
            .conflicts
            .extend(place.map(|place| (place, conflict.key.key)));
    }
    Ok(())
}

fn park(known: &mut Known, row: ParkedRow) {
    let ParkedRow { shard, parked, .. } = row;
    let Some(place) = place(&parked.topic, shard, parked.offset) else {
        return;
    };
    known.set_aside.insert(place);
    // A receipt holds up a product, no order.
    let aggregate = parked
        .aggregate
        .filter(|_| place.topic != Topic::InventoryCommands);
    known
        .parked_orders
        .extend(aggregate.map(|aggregate| aggregate.id));
}

/// A shard is the partition of everything it reads.
fn place(topic: &str, shard: ShardId, offset: i64) -> Option<Place> {
    Some(Place {
        topic: Topic::from_name(topic)?,
        partition: shard.0,
        offset,
    })
}

fn checkpoint(shards: store::Checkpoint) -> Checkpoint {
    let shard = |found: store::ShardCheckpoint| {
        let cursors = found.cursors.into_iter();
        let cursors = cursors
            .filter_map(|cursor| Some((Topic::from_name(&cursor.topic)?, cursor.next_offset)));
        let shard = Shard {
            cursors: cursors.collect(),
            outbox_rows: found.outbox_rows,
            outbox_oldest: found.outbox_oldest,
        };
        (found.shard.0, shard)
    };
    Checkpoint {
        shards: shards.into_iter().map(shard).collect(),
    }
}
