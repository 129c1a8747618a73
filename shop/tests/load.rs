//! `shop load` on a store of its own: every order that it placed has its outcome, and the report says
//! so.

#![allow(clippy::unwrap_used, reason = "a failed test is the report")]

mod support;

use serde_json::Value;
use support::Up;

/// Runs `shop load` with `arguments`; returns its report.
fn load(store: &Up, arguments: &[&str]) -> Value {
    let metrics = format!("http://{}/metrics", store.address("http"));
    let flags = ["load", "--metrics", &metrics, "--output", "json"];
    let outcome = store.shop(&[&flags[..], arguments].concat());
    assert_eq!(outcome.status, 0, "{outcome:?}");
    outcome.json().remove(0)
}

fn count(report: &Value, pointer: &str) -> u64 {
    report.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

#[test]
fn every_order_has_its_outcome_whichever_way_it_was_placed() {
    let store = Up::start(&["--fresh"]);
    for way in [
        &["--callers", "8"][..],
        &["--callers", "2", "--stream"],
        &["--rate", "500"],
        &["--callers", "8", "--wait", "--random-ids", "--skew", "1"],
    ] {
        let report = load(&store, &[way, &["--orders", "300"]].concat());
        assert_eq!(count(&report, "/accepted"), 300, "{report:#}");
        assert_eq!(count(&report, "/outcomes/reserved"), 300, "{report:#}");
        assert_eq!(count(&report, "/without_outcome"), 0, "{report:#}");
        assert_eq!(report["errors"], serde_json::json!({}), "{report:#}");
        for time in ["acknowledged_ms", "settled_ms"] {
            let of = |share: &str| report[time][share].as_f64().unwrap();
            assert!(of("p50") > 0.0 && of("p50") <= of("p99") && of("p99") <= of("max"));
        }
        let per_order = |name: &str| report["per_order"][name].as_f64().unwrap();
        assert!(per_order("log_requests") > 0.0 && per_order("transactions") > 0.0);
        let store_process = report["processes"].as_array().unwrap().iter();
        let mut parts = store_process.map(|process| process["parts"].to_string());
        let is_store = |parts: String| parts.contains("gateway") && parts.contains("log");
        assert!(parts.any(is_store), "{report:#}");
    }
    let audit = store.shop(&["audit"]);
    assert_eq!(audit.status, 0, "{audit:?}");
}

#[test]
fn an_open_loop_keeps_its_rate() {
    let store = Up::start(&["--fresh"]);
    let report = load(&store, &["--rate", "200", "--orders", "400"]);
    // The last of 400 orders at 200 per second is due after 1.995 s.
    let seconds = report["seconds"].as_f64().unwrap();
    assert!(seconds >= 1.99, "{report:#}");
    assert_eq!(count(&report, "/outcomes/reserved"), 400);
}

#[test]
fn repetitions_shortages_and_cancellations_come_to_what_they_should() {
    let store = Up::start(&["--fresh"]);
    let mix = [
        "--duplicates",
        "0.2",
        "--shortages",
        "0.1",
        "--cancels",
        "0.2",
    ];
    let report = load(&store, &[&["--orders", "1000"], &mix[..]].concat());
    let orders = 1000 - count(&report, "/repeated");
    assert_eq!(count(&report, "/accepted"), 1000, "{report:#}");
    let outcomes = ["reserved", "rejected", "cancelled"];
    let outcomes = outcomes.map(|name| count(&report, &format!("/outcomes/{name}")));
    assert_eq!(outcomes.iter().sum::<u64>(), orders, "{report:#}");
    let [_, rejected, _] = outcomes;
    assert!((40..=120).contains(&rejected), "{report:#}");
    let audit = store.shop(&["audit"]);
    assert_eq!(audit.status, 0, "{audit:?}");
}

#[test]
fn a_report_holds_the_same_figures_as_the_output_and_needs_nothing_else() {
    let store = Up::start(&["--fresh"]);
    let above = tempfile::tempdir().unwrap();
    let folder = above.path().join("reports").join("today");
    let second = ["--rate", "500", "--orders", "500"];
    let into = ["--report", folder.to_str().unwrap()];
    let report = load(&store, &[&second[..], &into].concat());
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let written: Value = serde_json::from_str(&read("report.json")).unwrap();
    assert_eq!(written, report);

    let over_time = report["over_time"].as_array().unwrap();
    let counted = |rate: &str| -> f64 {
        let counts = over_time.iter().map(|point| {
            let of = |name: &str| point[name].as_f64().unwrap();
            of(rate) * of("seconds")
        });
        counts.sum()
    };
    for rate in ["accepted_per_second", "reserved_per_second"] {
        assert!((counted(rate) - 500.0).abs() < 1e-6, "{report:#}");
    }
    assert!(over_time.len() >= 2, "{report:#}");
    let looked = |point: &Value| point["in_flight_max"].is_u64();
    assert!(over_time.iter().any(looked), "{report:#}");
    let marks = report.pointer("/acknowledged_distribution/marks").unwrap();
    let longest = marks.as_array().unwrap().last().unwrap();
    assert_eq!(longest["ms"], report["acknowledged_ms"]["max"]);

    let index = read("index.html");
    for name in ["latency.svg", "throughput.svg"] {
        let svg = read(name);
        roxmltree::Document::parse(&svg).unwrap();
        assert!(index.contains(&svg), "{name} is not on the page");
    }
    assert!(
        index.contains("open loop, 500 orders per second"),
        "{index}"
    );
    assert!(index.contains("<td>500</td>"), "{index}");
    for share in ["p50", "p99", "max"] {
        let ms = report["acknowledged_ms"][share].as_f64().unwrap();
        assert!(index.contains(&format!("<td>{ms:.2}</td>")), "{share}");
    }
}

#[test]
fn a_report_without_a_place_is_refused_before_the_load() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let folder = file.path().join("report");
    let nowhere = format!("http://{}", support::free_address());
    let flags = ["--gateway", &nowhere, "--report", folder.to_str().unwrap()];
    let mut command = support::command(&[&["load"], &flags[..]].concat());
    let outcome = support::Outcome::of(command.output().unwrap());
    // The store is away as well, which would be 3.
    assert_eq!(outcome.status, 2, "{outcome:?}");
    assert!(
        outcome.err.contains(folder.to_str().unwrap()),
        "{outcome:?}"
    );
}

#[test]
fn people_get_lines_and_a_store_that_is_away_is_unreachable() {
    let store = Up::start(&["--fresh"]);
    let metrics = format!("http://{}/metrics", store.address("http"));
    let told = store.shop(&["load", "--orders", "50", "--metrics", &metrics]);
    assert_eq!(told.status, 0, "{told:?}");
    assert!(told.out.contains("accepted   50 in "), "{told:?}");
    assert!(told.out.contains("acknowledged "), "{told:?}");
    store.stop();
    for nonsense in [
        ["--in-flight-max", "0"],
        ["--skew", "-1"],
        ["--cancels", "2"],
    ] {
        let outcome = support::command(&[&["load"], &nonsense[..]].concat()).output();
        assert_eq!(
            support::Outcome::of(outcome.unwrap()).status,
            2,
            "{nonsense:?}"
        );
    }
    let nowhere = format!("http://{}", support::free_address());
    let mut command = support::command(&["load", "--gateway", &nowhere]);
    let outcome = support::Outcome::of(command.output().unwrap());
    assert_eq!(outcome.status, 3, "{outcome:?}");
}
