//! Statements for many rows at once.
//!
//! Each statement is a round trip, and each distinct text is prepared once per connection, so all
//! rows travel as one array per column, whatever their number:
//!
//! ```
//! use messaging::store::{self, postgres::{self, bulk::column}};
//! use sqlx::PgConnection;
//!
//! struct Stock { product_id: String, on_hand: i64 }
//!
//! async fn load(tx: &mut PgConnection, ids: &[&str]) -> Result<Vec<(String, i64)>, store::Error> {
//!     sqlx::query_as("SELECT product_id, on_hand FROM stock WHERE product_id = ANY($1)")
//!         .bind(ids)
//!         .fetch_all(tx)
//!         .await
//!         .map_err(|error| postgres::error("load stock", error))
//! }
//!
//! async fn save(tx: &mut PgConnection, changed: &[Stock]) -> Result<(), store::Error> {
//!     postgres::bulk::write(tx, "save stock", changed, sqlx::query(
//!         "INSERT INTO stock (product_id, on_hand)
//!          SELECT * FROM unnest($1::text[], $2::bigint[])
//!          ON CONFLICT (product_id) DO UPDATE SET on_hand = excluded.on_hand",
//!     )
//!     .bind(column(changed, |stock| stock.product_id.as_str()))
//!     .bind(column(changed, |stock| stock.on_hand)))
//!     .await
//!     .map(drop)
//! }
//! ```
//!
//! Where rows are locked that other transactions lock too, sort them by their key: everybody in
//! the same order, nobody in a deadlock.

use sqlx::PgConnection;
use sqlx::postgres::{PgArguments, Postgres};
use sqlx::query::Query;

use super::error::error;
use crate::store::Error;

/// One column of `rows`.
pub fn column<'r, R, V>(rows: &'r [R], of: impl Fn(&'r R) -> V) -> Vec<V> {
    rows.iter().map(of).collect()
}

/// Runs a statement that writes `rows`, unless there are none; returns how many it changed.
///
/// # Errors
/// As [`super::error`] maps them, for `operation`.
pub async fn write<R>(
    tx: &mut PgConnection,
    operation: &'static str,
    rows: &[R],
    statement: Query<'_, Postgres, PgArguments>,
) -> Result<u64, Error> {
    if rows.is_empty() {
        return Ok(0);
    }
    statement
        .execute(tx)
        .await
        .map(|done| done.rows_affected())
        .map_err(|source| error(operation, source))
}
