//! What a start finds after a legal history, and after an illegal one.

use messaging::log::Log;
use messaging::message::Message;
use messaging::runtime::Error;
use messaging::store::contract::counter::{Add, Counted};

use crate::world::{World, in_memory};

#[tokio::test]
async fn an_append_that_lands_late_does_not_look_like_an_older_database() {
    let mut world = World::new(1, in_memory()).await;
    let service = world.running().await;
    world.send("a", 1).await;
    world.send("a", 1).await;
    world.events_count(2).await;
    service.stop().await;
    // The answer to the first append was lost, the rows were appended again, acknowledged and
    // deleted; now the first one lands.
    let late: Vec<_> = world.log.records(Counted::TOPIC, 0).into_iter().collect();
    for late in late {
        world
            .log
            .append(Counted::TOPIC, 0, vec![late.record])
            .await
            .unwrap();
    }
    let service = world.running().await;
    world.send("a", 1).await;
    world.events_count(5).await;
    service.stop().await;
}

#[tokio::test]
async fn events_beyond_a_late_one_still_tell_an_older_database() {
    let mut world = World::new(1, in_memory()).await;
    let service = world.running().await;
    world.send("a", 1).await;
    world.events_count(1).await;
    service.stop().await;
    let known = world.log.records(Counted::TOPIC, 0)[0].record.clone();
    let mut unknown = known.clone();
    for (name, value) in &mut unknown.headers {
        if name == "ce_id" {
            *value = "00000000-0000-0000-0000-000000000001".into();
        }
    }
    let late = vec![known, unknown];
    world.log.append(Counted::TOPIC, 0, late).await.unwrap();
    let refusal = world.launch(1).refusal().await;
    assert!(
        matches!(refusal, Error::DatabaseBehind { offset: 2, .. }),
        "{refusal}"
    );
}

#[tokio::test]
async fn a_wrong_number_of_partitions_leaves_no_trace_in_a_new_database() {
    let mut world = World::new(2, in_memory()).await;
    let refusal = world.launch(3).refusal().await;
    assert!(
        matches!(refusal, Error::PartitionsChanged { found: 2, .. }),
        "{refusal}"
    );
    assert_eq!(world.log.partitions(Counted::TOPIC).await.unwrap(), None);
    assert_eq!(world.log.partitions(Add::TOPIC).await.unwrap(), Some(2));
    let service = world.running().await;
    world.send("a", 1).await;
    world.events_count(1).await;
    service.stop().await;
}
