//! A running store with orders of every kind, and what it says of them.

use std::collections::BTreeSet;

use messaging::telemetry::{Kind, Metric};
use serde_json::json;

use crate::exposition::Exposition;
use crate::promql::names;
use crate::queries::{of_alerts, of_dashboard};
use crate::reference;
use crate::support::{Up, order, wait_for};

/// What Prometheus itself says of every target.
const OWN_METRICS: [&str; 1] = ["up"];
/// What it adds to every sample.
const OWN_LABELS: [&str; 2] = ["instance", "job"];

/// A store in which three orders were reserved, one of them placed again and once with other content,
/// and one waits for stock.
pub(crate) fn with_orders() -> Up {
    let store = Up::start(&["--fresh", "--seed"]);
    for id in ["ORDER_A", "ORDER_B", "ORDER_C"] {
        let placed = store.place(&order(id, &[("PRODUCT_001", 1)]), &["--wait", "RESERVED"]);
        assert_eq!(placed.status, 0, "{placed:?}");
    }
    let waiting = order("ORDER_W", &[("PRODUCT_002", 1_000)]);
    let placed = store.place(&waiting, &["--wait", "BACKORDERED"]);
    assert_eq!(placed.status, 0, "{placed:?}");
    for (quantity, status) in [(1, 0), (2, 0)] {
        let again = store.place(&order("ORDER_A", &[("PRODUCT_001", quantity)]), &[]);
        assert_eq!(again.status, status, "{again:?}");
    }
    store
}

/// What the store says once its database has been looked into.
fn settled(store: &Up) -> Exposition {
    wait_for(
        "the repeated placements and the backorder to be counted",
        || {
            let said = Exposition::of(&store.metrics());
            let outcome = |outcome| said.sum("messages_total", &[("outcome", outcome)]);
            let done = outcome("duplicate") >= 1.0
                && outcome("conflict") >= 1.0
                && said.sum("backorders_waiting", &[]) == 1.0
                && said.sum("conflicts_recorded", &[]) == 1.0
                && said.sum("outbox_rows", &[]) == 0.0;
            done.then_some(said)
        },
    )
}

#[test]
fn a_running_store_has_data_for_every_query_and_every_documented_metric() {
    let store = with_orders();
    let said = settled(&store);
    for query in of_dashboard().into_iter().chain(of_alerts()) {
        has_data(&said, &query.place, &query.text);
    }
    for metric in reference::all() {
        let name = match metric.kind {
            Kind::Histogram => format!("{}_count", metric.name),
            Kind::Counter | Kind::Gauge => metric.name.to_owned(),
        };
        let no_labels: &[(&str, &str)] = &[];
        let mut samples = said.of_name(&name, no_labels).peekable();
        let there = samples.peek().is_some();
        assert!(there || !metric.after.is_empty(), "{name} has no value");
        let documented: BTreeSet<_> = metric.labels.iter().copied().collect();
        for sample in samples {
            let found: BTreeSet<_> = sample.labels.keys().map(String::as_str).collect();
            assert_eq!(found, documented, "{name}");
        }
    }
    let known: BTreeSet<_> = reference::all().iter().map(|metric| metric.name).collect();
    for (name, kind) in &said.types {
        assert!(known.contains(name.as_str()), "{name} is not documented");
        assert!(said.explained.contains(name), "{name} is not explained");
        assert_eq!(
            kind == "counter",
            name.ends_with("_total"),
            "{name} is a {kind}"
        );
    }
}

/// Every metric of the query has a sample with the values that it must equal, and every label that
/// it names stands on a metric of the query.
fn has_data(said: &Exposition, place: &str, query: &str) {
    let named = names(query);
    assert!(!named.metrics.is_empty(), "{place}: {query}");
    let mut labels: BTreeSet<_> = OWN_LABELS.map(str::to_owned).into();
    let documented = reference::all();
    for (metric, equal) in &named.metrics {
        // What comes only after something that this store has not met.
        let later = |known: &Metric| known.name == metric.as_str() && !known.after.is_empty();
        if OWN_METRICS.contains(&metric.as_str()) || documented.iter().any(later) {
            continue;
        }
        let mut samples = said.of_name(metric, equal).peekable();
        assert!(
            samples.peek().is_some(),
            "{place}: nobody has {metric} {equal:?}"
        );
        labels.extend(samples.flat_map(|sample| sample.labels.keys().cloned()));
    }
    let unknown: Vec<_> = named.labels.difference(&labels).collect();
    assert!(
        unknown.is_empty(),
        "{place}: no metric of {query} has {unknown:?}"
    );
}

#[test]
fn the_numbers_are_those_of_what_happened() {
    let store = with_orders();
    let said = settled(&store);
    let events = |name: &str| {
        let message_type = format!("shop.order.{name}");
        said.sum(
            "events_total",
            &[("source", "/order"), ("type", &message_type)],
        )
    };
    let outcomes = [
        "OrderPlaced",
        "OrderReserved",
        "OrderBackordered",
        "OrderRejected",
    ];
    assert_eq!(outcomes.map(events), [4.0, 3.0, 1.0, 0.0]);
    let order = |outcome| {
        said.sum(
            "messages_total",
            &[("source", "/order"), ("outcome", outcome)],
        )
    };
    // Four placements and what came of each; one placement repeated, one in conflict.
    assert_eq!(
        ["applied", "duplicate", "conflict", "parked"].map(order),
        [8.0, 1.0, 1.0, 0.0]
    );
    let turns = said.sum("turn_messages_count", &[("source", "/order")]);
    assert_eq!(said.sum("turn_messages_sum", &[("source", "/order")]), 10.0);
    for step in [
        "begin",
        "look",
        "load",
        "decide",
        "follow_up",
        "encode",
        "commit",
    ] {
        let labels = [("source", "/order"), ("step", step)];
        assert!(
            said.sum("turn_step_seconds_count", &labels) >= turns,
            "{step}"
        );
    }
    let place = [
        ("method", "/shop.v1.OrderService/PlaceOrder"),
        ("code", "Ok"),
    ];
    assert_eq!(said.sum("grpc_server_calls_total", &place), 6.0);
    assert_eq!(said.sum("grpc_server_answer_seconds_count", &place), 6.0);
    for service in ["gateway", "order", "inventory", "log", "registry"] {
        assert_eq!(
            said.sum("service_ready", &[("service", service)]),
            1.0,
            "{service}"
        );
    }
    assert_eq!(
        said.sum("shards_owned", &[]),
        said.sum("shards_expected", &[])
    );
    assert!(said.sum("registry_lookups_total", &[("outcome", "hit")]) > 0.0);
    assert_eq!(said.sum("log_errors_total", &[("kind", "fatal")]), 0.0);
    let age = said.sum("backorders_oldest_age_seconds", &[]);
    assert!((0.0..60.0).contains(&age), "{age}");
    // Every instance of a service tells of all shards, this one of all.
    let shards = said.of_name("outbox_rows", &[("source", "/order")]).count();
    assert_eq!(json!(shards), json!(4));
}
