//! A database of their own for tests: a schema in the one that an environment variable names.

use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, PgConnection};

use super::Location;
use crate::ids::{Ids, SystemIds};

/// Names the database that tests may make schemas in, as `postgres://...`.
pub const VARIABLE: &str = "MESSAGING_TEST_POSTGRES";

/// Runs `test` in a new, empty schema, and drops it, however the test ends.
///
/// # Panics
/// As `test` does, and when there is no database to test in.
#[expect(
    clippy::expect_used,
    reason = "a test that cannot run says why by a panic"
)]
pub async fn with<V, F: Future<Output = V>>(test: impl FnOnce(Location) -> F) -> V {
    let url = std::env::var(VARIABLE).expect("MESSAGING_TEST_POSTGRES names a database");
    let location = Location::new(url);
    let schema = format!("test_{}", SystemIds.fresh().simple());
    let mut connection = connect(&location).await;
    let create = AssertSqlSafe(format!("CREATE SCHEMA {schema}"));
    connection.execute(create).await.expect("a new schema");
    let location = location.with("options[search_path]", &schema);
    let ended = AssertUnwindSafe(test(location)).catch_unwind().await;
    let drop = AssertSqlSafe(format!("DROP SCHEMA {schema} CASCADE"));
    connection
        .execute(drop)
        .await
        .expect("the schema is dropped");
    ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// A connection to look at a database with, beside the store.
///
/// # Panics
/// When it cannot be reached.
#[expect(
    clippy::expect_used,
    reason = "a test that cannot run says why by a panic"
)]
pub async fn connect(location: &Location) -> PgConnection {
    let options = location.options().expect("a database URL");
    options
        .connect()
        .await
        .expect("the database can be reached")
}
