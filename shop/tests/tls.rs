//! The store with the certificates of `shop certs`: a public edge, and services for those who have
//! a certificate.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

mod support;

use std::path::Path;
use std::process::Output;

use support::{Up, command, wait_for};

/// Runs `shop` with `arguments` and, for each name, the file of `dir` that goes with its flag.
fn shop(dir: &Path, files: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = command(arguments);
    for (flag, file) in files {
        command.arg(flag).arg(dir.join(file));
    }
    command.output().unwrap()
}

fn certs(dir: &Path, arguments: &[&str]) {
    let made = shop(dir, &[("--out", "")], &[&["certs"], arguments].concat());
    assert!(made.status.success(), "{}", told(&made));
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const CA: (&str, &str) = ("--ca", "ca.pem");
const PERSON: [(&str, &str); 3] = [CA, ("--cert", "client.pem"), ("--cert-key", "client.key")];

#[test]
fn the_store_speaks_tls_and_the_services_know_who_calls() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    certs(dir, &[]);
    let store = Up::start(&["--fresh", "--seed", "--tls-dir", dir.to_str().unwrap()]);
    let gateway = store.address("gateway");
    assert!(gateway.starts_with("https://127.0.0.1:"), "{gateway}");

    // Through the gateway to a service and back.
    let stock = ["stock", "--gateway", gateway];
    let shown = shop(dir, &[CA], &stock);
    assert!(shown.status.success(), "{}", told(&shown));
    assert!(String::from_utf8_lossy(&shown.stdout).contains("PRODUCT_001"));

    // Past it: with a certificate only.
    let order = store.address("order");
    let shards = ["shards", "--service", "order", "--order", order];
    let shown = shop(dir, &PERSON, &shards);
    assert!(shown.status.success(), "{}", told(&shown));
    let refused = shop(dir, &[CA], &shards);
    assert_eq!(refused.status.code(), Some(3));
    let line = "give one by --cert FILE --cert-key FILE";
    assert!(told(&refused).contains(line), "{}", told(&refused));

    // Mistakes, each with what to do about it.
    let other = tempfile::tempdir().unwrap();
    certs(other.path(), &[]);
    let refused = shop(other.path(), &[CA], &stock);
    assert_eq!(refused.status.code(), Some(3));
    assert!(
        told(&refused).contains("by --ca FILE"),
        "{}",
        told(&refused)
    );
    let refused = shop(other.path(), &PERSON[1..], &shards);
    assert!(!refused.status.success());
    let plain = gateway.replace("https://", "http://");
    let refused = shop(dir, &[], &["stock", "--gateway", &plain]);
    assert_eq!(refused.status.code(), Some(3));
    assert!(
        told(&refused).contains("write https://"),
        "{}",
        told(&refused)
    );
    let refused = shop(dir, &[CA], &["stock", "--gateway", &plain]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        told(&refused).contains("--ca is for https://"),
        "{}",
        told(&refused)
    );
    assert_eq!(store.stop(), 0);
}

#[test]
fn a_running_store_takes_new_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    certs(dir, &[]);
    let store = Up::start(&["--fresh", "--tls-dir", dir.to_str().unwrap()]);
    let stock = ["stock", "--gateway", store.address("gateway")];
    assert!(shop(dir, &[CA], &stock).status.success());

    // Another authority: who knows it only gets in once everybody shows the new certificates.
    certs(dir, &["--force"]);
    wait_for("the gateway shows its new certificate", || {
        shop(dir, &[CA], &stock).status.success().then_some(())
    });
    assert_eq!(store.stop(), 0);
}

#[test]
fn a_directory_without_certificates_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let refused = shop(folder.path(), &[("--tls-dir", "")], &["up", "--fresh"]);
    assert_eq!(refused.status.code(), Some(5));
    assert!(
        told(&refused).contains("shop certs --out DIR"),
        "{}",
        told(&refused)
    );
}
