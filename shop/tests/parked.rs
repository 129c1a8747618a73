//! `shop parked` against a running store: a message that nobody can read, from its discovery to
//! its end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

mod support;

use bytes::Bytes;
use messaging::clock::Timestamp;
use messaging::log::kafka::{self, KafkaLog};
use messaging::log::{Log, Record};
use messaging::partitioner::partition_of;
use support::{Outcome, Up, free_address, order, wait_for};

const KEY: &str = "ORDER_P";

/// Puts a value that is no message into the log, under the order's key; returns its place.
fn poison(store: &Up) -> String {
    let log = KafkaLog::new(kafka::Config {
        bootstrap: vec![store.address("log").to_owned()],
        client_id: "test".to_owned(),
    });
    let partition = partition_of(KEY.as_bytes(), 4);
    let record = Record {
        key: Some(Bytes::from_static(KEY.as_bytes())),
        value: Some(Bytes::from_static(b"no message at all")),
        headers: vec![("ce_type".into(), Bytes::from_static(b"some.Thing"))],
        timestamp: Timestamp(1_795_000_000_000),
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let offset = runtime
        .block_on(log.append("order.commands", partition, vec![record]))
        .unwrap();
    format!("order.commands/{partition}@{offset}")
}

/// A store with a poisoned message and a placement of the same order behind it.
fn poisoned() -> (Up, String) {
    let store = Up::start(&["--fresh", "--seed"]);
    let place = poison(&store);
    let placed = store.place(&order(KEY, &[("PRODUCT_001", 1)]), &[]);
    assert_eq!(placed.status, 0, "{placed:?}");
    wait_for("both to be parked", || {
        let listed = store.shop(&["parked", "list", "--output", "json"]);
        (reasons(&listed).len() == 2).then_some(())
    });
    (store, place)
}

fn reasons(listed: &Outcome) -> Vec<String> {
    assert_eq!(listed.status, 0, "{listed:?}");
    let reason = |line: &serde_json::Value| line["reason"].as_str().unwrap().to_owned();
    listed.json().iter().map(reason).collect()
}

#[test]
fn shards_are_listed_with_their_owner_and_their_lag() {
    let (store, _) = poisoned();
    let listed = store.shop(&["shards", "--output", "json"]);
    assert_eq!(listed.status, 0, "{listed:?}");
    let shards = listed.json();
    let of = |service: &str| {
        shards
            .iter()
            .filter(|shard| shard["service"] == service)
            .count()
    };
    assert_eq!((of("order"), of("inventory")), (4, 4));
    let me = store.ready["pid"].to_string();
    for shard in &shards {
        assert!(shard["owner"].as_str().unwrap().ends_with(&me), "{shard}");
        assert_eq!(shard["epoch"], 1, "{shard}");
    }
    let parked = shards.iter().map(|shard| shard["parked"].as_i64().unwrap());
    assert_eq!(parked.sum::<i64>(), 2);
    let table = store.shop(&["shards", "--service", "order"]).out;
    assert!(table.starts_with("SERVICE  SHARD  OWNER"), "{table}");
}

fn refused(store: &Up, arguments: &[&str], words: &str) {
    let outcome = store.shop(arguments);
    assert_eq!(outcome.status, 1, "{arguments:?}: {outcome:?}");
    assert!(outcome.err.contains(words), "{arguments:?}: {outcome:?}");
}

#[test]
fn a_message_that_cannot_be_read_is_found_shown_and_discarded() {
    let (store, place) = poisoned();
    let list = |more: &[&str]| {
        let arguments = [&["parked", "list", "--output", "json"], more].concat();
        reasons(&store.shop(&arguments))
    };
    assert_eq!(list(&["--key", KEY]), ["undecodable", "behind"]);
    assert_eq!(list(&["--reason", "behind"]), ["behind"]);
    assert_eq!(
        list(&["--service", "order", "--limit", "1"]),
        ["undecodable"]
    );
    for nothing in [
        ["--older-than", "1h"],
        ["--service", "inventory"],
        ["--key", "OTHER"],
    ] {
        assert!(list(&nothing).is_empty(), "{nothing:?}");
    }
    let table = store.shop(&["parked", "list"]).out;
    let headings = table.lines().next().unwrap();
    assert!(headings.starts_with("SERVICE  MESSAGE"), "{table}");
    assert!(table.contains(&place), "{table}");

    let shown = store.shop(&["parked", "show", &place]);
    assert_eq!(shown.status, 0, "{shown:?}");
    for words in [
        "undecodable",
        "some.Thing",
        "no message at all",
        "order ORDER_P",
    ] {
        assert!(shown.out.contains(words), "{words}: {}", shown.out);
    }

    // It cannot be helped, as a dry run and a replay say.
    for more in [&["--dry-run"][..], &[]] {
        let arguments = [&["parked", "replay", KEY], more].concat();
        refused(&store, &arguments, "stays parked");
    }
    let discard = [
        "parked",
        "discard",
        place.as_str(),
        "--reason",
        "no message",
    ];
    let discarded = store.shop(&discard);
    assert_eq!(discarded.status, 0, "{discarded:?}");
    assert_eq!(
        list(&[]),
        ["behind"],
        "what stands behind waits for a replay"
    );
    let replayed = store.shop(&["parked", "replay", KEY, "--operator", "ada"]);
    assert_eq!(replayed.status, 0, "{replayed:?}");
    assert!(
        replayed.out.contains("shop.order.OrderPlaced"),
        "{replayed:?}"
    );
    store.wait_for_status(KEY, "RESERVED");
    assert!(list(&[]).is_empty());

    let trail = store
        .shop(&["parked", "actions", "--output", "json"])
        .json();
    let done: Vec<(&str, &str)> = trail
        .iter()
        .map(|action| {
            let outcome = &action["outcomes"][0]["outcome"];
            (action["kind"].as_str().unwrap(), outcome.as_str().unwrap())
        })
        .collect();
    assert_eq!(
        done,
        [
            ("replay", "applied"),
            ("discard", "discarded"),
            ("replay", "parked"),
            ("dry-run", "parked"),
        ]
    );
    assert_eq!(trail[0]["operator"], "ada");
    assert_eq!(trail[1]["reason"], "no message");
    assert!(store.shop(&["parked", "actions"]).out.contains("discarded"));
}

#[test]
fn what_is_not_parked_is_refused_and_a_service_that_is_down_is_said() {
    let (store, place) = poisoned();
    let nowhere = "order.commands/0@999999";
    for arguments in [
        &["parked", "replay", "OTHER"][..],
        &["parked", "replay", nowhere],
        &["parked", "discard", nowhere, "--reason", "x"],
        &["parked", "show", nowhere],
    ] {
        refused(&store, arguments, "NOT_FOUND");
    }
    let no_reason = ["parked", "discard", place.as_str(), "--reason", " "];
    refused(&store, &no_reason, "INVALID_ARGUMENT");
    let unusable = store.shop(&["parked", "show", "ORDER_P"]);
    assert_eq!(unusable.status, 2, "{unusable:?}");

    let nobody = format!("http://{}", free_address());
    let arguments = ["parked", "list", "--inventory", &nobody, "--output", "json"];
    let listed = store.shop(&arguments);
    assert_eq!(listed.status, 3, "{listed:?}");
    assert!(listed.err.contains("inventory"), "{listed:?}");
    assert_eq!(listed.json().len(), 2, "what answers is shown");

    let conflicts = store.shop(&["parked", "conflicts"]);
    assert_eq!((conflicts.status, conflicts.out.lines().count()), (0, 1));
}
