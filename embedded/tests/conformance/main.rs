//! Does a schema registry answer as Confluent documents it, and judge schemas as Avro's Java
//! implementation does? One suite of data, for the embedded registry and for a foreign one:
//!
//! | file | what is there |
//! |---|---|
//! | `cases.json` | requests with the answers that Confluent documents |
//! | `evolution/tests/pairs.json` | pairs of schemas with Java's verdicts |
//! | `embedded.json` | where the embedded registry answers differently, on purpose, and why |
//! | `apicurio.json` | where Apicurio Registry does (`tests/registry` runs it) |
//!
//! A deviation that is listed is demanded like everything else: a registry that starts to answer
//! as documented fails too, until its row is gone. Subjects and namespaces are new in every run,
//! so that the registry may have content.
//!
//! ```console
//! $ export MESSAGING_TEST_REGISTRY=$(tests/registry up)
//! $ cargo test -p embedded --test conformance -- --include-ignored
//! $ tests/registry down
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

mod client;
mod deviations;
mod pairs;
mod pattern;
mod suite;
#[path = "../support/mod.rs"]
mod support;

use client::Registry;
use deviations::Deviations;
use embedded::registry;
use support::Server;

/// The embedded registry in a directory of its own, which goes with the second value.
fn embedded() -> (Server, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let registry = registry::Registry::open(registry::Config::new(dir.path())).unwrap();
    let server = Server::start(|listener, shutdown| registry.serve(listener, shutdown));
    (server, dir)
}

fn foreign() -> Registry {
    let url = std::env::var("MESSAGING_TEST_REGISTRY");
    Registry::at(&url.expect("MESSAGING_TEST_REGISTRY is what `tests/registry up` prints"))
}

fn assert_none(failures: &[String]) {
    assert!(
        failures.is_empty(),
        "{} failures:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_registry_answers_as_confluent_documents() {
    let (server, _dir) = embedded();
    let registry = Registry::at(&format!("http://{}", server.addr));
    assert_none(&suite::run(&registry, &Deviations::embedded()).await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_registry_judges_as_java_does() {
    let (server, _dir) = embedded();
    let registry = Registry::at(&format!("http://{}", server.addr));
    assert_none(&pairs::run(&registry, &Deviations::embedded()).await);
    server.stop().await;
}

/// Confluent documents nothing for such requests; its clients read every refusal in one shape.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_embedded_registry_cannot_even_read_is_refused_in_the_same_shape() {
    let (server, _dir) = embedded();
    let registry = Registry::at(&format!("http://{}", server.addr));
    for path in ["/subjects/%FF/versions", "/subjects?offset=first"] {
        let answer = registry.call("GET", path, "").await;
        assert_eq!(answer.status, 400, "{path}: {answer:?}");
        assert_eq!(answer.content_type, client::CONTENT_TYPE, "{path}");
        let expected = serde_json::json!({"error_code": 400, "message": "HTTP 400 Bad Request"});
        assert_eq!(answer.body, expected, "{path}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Apicurio Registry: tests/registry up"]
async fn a_foreign_registry_answers_as_confluent_documents() {
    assert_none(&suite::run(&foreign(), &Deviations::apicurio()).await);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Apicurio Registry: tests/registry up"]
async fn a_foreign_registry_judges_as_java_does() {
    assert_none(&pairs::run(&foreign(), &Deviations::apicurio()).await);
}
