//! Alerts and their runbooks; what Prometheus' own tools say of the files and of a running store.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::queries::{alerts, dashboard, of_alerts, of_dashboard};
use crate::running::with_orders;
use crate::support::{checkout, free_address, try_get, wait_for};

#[test]
fn every_alert_has_its_runbook_and_every_runbook_its_alert() {
    let mut named = BTreeSet::new();
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap();
        let severity = alert["labels"]["severity"].as_str().unwrap();
        assert!(["page", "ticket"].contains(&severity), "{name}: {severity}");
        let page = format!("docs/runbooks/{name}.md");
        assert_eq!(alert["annotations"]["runbook_url"], page, "{name}");
        let text = fs::read_to_string(checkout(&page)).unwrap_or_default();
        assert!(text.starts_with(&format!("# {name}\n")), "{page}");
        assert!(text.contains(&format!("Severity: {severity} ")), "{page}");
        for part in ["## What it means", "## What to look at", "## What to do"] {
            assert!(text.contains(part), "{page} lacks {part}");
        }
        assert!(named.insert(format!("{name}.md")), "{name} stands twice");
    }
    let pages = fs::read_dir(checkout("docs/runbooks")).unwrap();
    let pages: BTreeSet<_> = pages
        .map(|page| page.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(pages, named);
}

#[test]
fn every_alert_is_on_the_dashboard_and_every_panel_says_what_it_shows() {
    let mut told = String::new();
    for panel in dashboard()["panels"].as_array().unwrap() {
        if panel["type"] != "row" {
            let description = panel["description"].as_str().unwrap_or_default();
            assert!(
                !description.is_empty(),
                "{} has no description",
                panel["title"]
            );
            told += description;
        }
    }
    // Whoever is woken finds the panel by the alert's name.
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap();
        assert!(told.contains(name), "no panel names {name}");
    }
}

/// Runs Prometheus' tool in the folder of its files.
fn promtool(arguments: &[&str], input: &str) {
    let mut tool = Command::new("promtool")
        .args(arguments)
        .current_dir(checkout("deploy/prometheus"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool, of Debian's package prometheus");
    tool.stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let done = tool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "promtool {arguments:?}: {said}");
}

#[test]
#[ignore = "needs promtool"]
fn the_rules_are_sound_and_each_alert_fires_in_its_condition_only() {
    promtool(&["check", "rules", "alerts.yml"], "");
    promtool(&["check", "config", "prometheus.yml"], "");
    promtool(&["test", "rules", "alerts_test.yml"], "");
    let tests = fs::read_to_string(checkout("deploy/prometheus/alerts_test.yml")).unwrap();
    let tests: Value = serde_saphyr::from_str(&tests).unwrap();
    let tests = tests["tests"].as_array().unwrap();
    let expected = |test: &Value, name: &Value, fires: bool| {
        let rules = test["alert_rule_test"].as_array().unwrap().iter();
        let mut rules = rules.filter(|rule| rule["alertname"] == *name);
        rules.any(|rule| rule["exp_alerts"].is_array() == fires)
    };
    for alert in alerts() {
        let name = &alert["alert"];
        let of = |test: &&Value| test["name"] == *name;
        assert!(
            expected(tests.iter().find(of).unwrap(), name, true),
            "{name}"
        );
        let calm = |test: &&Value| test["name"] == "a calm store";
        assert!(
            expected(tests.iter().find(calm).unwrap(), name, false),
            "{name}"
        );
    }
}

/// A Prometheus that reads one store, killed when dropped.
struct Prometheus {
    process: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Prometheus {
    fn of(target: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs:\n  - job_name: store\n    \
             static_configs: [{{targets: ['{target}']}}]\n"
        );
        fs::write(&config, text).unwrap();
        let address = free_address();
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus, of Debian's package prometheus");
        Self {
            process,
            address,
            _folder: folder,
        }
    }

    /// The series that a query gives now; `None` before it answers.
    fn query(&self, text: &str) -> Option<Vec<Value>> {
        let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = try_get(&self.address, &format!("/api/v1/query?query={encoded}")).ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        let body: Value = serde_json::from_str(body).ok()?;
        if body["status"] == "error" {
            panic!("{text}: {body}");
        }
        Some(body["data"]["result"].as_array()?.clone())
    }
}

#[test]
#[ignore = "needs promtool and prometheus"]
fn prometheus_finds_data_for_every_panel_and_no_alert_in_a_calm_store() {
    let store = with_orders();
    let answer = store.metrics();
    let (_, text) = answer.split_once("\r\n\r\n").unwrap();
    promtool(&["check", "metrics"], text);
    let prometheus = Prometheus::of(store.address("http"));
    wait_for("Prometheus to have read the store some times", || {
        let read = prometheus.query("count_over_time(up[1m]) >= 10")?;
        (!read.is_empty()).then_some(())
    });
    for query in of_dashboard() {
        let found = prometheus.query(&query.text).unwrap();
        assert!(
            !found.is_empty(),
            "{}: {} has no data",
            query.place,
            query.text
        );
    }
    for alert in of_alerts() {
        let found = prometheus.query(&alert.text).unwrap();
        assert!(found.is_empty(), "{}: {found:?}", alert.place);
    }
}
