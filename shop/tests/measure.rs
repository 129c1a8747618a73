//! The figures of one machine, printed: start, memory, latency, throughput; an audit's time and
//! memory.
//!
//! `cargo test --release -p shop --test measure -- --ignored --nocapture`; with
//! `AUDIT_ORDERS=1000000` the audit is of a store of a million orders.
//!
//! Every order must end RESERVED and the audit must be a proof within its memory; the other figures
//! are judged by people, because they depend on the machine.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a failed test is the report; a measurement reads the clock and owns its tasks"
)]

#[path = "support/many.rs"]
mod many;
mod support;

use std::process::Stdio;
use std::time::{Duration, Instant};

use contracts::proto::order::Status;
use contracts::proto::order_service_client::OrderServiceClient;
use many::{CALLERS, PRODUCTS, place_all, receive_all, request};
use support::{Outcome, Up, command, wait_for};
use tonic::transport::{Channel, Endpoint};

/// Orders placed one after another, for latency.
const SINGLE: usize = 200;
/// Orders placed at once, for throughput.
const MANY: usize = 10_000;
/// Resident memory of a process in MiB.
fn resident_mib(pid: u64) -> u64 {
    memory_mib(pid, "VmRSS").unwrap()
}

/// What the kernel says of a process's memory, in MiB; `None` once it has ended.
fn memory_mib(pid: u64, name: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with(name))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024)
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

/// A way to the gateway, which has accepted the stock.
fn stocked(up: &Up) -> (tokio::runtime::Runtime, Channel) {
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
    (runtime, channel)
}

/// Orders of the store that is audited.
fn audited() -> usize {
    let asked = std::env::var("AUDIT_ORDERS").map(|orders| orders.parse().unwrap());
    asked.unwrap_or(20_000)
}

/// Audits the store; also its largest resident memory in MiB.
fn audit(up: &Up, items_max: &str) -> (Outcome, u64) {
    let mut audit = command(&["audit", "--output", "json", "--items-max", items_max]);
    let piped = audit.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.envs(up.environment()).spawn().unwrap();
    let mut largest = 0;
    while child.try_wait().unwrap().is_none() {
        let now = memory_mib(u64::from(child.id()), "VmHWM");
        largest = largest.max(now.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(20));
    }
    (Outcome::of(child.wait_with_output().unwrap()), largest)
}

#[test]
#[ignore = "a measurement: run it alone, in release, with --nocapture"]
fn an_audit_of_many_orders_keeps_to_its_memory() {
    let orders = audited();
    let up = Up::start(&["--fresh"]);
    let (runtime, channel) = stocked(&up);
    let started = Instant::now();
    runtime.block_on(place_all(channel, orders));
    println!("{orders} orders accepted in {:?}", started.elapsed());
    many::reserved(&up, orders);
    println!("and reserved after {:?}", started.elapsed());
    for (items_max, mib_max) in [("100000", 150), ("1500000", 500)] {
        let started = Instant::now();
        let (outcome, mib) = audit(&up, items_max);
        let took = started.elapsed();
        let counts = &outcome.json()[0]["counts"];
        println!("audit holding {items_max} items: {took:?}, {mib} MiB, {counts}");
        assert_eq!(outcome.status, 0, "{outcome:?}");
        assert_eq!(counts["orders"].as_u64(), u64::try_from(orders).ok());
        assert!(mib > 0, "its memory was not seen");
        assert!(mib < mib_max, "{mib} MiB");
    }
    assert_eq!(up.stop(), 0);
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

    let (runtime, channel) = stocked(&up);
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
    runtime.block_on(place_all(channel, MANY));
    let accepted = started.elapsed();
    many::reserved(&up, SINGLE + MANY);
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
