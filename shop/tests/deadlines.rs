//! Deadlines on a real store: what customers and operators see, also when it was down meanwhile.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

mod support;

use std::time::Duration;

use support::{Up, order};

const SHORT: [(&str, i32); 1] = [("PRODUCT_001", 20)];

#[test]
fn a_backorder_times_out_and_frees_the_queue() {
    let store = Up::start(&["--fresh", "--seed"]);
    let placed = store.place(&order("A", &SHORT), &["--reserve-within", "3s"]);
    assert_eq!(placed.status, 0, "{placed:?}");
    store.wait_for_status("A", "BACKORDERED");
    let text = store.shop(&["explain", "A"]).out;
    assert!(
        text.contains("it is rejected unless reserved before 2"),
        "{text}"
    );
    let placed = store.place(&order("B", &[("PRODUCT_001", 5)]), &[]);
    assert_eq!(placed.status, 0, "{placed:?}");
    store.wait_for_status("B", "BACKORDERED");

    let rejected = store.wait_for_status("A", "REJECTED");
    assert_eq!(rejected["reason"], "TIMED_OUT: PRODUCT_001");
    assert_eq!(rejected["deadline"], rejected["reserve_by"]);
    store.wait_for_status("B", "RESERVED");
    let sheet = store.shop(&["order", "A"]).out;
    assert!(sheet.contains("\ndeadline     2"), "{sheet}");
    let text = store.shop(&["explain", "A"]).out;
    assert!(text.contains("TIMED_OUT: PRODUCT_001"), "{text}");
    let audit = store.shop(&["audit"]);
    assert_eq!(audit.status, 0, "{audit:?}");
}

#[test]
fn a_repetition_after_the_deadline_is_answered_as_before_and_another_deadline_is_a_conflict() {
    let store = Up::start(&["--fresh", "--seed"]);
    let by = |time| ["--wait", "REJECTED", "--reserve-by", time];
    let long_ago = by("2026-01-01T00:00:00Z");
    for _ in 0..2 {
        let placed = store.place(&order("A", &[("PRODUCT_001", 1)]), &long_ago);
        assert_eq!(placed.status, 0, "{placed:?}");
    }
    let order_a = store.order("A");
    assert_eq!(order_a["reason"], "TIMED_OUT");
    let other = by("2026-01-01T00:00:00.001Z");
    let conflict = store.place(&order("A", &[("PRODUCT_001", 1)]), &other);
    assert!(conflict.err.contains("ALREADY_EXISTS"), "{conflict:?}");
    let never = store.place(
        &order("B", &[("PRODUCT_001", 1)]),
        &by("1969-12-31T23:59:59Z"),
    );
    assert!(never.err.contains("order.reserve_by"), "{never:?}");
}

#[test]
fn the_stores_default_passes_while_the_store_is_down() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().to_str().unwrap();
    let flags = ["--data-dir", data_dir, "--reserve-within", "3s"];
    let mut store = Up::start(&[&flags[..], &["--seed"]].concat());
    let placed = store.place(&order("A", &SHORT), &[]);
    assert_eq!(placed.status, 0, "{placed:?}");
    let waits = store.wait_for_status("A", "BACKORDERED");
    assert!(
        waits["reserve_by"].is_null() && waits["deadline"].is_string(),
        "{waits}"
    );
    store.kill();
    std::thread::sleep(Duration::from_secs(3));

    // Without the flag: the deadline is the order's by now.
    let store = Up::start(&["--data-dir", data_dir]);
    store.wait_for_status("A", "REJECTED");
    let placed = store.place(&order("B", &SHORT), &[]);
    assert_eq!(placed.status, 0, "{placed:?}");
    let waits = store.wait_for_status("B", "BACKORDERED");
    assert!(waits["deadline"].is_null(), "{waits}");
    let audit = store.shop(&["audit"]);
    assert_eq!(audit.status, 0, "{audit:?}");
}
