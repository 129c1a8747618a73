//! Order as a whole: given messages in the log, what does it store and what does it tell?

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

mod harness;

use bytes::Bytes;
use contracts::order::{OnShortage, OrderEvent, PlaceOrderLine};
use contracts::topics;
use harness::{World, backordered, cancel, complete, place, refused, released, reserved};
use messaging::envelope::event_id;
use messaging::log::{Log, Record};
use messaging::partitioner::partition_of;
use order::domain::Status;

#[tokio::test]
async fn an_order_goes_from_placement_to_shipment() {
    let world = World::new().await;
    let service = world.start().await;
    let mut placement = place("O1", "C1", 3);
    placement.lines.insert(
        0,
        PlaceOrderLine {
            product_id: "P2".to_owned(),
            quantity: 2,
            unit_price_minor: 500,
        },
    );
    placement.on_shortage = OnShortage::Reject;
    world.command(placement.clone()).await;
    let order = service.until("O1", Status::Pending).await;
    assert_eq!(order.placed, placement.sorted(), "kept field by field");
    world.inventory(backordered("O1", 1)).await;
    let order = service.until("O1", Status::Backordered).await;
    assert_eq!(order.reason, "waiting for P1");
    world.inventory(reserved("O1", 2)).await;
    service.until("O1", Status::Reserved).await;
    world.command(complete("O1")).await;
    let order = service.until("O1", Status::Completed).await;
    assert_eq!((order.version, order.reservation_version), (4, 2));
    service.settled(&world).await;
    let told = world.told_types("O1").await;
    assert_eq!(
        told,
        [
            "OrderPlaced",
            "OrderBackordered",
            "OrderReserved",
            "OrderCompleted"
        ]
    );
    service.stop().await;
}

#[tokio::test]
async fn events_carry_versions_ids_and_causes() {
    let world = World::new().await;
    let service = world.start().await;
    world
        .command_with_id("command-1", place("O1", "C1", 1))
        .await;
    service.until("O1", Status::Pending).await;
    world.inventory(reserved("O1", 1)).await;
    service.until("O1", Status::Reserved).await;
    service.settled(&world).await;
    let told = world.told("O1").await;
    for (version, (envelope, event)) in (1..).zip(&told) {
        assert_eq!(event.version(), version);
        assert_eq!(
            envelope.id,
            event_id("/order", "order", "O1", version).to_string()
        );
        assert_eq!(envelope.source, "/order");
        assert_eq!(envelope.subject, "O1");
    }
    let (placed, _) = &told[0];
    assert_eq!(placed.causation_id.as_deref(), Some("command-1"));
    assert_eq!(placed.correlation_id.as_deref(), Some("command-1"));
    let OrderEvent::Placed(event) = &told[0].1 else {
        panic!("not placed")
    };
    assert_eq!(event.lines.len(), 1);
    service.stop().await;
}

#[tokio::test]
async fn a_placement_that_comes_again_changes_nothing_and_one_with_other_content_is_a_conflict() {
    let world = World::new().await;
    let service = world.start().await;
    world.command(place("O1", "C1", 3)).await;
    world.command(place("O1", "C1", 3)).await;
    world.command(place("O1", "C1", 4)).await;
    // It is not held up by the conflict.
    world.command(cancel("O1", "changed my mind")).await;
    let order = service.until("O1", Status::Cancelled).await;
    assert_eq!(order.placed, place("O1", "C1", 3));
    service.settled(&world).await;
    assert_eq!(service.count("conflict").await, 1);
    assert_eq!(service.count("parked").await, 0);
    let told = world.told_types("O1").await;
    assert_eq!(told, ["OrderPlaced", "OrderCancelled"]);
    service.stop().await;
}

#[tokio::test]
async fn a_command_that_comes_again_under_its_id_happens_once() {
    let world = World::new().await;
    let service = world.start().await;
    // Twice before the order is there, then once more with other words under the same id.
    world
        .command_with_id("cancel-1", cancel("O1", "early"))
        .await;
    world
        .command_with_id("cancel-1", cancel("O1", "early"))
        .await;
    world.command(place("O1", "C1", 1)).await;
    let order = service.until("O1", Status::Cancelled).await;
    assert_eq!((order.version, order.reason.as_str()), (1, "early"));
    world
        .command_with_id("cancel-1", cancel("O1", "other words"))
        .await;
    service.settled(&world).await;
    assert_eq!(world.told_types("O1").await, ["OrderCancelled"]);
    assert_eq!(service.count("conflict").await, 1, "same id, other content");
    service.stop().await;
}

#[tokio::test]
async fn only_completions_that_came_too_early_are_remembered_for_good() {
    let world = World::new().await;
    let service = world.start().await;
    // Before the order is there, while it is pending, once it is reserved, and once it is over.
    world.command_with_id("early", complete("O1")).await;
    world.command(place("O1", "C1", 1)).await;
    world.command_with_id("pending", complete("O1")).await;
    service.until("O1", Status::Pending).await;
    service.settled(&world).await;
    world.inventory(reserved("O1", 1)).await;
    service.until("O1", Status::Reserved).await;
    world.command_with_id("early", complete("O1")).await;
    service.settled(&world).await;
    assert_eq!(service.order("O1").await.unwrap().status, Status::Reserved);
    world.command_with_id("reserved", complete("O1")).await;
    service.until("O1", Status::Completed).await;
    world.command_with_id("over", complete("O1")).await;
    // Cancelled before it is there, and completed after that.
    world.command(cancel("O2", "early")).await;
    world.command(complete("O2")).await;
    service.settled(&world).await;
    assert_eq!(service.count("inbox").await, 6);
    assert_eq!(service.count("lasting").await, 2);
    service.stop().await;
}

#[tokio::test]
async fn late_and_old_answers_of_inventory_change_nothing() {
    let world = World::new().await;
    let service = world.start().await;
    world.command(place("O1", "C1", 1)).await;
    service.until("O1", Status::Pending).await;
    world.inventory(backordered("O1", 1)).await;
    service.until("O1", Status::Backordered).await;
    world.command(cancel("O1", "no longer needed")).await;
    service.until("O1", Status::Cancelled).await;
    // Reserved before Inventory heard of the cancellation; then an old one published again.
    world.inventory(reserved("O1", 2)).await;
    world.inventory(released("O1", 3)).await;
    world.inventory(backordered("O1", 1)).await;
    service.settled(&world).await;
    let order = service.order("O1").await.unwrap();
    assert_eq!(order.status, Status::Cancelled);
    assert_eq!((order.version, order.reservation_version), (3, 3));
    let told = world.told_types("O1").await;
    assert_eq!(told, ["OrderPlaced", "OrderBackordered", "OrderCancelled"]);
    service.stop().await;
}

#[tokio::test]
async fn what_cannot_be_decided_is_parked_with_what_follows_and_others_go_on() {
    let world = World::new().await;
    let service = world.start().await;
    // Inventory tells of an order that was never placed; its placement then waits behind that.
    world.inventory(reserved("GHOST", 1)).await;
    service.settled(&world).await;
    world.command(place("GHOST", "C1", 1)).await;
    // A command that the gateway would have refused.
    world.command(place("BAD", "C1", 0)).await;
    world.command(place("GOOD", "C1", 1)).await;
    service.until("GOOD", Status::Pending).await;
    service.settled(&world).await;
    assert_eq!(service.order("GHOST").await, None);
    assert_eq!(service.order("BAD").await, None);
    assert_eq!(service.count("parked").await, 3);
    service.stop().await;
}

#[tokio::test]
async fn garbage_is_parked_alone() {
    let world = World::new().await;
    let service = world.start().await;
    let garbage = Record {
        key: Some(Bytes::from_static(b"O1")),
        value: Some(Bytes::from_static(b"not avro")),
        headers: Vec::new(),
        timestamp: harness::EPOCH,
    };
    let partition = partition_of(b"O1", harness::PARTITIONS);
    world
        .log
        .append(topics::ORDER_COMMANDS, partition, vec![garbage])
        .await
        .unwrap();
    service.settled(&world).await;
    assert_eq!(service.count("parked").await, 1);
    service.stop().await;
}

#[tokio::test]
async fn a_refusal_rejects_the_order_and_says_what_was_short() {
    let world = World::new().await;
    let service = world.start().await;
    world.command(place("O1", "C1", 99)).await;
    service.until("O1", Status::Pending).await;
    world.inventory(refused("O1", 1)).await;
    let order = service.until("O1", Status::Rejected).await;
    assert_eq!(order.reason, "OUT_OF_STOCK: P1");
    service.stop().await;
}

#[tokio::test]
async fn a_restarted_service_goes_on_where_the_last_one_was() {
    let world = World::new().await;
    let service = world.start().await;
    world.command(place("O1", "C1", 1)).await;
    world.command(cancel("O2", "before it was placed")).await;
    service.until("O1", Status::Pending).await;
    service.settled(&world).await;
    service.stop().await;
    world.inventory(reserved("O1", 1)).await;
    world.command(place("O2", "C1", 1)).await;
    let service = world.start().await;
    service.until("O1", Status::Reserved).await;
    service.until("O2", Status::Cancelled).await;
    service.settled(&world).await;
    assert_eq!(
        world.told_types("O1").await,
        ["OrderPlaced", "OrderReserved"]
    );
    assert_eq!(world.told_types("O2").await, ["OrderCancelled"]);
    service.stop().await;
}

#[tokio::test]
async fn many_orders_in_one_batch_keep_their_own_state() {
    let world = World::new().await;
    for number in 0..700 {
        let id = format!("O{number}");
        world.command(place(&id, "C1", 1 + number)).await;
        match number % 3 {
            0 => world.command(cancel(&id, "every third")).await,
            _ => world.command(complete(&id)).await,
        }
    }
    let service = world.start().await;
    service.settled(&world).await;
    for number in 0..700 {
        let id = format!("O{number}");
        let order = service.order(&id).await.unwrap();
        assert_eq!(order.placed, place(&id, "C1", 1 + number));
        let expected = match number % 3 {
            0 => (Status::Cancelled, 2),
            _ => (Status::Pending, 1),
        };
        assert_eq!((order.status, order.version), expected, "{id}");
    }
    service.stop().await;
}
