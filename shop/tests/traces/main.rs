//! Traces of a real store, as a collector gets them over OTLP.
//!
//! | room | what happens there |
//! |---|---|
//! | `order` | one order from its client to its last message, in one trace |
//! | `chosen` | what is recorded, and what is not |
//! | `outage` | a collector that is away or silent; a store that died between append and acknowledgement |
//! | `collector` | a collector that writes what it gets into a file |
//! | `seen` | the spans in that file |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

#[path = "../support/mod.rs"]
mod support;

mod chosen;
mod collector;
mod order;
mod outage;
mod seen;

use contracts::proto::order_service_client::OrderServiceClient;
use contracts::proto::{Order, OrderLine, PlaceOrderRequest, order::Status};
use support::Up;
use tonic::Request;
use tonic::transport::Endpoint;

/// What a store has of PRODUCT_001 once it is seeded.
const STOCK: i32 = 10;

/// Places an order of PRODUCT_001 as a client in a trace does, and waits until it has come so far.
fn place(store: &Up, order_id: &str, quantity: i32, traceparent: Option<&str>, until: Status) {
    let mut request = Request::new(PlaceOrderRequest {
        order: Some(Order {
            order_id: order_id.to_owned(),
            customer_id: "CUSTOMER_001".to_owned(),
            currency: "GBP".to_owned(),
            lines: vec![OrderLine {
                product_id: "PRODUCT_001".to_owned(),
                quantity,
                unit_price_minor: 100,
            }],
            ..Order::default()
        }),
        wait_for: Some(until.into()),
        ..PlaceOrderRequest::default()
    });
    if let Some(traceparent) = traceparent {
        let metadata = request.metadata_mut();
        metadata.insert("traceparent", traceparent.parse().unwrap());
    }
    let endpoint = Endpoint::from_shared(store.gateway()).unwrap();
    let placing = async {
        let channel = endpoint.connect().await.unwrap();
        OrderServiceClient::new(channel).place_order(request).await
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let placed = runtime.block_on(placing).unwrap().into_inner();
    assert_eq!(placed.status(), until);
}
