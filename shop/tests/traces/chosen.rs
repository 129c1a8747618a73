//! What is recorded, and what is not.

use contracts::proto::order::Status;

use crate::collector::Collector;
use crate::place;
use crate::support::{Up, command};

const UNSAMPLED: &str = "00-11111111111111111111111111111111-2222222222222222-00";
const SAMPLED: &str = "00-33333333333333333333333333333333-4444444444444444-01";

#[test]
fn callers_decide_about_their_own_traces_and_the_ratio_about_all_others() {
    let collector = Collector::start();
    let url = collector.url();
    let flags = ["--fresh", "--seed", "--otlp-endpoint", &url];
    let none = [&flags[..], &["--trace-ratio", "0"]].concat();

    let store = Up::start(&none);
    place(&store, "A", 1, None, Status::Reserved);
    place(&store, "B", 1, Some(UNSAMPLED), Status::Reserved);
    assert_eq!(store.stop(), 0);
    let spans = collector.spans();
    assert!(spans.is_empty(), "{spans:?}");

    let store = Up::start(&none);
    place(&store, "A", 1, Some(SAMPLED), Status::Reserved);
    assert_eq!(store.stop(), 0);
    let spans = collector.spans();
    let of_caller = spans.iter().filter(|span| SAMPLED.contains(&span.trace_id));
    assert!(of_caller.count() >= 10, "{spans:?}");

    let store = Up::start(&flags);
    place(&store, "A", 1, Some(UNSAMPLED), Status::Reserved);
    place(&store, "B", 1, None, Status::Reserved);
    assert_eq!(store.stop(), 0);
    let spans = collector.spans();
    assert!(spans.iter().all(|span| !UNSAMPLED.contains(&span.trace_id)));
    let begun = |span: &&crate::seen::Seen| {
        span.parent.is_empty() && span.name == "shop.v1.OrderService/PlaceOrder"
    };
    let begun: Vec<_> = spans.iter().filter(begun).collect();
    let [begun] = begun[..] else {
        panic!("the one without a caller's trace begins one: {begun:?}")
    };
    let of_order = spans.iter().filter(|span| span.trace_id == begun.trace_id);
    assert!(of_order.count() >= 10, "{spans:?}");
}

#[test]
fn spans_go_over_tls_to_a_collector_whose_authority_is_believed() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let made = command(&["certs", "--out"]).arg(dir).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let collector = Collector::secured(dir);
    let ca = dir.join("ca.pem");
    let flags = ["--fresh", "--seed", "--otlp-endpoint", &collector.url()];
    let flags = [&flags[..], &["--otlp-ca", ca.to_str().unwrap()]].concat();
    let store = Up::start(&flags);
    place(&store, "A", 1, Some(SAMPLED), Status::Reserved);
    assert_eq!(store.stop(), 0);
    let spans = collector.spans();
    assert!(spans.iter().any(|span| SAMPLED.contains(&span.trace_id)));
}

#[test]
fn without_a_collector_a_callers_trace_is_passed_on_unchanged() {
    let store = Up::start(&["--fresh", "--seed"]);
    place(&store, "A", 1, Some(SAMPLED), Status::Reserved);
    assert_eq!(
        crate::outage::traceparents(&store, "A"),
        [SAMPLED, SAMPLED, SAMPLED, SAMPLED]
    );
    assert!(!store.metrics().contains("trace_spans"));
}
