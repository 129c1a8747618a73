//! What a store is told wrongly about its servers: one clear line and exit status 5, or patience
//! where patience can help.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

#[path = "support/place.rs"]
mod place;
mod support;
#[path = "../../tests/common/topics.rs"]
mod topics;

use place::{Place, variable};
use support::{Elsewhere, Up, free_address, get, wait_for};

/// The start fails with one line that has all of `words`, and no password in it.
fn is_told(elsewhere: &Elsewhere, arguments: &[&str], words: &[&str]) {
    let (status, err) = Up::spawn_beside(elsewhere, arguments).fails();
    assert_eq!(status, 5, "{err}");
    let errors = err.lines().filter(|line| line.starts_with("error: "));
    let told: Vec<_> = errors.collect();
    assert_eq!(told.len(), 1, "{err}");
    for word in words {
        assert!(told[0].contains(word), "no {word:?} in {err}");
    }
    assert!(!err.contains("s3cret"), "{err}");
}

#[test]
#[ignore = "set MESSAGING_TEST_POSTGRES=postgres://..., see tests/postgres"]
fn a_database_that_does_not_fit_is_named_with_what_to_do() {
    let url = variable("MESSAGING_TEST_POSTGRES");
    let (user_and_password, server) = url["postgres://".len()..].split_once('@').unwrap();
    let (user, password) = user_and_password.split_once(':').unwrap();
    let (host, _) = server.split_once('/').unwrap();
    for (store, words) in [
        (
            format!("postgres://{user}:s3cret@{server}"),
            ["--store-order", "does not let this user in"],
        ),
        (
            format!("postgres://{user}:{password}@{host}/no_such_database"),
            ["no_such_database", "create it first"],
        ),
        (url.clone(), ["--store-order", "migrate"]),
    ] {
        let arguments = ["--fresh", "--store-order", &store];
        is_told(&Elsewhere::default(), &arguments, &words);
    }
}

#[test]
#[ignore = "set MESSAGING_TEST_POSTGRES=postgres://..., see tests/postgres"]
fn a_database_of_a_newer_program_is_refused() {
    let place = Place::postgres();
    assert_eq!(place.start(&["--fresh"]).stop(), 0);
    place.execute(
        "SHOP_STORE_INVENTORY",
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (1999, 'of tomorrow', true, '', 0)",
    );
    is_told(
        &place.elsewhere,
        &["--fresh"],
        &["--store-inventory", "1999", "newer"],
    );
}

#[test]
fn a_log_that_is_not_there_is_waited_for_and_named() {
    let (log, http) = (free_address(), free_address());
    let elsewhere = Elsewhere(vec![("SHOP_LOG", log.clone())]);
    let waiting = Up::spawn_beside(&elsewhere, &["--fresh", "--listen-http", &http]);
    let reason = wait_for("the store says why it is not ready", || {
        let answer = std::net::TcpStream::connect(&http)
            .ok()
            .map(|_| get(&http, "/readyz"))?;
        answer.contains(&log).then_some(answer)
    });
    assert!(reason.contains("503"), "{reason}");
    assert!(
        reason.contains("order") && reason.contains("inventory"),
        "{reason}"
    );
    waiting.kill();
}
