//! Inventory away and back, out of stock and restocked, cancel and complete: on real processes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

#[path = "support/place.rs"]
mod place;
mod support;
#[path = "../../tests/common/topics.rs"]
mod topics;

use place::Place;
use serde_json::Value;
use support::{Up, inventory, order, order_or_reject, wait_for, without_inventory};

at_every_place! {
    orders_wait_for_inventory_and_are_reserved_when_it_comes,
    inventory_that_was_killed_goes_on_where_it_was,
    stock_that_comes_serves_who_waited_first,
    a_waiter_that_is_cancelled_frees_the_one_behind_it,
    cancel_releases_and_complete_ships_and_each_happens_once,
}

/// A store that has received its stock and was stopped. Only what Inventory has seen can be ordered
/// while it is away: it may well read an order before a receipt in another partition.
fn stocked_and_stopped(place: &Place, folder: &str) {
    let store = place.start(&["--data-dir", folder, "--seed"]);
    assert_eq!(store.stop(), 0);
}

fn orders_wait_for_inventory_and_are_reserved_when_it_comes(place: &Place) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    stocked_and_stopped(place, folder);
    let (store, address) = without_inventory(&place.elsewhere, folder);

    let placed = store.place(&order("A", &[("PRODUCT_001", 3)]), &["--output", "json"]);
    assert_eq!(placed.status, 0, "{placed:?}");
    assert_eq!(placed.json()[0]["status"], "PENDING");
    assert_eq!(store.wait_for_status("A", "PENDING")["version"], 1);
    let stock = store.shop(&["stock"]);
    assert_eq!(stock.status, 3, "{stock:?}");
    assert!(stock.err.contains("UNAVAILABLE"), "{stock:?}");
    let waited = store.place(
        &order("A", &[("PRODUCT_001", 3)]),
        &["--wait", "RESERVED", "--timeout", "1"],
    );
    assert_eq!(waited.status, 4, "{waited:?}");
    assert!(waited.err.contains("PENDING"), "{waited:?}");

    let _inventory = inventory(folder, &address, &store);
    store.wait_for_status("A", "RESERVED");
    wait_for("the stock can be asked for", || {
        let stock = store.shop(&["stock", "PRODUCT_001", "--output", "json"]);
        (stock.status == 0).then(|| assert_eq!(stock.json()[0]["reserved"], 3))
    });
}

fn inventory_that_was_killed_goes_on_where_it_was(place: &Place) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    stocked_and_stopped(place, folder);
    let (store, address) = without_inventory(&place.elsewhere, folder);
    let mut first = inventory(folder, &address, &store);
    let reserved = ["--wait", "RESERVED"];
    assert_eq!(
        store
            .place(&order("A", &[("PRODUCT_001", 3)]), &reserved)
            .status,
        0
    );
    first.kill();
    assert_eq!(
        store.place(&order("B", &[("PRODUCT_001", 2)]), &[]).status,
        0
    );
    store.wait_for_status("B", "PENDING");
    let _second = inventory(folder, &address, &store);
    store.wait_for_status("B", "RESERVED");
    wait_for("the stock can be asked for", || {
        let stock = store.shop(&["stock", "PRODUCT_001", "--output", "json"]);
        (stock.status == 0).then(|| assert_eq!(stock.json()[0]["reserved"], 5))
    });
}

fn stock_that_comes_serves_who_waited_first(place: &Place) {
    let store = place.start(&["--fresh", "--seed"]);
    let backordered = |id: &str, lines: &[(&str, i32)]| {
        let placed = store.place(
            &order(id, lines),
            &["--wait", "BACKORDERED", "--output", "json"],
        );
        assert_eq!(placed.status, 0, "{placed:?}");
        assert_eq!(placed.json()[0]["status"], "BACKORDERED");
    };
    backordered("FIRST", &[("PRODUCT_001", 20)]);
    assert_eq!(store.order("FIRST")["reason"], "waiting for PRODUCT_001");
    // It would fit, but somebody waits already.
    backordered("SECOND", &[("PRODUCT_001", 5), ("PRODUCT_002", 1)]);
    // The plentiful line of an order that waits holds nobody up.
    let other = store.place(
        &order("OTHER", &[("PRODUCT_002", 15)]),
        &["--wait", "RESERVED"],
    );
    assert_eq!(other.status, 0, "{other:?}");
    // A waiter ahead counts as short.
    let rejected = store.place(
        &order_or_reject("NEVER", &[("PRODUCT_001", 1)]),
        &["--wait", "REJECTED"],
    );
    assert_eq!(rejected.status, 0, "{rejected:?}");
    let never = store.order("NEVER");
    assert_eq!(never["status"], "REJECTED");
    assert!(
        never["reason"].as_str().unwrap().contains("PRODUCT_001"),
        "{never}"
    );

    let received = store.shop(&["receive", "PRODUCT_001", "10", "--receipt", "R1"]);
    assert_eq!(received.status, 0, "{received:?}");
    store.wait_for_status("FIRST", "RESERVED");
    assert_eq!(store.stock("PRODUCT_001"), (20, 20));
    assert_eq!(store.order("SECOND")["status"], "BACKORDERED");

    // Cancelling releases what it held: SECOND is served, as far as PRODUCT_001 goes, and now
    // waits for PRODUCT_002, which OTHER has taken.
    assert_eq!(store.shop(&["cancel", "FIRST"]).status, 0);
    store.wait_for_status("FIRST", "CANCELLED");
    wait_for("PRODUCT_001 is free again", || {
        (store.stock("PRODUCT_001") == (20, 0)).then_some(())
    });
    assert_eq!(store.order("SECOND")["status"], "BACKORDERED");
    assert_eq!(store.shop(&["receive", "PRODUCT_002", "1"]).status, 0);
    store.wait_for_status("SECOND", "RESERVED");
    assert_eq!(store.stock("PRODUCT_001"), (20, 5));
    assert_eq!(store.stock("PRODUCT_002"), (16, 16));
}

fn a_waiter_that_is_cancelled_frees_the_one_behind_it(place: &Place) {
    let store = place.start(&["--fresh", "--seed"]);
    for (id, quantity) in [("FIRST", 20), ("BEHIND", 10)] {
        let placed = store.place(
            &order(id, &[("PRODUCT_001", quantity)]),
            &["--wait", "BACKORDERED"],
        );
        assert_eq!(placed.status, 0, "{placed:?}");
    }
    assert_eq!(store.order("BEHIND")["status"], "BACKORDERED");
    assert_eq!(store.shop(&["cancel", "FIRST"]).status, 0);
    store.wait_for_status("BEHIND", "RESERVED");
    assert_eq!(store.stock("PRODUCT_001"), (10, 10));
}

/// What a second cancel or complete must not change.
fn all_of(store: &Up, order_id: &str) -> (Value, (i64, i64), usize) {
    (
        store.order(order_id),
        store.stock("PRODUCT_001"),
        store.tail("order.events").len() + store.tail("inventory.events").len(),
    )
}

/// Sends a command for an order twice; `settled` says when the first has had its whole effect.
fn twice(store: &Up, verb: &str, order_id: &str, settled: impl Fn() -> bool) {
    assert_eq!(store.shop(&[verb, order_id]).status, 0);
    wait_for(&format!("{verb} {order_id}"), || settled().then_some(()));
    let before = all_of(store, order_id);
    assert_eq!(store.shop(&[verb, order_id]).status, 0);
    // The log is in order: once a later order of this partition is through, so is the command.
    let later = format!("{order_id}.AFTER");
    let same_partition = (0..)
        .map(|n| format!("{later}.{n}"))
        .find(|id| partition(id) == partition(order_id));
    let fence = same_partition.unwrap();
    let placed = store.place(
        &order_or_reject(&fence, &[("NOTHING", 1)]),
        &["--wait", "REJECTED"],
    );
    assert_eq!(placed.status, 0, "{placed:?}");
    let after = all_of(store, order_id);
    assert_eq!((before.0, before.1), (after.0, after.1));
    // The fence's own: placed, refused, rejected.
    assert_eq!(before.2 + 3, after.2);
}

fn partition(order_id: &str) -> i32 {
    messaging::partitioner::partition_of(order_id.as_bytes(), 4)
}

fn cancel_releases_and_complete_ships_and_each_happens_once(place: &Place) {
    let store = place.start(&["--fresh", "--seed"]);
    for (id, quantity) in [("CANCELLED", 4), ("SHIPPED", 3)] {
        let placed = store.place(
            &order(id, &[("PRODUCT_001", quantity)]),
            &["--wait", "RESERVED"],
        );
        assert_eq!(placed.status, 0, "{placed:?}");
    }
    assert_eq!(store.stock("PRODUCT_001"), (10, 7));
    twice(&store, "cancel", "CANCELLED", || {
        store.order("CANCELLED")["status"] == "CANCELLED" && store.stock("PRODUCT_001") == (10, 3)
    });
    twice(&store, "complete", "SHIPPED", || {
        store.order("SHIPPED")["status"] == "COMPLETED" && store.stock("PRODUCT_001") == (7, 0)
    });
    // Each end stays: completing what is cancelled and cancelling what is shipped does nothing.
    assert_eq!(store.shop(&["complete", "CANCELLED"]).status, 0);
    assert_eq!(store.shop(&["cancel", "SHIPPED"]).status, 0);
    let placed = store.place(
        &order("LATER", &[("PRODUCT_001", 1)]),
        &["--wait", "RESERVED"],
    );
    assert_eq!(placed.status, 0, "{placed:?}");
    assert_eq!(store.order("CANCELLED")["status"], "CANCELLED");
    assert_eq!(store.order("SHIPPED")["status"], "COMPLETED");
    assert_eq!(store.stock("PRODUCT_001"), (7, 1));
}
