//! One order, placed when there was not enough, and reserved once goods had come: its whole trace.

use std::time::{SystemTime, UNIX_EPOCH};

use contracts::proto::order::Status;

use crate::collector::Collector;
use crate::seen::{Seen, of_trace, tree};
use crate::support::Up;
use crate::{STOCK, place};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CLIENT: &str = "00f067aa0ba902b7";

/// Every span of the order, below the client's own.
const WHOLE: &str = "\
gateway: shop.v1.OrderService/PlaceOrder, SERVER
  gateway: send order.commands, PRODUCER
    order: process order.commands, CONSUMER, applied
      order: create order.events, PRODUCER
        order: send order.events, CLIENT
        inventory: process order.events, CONSUMER, applied
          inventory: create inventory.events, PRODUCER
            inventory: send inventory.events, CLIENT
            order: process inventory.events, CONSUMER, applied
              order: create order.events, PRODUCER
                order: send order.events, CLIENT
                inventory: process order.events, CONSUMER, ignored
          inventory: create inventory.events, PRODUCER
            inventory: send inventory.events, CLIENT
            order: process inventory.events, CONSUMER, applied
              order: create order.events, PRODUCER
                order: send order.events, CLIENT
                inventory: process order.events, CONSUMER, ignored
  order: shop.v1.OrderQueryService/WatchOrder, SERVER";

#[expect(
    clippy::disallowed_methods,
    reason = "the test holds the store's times against its own clock"
)]
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_nanos()).unwrap()
}

/// A store that was short of PRODUCT_001, and everything that it told of one order; with the times
/// between which all of that happened.
fn told() -> (Vec<Seen>, (u64, u64)) {
    let collector = Collector::start();
    let store = Up::start(&["--fresh", "--seed", "--otlp-endpoint", &collector.url()]);
    let before = now();
    let traceparent = format!("00-{TRACE}-{CLIENT}-01");
    let short = STOCK + 5;
    place(&store, "A", short, Some(&traceparent), Status::Backordered);
    let received = store.shop(&["receive", "PRODUCT_001", "5", "--receipt", "R1"]);
    assert_eq!(received.status, 0, "{received:?}");
    store.wait_for_status("A", "RESERVED");
    let ignored = |span: &Seen| span.attribute("turn.outcome") == "ignored";
    collector.spans_with("the last message of the order", |spans| {
        let ours = of_trace(spans, TRACE);
        ours.iter().filter(|span| ignored(span)).count() == 2
    });
    let after = now();
    assert_eq!(store.stop(), 0);
    (collector.spans(), (before, after))
}

#[test]
fn one_trace_tells_of_an_order_that_waited_and_its_times_add_up() {
    let (all, (before, after)) = told();
    let ours = of_trace(&all, TRACE);
    // Nothing but the client's own span is missing, and siblings that begin together may change places.
    let found = tree(&ours, CLIENT, 0);
    assert_eq!(found.join("\n"), WHOLE);
    assert_eq!(found.len(), ours.len(), "every span has its place");
    assert!(ours.iter().all(|span| span.status == "STATUS_CODE_UNSET"));

    said_by_the_conventions(&ours);
    linked(&all, &ours);
    times_add_up(&ours, (before, after));
}

fn only<'s>(spans: &'s [Seen], told: &str) -> Vec<&'s Seen> {
    let mut found: Vec<_> = spans.iter().filter(|span| span.told() == told).collect();
    found.sort_by_key(|span| span.began);
    assert!(!found.is_empty(), "{told}");
    found
}

/// The attributes, of one span of each kind; and who told them.
fn said_by_the_conventions(ours: &[Seen]) {
    let says = |told: &str, pairs: &[(&str, &str)]| {
        let span = only(ours, told)[0];
        for (key, value) in pairs {
            assert_eq!(span.attribute(key), *value, "{key} of {told}");
        }
        span.clone()
    };
    says(
        "gateway: shop.v1.OrderService/PlaceOrder, SERVER",
        &[
            ("rpc.system.name", "grpc"),
            ("rpc.method", "shop.v1.OrderService/PlaceOrder"),
            ("rpc.response.status_code", "OK"),
        ],
    );
    let sent = says(
        "gateway: send order.commands, PRODUCER",
        &[
            ("messaging.system", "kafka"),
            ("messaging.operation.type", "send"),
            ("messaging.destination.name", "order.commands"),
            ("messaging.kafka.message.key", "A"),
        ],
    );
    let same = [
        "messaging.message.id",
        "messaging.destination.partition.id",
        "messaging.kafka.offset",
    ];
    let processed = says(
        "order: process order.commands, CONSUMER",
        &[
            ("messaging.operation.name", "process"),
            ("messaging.kafka.message.key", "A"),
        ],
    );
    let created = only(ours, "order: create order.events, PRODUCER")[0];
    let published = only(ours, "order: send order.events, CLIENT")[0];
    let consumed = only(ours, "inventory: process order.events, CONSUMER")[0];
    for key in same {
        assert_eq!(sent.attribute(key), processed.attribute(key), "{key}");
        assert_eq!(published.attribute(key), consumed.attribute(key), "{key}");
        assert_ne!(published.attribute(key), "", "{key}");
    }
    let id = "messaging.message.id";
    assert_eq!(created.attribute(id), published.attribute(id));

    let programs: std::collections::BTreeSet<_> = ours
        .iter()
        .map(|span| (span.service(), span.instance()))
        .collect();
    assert_eq!(programs.len(), 3, "one instance of each: {programs:?}");
    assert!(programs.iter().all(|(_, (_, version))| *version == "0.1.0"));
}

/// The reservation is linked to the delivery that made it possible, and each message to the turn that
/// took it, which has its steps below it.
fn linked(all: &[Seen], ours: &[Seen]) {
    let delivery = only(all, "inventory: process inventory.commands, CONSUMER");
    let delivery = delivery.last().unwrap();
    assert_ne!(delivery.trace_id, TRACE);
    let created = only(ours, "inventory: create inventory.events, PRODUCER");
    assert!(created[0].links.is_empty(), "the order itself caused it");
    let link = (delivery.trace_id.clone(), delivery.span_id.clone());
    assert_eq!(created[1].links, [link]);

    for told in [
        "order: process order.commands, CONSUMER",
        "inventory: process order.events, CONSUMER",
    ] {
        let process = only(ours, told)[0];
        let [(trace_id, span_id)] = &process.links[..] else {
            panic!("{process:?}")
        };
        let turn = all.iter().find(|span| span.span_id == *span_id).unwrap();
        assert_eq!(turn.trace_id, *trace_id);
        assert_eq!(turn.name, format!("turn /{}", process.service()));
        assert_eq!(turn.parent, "", "a trace of its own");
        let link = (process.trace_id.clone(), process.span_id.clone());
        assert!(turn.links.contains(&link));
        let steps = tree(all, span_id, 0);
        for step in ["begin", "load", "decide", "commit"] {
            let step = format!("{}: {step}, INTERNAL", process.service());
            assert!(steps.contains(&step), "{step} is not in {steps:?}");
        }
    }
}

/// From the client's call to the last commit: spans and the gaps between them are the whole time.
fn times_add_up(ours: &[Seen], (before, after): (u64, u64)) {
    let parent = |span: &Seen| {
        ours.iter()
            .find(|other| other.span_id == span.parent)
            .cloned()
    };
    let handled = ours.iter().filter(|span| span.name.starts_with("process"));
    let mut last = handled.max_by_key(|span| span.ended).cloned().unwrap();
    assert_eq!(last.told(), "inventory: process order.events, CONSUMER");
    let mut way = vec![last.clone()];
    while let Some(above) = parent(&last) {
        way.insert(0, above.clone());
        last = above;
    }
    assert_eq!(way[0].parent, CLIENT);
    assert!(way.len() >= 8, "{way:?}");
    let whole = way.last().unwrap().ended - way[0].began;
    let (mut covered, mut gaps, mut at) = (0, 0, way[0].began);
    for pair in way.windows(2) {
        assert!(pair[1].began >= pair[0].began, "before its cause: {pair:?}");
    }
    for span in &way {
        gaps += span.began.saturating_sub(at);
        covered += span.ended.saturating_sub(span.began.max(at));
        at = at.max(span.ended);
    }
    assert_eq!(covered + gaps, whole);
    assert!(
        covered > 0 && gaps > 0,
        "{covered} ns of work, {gaps} ns of waiting"
    );
    assert!(before <= way[0].began && way.last().unwrap().ended <= after);

    // A consumer begins after the one that sent it the message had begun to.
    for consumer in ours.iter().filter(|span| span.name.starts_with("process")) {
        let created = parent(consumer).unwrap();
        let sent = ours
            .iter()
            .find(|span| span.parent == created.span_id && span.name.starts_with("send"));
        let sent = sent.unwrap_or(&created);
        assert!(sent.began <= consumer.began, "{sent:?} {consumer:?}");
    }
}
