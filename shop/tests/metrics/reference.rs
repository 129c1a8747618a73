//! The tables of metrics, the sources that record them, and `docs/metrics.md`: all name the same.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use messaging::telemetry::{self, Kind, Metric};

use crate::support::checkout;

/// Where code records metrics.
const SOURCES: [&str; 9] = [
    "src",
    "audit/src",
    "embedded/src",
    "gateway/src",
    "inventory/src",
    "load/src",
    "operations/src",
    "order/src",
    "shop/src",
];
/// The line in `docs/metrics.md` behind which the table stands.
const TABLE: &str =
    "<!-- the table: METRICS_WRITE=1 cargo test -p shop --test metrics reference -->\n";

/// Every metric of every program.
pub(crate) fn all() -> Vec<Metric> {
    let embedded = embedded::COUNTERS.map(|(name, label, help)| {
        let labels: &[&str] = if label.is_empty() { &[] } else { &["api"] };
        assert!(labels.is_empty() || label == "api");
        Metric::counter(name, labels, help)
    });
    [
        telemetry::METRICS,
        gateway::METRICS,
        operations::METRICS,
        order::METRICS,
        &embedded,
    ]
    .concat()
}

/// `counter!("name"` and the like in the sources, tests left out.
fn recorded() -> BTreeSet<(String, &'static str)> {
    fn walk(folder: &Path, found: &mut String) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                *found += text.split("#[cfg(test)]").next().unwrap();
            }
        }
    }
    let mut text = String::new();
    for folder in SOURCES {
        walk(&checkout(folder), &mut text);
    }
    let mut found = BTreeSet::new();
    for kind in ["counter", "gauge", "histogram"] {
        for (at, call) in text.match_indices(&format!("{kind}!(")) {
            let arguments = text[at + call.len()..].trim_start();
            // What is recorded under a variable's name is none: `describe_counter!(metric.name, ...)`.
            if let Some(name) = arguments.strip_prefix('"') {
                found.insert((name.split('"').next().unwrap().to_owned(), kind));
            }
        }
    }
    found
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    }
}

#[test]
fn every_metric_that_is_recorded_is_described_and_the_other_way_round() {
    let described: BTreeSet<_> = all()
        .iter()
        .map(|metric| (metric.name.to_owned(), word(metric.kind)))
        .collect();
    assert_eq!(described.len(), all().len(), "a metric is described twice");
    assert_eq!(recorded(), described);
}

#[test]
fn the_reference_says_what_the_programs_say() {
    let mut table = String::from("| metric | kind | labels | what it tells |\n|---|---|---|---|\n");
    for metric in all() {
        let labels: Vec<_> = metric
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        let after = match metric.after {
            "" => String::new(),
            after => format!(" Only after {after}."),
        };
        table += &format!(
            "| `{}` | {} | {} | {}{after} |\n",
            metric.name,
            word(metric.kind),
            labels.join(" "),
            metric.help,
        );
    }
    let path = checkout("docs/metrics.md");
    let text = fs::read_to_string(&path).unwrap();
    let (head, written) = text.split_once(TABLE).expect("the mark of the table");
    if std::env::var_os("METRICS_WRITE").is_some() {
        fs::write(path, format!("{head}{TABLE}\n{table}")).unwrap();
    } else {
        assert_eq!(
            written.trim(),
            table.trim(),
            "METRICS_WRITE=1 writes it anew"
        );
    }
}
