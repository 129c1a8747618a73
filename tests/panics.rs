//! A panic in a server: one line that says where, and not what was in its words.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

use std::process::{Command, Output};

use messaging::telemetry::{self, LogFormat};

/// Set in the process that panics.
const CHILD: &str = "PANICS_CHILD";

/// Runs this test in a process of its own, where it panics.
fn panicking(backtrace: &str) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["a_panic_is_told_by_its_place", "--exact", "--nocapture"])
        .env(CHILD, "1")
        .env("RUST_BACKTRACE", backtrace)
        .env_remove("RUST_LOG")
        .output()
        .unwrap()
}

#[test]
fn a_panic_is_told_by_its_place() {
    if std::env::var_os(CHILD).is_some() {
        telemetry::init_logs(LogFormat::Json);
        telemetry::log_panics();
        let ended = std::thread::spawn(|| panic!("PAYLOAD_MARK")).join();
        assert!(ended.is_err());
        return;
    }
    let quiet = panicking("0");
    assert!(quiet.status.success());
    let told = String::from_utf8(quiet.stderr).unwrap();
    assert_eq!(told.lines().count(), 1, "{told}");
    let line: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(line["level"], "ERROR");
    assert_eq!(line["message"], "a thread panicked");
    assert!(
        line["location"]
            .as_str()
            .unwrap()
            .starts_with("tests/panics.rs:"),
        "{line}"
    );
    assert!(!told.contains("PAYLOAD_MARK"), "{told}");

    // Who asks for backtraces gets the words too.
    let told = String::from_utf8(panicking("1").stderr).unwrap();
    assert!(told.contains("PAYLOAD_MARK"), "{told}");
}
