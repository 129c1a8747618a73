//! `shop audit` on real stores: kept promises, broken ones, and traffic.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use contracts::proto::inventory_service_client::InventoryServiceClient;
use contracts::proto::order_service_client::OrderServiceClient;
use contracts::proto::{
    CancelOrderRequest, Order, OrderLine, PlaceOrderRequest, ReceiveStockRequest,
};
use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use support::{LISTEN, Outcome, Up, command, order, order_or_reject, wait_for};

/// Audits until nothing is in flight; the last outcome and its report.
fn audited(store: &Up, flags: &[&str]) -> (Outcome, Value) {
    let arguments = [&["audit", "--output", "json"], flags].concat();
    wait_for("the store is at rest", || {
        let outcome = store.shop(&arguments);
        assert!(outcome.status < 2, "{outcome:?}");
        let report = outcome.json().remove(0);
        let is_settled = report["unsettled"].as_array().unwrap().is_empty();
        is_settled.then_some((outcome, report))
    })
}

/// Who offends, each as `invariant what`.
fn offenders(report: &Value) -> Vec<String> {
    let offenders = report["offenders"].as_array().unwrap().iter();
    let name = |one: &Value, field: &str| one[field].as_str().unwrap().to_owned();
    offenders
        .map(|one| format!("{} {}", name(one, "invariant"), name(one, "what")))
        .collect()
}

/// Orders of all kinds, receipts, a duplicate and a conflict; A is RESERVED at the end.
fn traffic(store: &Up) {
    assert_eq!(store.shop(&["seed"]).status, 0);
    let place = |body: &Value, wait: &str| {
        let placed = store.place(body, &["--wait", wait]);
        assert_eq!(placed.status, 0, "{placed:?}");
    };
    place(&order("A", &[("PRODUCT_001", 3)]), "RESERVED");
    assert_eq!(
        store.place(&order("A", &[("PRODUCT_001", 3)]), &[]).status,
        0
    );
    // Another order of the same id: accepted, and set down as a conflict.
    store.place(&order("A", &[("PRODUCT_001", 4)]), &[]);
    place(
        &order("B", &[("PRODUCT_001", 2), ("PRODUCT_002", 1)]),
        "RESERVED",
    );
    assert_eq!(store.shop(&["complete", "B"]).status, 0);
    place(&order("C", &[("PRODUCT_001", 500)]), "BACKORDERED");
    place(&order("D", &[("PRODUCT_001", 1)]), "BACKORDERED");
    assert_eq!(
        store
            .shop(&["receive", "PRODUCT_001", "600", "--receipt", "R"])
            .status,
        0
    );
    assert_eq!(
        store
            .shop(&["receive", "PRODUCT_001", "600", "--receipt", "R"])
            .status,
        0
    );
    store.wait_for_status("D", "RESERVED");
    place(&order_or_reject("E", &[("NOBODY_KNOWS", 1)]), "REJECTED");
    assert_eq!(store.shop(&["cancel", "C"]).status, 0);
    store.wait_for_status("B", "COMPLETED");
    store.wait_for_status("C", "CANCELLED");
    assert_eq!(store.shop(&["cancel", "LATER"]).status, 0);
    place(&order("LATER", &[("PRODUCT_001", 1)]), "CANCELLED");
    place(&order("W", &[("PRODUCT_002", 900)]), "BACKORDERED");
}

#[test]
fn a_store_that_kept_its_promises_is_proven_in_one_pass_and_in_many() {
    let store = Up::start(&["--fresh"]);
    traffic(&store);
    let (outcome, report) = audited(&store, &[]);
    assert_eq!(
        (outcome.status, &report["offenders_count"]),
        (0, &0.into()),
        "{report:#}"
    );
    let counts = &report["counts"];
    assert_eq!(
        (&counts["orders"], &counts["conflicts"]),
        (&7.into(), &1.into()),
        "{report:#}"
    );
    let (outcome, in_parts) = audited(&store, &["--items-max", "20"]);
    assert_eq!(outcome.status, 0, "{in_parts:#}");
    assert!(
        in_parts["counts"]["passes"].as_u64() > Some(3),
        "{in_parts:#}"
    );
    assert_eq!(in_parts["counts"]["records"], counts["records"]);
    let people = store.shop(&["audit"]);
    assert!(
        people.out.ends_with("every promise was kept\n"),
        "{people:?}"
    );
}

/// Edits a database that nobody uses.
async fn edit(folder: &Path, database: &str, statement: &str) {
    let options = SqliteConnectOptions::new().filename(folder.join(database));
    let mut connection = options.connect().await.unwrap();
    let statement = AssertSqlSafe(statement.to_owned());
    let done = sqlx::query(statement)
        .execute(&mut connection)
        .await
        .unwrap();
    assert_eq!(done.rows_affected(), 1);
    connection.close().await.unwrap();
}

/// Starts the store in `folder`, places an order, and lets the store die with the order's event in
/// the outbox.
fn die_before_publishing(folder: &Path, order_id: &str) {
    let ready: PathBuf = folder.join("ready.json");
    let mut up = command(&["up", "--data-dir", folder.to_str().unwrap(), "--ready-file"]);
    up.arg(&ready).env("SHOP_CRASH_AT", "before-append:1");
    for (_, flag) in LISTEN {
        up.args([flag, "127.0.0.1:0"]);
    }
    let mut child = up
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let said = wait_for("the store is ready", || {
        std::fs::read_to_string(&ready).ok()
    });
    let said: Value = serde_json::from_str(&said).unwrap();
    let file = folder.join("order.json");
    std::fs::write(&file, order(order_id, &[("PRODUCT_001", 1)]).to_string()).unwrap();
    let gateway = format!("http://{}", said["gateway"].as_str().unwrap());
    let placed = command(&["place", file.to_str().unwrap(), "--gateway", &gateway]);
    // What it is told depends on how fast the store dies.
    Outcome::of({ placed }.output().unwrap());
    wait_for("the store dies", || child.try_wait().unwrap());
}

#[tokio::test]
async fn a_store_whose_databases_were_edited_by_hand_is_refuted_row_by_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let flags = ["--data-dir", path.to_str().unwrap()];
    let store = Up::start(&flags);
    traffic(&store);
    assert_eq!(audited(&store, &[]).0.status, 0);
    assert_eq!(store.stop(), 0);
    die_before_publishing(path, "LOST");
    edit(path, "order.db", "DELETE FROM outbox").await;
    edit(
        path,
        "order.db",
        "UPDATE orders SET status = 'COMPLETED' WHERE order_id = 'A'",
    )
    .await;
    let statement = "UPDATE stock SET on_hand = on_hand + 1 WHERE product_id = 'PRODUCT_002'";
    edit(path, "inventory.db", statement).await;
    let store = Up::start(&flags);
    let (outcome, report) = audited(&store, &[]);
    assert_eq!(outcome.status, 1);
    assert_eq!(
        offenders(&report),
        [
            "F4 order A",
            "F5 order A",
            "F2 order LOST",
            "F4 product PRODUCT_002"
        ],
        "{report:#}"
    );
}

#[test]
fn a_service_that_is_away_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = support::without_inventory(
        &support::Elsewhere::default(),
        folder.path().to_str().unwrap(),
    );
    let outcome = store.shop(&["audit"]);
    assert_eq!(outcome.status, 3, "{outcome:?}");
    assert!(outcome.err.contains("inventory"), "{outcome:?}");
}

/// Places, cancels and receives until told to stop.
async fn bustle(gateway: String, caller: usize, stop: Arc<AtomicBool>) {
    let mut orders = OrderServiceClient::connect(gateway.clone()).await.unwrap();
    let mut stock = InventoryServiceClient::connect(gateway).await.unwrap();
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let order_id = format!("BUSY_{caller}_{number}");
        let line = OrderLine {
            product_id: format!("PRODUCT_00{}", 1 + number % 2),
            quantity: 1 + number % 3,
            unit_price_minor: 100,
        };
        let order = Order {
            order_id: order_id.clone(),
            customer_id: "CUSTOMER".to_owned(),
            currency: "GBP".to_owned(),
            lines: vec![line],
            ..Order::default()
        };
        let request = PlaceOrderRequest {
            order: Some(order),
            ..PlaceOrderRequest::default()
        };
        orders.place_order(request).await.unwrap();
        if number % 3 == 0 {
            let request = CancelOrderRequest {
                order_id,
                ..CancelOrderRequest::default()
            };
            orders.cancel_order(request).await.unwrap();
        }
        if number % 5 == 0 {
            let request = ReceiveStockRequest {
                receipt_id: format!("RECEIPT_{caller}_{number}"),
                product_id: format!("PRODUCT_00{}", 1 + number % 2),
                quantity: 3,
            };
            stock.receive_stock(request).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn under_traffic_it_says_what_it_could_not_judge_and_blames_nobody() {
    let store = Up::start(&["--fresh", "--seed"]);
    let stop = Arc::new(AtomicBool::new(false));
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..4 {
        callers.spawn(bustle(store.gateway(), caller, Arc::clone(&stop)));
    }
    let (mut audits, mut unsettled) = (0, 0);
    wait_for("audits under traffic", || {
        let outcome = store.shop(&["audit", "--output", "json"]);
        assert_eq!(outcome.status, 0, "{outcome:?}");
        audits += 1;
        let report = outcome.json().remove(0);
        unsettled += usize::from(!report["unsettled"].as_array().unwrap().is_empty());
        (audits >= 2 && unsettled > 0).then_some(())
    });
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = callers.join_next().await {
        ended.unwrap();
    }
    let (outcome, report) = audited(&store, &[]);
    assert_eq!(outcome.status, 0, "{report:#}");
    assert!(report["counts"]["orders"].as_u64() > Some(20), "{report:#}");
}
