//! Topics and schemas: prepared in the background, and told in the gateway's health.

use std::sync::Arc;

use contracts::topics::{INVENTORY_COMMANDS, ORDER_COMMANDS};
use messaging::health::Condition;
use messaging::log::Log;
use messaging::registry::memory::MemoryRegistry;

use crate::store::{PARTITIONS, Store, assert_unavailable, memory_log, place, soon, within};

#[tokio::test]
async fn the_topics_it_writes_are_created() {
    let store = Store::without_services().await;
    for topic in [ORDER_COMMANDS, INVENTORY_COMMANDS] {
        let found = store.log.partitions(topic).await.unwrap();
        assert_eq!(found, Some(PARTITIONS), "{topic}");
    }
}

#[tokio::test]
async fn a_call_waits_for_the_registry_within_its_deadline() {
    let registry = Arc::new(MemoryRegistry::new());
    registry.set_down(true);
    let store = Store::over(memory_log(), registry);
    store
        .condition("schemas", |is| matches!(is, Condition::Stalled { .. }))
        .await;
    let early = store
        .orders()
        .place_order(within(place("ORDER_001"), 2_000))
        .await;
    let early = early.unwrap_err();
    assert_unavailable(&early);
    assert!(
        early.message().contains("nothing was accepted"),
        "{early:?}"
    );

    let patient = async { store.orders().place_order(place("ORDER_001")).await };
    let recover = async { store.registry.set_down(false) };
    let (answer, ()) = tokio::join!(patient, recover);
    answer.unwrap();
    assert!(store.health.is_ready());
}

#[tokio::test]
async fn a_log_that_stops_answering_shows_in_health_and_so_does_its_return() {
    let store = Store::without_services().await;
    store.log.set_down(true);
    store
        .condition("log", |is| matches!(is, Condition::Stalled { .. }))
        .await;
    assert!(!store.health.is_ready());
    store.log.set_down(false);
    soon(store.health.ready()).await;
}

#[tokio::test]
async fn topics_cut_otherwise_are_told_and_nothing_is_written_to_them() {
    let log = memory_log();
    log.create_topic(ORDER_COMMANDS, PARTITIONS + 1)
        .await
        .unwrap();
    let store = Store::over(log, Arc::new(MemoryRegistry::new()));
    store
        .condition(
            "log",
            |is| matches!(is, Condition::Stopped { reason } if reason.contains("--partitions 5")),
        )
        .await;
    let status = store
        .orders()
        .place_order(within(place("ORDER_001"), 2_000))
        .await;
    assert_unavailable(&status.unwrap_err());
    for partition in 0..=PARTITIONS {
        assert!(store.log.records(ORDER_COMMANDS, partition).is_empty());
    }
}
