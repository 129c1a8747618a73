//! `shop load limits`: the physical limits of this machine, measured alone and beside a load, with
//! nothing left behind.

#![allow(clippy::unwrap_used, reason = "a failed test is the report")]

mod support;

use std::path::Path;
use std::time::Duration;

use contracts::topics::{INVENTORY_EVENTS, ORDER_COMMANDS, ORDER_EVENTS};
use messaging::log::kafka::{Config, KafkaLog};
use messaging::log::{Log, ReadLimit};
use serde_json::Value;
use support::{Outcome, Up};

/// Names the database that limits may be measured in, as `postgres://...`.
const POSTGRES: &str = "MESSAGING_TEST_POSTGRES";

/// Runs `shop load limits` for stores whose data is in `folder`.
fn limits(folder: &Path, arguments: &[&str]) -> Outcome {
    let data_dir = folder.join("data");
    let data_dir = data_dir.to_str().unwrap();
    let flags = ["load", "limits", "--duration", "1", "--data-dir", data_dir];
    let outcome = support::command(&[&flags[..], arguments].concat()).output();
    Outcome::of(outcome.unwrap())
}

fn number(report: &Value, pointer: &str) -> f64 {
    let found = report.pointer(pointer).and_then(Value::as_f64);
    found.unwrap_or_else(|| panic!("no number at {pointer} in {report:#}"))
}

fn assert_near(found: f64, expected: f64) {
    assert!(
        (found / expected - 1.0).abs() < 1e-6,
        "{found}, not {expected}"
    );
}

/// Checks that every limit has a rate, and that the combined one follows from them.
fn check(limits: &Value) {
    let rates = [
        "/grpc/calls_per_second",
        "/log/orders_per_second",
        "/database/orders_per_second",
    ]
    .map(|pointer| number(limits, pointer));
    assert!(rates.iter().all(|rate| *rate > 0.0), "{limits:#}");
    let seconds: f64 = rates.iter().map(|rate| 1.0 / rate).sum();
    assert_near(number(limits, "/combined_orders_per_second"), 1.0 / seconds);
    // Three transactions for 500 orders.
    let transactions = number(limits, "/database/transactions_per_second");
    assert_near(transactions, 3.0 * rates[2] / 500.0);
    assert!(number(limits, "/disk/syncs_per_second") > 0.0);
    assert!(number(limits, "/disk/p50_us") <= number(limits, "/disk/p99_us"));
    let answered = |share: &str| number(limits, &format!("/grpc/answered_ms/{share}"));
    assert!(answered("p50") > 0.0 && answered("p50") <= answered("p99"));
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn every_limit_has_a_rate_and_nothing_is_left_of_it() {
    let folder = tempfile::tempdir().unwrap();
    for (way, stream) in [(&["--callers", "4"][..], false), (&["--stream"], true)] {
        let outcome = limits(folder.path(), &[way, &["--output", "json"]].concat());
        assert_eq!(outcome.status, 0, "{outcome:?}");
        let report = outcome.json().remove(0);
        check(&report);
        assert_eq!(report["grpc"]["stream"], stream, "{report:#}");
        assert_eq!(report["database"]["kind"], "sqlite", "{report:#}");
        assert!(is_empty(folder.path()));
    }
    let told = limits(folder.path(), &["--products", "1"]);
    assert_eq!(told.status, 0, "{told:?}");
    for name in ["gRPC ", "log ", "database ", "combined ", "fsync "] {
        assert!(told.out.contains(&format!("\n{name}")), "{told:?}");
    }
}

#[test]
fn a_folder_that_cannot_be_written_and_a_server_that_is_none_are_told_with_their_flags() {
    let outcome = limits(Path::new("/no/such/folder"), &[]);
    assert_eq!(outcome.status, 2, "{outcome:?}");
    assert!(outcome.err.contains("--data-dir"), "{outcome:?}");
    let folder = tempfile::tempdir().unwrap();
    let outcome = limits(folder.path(), &["--database-url", "mysql://a:s3cret@b/c"]);
    assert_eq!(outcome.status, 2, "{outcome:?}");
}

#[test]
fn a_signal_ends_it_and_nothing_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let data_dir = data_dir.to_str().unwrap();
    let flags = [
        "load",
        "limits",
        "--duration",
        "600",
        "--data-dir",
        data_dir,
    ];
    let mut child = support::command(&flags).spawn().unwrap();
    support::wait_for("it has begun", || (!is_empty(folder.path())).then_some(()));
    let mut kill = std::process::Command::new("kill");
    assert!(kill.arg(child.id().to_string()).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(is_empty(folder.path()));
}

#[test]
fn where_limits_are_measured_is_not_said_in_vain() {
    for flags in [["--data-dir", "elsewhere"], ["--partitions", "2"]] {
        let outcome = support::command(&[&["load"], &flags[..]].concat())
            .output()
            .unwrap();
        assert_eq!(outcome.status.code(), Some(2));
        let told = String::from_utf8_lossy(&outcome.stderr);
        assert!(told.contains("give --limits as well"), "{told}");
    }
}

#[test]
fn a_load_is_told_as_a_share_of_its_limits() {
    let store = Up::start(&["--fresh"]);
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let metrics = format!("http://{}/metrics", store.address("http"));
    let flags = ["load", "--metrics", &metrics, "--output", "json"];
    let short = ["--orders", "500", "--limits", "--limits-duration", "1"];
    let place = ["--data-dir", data_dir.to_str().unwrap()];
    let outcome = store.shop(&[&flags[..], &short, &place].concat());
    assert_eq!(outcome.status, 0, "{outcome:?}");
    let report = outcome.json().remove(0);
    let limits = &report["limits"];
    check(limits);
    let reserved = number(&report, "/reserved_per_second");
    let mut lowest = ("", f64::INFINITY);
    for (limit, rate) in [
        ("grpc", "/grpc/calls_per_second"),
        ("log", "/log/orders_per_second"),
        ("database", "/database/orders_per_second"),
        ("combined", "/combined_orders_per_second"),
    ] {
        let rate = number(limits, rate);
        let share = number(limits, &format!("/share_of/{limit}"));
        assert_near(share, reserved / rate);
        if limit != "combined" && rate < lowest.1 {
            lowest = (limit, rate);
        }
    }
    assert_eq!(limits["binds"], lowest.0, "{limits:#}");
    assert!(is_empty(folder.path()));
    let records = [ORDER_COMMANDS, ORDER_EVENTS, INVENTORY_EVENTS].map(|topic| kept(&store, topic));
    let count: usize = records.iter().map(Vec::len).sum();
    let bytes: usize = records.iter().flatten().sum();
    // What a real order leaves in the log is what the limit appended for each of its own.
    assert_near(
        number(limits, "/log/records_per_order") * 500.0,
        count as f64,
    );
    assert_near(number(limits, "/log/bytes_per_order") * 500.0, bytes as f64);
}

/// Bytes of every record of `topic`.
fn kept(store: &Up, topic: &str) -> Vec<usize> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let log = KafkaLog::new(Config {
        bootstrap: vec![store.address("log").to_owned()],
        client_id: "test".to_owned(),
    });
    runtime.block_on(async {
        let mut sizes = Vec::new();
        for partition in 0..log.partitions(topic).await.unwrap().unwrap() {
            let mut from = 0;
            while from < log.bounds(topic, partition).await.unwrap().next {
                let limit = ReadLimit {
                    bytes_max: 1 << 20,
                    wait_max: Duration::ZERO,
                };
                let read = log.read(topic, partition, from, limit).await.unwrap();
                from = read.records.last().unwrap().offset + 1;
                sizes.extend(read.records.iter().map(|found| found.record.size()));
            }
        }
        sizes
    })
}

#[test]
#[ignore = "set MESSAGING_TEST_POSTGRES=postgres://..., see tests/postgres"]
fn postgres_is_measured_in_schemas_that_are_dropped() {
    let url = std::env::var(POSTGRES).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--output", "json", "--database-url", &url];
    let outcome = limits(folder.path(), &flags);
    assert_eq!(outcome.status, 0, "{outcome:?}");
    let report = outcome.json().remove(0);
    check(&report);
    assert_eq!(report["database"]["kind"], "postgres");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let left: i64 = runtime.block_on(async {
        use sqlx::Connection;
        let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
        let count = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'shop_limits_%'";
        let count = sqlx::query_scalar(count);
        count.fetch_one(&mut connection).await.unwrap()
    });
    assert_eq!(left, 0);
}
