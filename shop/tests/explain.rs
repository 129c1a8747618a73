//! `shop explain` on a real store: what an operator reads.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

mod support;

use messaging::clock::Timestamp;
use messaging::log::kafka::{Config, KafkaLog};
use messaging::log::{Log, Record};
use messaging::partitioner::partition_of;
use serde_json::{Value, json};
use support::{Up, order, wait_for};

/// Explains until the explanation holds `words`: what was accepted takes its time to be read.
fn explained_with(store: &Up, order_id: &str, words: &str) -> String {
    wait_for(&format!("{order_id} with {words:?}"), || {
        let text = store.shop(&["explain", order_id]).out;
        text.contains(words).then_some(text)
    })
}

/// The message types of the timeline, from first to last.
fn names(text: &str) -> Vec<&str> {
    let rows = text
        .lines()
        .filter(|line| line.contains("/") && line.contains('@'));
    let rows = rows.filter(|line| line.starts_with(|first: char| first.is_ascii_digit()));
    rows.map(|line| line.split_whitespace().nth(3).unwrap())
        .collect()
}

/// The last line.
fn end(text: &str) -> &str {
    text.lines().last().unwrap()
}

#[test]
fn a_reserved_order_is_told_from_cause_to_cause() {
    let store = Up::start(&["--fresh", "--seed"]);
    let placed = store.place(&order("A", &[("PRODUCT_001", 3)]), &["--wait", "RESERVED"]);
    assert_eq!(placed.status, 0, "{placed:?}");
    let end = "A waits for nothing here: its stock is held until somebody completes or cancels it";
    explained_with(&store, "A", "OrderReserved");
    let text = explained_with(&store, "A", end);
    assert!(
        text.starts_with("order        A\nstatus       RESERVED, version 2\n"),
        "{text}"
    );
    assert_eq!(
        names(&text),
        [
            "PlaceOrder",
            "OrderPlaced",
            "StockReserved",
            "OrderReserved"
        ]
    );
    for words in [
        "ms after 1",
        "ms after 2",
        "ms after 3",
        "3 PRODUCT_001 for CUSTOMER_001",
    ] {
        assert!(text.contains(words), "no {words:?} in {text}");
    }
    assert!(text.trim_end().ends_with(end), "{text}");

    let lines = store.shop(&["explain", "A", "--output", "json"]).json();
    let events: Vec<_> = lines
        .iter()
        .filter(|line| line["line"] == "message")
        .collect();
    assert_eq!(lines[0]["status"], "RESERVED");
    assert_eq!(events[1]["cause"], events[0]["id"]);
    assert!(events[1]["since_cause_ms"].is_i64());
    assert_eq!(lines.last().unwrap()["for"], "shipment");

    store.shop(&["complete", "A"]);
    explained_with(&store, "A", "StockShipped");
    let end = "\n\nA waits for nothing: COMPLETED is final\n";
    assert!(explained_with(&store, "A", end).ends_with(end));
}

#[test]
fn a_backordered_order_waits_until_the_delivery_that_serves_it() {
    let store = Up::start(&["--fresh", "--seed"]);
    for (id, quantity) in [("FIRST", 20), ("SECOND", 5)] {
        let placed = store.place(&order(id, &[("PRODUCT_001", quantity)]), &[]);
        assert_eq!(placed.status, 0, "{placed:?}");
        store.wait_for_status(id, "BACKORDERED");
    }
    let text = explained_with(&store, "SECOND", "OrderBackordered");
    assert!(
        text.contains("BACKORDERED, version 2: waiting for PRODUCT_001"),
        "{text}"
    );
    assert_eq!(
        end(&text),
        "SECOND waits for stock of PRODUCT_001: 10 available, 5 needed; position 2 in the queue, \
         and nobody passes"
    );

    let received = store.shop(&["receive", "PRODUCT_001", "15", "--receipt", "R1"]);
    assert_eq!(received.status, 0, "{received:?}");
    store.wait_for_status("SECOND", "RESERVED");
    let text = explained_with(&store, "SECOND", "OrderReserved");
    assert_eq!(
        names(&text)[4..],
        ["ReceiveStock", "StockReserved", "OrderReserved"],
        "the delivery stands before what it caused: {text}"
    );
    assert!(text.contains("15 PRODUCT_001, receipt R1"), "{text}");
}

#[test]
fn a_duplicate_and_a_conflict_are_marked() {
    let store = Up::start(&["--fresh", "--seed"]);
    let first = order("A", &[("PRODUCT_001", 3)]);
    let placed = store.place(&first, &["--wait", "RESERVED"]);
    assert_eq!(placed.status, 0, "{placed:?}");
    assert_eq!(store.place(&first, &["--wait", "RESERVED"]).status, 0);
    let conflict = store.place(&order("A", &[("PRODUCT_001", 4)]), &["--wait", "RESERVED"]);
    assert!(conflict.err.contains("ALREADY_EXISTS"), "{conflict:?}");

    let lines = store.shop(&["explain", "A", "--output", "json"]).json();
    let commands: Vec<_> = lines
        .iter()
        .filter(|line| line["topic"] == "order.commands")
        .collect();
    let marks: Vec<_> = commands
        .iter()
        .map(|line| line["marks"][0]["mark"].clone())
        .collect();
    assert_eq!(marks, [Value::Null, json!("duplicate"), json!("conflict")]);

    let text = explained_with(&store, "A", "CONFLICT");
    let first = format!(
        "order.commands/{}@{}",
        commands[0]["partition"], commands[0]["offset"]
    );
    for mark in [
        format!("^ DUPLICATE of {first}: changes nothing"),
        format!("^ CONFLICT: other content than {first}; changes nothing"),
    ] {
        assert_eq!(text.matches(&mark).count(), 1, "{mark:?} in {text}");
    }
}

#[test]
fn an_order_cancelled_before_it_was_placed() {
    let store = Up::start(&["--fresh", "--seed"]);
    let cancelled = store.shop(&["cancel", "A", "--reason", "mistake"]);
    assert_eq!(cancelled.status, 0, "{cancelled:?}");
    let placed = store.place(&order("A", &[("PRODUCT_001", 3)]), &[]);
    assert_eq!(placed.status, 0, "{placed:?}");
    explained_with(&store, "A", "OrderCancelled");
    let end = "\n\nA waits for nothing: CANCELLED is final\n";
    let text = explained_with(&store, "A", end);
    assert!(
        text.contains("status       CANCELLED, version 1: mistake"),
        "{text}"
    );
    assert_eq!(
        names(&text)[..3],
        ["CancelOrder", "PlaceOrder", "OrderCancelled"]
    );
}

/// Appends a command to an order that nobody can read.
fn poison(store: &Up, order_id: &'static str) {
    let log = KafkaLog::new(Config {
        bootstrap: vec![store.address("log").to_owned()],
        client_id: "test".to_owned(),
    });
    let record = Record {
        key: Some(order_id.into()),
        value: Some("garbage".into()),
        headers: Vec::new(),
        timestamp: Timestamp(1),
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let partitions = log.partitions("order.commands").await.unwrap().unwrap();
        let partition = partition_of(order_id.as_bytes(), partitions);
        let appended = log.append("order.commands", partition, vec![record]).await;
        appended.unwrap();
    });
}

#[test]
fn messages_that_are_set_aside_are_marked_and_waited_for() {
    let store = Up::start(&["--fresh", "--seed"]);
    let placed = store.place(&order("A", &[("PRODUCT_001", 3)]), &["--wait", "RESERVED"]);
    assert_eq!(placed.status, 0, "{placed:?}");
    poison(&store, "A");
    assert_eq!(store.shop(&["cancel", "A"]).status, 0);
    let text = explained_with(&store, "A", "PARKED by order (behind)");
    assert!(text.contains("^ PARKED by order (undecodable): "), "{text}");
    assert!(text.contains("status       RESERVED"), "{text}");
    let row = text.lines().find(|line| line.contains("cannot be read"));
    let poisoned = row.unwrap().split_whitespace().nth(2).unwrap();
    let end = end(&text);
    assert!(
        end.starts_with(&format!(
            "A waits for an operator: order set {poisoned} aside ("
        )),
        "{end}"
    );
    assert!(
        end.ends_with(&format!(
            ", and 1 more behind it; run: shop parked show {poisoned}"
        )),
        "{end}"
    );

    let dry_run = store.shop(&["parked", "replay", "A", "--dry-run"]);
    assert!(dry_run.out.contains("parked"), "{dry_run:?}");
    let flags = ["--reason", "a slip", "--operator", "anna"];
    for command in [["discard", poisoned], ["replay", "A"]] {
        let done = store.shop(&[&["parked"], &command[..], &flags].concat());
        assert_eq!(done.status, 0, "{done:?}");
    }
    let text = explained_with(&store, "A", "OrderCancelled");
    for mark in [
        "^ DISCARDED: it has no effect; by anna (a slip)",
        "^ REPLAYED after order had set it aside: applied; by anna (a slip)",
    ] {
        assert!(text.contains(mark), "no {mark:?} in {text}");
    }
}

#[test]
fn an_order_that_nobody_knows_is_refused() {
    let store = Up::start(&["--fresh", "--seed"]);
    let outcome = store.shop(&["explain", "NOBODY"]);
    assert_eq!(outcome.status, 1, "{outcome:?}");
    assert!(outcome.out.is_empty(), "{outcome:?}");
    assert!(
        outcome
            .err
            .starts_with("error: no order NOBODY: no service and no message in the log knows it"),
        "{outcome:?}"
    );
    let outcome = store.shop(&["explain", "no/id"]);
    assert_eq!(outcome.status, 2, "{outcome:?}");
}

#[test]
fn parts_that_are_down_are_named_and_the_rest_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    let (store, inventory) = support::without_inventory(&support::Elsewhere::default(), folder);
    let placed = store.place(&order("A", &[("PRODUCT_001", 3)]), &[]);
    assert_eq!(placed.status, 0, "{placed:?}");
    store.wait_for_status("A", "PENDING");
    let url = format!("http://{inventory}");
    let text = wait_for("the placement in the log", || {
        let outcome = store.shop(&["explain", "A", "--inventory", &url]);
        assert_eq!(outcome.status, 0, "{outcome:?}");
        outcome.out.contains("OrderPlaced").then_some(outcome.out)
    });
    assert!(
        text.contains(&format!("note: inventory does not answer at {url}: ")),
        "{text}"
    );
    let row = text.lines().find(|line| line.contains("OrderPlaced"));
    let placed = row.unwrap().split_whitespace().nth(2).unwrap();
    assert_eq!(
        end(&text),
        format!("A waits for inventory to read {placed}, and nobody answers at {url}")
    );

    let no_log = ["explain", "A", "--log", &support::free_address()];
    let outcome = store.shop(&no_log);
    assert_eq!(outcome.status, 0, "{outcome:?}");
    assert!(outcome.out.contains("status       PENDING"), "{outcome:?}");
    let unread = "note: order.commands, order.events, inventory.events could not be read: ";
    assert!(outcome.out.contains(unread), "{outcome:?}");

    let nobody = ["explain", "NOBODY", "--inventory", &url];
    let outcome = store.shop(&nobody);
    assert_eq!(
        outcome.status, 3,
        "who did not answer may know it: {outcome:?}"
    );
    assert!(
        outcome.err.contains("what answers does not know it"),
        "{outcome:?}"
    );
}
