//! What goes wrong: the collector, or the store itself.

use std::time::Duration;

use contracts::proto::order::Status;
use contracts::topics::{INVENTORY_EVENTS, ORDER_COMMANDS, ORDER_EVENTS};
use messaging::envelope::Envelope;
use messaging::log::kafka::{Config, KafkaLog};
use messaging::log::{Log, ReadLimit};

use crate::collector::Collector;
use crate::place;
use crate::support::{Elsewhere, Up, free_address, wait_for};

const TRACE: &str = "00-33333333333333333333333333333333-4444444444444444-01";

/// The trace contexts that the log holds of an order, topic after topic.
pub(crate) fn traceparents(store: &Up, order_id: &str) -> Vec<String> {
    let of_topics = [ORDER_COMMANDS, ORDER_EVENTS, INVENTORY_EVENTS];
    let read = |topic| envelopes(store, topic, order_id);
    let envelopes = of_topics.into_iter().flat_map(read);
    envelopes
        .filter_map(|envelope| envelope.traceparent)
        .collect()
}

/// The metadata of an order's messages in a topic.
fn envelopes(store: &Up, topic: &str, order_id: &str) -> Vec<Envelope> {
    let log = KafkaLog::new(Config {
        bootstrap: vec![store.address("log").to_owned()],
        client_id: "test".to_owned(),
    });
    let reading = async {
        let mut found = Vec::new();
        for partition in 0..log.partitions(topic).await.unwrap().unwrap() {
            let limit = ReadLimit {
                bytes_max: 1 << 20,
                wait_max: Duration::ZERO,
            };
            let batch = log.read(topic, partition, 0, limit).await.unwrap();
            let records = batch.records.into_iter().map(|consumed| consumed.record);
            let envelopes = records.map(|record| Envelope::from_headers(&record.headers).unwrap());
            found.extend(envelopes.filter(|envelope| envelope.subject == order_id));
        }
        found
    };
    tokio::runtime::Runtime::new().unwrap().block_on(reading)
}

/// Spans that were dropped because nobody took them.
fn dropped(store: &Up) -> f64 {
    let metrics = store.metrics();
    let name = "trace_spans_dropped_total{reason=\"export_failed\"} ";
    let value = metrics.lines().find_map(|line| line.strip_prefix(name));
    value.unwrap().parse().unwrap()
}

/// With spans that go to `url`, which takes none: orders are placed and reserved as ever, what is lost is
/// counted, and the store ends in time.
fn goes_on_without(url: &str) {
    let store = Up::start(&["--fresh", "--seed", "--otlp-endpoint", url]);
    for number in 0..5 {
        place(
            &store,
            &format!("O{number}"),
            1,
            Some(TRACE),
            Status::Reserved,
        );
    }
    wait_for("lost spans are counted", || {
        (dropped(&store) > 0.0).then_some(())
    });
    place(&store, "LAST", 1, Some(TRACE), Status::Reserved);
    assert_eq!(store.stop(), 0);
}

#[test]
fn a_collector_that_is_away_costs_spans_and_no_order() {
    goes_on_without(&format!("http://{}", free_address()));
}

#[test]
fn a_collector_that_is_silent_costs_spans_and_no_order() {
    // Connections are taken by the system, and nobody ever reads from them.
    let silent = messaging::server::bind("--test", "127.0.0.1:0".parse().unwrap()).unwrap();
    goes_on_without(&format!("http://{}", silent.local_addr().unwrap()));
}

#[test]
fn a_collector_that_refuses_spans_is_not_asked_again_and_again() {
    goes_on_without(&Collector::refusing().url());
}

#[test]
fn what_is_published_again_after_a_crash_keeps_its_place_in_its_trace() {
    let collector = Collector::start();
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--seed", "--otlp-endpoint", &collector.url(), "--data-dir"];
    let flags = [&flags[..], &[folder.path().to_str().unwrap()]].concat();
    // The first message of the store's outboxes: the log has it, and nobody knows.
    let crashing = Elsewhere(vec![("SHOP_CRASH_AT", "after-append:1".to_owned())]);
    let (status, _) = Up::spawn_beside(&crashing, &flags).fails();
    assert_eq!(status, -1, "it dies of the seed's receipt");

    let store = Up::start(&flags);
    let twice = wait_for("the message is there twice", || {
        let stock = contracts::topics::INVENTORY_STOCK;
        let products = ["PRODUCT_001", "PRODUCT_002", "PRODUCT_003"];
        products.into_iter().find_map(|product| {
            let found = envelopes(&store, stock, product);
            let [first, second, ..] = &found[..] else {
                return None;
            };
            (first.id == second.id).then(|| found.clone())
        })
    });
    assert_eq!(twice[0], twice[1], "its context is stored with it");
    let context = twice[0].traceparent.clone().unwrap();
    let created = context.split('-').nth(2).unwrap().to_owned();
    let spans = collector.spans_with("the second publication", |spans| {
        spans.iter().any(|span| span.parent == created)
    });
    let sent = spans.iter().find(|span| span.parent == created).unwrap();
    assert_eq!(sent.told(), "inventory: send inventory.stock, CLIENT");
    assert!(context.contains(&sent.trace_id));
}
