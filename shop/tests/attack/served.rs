//! A client that behaves, beside those who do not.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use contracts::proto;
use contracts::proto::order_service_client::OrderServiceClient;
use tonic::Code;

use crate::support::Up;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// How a client was served.
#[derive(Debug, Default)]
pub(crate) struct Served {
    pub(crate) calls: usize,
    pub(crate) slowest: Duration,
    pub(crate) failure: Option<String>,
}

impl Served {
    pub(crate) fn add(&mut self, more: Self) {
        self.calls += more.calls;
        self.slowest = self.slowest.max(more.slowest);
        self.failure = self.failure.take().or(more.failure);
    }
}

fn order() -> proto::PlaceOrderRequest {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    proto::PlaceOrderRequest {
        order: Some(proto::Order {
            order_id: format!("BEHAVED_{number}"),
            customer_id: "CUSTOMER_001".to_owned(),
            currency: "GBP".to_owned(),
            lines: vec![proto::OrderLine {
                product_id: "PRODUCT_001".to_owned(),
                quantity: 1,
                unit_price_minor: 100,
            }],
            ..proto::Order::default()
        }),
        ..proto::PlaceOrderRequest::default()
    }
}

/// Places an order and reads another, on a connection of its own.
pub(crate) async fn once(store: &Up) -> Served {
    let begun = Instant::now();
    let served = async {
        let client = OrderServiceClient::connect(store.gateway()).await;
        let mut client = client.map_err(|error| error.to_string())?;
        let placed = client.place_order(order()).await;
        placed.map_err(|status| format!("place: {status:?}"))?;
        let unknown = proto::GetOrderRequest {
            order_id: "UNKNOWN".to_owned(),
        };
        let read = client
            .get_order(unknown)
            .await
            .map_err(|status| (status.code(), status));
        match read {
            Err((Code::NotFound, _)) => Ok(()),
            other => Err(format!("read: {other:?}")),
        }
    };
    let failure = served.await.err();
    Served {
        calls: 2 * usize::from(failure.is_none()),
        slowest: begun.elapsed(),
        failure,
    }
}

/// Again and again until then.
pub(crate) async fn while_attacked(store: &Up, until: Instant) -> Served {
    let mut served = Served::default();
    // The attack has begun.
    tokio::time::sleep(PAUSE).await;
    while Instant::now() < until {
        served.add(once(store).await);
        tokio::time::sleep(PAUSE).await;
    }
    served
}
