//! The command line: the walkthrough, the output for programs, the exit statuses.

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
use serde_json::{Value, json};
use support::{LISTEN, Outcome, Up, checkout, command, order, order_or_reject};

/// `shop up` on free ports, with the data in `folder`.
fn up_in(folder: &std::path::Path, more: &[&str]) -> support::Starting {
    let mut arguments = vec!["--data-dir", folder.to_str().unwrap()];
    arguments.extend(more);
    Up::spawn(&arguments)
}

at_every_place! {
    the_walkthrough_changes_nothing_when_repeated,
}

fn the_walkthrough_changes_nothing_when_repeated(place: &Place) {
    let store = place.start(&["--fresh", "--seed"]);
    let example = checkout("examples/order-1.json");
    let example = example.to_str().unwrap();

    for _ in 0..2 {
        let seeded = store.shop(&["seed"]);
        assert_eq!(seeded.status, 0, "{seeded:?}");
    }
    assert_eq!(store.stock("PRODUCT_001"), (10, 0));

    let mut versions = Vec::new();
    for _ in 0..3 {
        let placed = store.shop(&["place", example, "--wait", "RESERVED", "--output", "json"]);
        assert_eq!(placed.status, 0, "{placed:?}");
        assert_eq!(
            placed.json(),
            [json!({
                "order_id": "ORDER_001",
                "request_id": "72029ae3-9876-4d2f-a0ae-aaee86b8ec34",
                "status": "RESERVED",
            })]
        );
        versions.push(store.order("ORDER_001")["version"].clone());
    }
    assert_eq!(versions, [2, 2, 2]);

    let stock = store.shop(&["stock", "--output", "json"]).json();
    assert_eq!(
        stock,
        [
            json!({"product_id": "PRODUCT_001", "on_hand": 10, "reserved": 3, "available": 7, "version": 1}),
            json!({"product_id": "PRODUCT_002", "on_hand": 15, "reserved": 2, "available": 13, "version": 1}),
        ]
    );
    assert_eq!(
        store.shop(&["stock"]).out,
        "PRODUCT      ON HAND  RESERVED  AVAILABLE\n\
         PRODUCT_001       10         3          7\n\
         PRODUCT_002       15         2         13\n"
    );

    let types: Vec<_> = store
        .tail("order.events")
        .iter()
        .map(|message| message["type"].clone())
        .collect();
    assert_eq!(
        types,
        ["shop.order.OrderPlaced", "shop.order.OrderReserved"]
    );
    assert_eq!(store.tail("order.commands").len(), 3);
}

#[test]
fn output_for_programs_is_proto_json() {
    let store = Up::start(&["--fresh", "--seed"]);
    for id in ["A", "B"] {
        let placed = store.place(&order(id, &[("PRODUCT_001", 2)]), &["--wait", "RESERVED"]);
        assert_eq!(placed.status, 0, "{placed:?}");
    }
    let orders = store.shop(&["orders", "--output", "json"]).json();
    let ids: Vec<_> = orders.iter().map(|order| &order["order_id"]).collect();
    assert_eq!(ids, ["B", "A"], "newest first, one object per line");
    let mut shown = orders[1].clone();
    let times = [shown["placed_at"].take(), shown["updated_at"].take()];
    assert!(
        times
            .iter()
            .all(|time| time.as_str().unwrap().ends_with('Z')),
        "{times:?}"
    );
    assert_eq!(
        shown,
        json!({
            "order_id": "A", "customer_id": "CUSTOMER_001", "currency": "GBP",
            "lines": [{"product_id": "PRODUCT_001", "quantity": 2, "unit_price_minor": 100}],
            "total_price_minor": 200, "total_quantity": 2, "on_shortage": "BACKORDER",
            "status": "RESERVED", "version": 2, "reason": "",
            "placed_at": null, "updated_at": null,
        })
    );

    let flags = [
        "orders",
        "--customer",
        "CUSTOMER_001",
        "--limit",
        "1",
        "--output",
        "json",
    ];
    assert_eq!(store.shop(&flags).json().len(), 1);
    assert!(
        store
            .shop(&["orders", "--status", "CANCELLED", "--output", "json"])
            .out
            .is_empty()
    );

    let cancelled = store.shop(&[
        "cancel",
        "A",
        "--reason",
        "changed my mind",
        "--output",
        "json",
    ]);
    assert_eq!(cancelled.json()[0]["order_id"], "A");
    let states = store.shop(&["watch", "A", "--output", "json"]).json();
    let last = states.last().unwrap();
    assert_eq!(
        (&last["status"], &last["reason"]),
        (&json!("CANCELLED"), &json!("changed my mind"))
    );

    let received = store.shop(&["receive", "P3", "5", "--receipt", "R1", "--output", "json"]);
    assert_eq!(
        received.json(),
        [json!({"receipt_id": "R1", "product_id": "P3"})]
    );
}

#[test]
fn each_way_to_fail_has_its_exit_status() {
    let store = Up::start(&["--fresh", "--seed"]);
    let told = |outcome: Outcome, status: i32, words: &[&str]| {
        assert_eq!(outcome.status, status, "{outcome:?}");
        for word in words {
            assert!(outcome.err.contains(word), "no {word:?} in {outcome:?}");
        }
    };
    // 1: refused, with every bad field; unknown; a conflict; another end than the one waited for.
    let bad = json!({"order": {"order_id": "a b", "lines": [{"quantity": 0}]}});
    let fields = [
        "INVALID_ARGUMENT",
        "\n  order.order_id: ",
        "\n  order.lines[0].quantity: ",
    ];
    told(store.place(&bad, &[]), 1, &fields);
    told(store.shop(&["order", "NOBODY"]), 1, &["NOT_FOUND"]);
    told(store.shop(&["stock", "NOTHING"]), 1, &["NOT_FOUND"]);
    let reserved = ["--wait", "RESERVED"];
    assert_eq!(
        store
            .place(&order("A", &[("PRODUCT_001", 1)]), &reserved)
            .status,
        0
    );
    told(
        store.place(&order("A", &[("PRODUCT_001", 2)]), &reserved),
        1,
        &["ALREADY_EXISTS"],
    );
    let too_much = order_or_reject("B", &[("PRODUCT_001", 100), ("PRODUCT_002", 1)]);
    let outcome = store.place(&too_much, &reserved);
    assert!(
        !outcome.err.contains("PRODUCT_002"),
        "only what was short: {outcome:?}"
    );
    told(outcome, 1, &["REJECTED", "PRODUCT_001"]);
    // 2: usage.
    told(
        store.shop(&["place", "no-such-file.json"]),
        2,
        &["no-such-file.json"],
    );
    told(store.place(&json!({"ordre": {}}), &[]), 2, &["ordre"]);
    told(
        store.shop(&["place", "-", "--wait", "SHIPPED"]),
        2,
        &["SHIPPED"],
    );
    told(store.shop(&["frobnicate"]), 2, &["frobnicate"]);
    told(store.shop(&["orders", "--limit", "0"]), 2, &["--limit"]);
    // 4: time ran out with the order standing.
    let waiting = store.place(
        &order("C", &[("PRODUCT_001", 100)]),
        &["--wait", "RESERVED", "--timeout", "1"],
    );
    told(waiting, 4, &["BACKORDERED", "waiting for PRODUCT_001"]);
    let watched = store.shop(&["watch", "C", "--timeout", "1"]);
    assert!(watched.out.contains("BACKORDERED"), "{watched:?}");
    told(watched, 4, &["time ran out"]);
    // 3: unreachable.
    let gateway = store.gateway();
    assert_eq!(store.stop(), 0);
    let outcome = command(&["stock", "--gateway", &gateway]).output().unwrap();
    told(Outcome::of(outcome), 3, &["no gateway answers"]);
}

#[test]
fn a_port_in_use_names_its_flag() {
    let folder = tempfile::tempdir().unwrap();
    for (_, flag) in LISTEN {
        let taken = messaging::server::bind("--test", "127.0.0.1:0".parse().unwrap()).unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let (status, err) = up_in(folder.path(), &[flag, &address]).fails();
        assert_eq!(status, 5, "{err}");
        let lines: Vec<_> = err.lines().collect();
        assert_eq!(lines.len(), 1, "{err}");
        assert!(
            lines[0].contains(flag) && lines[0].contains("in use"),
            "{err}"
        );
    }
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        0,
        "nothing was touched"
    );
}

#[test]
fn a_data_directory_in_use_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = up_in(folder.path(), &["--seed"]).ready();
    let (log, registry) = (store.address("log"), store.address("registry"));
    let elsewhere = ["--listen-log", log, "--listen-registry", registry];
    for parts in [
        vec![],
        vec!["--only", "log"],
        vec!["--only", "registry"],
        [vec!["--only", "order"], elsewhere.to_vec()].concat(),
        [vec!["--only", "inventory"], elsewhere.to_vec()].concat(),
    ] {
        let (status, err) = up_in(folder.path(), &parts).fails();
        assert_eq!(status, 5, "{parts:?}: {err}");
        let told = err
            .lines()
            .filter(|line| line.starts_with("error: "))
            .collect::<Vec<_>>();
        assert_eq!(told.len(), 1, "{parts:?}: {err}");
        assert!(
            told[0].contains("--data-dir") && told[0].contains("in use"),
            "{err}"
        );
    }
    assert_eq!(store.stock("PRODUCT_001"), (10, 0), "the first one goes on");
}

#[test]
fn the_number_of_partitions_cannot_change() {
    let folder = tempfile::tempdir().unwrap();
    let store = up_in(folder.path(), &["--partitions", "3", "--seed"]).ready();
    let placed = store.place(&order("A", &[("PRODUCT_001", 1)]), &["--wait", "RESERVED"]);
    assert_eq!(placed.status, 0, "{placed:?}");
    let ready_file = store.ready_file();
    assert!(ready_file.exists());
    assert_eq!(store.stop(), 0);
    assert!(
        !ready_file.exists(),
        "a store that has stopped is not ready"
    );

    let (status, err) = up_in(folder.path(), &["--partitions", "4"]).fails();
    assert_eq!(status, 5, "{err}");
    assert!(err.contains("start with --partitions 3"), "{err}");

    let store = up_in(folder.path(), &["--partitions", "3"]).ready();
    assert_eq!(store.order("A")["status"], "RESERVED");
    assert_eq!(store.stock("PRODUCT_001"), (10, 1));
}

#[test]
fn the_ready_file_tells_what_runs_here() {
    let store = Up::start(&["--fresh", "--only", "log,registry"]);
    let names: Vec<_> = store.ready.as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["data_dir", "http", "log", "pid", "registry"]);
    assert!(store.ready["pid"].is_u64());
    let data_dir = store.ready["data_dir"].as_str().unwrap().to_owned();
    assert!(std::path::Path::new(&data_dir).join("log").is_dir());
    assert!(support::get(store.address("http"), "/readyz").contains("200 OK"));
    assert!(store.metrics().contains("build_info"));
    assert_eq!(store.stop(), 0);
    assert!(
        !std::path::Path::new(&data_dir).exists(),
        "--fresh leaves nothing"
    );
}

#[test]
fn flags_that_do_not_go_together_are_a_usage_error() {
    for arguments in [
        &["up", "--fresh", "--data-dir", "x"][..],
        &["up", "--only", "log", "--without", "order"],
        &["up", "--without", "warehouse"],
        &["up", "--without", "log", "--listen-log", "127.0.0.1:0"],
        &["up", "--partitions", "0"],
        &["up", "--listen-http", "9100"],
        &["up", "--log", "a:1", "--listen-log", "127.0.0.1:0"],
        &["up", "--log", "a:1", "--only", "log"],
        &["up", "--log-tls"],
        &["up", "--store-order", "mysql:x"],
    ] {
        let outcome = Outcome::of(command(arguments).output().unwrap());
        assert_eq!(outcome.status, 2, "{arguments:?}: {outcome:?}");
        assert!(!outcome.err.is_empty());
    }
}

#[test]
fn the_demo_tells_its_stories_and_cleans_up() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = Outcome::of(
        command(&["demo"])
            .env("TMPDIR", folder.path())
            .output()
            .unwrap(),
    );
    assert_eq!(outcome.status, 0, "{outcome:?}");
    assert!(
        outcome.out.contains("All four stories came out as told"),
        "{outcome:?}"
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// The order of fields in tail's output is fixed: people read it as it stands.
#[test]
fn tail_shows_what_caused_what() {
    let store = Up::start(&["--fresh", "--seed"]);
    let example = checkout("examples/order-1.json");
    let placed = store.shop(&["place", example.to_str().unwrap(), "--wait", "RESERVED"]);
    assert_eq!(placed.status, 0, "{placed:?}");
    let command = store.tail("order.commands").remove(0);
    assert_eq!(command["type"], "shop.order.PlaceOrder");
    assert_eq!(command["id"], "72029ae3-9876-4d2f-a0ae-aaee86b8ec34");
    assert_eq!(command["cause"], Value::Null);
    let events = store.tail("order.events");
    let placed = &events[0];
    assert_eq!(placed["cause"], command["id"]);
    assert_eq!(
        placed["body"]["lines"][0],
        json!({"product_id": "PRODUCT_001", "quantity": 3})
    );
    let reserved = store.tail("inventory.events").remove(0);
    assert_eq!(reserved["cause"], placed["id"]);
    assert_eq!(events[1]["cause"], reserved["id"]);
}
