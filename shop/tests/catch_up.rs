//! How soon an order is reserved once Inventory is back. Alone in its file, so that no other test
//! takes its processors.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

mod support;

use std::time::Duration;

use contracts::proto::WatchOrderRequest;
use contracts::proto::order::Status;
use contracts::proto::order_service_client::OrderServiceClient;
use support::{Elsewhere, inventory, order, without_inventory};

/// Watches an order until it is RESERVED, within `limit`.
async fn reserved_within(gateway: String, order_id: &str, limit: Duration) {
    let mut orders = OrderServiceClient::connect(gateway).await.unwrap();
    let request = WatchOrderRequest {
        order_id: order_id.to_owned(),
        after_version: 0,
    };
    let watching = async {
        let mut states = orders.watch_order(request).await.unwrap().into_inner();
        while let Some(answer) = states.message().await.unwrap() {
            if answer.order.unwrap().status() == Status::Reserved {
                return;
            }
        }
        panic!("{order_id} ended without being reserved");
    };
    tokio::time::timeout(limit, watching)
        .await
        .unwrap_or_else(|_| panic!("{order_id} is not RESERVED within {limit:?}"));
}

#[test]
fn an_order_is_reserved_within_a_second_of_inventory_being_ready() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    let (store, address) = without_inventory(&Elsewhere::default(), folder);
    assert_eq!(store.shop(&["seed"]).status, 0);
    assert_eq!(
        store.place(&order("A", &[("PRODUCT_001", 3)]), &[]).status,
        0
    );
    store.wait_for_status("A", "PENDING");

    let _inventory = inventory(folder, &address, &store);
    let watching = reserved_within(store.gateway(), "A", Duration::from_secs(1));
    tokio::runtime::Runtime::new().unwrap().block_on(watching);
}
