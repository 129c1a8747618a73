//! Grafana and Prometheus find their files. What is in them is checked in `../metrics`.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::files::{one_broker, text, yaml};

#[test]
fn grafana_finds_the_dashboard_and_its_source() {
    let dashboard = text("deploy/grafana/dashboards/store.json");
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let sources = yaml("deploy/grafana/provisioning/datasources/prometheus.yaml");
    let source = &sources["datasources"][0]["uid"];
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let is_row = panel["type"] == "row";
        assert!(
            is_row || panel["datasource"]["uid"] == *source,
            "{}",
            panel["title"]
        );
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
fn prometheus_finds_its_rules_beside_its_settings() {
    let settings = "deploy/prometheus/prometheus.yml";
    let rules = yaml(settings)["rule_files"].clone();
    assert_eq!(rules, serde_json::json!(["alerts.yml"]));
    let project = one_broker();
    let services = project.services();
    let prometheus = services
        .iter()
        .find(|service| service.name == "prometheus")
        .unwrap();
    let mounts = prometheus.list("volumes");
    for file in ["prometheus.yml", "alerts.yml"] {
        let mount = format!("./deploy/prometheus/{file}:/etc/prometheus/{file}:ro");
        assert!(mounts.contains(&mount.as_str()), "{mount}");
    }
}
