//! Postgres over TLS: who the database is, and who may call it.
//!
//! The cluster that the other tests use gets certificates for a while; it accepts connections without
//! TLS all the time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

#[path = "common/certificates.rs"]
mod certificates;

use std::time::Duration;

use messaging::store::contract::counter::CounterTables;
use messaging::store::postgres::{Location, PostgresStore, migrate, scratch};
use sqlx::{AssertSqlSafe, Executor, PgConnection, Row};

use certificates::{Authority, Folder, For};

/// Makes a file in the server's data directory, as its user.
async fn put(connection: &mut PgConnection, name: &str, text: &str) {
    let copy = format!(
        "COPY (SELECT regexp_split_to_table('{}', E'\n')) TO PROGRAM \
         'umask 077; cat > {name}'",
        text.trim_end()
    );
    connection.execute(AssertSqlSafe(copy)).await.unwrap();
}

async fn say(connection: &mut PgConnection, statements: &[&str]) {
    for statement in statements {
        let statement = AssertSqlSafe((*statement).to_owned());
        connection.execute(statement).await.unwrap();
    }
}

/// Waits until it `is_so`.
async fn until(is_so: impl AsyncFn() -> bool) {
    let coming = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let came = tokio::time::timeout(Duration::from_secs(30), coming).await;
    came.expect("it did not come in time");
}

/// Whether a store can be opened at `location`.
async fn open(location: &Location) -> Result<(), String> {
    let tables = CounterTables;
    let opened = PostgresStore::open(
        location,
        "tls",
        &CounterTables::postgres_migrations(),
        tables,
    )
    .await;
    let store = opened.map_err(|error| error.to_string())?;
    store.close().await;
    Ok(())
}

#[tokio::test]
#[ignore = "set MESSAGING_TEST_POSTGRES=postgres://..., see tests/postgres"]
async fn a_database_is_believed_that_shows_the_right_certificate() {
    let folder = Folder::new();
    folder.sign("elsewhere", "elsewhere.test", For::Servers);
    Authority::new().write(&folder.path("other.pem"));
    scratch::with(async |location| {
        let mut admin = scratch::connect(&location).await;
        migrate(&location, &CounterTables::postgres_migrations())
            .await
            .unwrap();
        let verified = |ca: &str| {
            let ca = folder.path(ca);
            let location = location.with("sslmode", "verify-full");
            location.with("sslrootcert", ca.to_str().unwrap())
        };
        let refused = open(&verified("ca.pem")).await.unwrap_err();
        assert!(
            refused.to_lowercase().contains("tls"),
            "no TLS there: {refused}"
        );

        show(&mut admin, &folder, "server").await;
        // The server reads its certificates a moment after it was told to.
        until(async || open(&verified("ca.pem")).await.is_ok()).await;
        let mut secured = scratch::connect(&verified("ca.pem")).await;
        let query = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        let row = sqlx::query(query).fetch_one(&mut secured).await.unwrap();
        assert!(row.get::<bool, _>(0), "it is not encrypted");
        open(&verified("other.pem")).await.unwrap_err();

        show(&mut admin, &folder, "elsewhere").await;
        until(async || open(&verified("ca.pem")).await.is_err()).await;
        say(
            &mut admin,
            &["ALTER SYSTEM RESET ssl", "SELECT pg_reload_conf()"],
        )
        .await;
    })
    .await;
}

/// Lets the server show the certificate `name`.
async fn show(admin: &mut PgConnection, folder: &Folder, name: &str) {
    let read = |kind| std::fs::read_to_string(folder.path(&format!("{name}.{kind}"))).unwrap();
    put(admin, "server.crt", &read("pem")).await;
    put(admin, "server.key", &read("key")).await;
    let on = ["ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()"];
    say(admin, &on).await;
}
