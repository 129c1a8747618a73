//! The whole store on a cluster whose brokers come and go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use audit::fold::ITEMS_MAX;
use audit::running::{self, audit};
use contracts::client::Bearer;
use contracts::proto::order::Status;
use contracts::proto::order_service_client::OrderServiceClient;
use messaging::clock::SystemClock;
use messaging::registry::confluent::ConfluentRegistry;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

use super::faults::{BACK, FAULTS, GONE};
use super::{Node, config, log};
use crate::common::topics;
use crate::common::{Part, Place, Store, order, request};

const CLIENTS: u32 = 4;
/// More than all orders of a run can take.
const STOCK: i32 = 1_000_000;
/// Between an answer and the client's next call.
const PAUSE: Duration = Duration::from_millis(20);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster of three of its own: export $(tests/kafka up 3)"]
async fn the_store_keeps_its_promises_while_brokers_come_and_go() {
    let brokers = config("MESSAGING_TEST_KAFKA").bootstrap;
    topics::forget(brokers.clone(), &contracts::topics::ALL).await;
    let brokers = brokers.join(",");
    let elsewhere = Place {
        brokers: Some(brokers),
        ..Place::default()
    };
    let store = Store::start_at(elsewhere).await;
    store.receive("R1", "PRODUCT_001", STOCK).await;

    let (end, tries) = (CancellationToken::new(), Arc::new(AtomicU32::new(0)));
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let (orders, end, tries) = (store.orders(), end.clone(), Arc::clone(&tries));
        clients.spawn(place(client, orders, end, tries));
    }
    for (_, fault, recovery) in FAULTS {
        for node in Node::ALL {
            node.meet(fault).await;
            sleep(GONE).await;
            node.meet(recovery).await;
            sleep(BACK).await;
        }
    }
    end.cancel();
    let mut accepted = 0;
    while let Some(ended) = clients.join_next().await {
        let (client, orders) = ended.unwrap();
        let last = id(client, orders - 1);
        store.reaches(&last, Status::Reserved).await;
        accepted += orders;
    }
    let tries = tries.load(Ordering::Relaxed);
    println!("{accepted} orders accepted in {tries} calls");
    let expected = (i64::from(STOCK), i64::from(accepted));
    crate::common::eventually("every order is reserved", async || {
        (store.levels("PRODUCT_001").await == expected).then_some(())
    })
    .await;

    let report = audit(running(&store), ITEMS_MAX, &mut |_| {})
        .await
        .unwrap();
    println!("{:?}", report.counts);
    assert!(report.is_proof(), "{report:?}");
}

/// Places order after order, each as often as it takes; how many were accepted.
async fn place(
    client: u32,
    mut orders: OrderServiceClient<Channel>,
    end: CancellationToken,
    tries: Arc<AtomicU32>,
) -> (u32, u32) {
    let mut placed = 0;
    while !end.is_cancelled() || placed == 0 {
        let order = order(&id(client, placed), &[("PRODUCT_001", 1)]);
        while let Err(status) = orders.place_order(request(order.clone())).await {
            tries.fetch_add(1, Ordering::Relaxed);
            assert_eq!(status.code(), tonic::Code::Unavailable, "{status}");
            sleep(PAUSE).await;
        }
        tries.fetch_add(1, Ordering::Relaxed);
        placed += 1;
        sleep(PAUSE).await;
    }
    (client, placed)
}

fn id(client: u32, number: u32) -> String {
    format!("C{client}-{number}")
}

fn running(store: &Store) -> running::Store {
    let channel = |part| {
        let endpoint = Endpoint::from_shared(store.url(part)).unwrap();
        Bearer::default().over(endpoint.connect_lazy())
    };
    running::Store {
        log: Arc::new(log()),
        registry: Arc::new(ConfluentRegistry::new(&store.url(Part::Registry)).unwrap()),
        order: channel(Part::Order),
        inventory: channel(Part::Inventory),
        clock: Arc::new(SystemClock),
    }
}
