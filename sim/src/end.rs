//! What must be done before everything has come to rest.

use contracts::topics;

use crate::check::{Side, Violation};
use crate::databases::Databases;
use crate::world::World;

/// What is left to do of the shards that are asked about: F2 for the outbox, F3 for the cursors.
pub(crate) async fn left<D: Databases>(
    world: &World,
    databases: &D,
    asked: impl Fn(Side, i32) -> bool,
) -> Vec<Violation> {
    let mut left = Vec::new();
    for (side, inputs) in [
        (
            Side::Order,
            [topics::ORDER_COMMANDS, topics::INVENTORY_EVENTS],
        ),
        (
            Side::Inventory,
            [topics::ORDER_EVENTS, topics::INVENTORY_COMMANDS],
        ),
    ] {
        let Ok(shards) = databases.checkpoint(side).await else {
            left.push(violation("F3", format!("{side:?} does not answer")));
            continue;
        };
        let asked = |shard: &i32| asked(side, *shard);
        for (shard, topic) in (0..world.partitions)
            .filter(asked)
            .flat_map(|shard| inputs.map(|topic| (shard, topic)))
        {
            let found = shards.iter().find(|found| found.shard.0 == shard);
            let cursors = found.map_or(&[][..], |found| &found.cursors);
            let cursor = cursors.iter().find(|cursor| cursor.topic == topic);
            let next = cursor.map_or(0, |cursor| cursor.next_offset);
            let end = world.end_of(topic, shard);
            if next != end {
                left.push(violation(
                    "F3",
                    format!("{side:?} {topic}/{shard}: {next} of {end}"),
                ));
            }
        }
        let shards = shards.iter().filter(|found| asked(&found.shard.0));
        let rows: i64 = shards.map(|shard| shard.outbox_rows).sum();
        if rows > 0 {
            left.push(violation(
                "F2",
                format!("{side:?}: {rows} rows in the outbox"),
            ));
        }
    }
    left
}

fn violation(invariant: &'static str, detail: String) -> Violation {
    Violation { invariant, detail }
}
