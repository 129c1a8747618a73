//! At-least-once delivery, effects once: what a log may do to its readers, done to the store.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

mod common;
#[macro_use]
#[path = "common/every_place.rs"]
mod every_place;

use std::time::Duration;

use bytes::Bytes;
use common::{PARTITIONS, Part, Place, Store, order};
use contracts::order::{PlaceOrder, PlaceOrderLine};
use contracts::proto;
use contracts::proto::order::Status;
use messaging::clock::Timestamp;
use messaging::envelope::Envelope;
use messaging::log::kafka::{self, KafkaLog};
use messaging::log::{Log, ReadLimit, Record};
use messaging::message::{Binding, Message, Registration, Writer};
use messaging::partitioner::partition_of;
use messaging::registry::confluent::ConfluentRegistry;

const COMMANDS: &str = "order.commands";
const EVENTS: &str = "order.events";

at_every_place! {
    one_command_twice_in_the_log_has_one_effect,
    a_redelivered_batch_has_no_further_effect,
    a_late_republish_of_an_old_event_changes_nothing,
    garbage_and_misrouted_records_are_parked_and_the_shard_goes_on,
    a_command_that_no_decision_accepts_is_parked_with_what_follows_it,
}

fn log_of(store: &Store) -> KafkaLog {
    KafkaLog::new(kafka::Config {
        bootstrap: store.brokers().split(',').map(str::to_owned).collect(),
        client_id: "test".to_owned(),
    })
}

/// All records of a key's partition.
async fn records(log: &KafkaLog, topic: &str, key: &str) -> Vec<Record> {
    let partition = partition_of(key.as_bytes(), PARTITIONS);
    let end = log.bounds(topic, partition).await.unwrap().next;
    let mut records = Vec::new();
    let mut from = 0;
    while from < end {
        let limit = ReadLimit {
            bytes_max: 1 << 20,
            wait_max: Duration::ZERO,
        };
        for consumed in log
            .read(topic, partition, from, limit)
            .await
            .unwrap()
            .records
        {
            from = consumed.offset + 1;
            records.push(consumed.record);
        }
    }
    records
}

async fn append(log: &KafkaLog, topic: &str, key: &str, records: Vec<Record>) {
    log.append(topic, partition_of(key.as_bytes(), PARTITIONS), records)
        .await
        .unwrap();
}

/// An order id whose messages live in the same partition as those of `key`.
fn neighbour(key: &str, name: &str) -> String {
    let home = partition_of(key.as_bytes(), PARTITIONS);
    (0..)
        .map(|n| format!("{name}-{n}"))
        .find(|id| partition_of(id.as_bytes(), PARTITIONS) == home)
        .unwrap()
}

/// Places an order in the same partition and waits for its end: everything before it was handled
/// by both services.
async fn passed(store: &Store, key: &str, name: &str) {
    let id = neighbour(key, name);
    store.place(order(&id, &[("MARKER", 1)])).await;
    store.reaches(&id, Status::Reserved).await;
}

async fn reserved(place: Place) -> (Store, KafkaLog) {
    let store = Store::start_at(place).await;
    store.receive("R1", "PRODUCT_001", 10).await;
    store.receive("R2", "MARKER", 1_000).await;
    store.place(order("O1", &[("PRODUCT_001", 3)])).await;
    store.reaches("O1", Status::Reserved).await;
    let log = log_of(&store);
    (store, log)
}

async fn unchanged(store: &Store) {
    assert_eq!(store.levels("PRODUCT_001").await, (10, 3));
    let order = store.order("O1").await.unwrap();
    assert_eq!((order.status(), order.version), (Status::Reserved, 2));
}

async fn one_command_twice_in_the_log_has_one_effect(place: Place) {
    let (store, log) = reserved(place).await;
    let commands = records(&log, COMMANDS, "O1").await;
    append(
        &log,
        COMMANDS,
        "O1",
        vec![commands[0].clone(), commands[0].clone()],
    )
    .await;
    passed(&store, "O1", "AFTER").await;
    unchanged(&store).await;
    let events = records(&log, EVENTS, "O1").await;
    let placed = events
        .iter()
        .filter(|record| record.key.as_deref() == Some(b"O1"))
        .count();
    assert_eq!(placed, 2, "OrderPlaced and OrderReserved, once each");
}

async fn a_redelivered_batch_has_no_further_effect(place: Place) {
    let (store, log) = reserved(place).await;
    for topic in [EVENTS, "inventory.events"] {
        let batch = records(&log, topic, "O1").await;
        append(&log, topic, "O1", batch).await;
    }
    passed(&store, "O1", "AFTER").await;
    unchanged(&store).await;
}

async fn a_late_republish_of_an_old_event_changes_nothing(place: Place) {
    let (store, log) = reserved(place).await;
    let request = proto::CancelOrderRequest {
        order_id: "O1".to_owned(),
        ..proto::CancelOrderRequest::default()
    };
    store.orders().cancel_order(request).await.unwrap();
    store.reaches("O1", Status::Cancelled).await;
    let placed = records(&log, EVENTS, "O1").await[0].clone();
    append(&log, EVENTS, "O1", vec![placed]).await;
    passed(&store, "O1", "AFTER").await;
    common::eventually("released", async || {
        (store.levels("PRODUCT_001").await == (10, 0)).then_some(())
    })
    .await;
    let reservations = "SELECT COUNT(*) FROM reservation WHERE order_id = 'O1'";
    assert_eq!(store.count(Part::Inventory, reservations).await, 1);
}

async fn garbage_and_misrouted_records_are_parked_and_the_shard_goes_on(place: Place) {
    let (store, log) = reserved(place).await;
    let bare = |key: Option<&str>| Record {
        key: key.map(|key| Bytes::copy_from_slice(key.as_bytes())),
        value: Some(Bytes::from_static(b"garbage")),
        headers: Vec::new(),
        timestamp: Timestamp(0),
    };
    let stranger = (0..)
        .map(|n| format!("STRANGER-{n}"))
        .find(|id| partition_of(id.as_bytes(), PARTITIONS) != partition_of(b"O1", PARTITIONS))
        .unwrap();
    let other_payload = {
        let mut copy = records(&log, COMMANDS, "O1").await[0].clone();
        copy.key = Some(Bytes::from(neighbour("O1", "OTHER")));
        copy
    };
    let victim = neighbour("O1", "VICTIM");
    let bad = vec![
        bare(None),
        bare(Some(&victim)),
        bare(Some(&stranger)),
        other_payload,
    ];
    append(&log, COMMANDS, "O1", bad).await;
    passed(&store, "O1", "AFTER").await;
    unchanged(&store).await;
    let parked = "SELECT COUNT(*) FROM parked";
    assert_eq!(store.count(Part::Order, parked).await, 4);
    let misrouted = "SELECT COUNT(*) FROM parked WHERE reason = 'misrouted'";
    assert_eq!(store.count(Part::Order, misrouted).await, 3);
}

async fn a_command_that_no_decision_accepts_is_parked_with_what_follows_it(place: Place) {
    let (store, log) = reserved(place).await;
    let id = neighbour("O1", "POISON");
    let poison = PlaceOrder {
        order_id: id.clone(),
        customer_id: "C".to_owned(),
        currency: "GBP".to_owned(),
        lines: vec![PlaceOrderLine {
            product_id: "PRODUCT_001".to_owned(),
            quantity: -5,
            unit_price_minor: 1,
        }],
        on_shortage: Default::default(),
        reserve_by: None,
    };
    let registry = ConfluentRegistry::new(&store.url(Part::Registry)).unwrap();
    let types = [Registration::of::<PlaceOrder>()];
    let writer = Writer::bind(&registry, &types, Binding::Lookup)
        .await
        .unwrap();
    let envelope = Envelope::command(
        "P1".to_owned(),
        PlaceOrder::TYPE,
        "/test",
        &id,
        Timestamp(1),
    );
    let record = Record {
        key: Some(Bytes::from(id.clone())),
        value: Some(writer.encode(&poison).unwrap()),
        headers: envelope.to_headers(),
        timestamp: Timestamp(1),
    };
    append(&log, COMMANDS, &id, vec![record]).await;
    store.place(order(&id, &[("PRODUCT_001", 1)])).await;
    passed(&store, "O1", "AFTER").await;
    unchanged(&store).await;
    assert!(
        store.order(&id).await.is_none(),
        "what follows a parked message waits behind it"
    );
    let reasons = "SELECT COUNT(*) FROM parked WHERE reason IN ('failed', 'behind')";
    assert_eq!(store.count(Part::Order, reasons).await, 2);
}

#[tokio::test]
async fn a_database_older_than_its_published_events_refuses_to_start() {
    let (mut store, _log) = reserved(Place::default()).await;
    store.stop_part(Part::Order).await;
    let database = store.database(Part::Order);
    let copy = database.with_extension("copy");
    std::fs::copy(&database, &copy).unwrap();
    store.start_part(Part::Order).await;
    store.place(order("O2", &[("PRODUCT_001", 3)])).await;
    store.reaches("O2", Status::Reserved).await;
    store.stop_part(Part::Order).await;
    for stale in ["db-wal", "db-shm"] {
        let _ = std::fs::remove_file(database.with_extension(stale));
    }
    std::fs::rename(&copy, &database).unwrap();
    store.launch(Part::Order);
    let refusal = store.refusal(Part::Order).await;
    assert!(
        refusal.contains("behind its own published events"),
        "{refusal}"
    );
}

#[tokio::test]
async fn a_log_that_lost_what_was_read_from_it_stops_the_service() {
    let (mut store, _log) = reserved(Place::default()).await;
    store.stop().await;
    std::fs::remove_dir_all(store.dir.path().join("log")).unwrap();
    store.launch(Part::Log);
    store.launch(Part::Registry);
    for part in [Part::Gateway, Part::Order, Part::Inventory] {
        store.launch(part);
    }
    for part in [Part::Order, Part::Inventory] {
        let refusal = store.refusal(part).await;
        assert!(refusal.contains("lost records"), "{refusal}");
    }
}
