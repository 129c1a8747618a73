//! The store's main job, through its public API: orders against stock.

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

use common::{Part, Place, Store, order, request};
use contracts::proto;
use contracts::proto::order::{OnShortage, Status};
use futures::StreamExt;
use tonic::Code;

at_every_place! {
    an_order_is_reserved_against_stock_and_its_repetition_changes_nothing,
    the_same_order_id_with_other_content_leaves_the_first_untouched,
    cancel_releases_complete_ships_and_each_twice_changes_nothing,
    backorders_are_served_in_order_and_a_cancelled_waiter_frees_the_one_behind_it,
    one_short_line_holds_up_nobody_on_the_plentiful_lines,
    an_order_that_will_not_wait_is_rejected_with_what_was_short,
    a_cancel_that_comes_before_its_order_wins,
    orders_are_accepted_while_inventory_is_down_and_reserved_when_it_is_back,
    orders_are_accepted_while_the_order_service_is_down,
    everything_is_still_there_after_a_restart_of_the_whole_store,
    a_watch_shows_rising_versions_and_ends_with_the_order,
}

async fn seeded(place: Place) -> Store {
    let store = Store::start_at(place).await;
    store.receive("R1", "PRODUCT_001", 10).await;
    store.receive("R2", "PRODUCT_002", 15).await;
    store
}

async fn cancel(store: &Store, id: &str, reason: &str) {
    let request = proto::CancelOrderRequest {
        order_id: id.to_owned(),
        reason: reason.to_owned(),
        ..proto::CancelOrderRequest::default()
    };
    store.orders().cancel_order(request).await.unwrap();
}

async fn complete(store: &Store, id: &str) {
    let request = proto::CompleteOrderRequest {
        order_id: id.to_owned(),
        ..proto::CompleteOrderRequest::default()
    };
    store.orders().complete_order(request).await.unwrap();
}

async fn an_order_is_reserved_against_stock_and_its_repetition_changes_nothing(place: Place) {
    let store = seeded(place).await;
    let placed = order("O1", &[("PRODUCT_001", 3), ("PRODUCT_002", 2)]);
    for _ in 0..3 {
        let request = proto::PlaceOrderRequest {
            wait_for: Some(Status::Reserved.into()),
            ..request(placed.clone())
        };
        let answer = store
            .orders()
            .place_order(request)
            .await
            .unwrap()
            .into_inner();
        assert_eq!(answer.status(), Status::Reserved);
    }
    assert_eq!(store.levels("PRODUCT_001").await, (10, 3));
    assert_eq!(store.levels("PRODUCT_002").await, (15, 2));
    let stored = store.order("O1").await.unwrap();
    assert_eq!(
        (
            stored.version,
            stored.total_price_minor,
            stored.total_quantity
        ),
        (2, Some(500), Some(5))
    );
}

async fn the_same_order_id_with_other_content_leaves_the_first_untouched(place: Place) {
    let store = seeded(place).await;
    store.place(order("O1", &[("PRODUCT_001", 3)])).await;
    store.reaches("O1", Status::Reserved).await;
    let conflicting = proto::PlaceOrderRequest {
        wait_for: Some(Status::Reserved.into()),
        ..request(order("O1", &[("PRODUCT_001", 4)]))
    };
    let refusal = store.orders().place_order(conflicting).await.unwrap_err();
    assert_eq!(refusal.code(), Code::AlreadyExists);
    // The order is not held up: it can still be completed.
    complete(&store, "O1").await;
    store.reaches("O1", Status::Completed).await;
    let conflicts = "SELECT COUNT(*) FROM conflict";
    assert_eq!(store.count(Part::Order, conflicts).await, 1);
}

async fn cancel_releases_complete_ships_and_each_twice_changes_nothing(place: Place) {
    let store = seeded(place).await;
    store.place(order("O1", &[("PRODUCT_001", 3)])).await;
    store.place(order("O2", &[("PRODUCT_001", 2)])).await;
    store.reaches("O1", Status::Reserved).await;
    store.reaches("O2", Status::Reserved).await;
    for _ in 0..2 {
        cancel(&store, "O1", "changed my mind").await;
        complete(&store, "O2").await;
    }
    let cancelled = store.reaches("O1", Status::Cancelled).await;
    assert_eq!(cancelled.reason, "changed my mind");
    store.reaches("O2", Status::Completed).await;
    common::eventually("released and shipped", async || {
        (store.levels("PRODUCT_001").await == (8, 0)).then_some(())
    })
    .await;
    // A terminal order stays as it is, whatever comes.
    complete(&store, "O1").await;
    cancel(&store, "O2", "too late").await;
    store.place(order("O3", &[("PRODUCT_001", 8)])).await;
    store.reaches("O3", Status::Reserved).await;
    assert_eq!(store.order("O1").await.unwrap().status(), Status::Cancelled);
    assert_eq!(store.order("O2").await.unwrap().status(), Status::Completed);
    assert_eq!(store.levels("PRODUCT_001").await, (8, 8));
}

async fn backorders_are_served_in_order_and_a_cancelled_waiter_frees_the_one_behind_it(
    place: Place,
) {
    let store = seeded(place).await;
    for (id, quantity) in [("FIRST", 20), ("SECOND", 12), ("THIRD", 5)] {
        store.place(order(id, &[("PRODUCT_001", quantity)])).await;
        store.reaches(id, Status::Backordered).await;
    }
    // 30 on hand: the first needs 20, the second 12, and the third may not pass the second.
    store.receive("R3", "PRODUCT_001", 20).await;
    store.reaches("FIRST", Status::Reserved).await;
    assert_eq!(
        store.order("SECOND").await.unwrap().status(),
        Status::Backordered
    );
    assert_eq!(
        store.order("THIRD").await.unwrap().status(),
        Status::Backordered
    );
    cancel(&store, "SECOND", "").await;
    store.reaches("THIRD", Status::Reserved).await;
    assert_eq!(store.levels("PRODUCT_001").await, (30, 25));
}

async fn one_short_line_holds_up_nobody_on_the_plentiful_lines(place: Place) {
    let store = seeded(place).await;
    store
        .place(order("SHORT", &[("PRODUCT_001", 20), ("PRODUCT_002", 1)]))
        .await;
    store.reaches("SHORT", Status::Backordered).await;
    store.place(order("PLENTY", &[("PRODUCT_002", 15)])).await;
    store.reaches("PLENTY", Status::Reserved).await;
}

async fn an_order_that_will_not_wait_is_rejected_with_what_was_short(place: Place) {
    let store = seeded(place).await;
    let mut impatient = order("O1", &[("PRODUCT_001", 20), ("PRODUCT_002", 1)]);
    impatient.set_on_shortage(OnShortage::Reject);
    store.place(impatient).await;
    let rejected = store.reaches("O1", Status::Rejected).await;
    assert!(
        rejected.reason.contains("PRODUCT_001"),
        "{}",
        rejected.reason
    );
    assert!(
        !rejected.reason.contains("PRODUCT_002"),
        "{}",
        rejected.reason
    );
    store.place(order("O2", &[("NOBODY_KNOWS", 1)])).await;
    let unknown = store.reaches("O2", Status::Rejected).await;
    assert!(
        unknown.reason.contains("UNKNOWN_PRODUCT"),
        "{}",
        unknown.reason
    );
}

async fn a_cancel_that_comes_before_its_order_wins(place: Place) {
    let store = seeded(place).await;
    cancel(&store, "O1", "early").await;
    store.place(order("O1", &[("PRODUCT_001", 3)])).await;
    store.reaches("O1", Status::Cancelled).await;
    assert_eq!(store.levels("PRODUCT_001").await, (10, 0));
}

async fn orders_are_accepted_while_inventory_is_down_and_reserved_when_it_is_back(place: Place) {
    let mut store = seeded(place).await;
    store.stop_part(Part::Inventory).await;
    store.place(order("O1", &[("PRODUCT_001", 3)])).await;
    store.reaches("O1", Status::Pending).await;
    let request = proto::GetStockRequest {
        product_id: "PRODUCT_001".to_owned(),
    };
    let refusal = store.inventory().get_stock(request).await.unwrap_err();
    assert_eq!(refusal.code(), Code::Unavailable);
    store.start_part(Part::Inventory).await;
    store.reaches("O1", Status::Reserved).await;
}

async fn orders_are_accepted_while_the_order_service_is_down(place: Place) {
    let mut store = seeded(place).await;
    store.stop_part(Part::Order).await;
    store.place(order("O1", &[("PRODUCT_001", 3)])).await;
    let request = proto::GetOrderRequest {
        order_id: "O1".to_owned(),
    };
    let refusal = store.orders().get_order(request).await.unwrap_err();
    assert_eq!(refusal.code(), Code::Unavailable);
    store.start_part(Part::Order).await;
    store.reaches("O1", Status::Reserved).await;
}

#[tokio::test]
async fn nothing_is_promised_while_the_log_is_down_and_services_say_so() {
    let mut store = seeded(Place::default()).await;
    store.stop_part(Part::Log).await;
    let mut request = tonic::Request::new(request(order("O1", &[("PRODUCT_001", 3)])));
    request.set_timeout(Duration::from_secs(2));
    let refusal = store.orders().place_order(request).await.unwrap_err();
    assert_eq!(refusal.code(), Code::Unavailable);
    common::eventually("both services unready", async || {
        let unready = |part| !store.health(part).is_ready();
        (unready(Part::Order) && unready(Part::Inventory)).then_some(())
    })
    .await;
    store.launch(Part::Log);
    for part in [Part::Order, Part::Inventory] {
        common::within(store.health(part).ready(), "ready again").await;
    }
    store.place(order("O2", &[("PRODUCT_001", 3)])).await;
    store.reaches("O2", Status::Reserved).await;
}

async fn everything_is_still_there_after_a_restart_of_the_whole_store(place: Place) {
    let mut store = seeded(place).await;
    store.place(order("O1", &[("PRODUCT_001", 3)])).await;
    store.reaches("O1", Status::Reserved).await;
    store.stop().await;
    store.launch_bus();
    for part in [Part::Order, Part::Inventory, Part::Gateway] {
        store.start_part(part).await;
    }
    store.place(order("O2", &[("PRODUCT_001", 7)])).await;
    store.reaches("O2", Status::Reserved).await;
    assert_eq!(store.levels("PRODUCT_001").await, (10, 10));
    assert_eq!(store.order("O1").await.unwrap().status(), Status::Reserved);
}

async fn a_watch_shows_rising_versions_and_ends_with_the_order(place: Place) {
    let store = seeded(place).await;
    let request = proto::WatchOrderRequest {
        order_id: "O1".to_owned(),
        after_version: 0,
    };
    let mut orders = store.orders();
    let watch = tokio::join!(
        async {
            let mut stream = orders.watch_order(request).await.unwrap().into_inner();
            let mut versions = Vec::new();
            let mut last = Status::Pending;
            while let Some(answer) = common::within(stream.next(), "the next version").await {
                let order = answer.unwrap().order.unwrap();
                versions.push(order.version);
                last = order.status();
            }
            (versions, last)
        },
        async {
            store.place(order("O1", &[("PRODUCT_001", 3)])).await;
            store.reaches("O1", Status::Reserved).await;
            complete(&store, "O1").await;
        }
    )
    .0;
    let (versions, last) = watch;
    assert!(
        versions.is_sorted_by(|earlier, later| earlier < later),
        "{versions:?}"
    );
    assert_eq!((versions.last(), last), (Some(&3), Status::Completed));
}
