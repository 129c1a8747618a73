//! Statements for many rows at once.
//!
//! Each statement crosses to SQLite's worker thread (about 65 us), so rows go in by the hundred,
//! writes of several tables as one [`Script`], and a read names all its keys in one parameter:
//!
//! ```
//! use messaging::store::{self, sqlite::{self, bulk}};
//! use sqlx::SqliteConnection;
//!
//! struct Stock { product_id: String, on_hand: i64 }
//!
//! async fn load(tx: &mut SqliteConnection, ids: &[&str]) -> Result<Vec<(String, i64)>, store::Error> {
//!     sqlx::query_as(
//!         "SELECT product_id, on_hand FROM json_each($1) AS wanted
//!          CROSS JOIN stock ON product_id = wanted.value",
//!     )
//!     .bind(bulk::json(ids))
//!     .fetch_all(tx)
//!     .await
//!     .map_err(|error| sqlite::error("load stock", error))
//! }
//!
//! async fn save(tx: &mut SqliteConnection, changed: &[Stock]) -> Result<(), store::Error> {
//!     bulk::Insert {
//!         into: "stock (product_id, on_hand)",
//!         columns: 2,
//!         then: "ON CONFLICT (product_id) DO UPDATE SET on_hand = excluded.on_hand",
//!     }
//!     .rows(tx, "save stock", changed, |stock, values| {
//!         values.push(&stock.product_id).push(stock.on_hand);
//!     })
//!     .await
//! }
//! ```
//!
//! `CROSS JOIN` keeps SQLite from turning the join round and reading the whole table. `json_each`
//! has columns of its own (`key`, `id`, `type`, `path`, ...): qualify yours where they meet.

use sqlx::error::BoxDynError;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments, AssertSqlSafe, Encode, Sqlite, SqliteConnection, Type};

use super::error::error;
use crate::store::Error;

pub use crate::store::sql::json;

/// Rows of the largest statement. The others are powers of two: few distinct ones, so that the
/// statement cache holds them all.
const ROWS_MAX: usize = 256;
/// SQLite's limit of parameters in a statement.
const PARAMETERS_MAX: usize = 32_766;

/// Rows above which an insert goes alone: it then costs more than the crossing, and its text in every
/// combination with others would crowd the statement cache.
const ROWS_SHARED_MAX: usize = 64;

/// An `INSERT` of any number of rows. The texts are the program's own, never data.
///
/// Up to 256 rows go in one statement, which is filled up with empty rows to a power of two.
#[derive(Clone, Copy, Debug)]
pub struct Insert {
    /// Table and columns: `stock (product_id, on_hand)`. The first column is never null: a row
    /// where it is counts as empty and is left out.
    pub into: &'static str,
    /// How many columns `into` names, 128 at most.
    pub columns: usize,
    /// What follows the rows, for example an `ON CONFLICT` clause; may be empty.
    pub then: &'static str,
}

impl Insert {
    /// Inserts `rows`; `bind` pushes the columns of one row, in order.
    ///
    /// # Errors
    /// As [`super::error`] maps them, for `operation`.
    pub async fn rows<R: Sync>(
        self,
        tx: &mut SqliteConnection,
        operation: &'static str,
        rows: &[R],
        bind: impl Fn(&R, &mut Values) + Send + Sync,
    ) -> Result<(), Error> {
        let mut script = Script::new(tx, operation);
        script.insert(self, rows, bind).await?;
        script.run().await.map(|_| ())
    }

    fn sql(&self, places: usize) -> String {
        let row = format!("({})", ["?"].repeat(self.columns).join(","));
        let rows = vec![row.as_str(); places].join(",");
        let Self { into, then, .. } = self;
        format!("INSERT INTO {into} SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL {then}")
    }
}

/// Parameters of a statement, in order.
#[derive(Debug, Default)]
pub struct Values {
    arguments: SqliteArguments,
    failed: Option<BoxDynError>,
}

impl Values {
    /// Adds the next parameter.
    pub fn push<'v, V: Encode<'v, Sqlite> + Type<Sqlite>>(&mut self, value: V) -> &mut Self {
        if let Err(error) = self.arguments.add(value) {
            self.failed.get_or_insert(error);
        }
        self
    }

    /// Skips `count` parameters, which are null then.
    fn skip(&mut self, count: usize) {
        for _ in 0..count {
            self.push(None::<i64>);
        }
    }

    pub(super) fn finish(self) -> Result<SqliteArguments, sqlx::Error> {
        match self.failed {
            None => Ok(self.arguments),
            Some(error) => Err(sqlx::Error::Encode(error)),
        }
    }
}

/// Statements sent as one, because each crossing to the connection's thread costs more than what most
/// of them cost there. Parameters are `?`, in the order of the statements.
#[derive(Debug)]
pub struct Script<'t> {
    tx: &'t mut SqliteConnection,
    operation: &'static str,
    sql: String,
    values: Values,
    rows: Vec<SqliteRow>,
}

impl<'t> Script<'t> {
    /// A script for `operation`, within the transaction.
    pub fn new(tx: &'t mut SqliteConnection, operation: &'static str) -> Self {
        Self {
            tx,
            operation,
            sql: String::new(),
            values: Values::default(),
            rows: Vec::new(),
        }
    }

    /// Adds a statement and pushes its parameters.
    pub fn add(&mut self, statement: &str, bind: impl FnOnce(&mut Values)) -> &mut Self {
        self.sql.push_str(statement);
        self.sql.push(';');
        bind(&mut self.values);
        self
    }

    /// Adds an insert of `rows`; `bind` pushes the columns of one row, in order. What was added before
    /// goes first, and may go now.
    ///
    /// # Errors
    /// As [`super::error`] maps them, for the script's operation.
    pub async fn insert<R: Sync>(
        &mut self,
        insert: Insert,
        rows: &[R],
        bind: impl Fn(&R, &mut Values) + Send + Sync,
    ) -> Result<(), Error> {
        debug_assert!(
            insert.columns * ROWS_MAX <= PARAMETERS_MAX,
            "too many columns"
        );
        for chunk in rows.chunks(ROWS_MAX) {
            let places = chunk.len().next_power_of_two();
            let alone = places > ROWS_SHARED_MAX;
            if alone {
                self.send().await?;
            }
            self.add(&insert.sql(places), |values| {
                for row in chunk {
                    bind(row, values);
                }
                values.skip((places - chunk.len()) * insert.columns);
            });
            if alone {
                self.send().await?;
            }
        }
        Ok(())
    }

    /// Runs the statements in order; returns the rows of those that have any.
    ///
    /// # Errors
    /// As [`super::error`] maps them, for the script's operation; earlier statements stay done within
    /// the transaction.
    pub async fn run(mut self) -> Result<Vec<SqliteRow>, Error> {
        self.send().await?;
        Ok(self.rows)
    }

    async fn send(&mut self) -> Result<(), Error> {
        if self.sql.is_empty() {
            return Ok(());
        }
        let failed = |source| error(self.operation, source);
        let values = std::mem::take(&mut self.values).finish().map_err(failed)?;
        let sql = AssertSqlSafe(std::mem::take(&mut self.sql));
        let rows = sqlx::query_with(sql, values)
            .fetch_all(&mut *self.tx)
            .await
            .map_err(failed)?;
        self.rows.extend(rows);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{Connection, Row};

    use super::*;

    /// A database with an empty table.
    async fn with(table: &'static str) -> SqliteConnection {
        let mut tx = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        sqlx::query(table).execute(&mut tx).await.unwrap();
        tx
    }

    #[tokio::test]
    async fn any_number_of_rows_takes_few_statements_and_loses_none() {
        let mut tx = with("CREATE TABLE t (n INTEGER NOT NULL, square INTEGER) STRICT").await;
        let insert = Insert {
            into: "t (n, square)",
            columns: 2,
            then: "",
        };
        for count in [0_i64, 1, 2, 5, 255, 256, 257, 1_000] {
            sqlx::query("DELETE FROM t").execute(&mut tx).await.unwrap();
            let rows: Vec<i64> = (0..count).collect();
            let push = |row: &i64, values: &mut Values| {
                values.push(*row).push((row % 2 == 0).then_some(row * row));
            };
            insert.rows(&mut tx, "insert", &rows, push).await.unwrap();
            let there: Vec<(i64, Option<i64>)> =
                sqlx::query_as("SELECT n, square FROM t ORDER BY n")
                    .fetch_all(&mut tx)
                    .await
                    .unwrap();
            let wanted = rows
                .iter()
                .map(|row| (*row, (row % 2 == 0).then_some(row * row)));
            assert_eq!(there, wanted.collect::<Vec<_>>());
        }
        // Nine sizes of the insert, and the three texts of this test.
        assert!(tx.cached_statements_size() <= 9 + 3);
    }

    #[tokio::test]
    async fn a_script_keeps_the_order_of_what_it_holds_and_returns_what_it_reads() {
        let mut tx = with("CREATE TABLE t (n INTEGER NOT NULL) STRICT").await;
        let insert = Insert {
            into: "t (n)",
            columns: 1,
            then: "",
        };
        let push = |n: &i64, values: &mut Values| {
            values.push(*n);
        };
        for count in [3, 100, 300] {
            let rows: Vec<i64> = (0..count).collect();
            let mut script = Script::new(&mut tx, "test");
            script.add("DELETE FROM t WHERE n >= ?", |values| {
                values.push(0);
            });
            script.insert(insert, &rows, push).await.unwrap();
            script.add("UPDATE t SET n = n + ?", |values| {
                values.push(1_000);
            });
            script.insert(insert, &rows, push).await.unwrap();
            script.add("SELECT sum(n) FROM t WHERE n > ?", |values| {
                values.push(0);
            });
            let found = script.run().await.unwrap();
            let sum: i64 = found[0].try_get(0).unwrap();
            assert_eq!(sum, 1_000 * count + 2 * rows.iter().sum::<i64>());
        }
    }

    #[tokio::test]
    async fn a_script_stops_at_the_statement_that_fails_and_names_its_operation() {
        let mut tx = with("CREATE TABLE t (n INTEGER PRIMARY KEY) STRICT").await;
        let mut script = Script::new(&mut tx, "test");
        for n in [1, 1, 2] {
            script.add("INSERT INTO t (n) VALUES (?)", |values| {
                values.push(n);
            });
        }
        let refused = script.run().await.unwrap_err();
        assert_eq!(refused.kind, crate::store::ErrorKind::Rejected);
        assert_eq!(refused.operation, "test");
        let there: Vec<i64> = sqlx::query_scalar("SELECT n FROM t")
            .fetch_all(&mut tx)
            .await
            .unwrap();
        assert_eq!(there, [1]);
    }
}
