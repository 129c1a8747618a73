//! What a run tells of its load and of its store.

use std::collections::BTreeMap;
use std::time::Duration;

use audit::report::Counts;
use audit::snapshot::Snapshot;

use super::check::Broken;
use super::client::{Answer, What};
use super::load::History;

/// What clients asked for and were told.
pub(crate) fn load(history: &History, lasted: Duration, settled: Duration) -> String {
    let orders = history
        .sent
        .iter()
        .filter(|sent| matches!(sent.what, What::Place(..)));
    let tries: usize = history.sent.iter().map(|sent| sent.tries).sum();
    format!(
        "load: {} commands in {tries} calls over {lasted:.1?}, {:.0} orders/s; told OK {}, conflict \
         {}, UNKNOWN {}, FAIL {}; {} reads; settled {settled:.1?} after the last fault",
        history.sent.len(),
        orders.count() as f64 / lasted.as_secs_f64(),
        count(history, Answer::Ok),
        count(history, Answer::Conflict),
        count(history, Answer::Unknown),
        count(history, Answer::Fail),
        history.reads,
    )
}

/// What the store made of it.
pub(crate) fn audit(snapshot: &Snapshot, counts: &Counts) -> String {
    let mut statuses: BTreeMap<&str, usize> = BTreeMap::new();
    for order in &snapshot.orders {
        *statuses.entry(order.status.as_str()).or_default() += 1;
    }
    let statuses: Vec<_> = statuses
        .into_iter()
        .map(|(status, orders)| format!("{orders} {status}"))
        .collect();
    format!(
        "store: {} orders: {}; {} records; commands applied {}, without effect {}, duplicates {}, \
         conflicts {}; events published again {}",
        snapshot.orders.len(),
        statuses.join(", "),
        counts.records,
        counts.applied,
        counts.nothing,
        counts.duplicates,
        counts.conflicts,
        counts.republished,
    )
}

/// What the store must have had to deal with, or a run shows nothing (C3).
pub(crate) fn unproven(counts: &Counts) -> Broken {
    let happened = [
        ("a command comes twice", counts.duplicates > 0),
        ("a command conflicts", counts.conflicts > 0),
    ];
    let missing = happened.into_iter().filter(|(_, happened)| !happened);
    missing.map(|(what, _)| never_happened(what)).collect()
}

/// What clients must have met, where the way to the store breaks.
pub(crate) fn unproven_to_clients(history: &History) -> Broken {
    match count(history, Answer::Unknown) {
        0 => vec![never_happened("a client knows nothing")],
        _ => Broken::new(),
    }
}

fn never_happened(what: &str) -> String {
    format!("never happened, so nothing is shown: {what}")
}

fn count(history: &History, answer: Answer) -> usize {
    let sent = history.sent.iter();
    sent.filter(|sent| sent.answer == answer).count()
}
