//! Shards come and go.

use std::sync::atomic::Ordering;

use messaging::health::Condition;
use messaging::message::Message;
use messaging::partitioner::partition_of;
use messaging::shard::{Epoch, ShardId};
use messaging::store::Store;
use messaging::store::contract::counter::Counted;

use crate::wait::{eventually, within};
use crate::world::{World, in_memory};

#[tokio::test]
async fn a_service_of_many_shards_stops() {
    let world = World::new(40, in_memory()).await;
    world.running().await.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_shard_taken_again_at_once_is_not_stopped_by_the_end_of_its_predecessor() {
    let mut world = World::new(1, in_memory()).await;
    let service = world.running().await;
    world.leases.lose.store(true, Ordering::SeqCst);
    eventually("a second acquisition", async || {
        (world.leases.acquired.load(Ordering::SeqCst) == 2).then_some(())
    })
    .await;
    let renewed = world.leases.renewed.load(Ordering::SeqCst);
    eventually("two more heartbeats", async || {
        (world.leases.renewed.load(Ordering::SeqCst) >= renewed + 2).then_some(())
    })
    .await;
    world.send("a", 1).await;
    world.events_count(1).await;
    assert_eq!(world.leases.acquired.load(Ordering::SeqCst), 2);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_instance_whose_shards_another_one_has_is_ready() {
    let mut world = World::new(1, in_memory()).await;
    let service = world.running().await;
    world.leases.taken.store(true, Ordering::SeqCst);
    world.store.claim(ShardId(0), Epoch(1_000)).await.unwrap();
    world.send("a", 1).await;
    eventually("no shard is left", async || {
        let report = world.health.report();
        let left = report.keys().any(|part| part.starts_with("shard"));
        (!left).then_some(())
    })
    .await;
    within(world.health.ready(), "ready without shards").await;
    assert!(world.events().await.is_empty());
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_must_not_be_taken_keeps_none_of_the_others_waiting() {
    let mut world = World::new(2, in_memory()).await;
    let service = world.running().await;
    let key = |partition| {
        let of = |key: &&str| partition_of(key.as_bytes(), 2) == partition;
        ["a", "b", "c", "d", "e"].into_iter().find(of).unwrap()
    };
    world.send(key(0), 1).await;
    world.events_count(1).await;
    world.outbox_empty().await;
    world.log.truncate_tail(Counted::TOPIC, 0, 1);
    world.leases.lose.store(true, Ordering::SeqCst);
    eventually("the first shard is refused", async || {
        let report = world.health.report();
        let stopped = |condition: &Condition| matches!(condition, Condition::Stopped { .. });
        report.values().any(stopped).then_some(())
    })
    .await;
    world.send(key(1), 1).await;
    world.events_count(1).await;
    assert!(!world.health.is_ready());
    service.stop().await;
}
