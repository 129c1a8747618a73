//! The dashboard asks for metrics that the programs have.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::files::{one_broker, text, yaml};

/// What Prometheus itself adds to every sample or says about every target.
const OWN_METRICS: [&str; 1] = ["up"];
/// As [`OWN_METRICS`], labels; `le` is that of buckets.
const OWN_LABELS: [&str; 3] = ["instance", "job", "le"];
/// Words of the query language that are no metrics.
const KEYWORDS: [&str; 3] = ["by", "max", "sum"];

fn dashboard() -> Value {
    serde_json::from_str(&text("deploy/grafana/dashboards/store.json")).unwrap()
}

/// All queries of the dashboard, with the titles of their panels.
fn queries(dashboard: &Value) -> Vec<(String, String)> {
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            queries.push((text(&panel["title"]), text(&target["expr"])));
        }
    }
    queries
}

/// The metrics and the labels in a query.
fn names(query: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut metrics, mut labels) = (BTreeSet::new(), BTreeSet::new());
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let mut rest = query;
    let mut in_labels = false;
    let mut last = String::new();
    while let Some(letter) = rest.chars().next() {
        if is_part(letter) {
            let end = rest.find(|letter| !is_part(letter)).unwrap_or(rest.len());
            let word = &rest[..end];
            rest = &rest[end..];
            let is_call = rest.starts_with('(');
            let is_name = !word.starts_with(|letter: char| letter.is_ascii_digit());
            last = word.to_owned();
            if in_labels {
                labels.insert(word.to_owned());
            } else if is_name && !is_call && !KEYWORDS.contains(&word) {
                metrics.insert(word.to_owned());
            }
            continue;
        }
        match letter {
            '(' if last == "by" => in_labels = true,
            '{' => in_labels = true,
            ')' | '}' => in_labels = false,
            // A range or a label's value.
            '[' | '"' => {
                let end = if letter == '[' { ']' } else { '"' };
                rest = &rest[1..];
                rest = &rest[rest.find(end).unwrap()..];
            }
            _ => {}
        }
        if letter != ' ' {
            last.clear();
        }
        rest = &rest[1..];
    }
    (metrics, labels)
}

/// The sources that count something, as one text.
fn counting_sources() -> String {
    fn walk(folder: &Path, found: &mut String) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let product = text.split("#[cfg(test)]").next().unwrap();
                if product.contains("metrics::") {
                    *found += product;
                }
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = String::new();
    for folder in ["src", "gateway/src", "inventory/src", "order/src"] {
        walk(&root.join(folder), &mut found);
    }
    found
}

#[test]
fn every_metric_and_every_label_is_one_of_the_programs() {
    let sources = counting_sources();
    let quoted = |name: &str| sources.contains(&format!("\"{name}\""));
    for (title, query) in queries(&dashboard()) {
        let (metrics, labels) = names(&query);
        assert!(!metrics.is_empty(), "{title}: {query}");
        for metric in metrics {
            let known = match metric.strip_suffix("_bucket") {
                Some(histogram) => sources.contains(&format!("histogram!(\"{histogram}\"")),
                None => quoted(&metric) || OWN_METRICS.contains(&metric.as_str()),
            };
            assert!(known, "{title}: nobody has {metric}");
        }
        for label in labels {
            let known = quoted(&label) || OWN_LABELS.contains(&label.as_str());
            assert!(known, "{title}: nobody has the label {label}");
        }
    }
}

#[test]
fn what_operators_look_for_is_on_the_dashboard() {
    let queries = queries(&dashboard());
    let shown: BTreeSet<_> = queries
        .iter()
        .flat_map(|(_, query)| names(query).0)
        .collect();
    for metric in [
        "consumer_lag_records",
        "consumer_lag_seconds",
        "grpc_server_answer_seconds_bucket",
        "grpc_server_calls_total",
        "messages_total",
        "parked_messages",
        "process_resident_memory_bytes",
        "published_messages_total",
        "shards_fenced_total",
        "store_transactions_total",
        "turns_total",
    ] {
        assert!(shown.contains(metric), "{metric} is not shown");
    }
}

#[test]
fn grafana_finds_the_dashboard_and_its_source() {
    let dashboard = dashboard();
    let sources = yaml("deploy/grafana/provisioning/datasources/prometheus.yaml");
    let source = &sources["datasources"][0]["uid"];
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert_eq!(panel["datasource"]["uid"], *source, "{}", panel["title"]);
        assert!(
            ids.insert(panel["id"].as_u64().unwrap()),
            "{}",
            panel["title"]
        );
    }
    let providers = yaml("deploy/grafana/provisioning/dashboards/store.yaml");
    let path = providers["providers"][0]["options"]["path"]
        .as_str()
        .unwrap();
    let project = one_broker();
    let services = project.services();
    let grafana = services
        .iter()
        .find(|service| service.name == "grafana")
        .unwrap();
    let mount = format!("./deploy/grafana/dashboards:{path}:ro");
    assert!(grafana.list("volumes").contains(&mount.as_str()), "{mount}");
    let home = grafana.variable("GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH");
    assert_eq!(home, Some(format!("{path}/store.json").as_str()));
}

#[test]
fn queries_are_taken_apart() {
    let set = |names: &[&str]| {
        names
            .iter()
            .map(|&name| name.to_owned())
            .collect::<BTreeSet<_>>()
    };
    let query =
        r#"histogram_quantile(0.99, sum by (le, method) (rate(a_bucket{job="b_c"}[1m]))) + d"#;
    let (metrics, labels) = names(query);
    assert_eq!(metrics, set(&["a_bucket", "d"]));
    assert_eq!(labels, set(&["job", "le", "method"]));
}
