//! The figures of one machine, printed: start, memory, latency, throughput.
//!
//! `cargo test --release -p shop --test measure -- --ignored --nocapture`
//!
//! Every order must end RESERVED; the figures themselves are judged by people, because they depend
//! on the machine.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a failed test is the report; a measurement reads the clock and owns its tasks"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use contracts::proto::inventory_service_client::InventoryServiceClient;
use contracts::proto::order::Status;
use contracts::proto::order_service_client::OrderServiceClient;
use contracts::proto::{Order, OrderLine, PlaceOrderRequest, ReceiveStockRequest};
use support::{Up, wait_for};
use tonic::transport::{Channel, Endpoint};

/// Orders placed one after another, for latency.
const SINGLE: usize = 200;
/// Orders placed at once, for throughput.
const MANY: usize = 10_000;
/// Callers that place them.
const CALLERS: usize = 64;
/// Products that the orders spread over.
const PRODUCTS: usize = 20;

fn request(name: &str, n: usize) -> PlaceOrderRequest {
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

/// Resident memory of a process in MiB.
fn resident_mib(pid: u64) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1024
}

async fn receive_all(channel: Channel) {
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

/// Milliseconds from the call to the answer RESERVED, sorted.
async fn latencies(channel: Channel) -> Vec<f64> {
    let mut orders = OrderServiceClient::new(channel);
    let mut times = Vec::with_capacity(SINGLE);
    for n in 0..SINGLE {
        let mut request = request("SINGLE", n);
        request.wait_for = Some(Status::Reserved.into());
        let started = Instant::now();
        let answer = orders.place_order(request).await.unwrap().into_inner();
        times.push(started.elapsed().as_secs_f64() * 1e3);
        assert_eq!(answer.status(), Status::Reserved);
    }
    times.sort_by(f64::total_cmp);
    times
}

/// Places all orders from many callers; returns when each is acknowledged.
async fn place_all(channel: Channel) {
    let next = Arc::new(AtomicUsize::new(0));
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..CALLERS {
        let (next, mut orders) = (Arc::clone(&next), OrderServiceClient::new(channel.clone()));
        callers.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= MANY {
                    return;
                }
                orders.place_order(request("MANY", n)).await.unwrap();
            }
        });
    }
    callers.join_all().await;
}

/// Units reserved, over all products.
fn reserved(up: &Up) -> i64 {
    let outcome = up.shop(&["stock", "--output", "json"]);
    let levels = outcome.json();
    levels
        .iter()
        .map(|level| level["reserved"].as_i64().unwrap())
        .sum()
}

#[test]
#[ignore = "a measurement: run it alone, in release, with --nocapture"]
fn figures() {
    let started = Instant::now();
    let up = Up::start(&["--fresh"]);
    println!(
        "start to ready                {:>8.2} s",
        started.elapsed().as_secs_f64()
    );
    let pid = up.ready["pid"].as_u64().unwrap();
    println!("resident, idle                {:>8} MiB", resident_mib(pid));

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let channel = runtime.block_on(async {
        let endpoint = Endpoint::from_shared(up.gateway()).unwrap();
        let channel = endpoint.tcp_nodelay(true).connect().await.unwrap();
        receive_all(channel.clone()).await;
        channel
    });
    wait_for("the stock is booked", || {
        let last = format!("PRODUCT_{:03}", PRODUCTS - 1);
        (up.shop(&["stock", &last]).status == 0).then_some(())
    });
    let times = runtime.block_on(latencies(channel.clone()));
    println!(
        "PlaceOrder to RESERVED        {:>8.2} ms median, {:.2} ms 99th percentile of {SINGLE}",
        times[times.len() / 2],
        times[times.len() * 99 / 100]
    );

    let started = Instant::now();
    runtime.block_on(place_all(channel));
    let accepted = started.elapsed();
    let all = i64::try_from(SINGLE + MANY).unwrap();
    wait_for("every order is reserved", || {
        (reserved(&up) == all).then_some(())
    });
    let done = started.elapsed();
    let rate = |time: Duration| MANY as f64 / time.as_secs_f64();
    println!(
        "{CALLERS} callers, {MANY} orders     {:>8.0} accepted per second",
        rate(accepted)
    );
    println!(
        "until all are RESERVED        {:>8.0} orders per second",
        rate(done)
    );
    println!("resident after them           {:>8} MiB", resident_mib(pid));
    assert_eq!(up.stop(), 0);
}
