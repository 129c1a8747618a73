//! The queries of the dashboard and of the alerts.

use std::fs;

use serde_json::Value;

use crate::support::checkout;

/// A query, and where it stands.
pub(crate) struct Query {
    /// The panel's title or the alert's name.
    pub(crate) place: String,
    /// The expression.
    pub(crate) text: String,
}

/// The dashboard.
pub(crate) fn dashboard() -> Value {
    let text = fs::read_to_string(checkout("deploy/grafana/dashboards/store.json"));
    serde_json::from_str(&text.unwrap()).unwrap()
}

/// The alert rules.
pub(crate) fn alerts() -> Vec<Value> {
    let text = fs::read_to_string(checkout("deploy/prometheus/alerts.yml")).unwrap();
    let rules: Value = serde_saphyr::from_str(&text).unwrap();
    let groups = rules["groups"].as_array().unwrap().iter();
    groups
        .flat_map(|group| group["rules"].as_array().unwrap().clone())
        .collect()
}

/// The queries of all panels.
pub(crate) fn of_dashboard() -> Vec<Query> {
    let mut queries = Vec::new();
    for panel in dashboard()["panels"].as_array().unwrap() {
        let targets = panel["targets"].as_array();
        for target in targets.into_iter().flatten() {
            queries.push(Query {
                place: text(&panel["title"]),
                text: text(&target["expr"]),
            });
        }
    }
    assert!(queries.len() > 40, "the dashboard is read");
    queries
}

/// The expressions of all alerts.
pub(crate) fn of_alerts() -> Vec<Query> {
    let alerts = alerts().into_iter();
    alerts
        .map(|alert| Query {
            place: text(&alert["alert"]),
            text: text(&alert["expr"]),
        })
        .collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
