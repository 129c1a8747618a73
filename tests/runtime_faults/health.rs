//! Health tells the truth, and failures that last cost little.

use std::sync::atomic::Ordering;
use std::time::Duration;

use messaging::health::Condition;
use messaging::log::ErrorKind;
use messaging::message::Message;
use messaging::store::contract::counter::Add;

use crate::store::CommitFault;
use crate::wait::{eventually, within};
use crate::world::{World, in_memory};

#[tokio::test(start_paused = true)]
async fn commits_that_nobody_answers_make_the_service_unready_and_wait_in_between() {
    let mut world = World::new(1, in_memory()).await;
    let service = world.running().await;
    let before = world.store.faults.begun();
    for _ in 0..1_000 {
        world.store.faults.commit(CommitFault::UnknownAndLost);
    }
    world.send("a", 1).await;
    eventually("not ready", async || {
        (!world.health.is_ready()).then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let tries = 1_000 - world.store.faults.left();
    assert!((10..100).contains(&tries), "{tries} tries in 20 s");
    assert!(world.store.faults.begun() - before < 400);
    world.store.faults.clear();
    world.events_count(1).await;
    within(world.health.ready(), "ready again").await;
    service.stop().await;
    assert_eq!(world.events().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn reads_that_go_on_failing_are_tried_less_and_less_often() {
    let mut world = World::new(1, in_memory()).await;
    let service = world.running().await;
    // The log still tells its bounds: only the records cannot be read.
    for _ in 0..30 {
        world.log.fail_read(ErrorKind::Retry);
    }
    world.send("a", 1).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!world.health.is_ready());
    assert!(world.events().await.is_empty(), "30 tries within 5 s");
    world.events_count(1).await;
    within(world.health.ready(), "ready again").await;
    service.stop().await;
}

#[tokio::test]
async fn a_follow_up_that_is_refused_parks_nobody() {
    let mut world = World::new(1, in_memory()).await;
    let service = world.running().await;
    world.send("a", 1).await;
    world.events_count(1).await;
    world.store.faults.refuse_follow_up(true);
    for key in ["a", "b"] {
        world.send(key, 1).await;
    }
    world.events_count(3).await;
    eventually("not ready", async || {
        (!world.health.is_ready()).then_some(())
    })
    .await;
    assert!(world.store.inner.parked().is_empty());
    world.store.faults.refuse_follow_up(false);
    within(world.health.ready(), "ready again").await;
    assert_eq!(world.leases.acquired.load(Ordering::SeqCst), 1);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_tail_lost_while_the_reader_asked_for_nothing_is_noticed() {
    let mut world = World::new(1, in_memory()).await;
    let service = world.running().await;
    for _ in 0..1_000 {
        world.store.faults.commit(CommitFault::Fails);
    }
    // One batch in the turn, one on its way, one in the reader's hands: it reads no further.
    for _ in 0..3 {
        world.send("a", 1).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    world.log.set_down(true);
    world.log.truncate_tail(Add::TOPIC, 0, 1);
    world.log.set_down(false);
    world.send("a", 10).await;
    world.send("a", 20).await;
    world.store.faults.clear();
    eventually("the lost record is noticed", async || {
        let report = world.health.report();
        let noticed = |condition: &Condition| matches!(condition, Condition::Stopped { reason } if reason.contains("lost records"));
        report.values().any(noticed).then_some(())
    })
    .await;
    service.stop().await;
}
