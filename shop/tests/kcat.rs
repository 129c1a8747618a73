//! The embedded log, seen by librdkafka.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

mod support;

use std::io::Write;
use std::process::{Command, Stdio};

use support::{Outcome, Up, order, wait_for};

/// Runs kcat against the store's log, with `input` on standard input.
fn kcat(store: &Up, arguments: &[&str], input: &str) -> Outcome {
    let mut kcat = Command::new("kcat")
        .args(["-b", store.address("log")])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    kcat.stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let outcome = Outcome::of_lossy(kcat.wait_with_output().unwrap());
    assert_eq!(outcome.status, 0, "{arguments:?}: {outcome:?}");
    outcome
}

fn place(store: &Up, order_id: &str) {
    let placed = store.place(
        &order(order_id, &[("PRODUCT_001", 1)]),
        &["--wait", "RESERVED"],
    );
    assert_eq!(placed.status, 0, "{placed:?}");
}

#[test]
#[ignore = "needs kcat on PATH (apt-get install kcat)"]
fn kcat_lists_topics_and_reads_events_with_keys_and_headers() {
    let store = Up::start(&["--fresh", "--seed"]);
    place(&store, "A");
    let listed = kcat(&store, &["-L"], "").out;
    for topic in contracts::topics::ALL {
        assert!(
            listed.contains(&format!("topic \"{topic}\" with 4 partitions")),
            "{listed}"
        );
    }
    let events = kcat(
        &store,
        &["-C", "-t", "order.events", "-e", "-q", "-f", "%k %h\n"],
        "",
    )
    .out;
    let lines: Vec<_> = events.lines().collect();
    assert_eq!(lines.len(), 2, "{events}");
    for (line, message_type) in lines.iter().zip(["OrderPlaced", "OrderReserved"]) {
        assert!(line.starts_with("A "), "{line}");
        assert!(
            line.contains(&format!("ce_type=shop.order.{message_type}")),
            "{line}"
        );
        assert!(line.contains("content-type=application/avro"), "{line}");
    }
}

#[test]
#[ignore = "needs kcat on PATH (apt-get install kcat)"]
fn kcat_reads_in_a_group_and_resumes() {
    let store = Up::start(&["--fresh", "--seed"]);
    place(&store, "A");
    let group = |count: &str| {
        let flags = [
            "-G",
            "readers",
            "-X",
            "auto.offset.reset=earliest",
            "-q",
            "-c",
            count,
            "-f",
            "%k\n",
        ];
        kcat(&store, &[&flags[..], &["order.events"]].concat(), "").out
    };
    assert_eq!(group("2"), "A\nA\n");
    place(&store, "B");
    assert_eq!(group("2"), "B\nB\n", "it goes on behind what it has read");
}

#[test]
#[ignore = "needs kcat on PATH (apt-get install kcat)"]
fn garbage_is_parked_and_the_shards_go_on() {
    let store = Up::start(&["--fresh", "--seed"]);
    for partition in ["0", "1", "2", "3"] {
        let flags = [
            "-P",
            "-t",
            "order.commands",
            "-p",
            partition,
            "-k",
            "SOMEBODY",
        ];
        kcat(&store, &flags, "not an order\n");
    }
    wait_for("the garbage is parked", || {
        // Each partition is a shard of its own.
        let metrics = store.metrics();
        let parked = (0..4).all(|shard| {
            let parked =
                format!(r#"messages_total{{source="/order",shard="{shard}",outcome="parked"}} 1"#);
            metrics.contains(&parked)
        });
        parked.then_some(())
    });
    for order_id in ["A", "B", "C", "D"] {
        place(&store, order_id);
    }
    assert!(support::get(store.address("http"), "/readyz").contains("200 OK"));
}
