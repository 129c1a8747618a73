//! What piles up while a service is away is worked off within its memory.
//!
//! `cargo test --release -p shop --test backlog a_backlog_here -- --ignored --nocapture`; with
//! `BACKLOG_ORDERS` another number waits. `a_backlog_on_servers` needs servers, see tests/.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a failed test is the report; a measurement reads the clock and owns its tasks"
)]

#[path = "support/many.rs"]
mod many;
#[path = "support/place.rs"]
mod place;
mod support;
#[path = "../../tests/common/topics.rs"]
mod topics;

use std::time::Instant;

use place::Place;
use support::{Up, inventory, wait_for, without_inventory};
use tonic::transport::Endpoint;

/// How much the memory of a service may grow, in MiB.
const GROWTH_MIB_MAX: u64 = 50;

#[test]
#[ignore = "a measurement: run it alone, in release, with --nocapture"]
fn a_backlog_here_is_worked_off_within_its_memory() {
    worked_off_at(&Place::here());
}

#[test]
#[ignore = "needs servers: export MESSAGING_TEST_POSTGRES=$(tests/postgres up) $(tests/kafka up)"]
fn a_backlog_on_servers_is_worked_off_within_its_memory() {
    worked_off_at(&Place::servers());
}

fn waiting() -> usize {
    std::env::var("BACKLOG_ORDERS").map_or(200_000, |orders| orders.parse().unwrap())
}

fn worked_off_at(place: &Place) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    // Inventory makes its topics when it first starts; Order waits for them once.
    let first = Up::spawn_beside(&place.elsewhere, &["--data-dir", folder]).ready();
    assert_eq!(first.stop(), 0);
    let (store, address) = without_inventory(&place.elsewhere, folder);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let endpoint = Endpoint::from_shared(store.gateway()).unwrap();
    let channel = runtime
        .block_on(endpoint.tcp_nodelay(true).connect())
        .unwrap();

    let idle = inventory(folder, &address, &store);
    runtime.block_on(many::receive_all(channel.clone()));
    wait_for("the stock is booked", || {
        let last = format!("PRODUCT_{:03}", many::PRODUCTS - 1);
        (store.shop(&["stock", &last]).status == 0).then_some(())
    });
    let before = memory_mib(&idle, "VmHWM");
    assert_eq!(idle.stop(), 0);

    let orders = waiting();
    let started = Instant::now();
    runtime.block_on(many::place_all(channel, orders));
    println!(
        "{orders} orders accepted without Inventory in {:?}",
        started.elapsed()
    );

    let started = Instant::now();
    let again = inventory(folder, &address, &store);
    many::reserved(&store, orders);
    let took = started.elapsed();
    let after = memory_mib(&again, "VmHWM");
    println!(
        "worked off in {took:?}, {:.0} orders per second; at most {after} MiB, {before} MiB at rest",
        orders as f64 / took.as_secs_f64()
    );
    assert!(
        after < before + GROWTH_MIB_MAX,
        "from {before} to {after} MiB"
    );
    assert_eq!(again.stop(), 0);
    assert_eq!(store.stop(), 0);
}

/// What the kernel says of a process's memory, in MiB.
fn memory_mib(up: &Up, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", up.ready["pid"])).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1024
}
