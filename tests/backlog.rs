//! Batching, counted: a backlog is drained in few transactions and few log requests.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

mod common;

use common::{Part, Store, eventually, order, streamed};
use contracts::proto;
use futures::StreamExt;
use messaging::telemetry::Metrics;

/// Orders in the backlog.
const ORDERS: usize = 10_000;
/// Transactions of all services together that draining may take.
const TRANSACTIONS_MAX: f64 = 1_500.0;
/// Log requests of all services together that draining may take.
const LOG_REQUESTS_MAX: f64 = 3_000.0;

/// The sum of a counter over all its labels, in this process.
fn counted(metrics: &Metrics, name: &str) -> f64 {
    metrics
        .render()
        .lines()
        .filter(|line| line.starts_with(name))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum()
}

/// Places the backlog through one stream of the gateway.
async fn place_all(store: &Store) {
    let orders = (0..ORDERS).map(|n| {
        let product = format!("PRODUCT_{:02}", n % 20);
        streamed(order(&format!("ORDER_{n:05}"), &[(&product, 1)]))
    });
    let answers = store
        .orders()
        .place_orders(futures::stream::iter(orders))
        .await
        .unwrap();
    let accepted = answers
        .into_inner()
        .filter(|answer| {
            let answer = answer.as_ref().unwrap();
            let outcome = answer.result.as_ref().unwrap();
            let accepted = matches!(outcome, proto::place_orders_response::Result::Acceptance(_));
            std::future::ready(accepted)
        })
        .count();
    assert_eq!(common::within(accepted, "all are accepted").await, ORDERS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_of_ten_thousand_orders_is_drained_in_batches() {
    // The recorder counts from its installation on.
    let metrics = messaging::telemetry::metrics();
    let mut store = Store::start().await;
    for n in 0..20 {
        store
            .receive(&format!("R{n}"), &format!("PRODUCT_{n:02}"), 1_000)
            .await;
    }
    store.stop_part(Part::Order).await;
    store.stop_part(Part::Inventory).await;
    place_all(&store).await;

    let (transactions, requests) = (
        counted(&metrics, "store_transactions_total"),
        counted(&metrics, "embedded_log_requests_total"),
    );
    assert!(transactions > 0.0 && requests > 0.0, "the counters count");
    store.start_part(Part::Order).await;
    store.start_part(Part::Inventory).await;
    eventually("every order is reserved", async || {
        let reserved = "SELECT COUNT(*) FROM orders WHERE status = 'RESERVED'";
        (store.count(Part::Order, reserved).await == ORDERS as i64).then_some(())
    })
    .await;
    let transactions = counted(&metrics, "store_transactions_total") - transactions;
    let requests = counted(&metrics, "embedded_log_requests_total") - requests;
    println!("{ORDERS} orders drained: {transactions} transactions, {requests} log requests");
    assert!(
        transactions < TRANSACTIONS_MAX,
        "{transactions} transactions"
    );
    assert!(requests < LOG_REQUESTS_MAX, "{requests} log requests");
}
