//! Many orders, as fast as a store takes them.

#![allow(dead_code, reason = "each test file uses its part of this")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use contracts::proto::inventory_service_client::InventoryServiceClient;
use contracts::proto::order_service_client::OrderServiceClient;
use contracts::proto::{Order, OrderLine, PlaceOrderRequest, ReceiveStockRequest};
use tonic::transport::Channel;

use crate::support::Up;

/// Callers that place them.
pub(crate) const CALLERS: usize = 64;
/// Products that the orders spread over.
pub(crate) const PRODUCTS: usize = 20;

/// How often the stock is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How long nothing may change before the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// The order with this name and number.
pub(crate) fn request(name: &str, n: usize) -> PlaceOrderRequest {
    let line = OrderLine {
        product_id: format!("PRODUCT_{:03}", n % PRODUCTS),
        quantity: 1,
        unit_price_minor: 100,
    };
    let order = Order {
        order_id: format!("{name}_{n:06}"),
        customer_id: "CUSTOMER".to_owned(),
        currency: "GBP".to_owned(),
        lines: vec![line],
        ..Order::default()
    };
    PlaceOrderRequest {
        order: Some(order),
        ..PlaceOrderRequest::default()
    }
}

/// Receives more of every product than all orders can take.
pub(crate) async fn receive_all(channel: Channel) {
    let mut inventory = InventoryServiceClient::new(channel);
    for n in 0..PRODUCTS {
        let request = ReceiveStockRequest {
            receipt_id: format!("RECEIPT_{n:03}"),
            product_id: format!("PRODUCT_{n:03}"),
            quantity: 1_000_000,
        };
        inventory.receive_stock(request).await.unwrap();
    }
}

/// Places `count` orders from many callers; returns when each is acknowledged.
pub(crate) async fn place_all(channel: Channel, count: usize) {
    place_by(CALLERS, channel, count).await;
}

/// As [`place_all`], from so many callers.
pub(crate) async fn place_by(callers: usize, channel: Channel, count: usize) {
    let next = Arc::new(AtomicUsize::new(0));
    let mut calling = tokio::task::JoinSet::new();
    for _ in 0..callers {
        let (next, mut orders) = (Arc::clone(&next), OrderServiceClient::new(channel.clone()));
        calling.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= count {
                    return;
                }
                orders.place_order(request("MANY", n)).await.unwrap();
            }
        });
    }
    calling.join_all().await;
}

/// Waits until every order is reserved, for as long as it goes on.
pub(crate) fn reserved(store: &Up, orders: usize) {
    let (mut last, mut changed) = (0, Instant::now());
    while last < orders {
        std::thread::sleep(LOOK);
        let now = units_reserved(store);
        if now != last {
            (last, changed) = (now, Instant::now());
        }
        assert!(
            changed.elapsed() < PATIENCE,
            "{last} of {orders} are reserved"
        );
    }
}

/// Units reserved, over all products; none while Inventory does not answer.
pub(crate) fn units_reserved(store: &Up) -> usize {
    let outcome = store.shop(&["stock", "--output", "json"]);
    let levels = outcome.json();
    let units = levels
        .iter()
        .map(|level| level["reserved"].as_u64().unwrap());
    usize::try_from(units.sum::<u64>()).unwrap()
}
