//! A service's database, read beside the service or after it.

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Row};

/// Tables that tell of processes, not of what they have done.
const BOOKKEEPING: [&str; 2] = ["shard", "_sqlx_migrations"];

/// A database, opened for reading.
pub(crate) struct Database {
    connection: SqliteConnection,
}

impl Database {
    /// Opens the file.
    pub(crate) async fn open(file: &Path) -> Result<Self, sqlx::Error> {
        let options = SqliteConnectOptions::new().filename(file).read_only(true);
        let connection = options.connect().await?;
        Ok(Self { connection })
    }

    pub(crate) async fn number(&mut self, query: &'static str) -> Result<i64, sqlx::Error> {
        let row = sqlx::query(query).fetch_one(&mut self.connection).await?;
        row.try_get(0)
    }

    /// The cursors: shard, topic, next offset.
    pub(crate) async fn cursors(&mut self) -> Result<Vec<(i32, String, i64)>, sqlx::Error> {
        sqlx::query_as("SELECT shard, topic, next_offset FROM cursor")
            .fetch_all(&mut self.connection)
            .await
    }

    /// Rows of a query with a text and numbers.
    pub(crate) async fn rows<T>(&mut self, query: &'static str) -> Result<Vec<T>, sqlx::Error>
    where
        T: for<'r> sqlx::FromRow<'r, sqlx::sqlite::SqliteRow> + Send + Unpin,
    {
        sqlx::query_as(query).fetch_all(&mut self.connection).await
    }

    /// Everything that a service knows, as text: two databases with one text hold the same.
    pub(crate) async fn dump(&mut self) -> Result<Vec<String>, sqlx::Error> {
        let tables: Vec<(String,)> =
            sqlx::query_as("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
                .fetch_all(&mut self.connection)
                .await?;
        let mut lines = Vec::new();
        for (table,) in tables {
            if BOOKKEEPING.contains(&table.as_str()) {
                continue;
            }
            let columns: Vec<(String,)> =
                sqlx::query_as("SELECT name FROM pragma_table_info($1) ORDER BY cid")
                    .bind(&table)
                    .fetch_all(&mut self.connection)
                    .await?;
            let columns: Vec<_> = columns
                .into_iter()
                .map(|(column,)| format!("quote({column})"))
                .collect();
            let query = format!("SELECT {} FROM {table} ORDER BY 1", columns.join("||','||"));
            let rows: Vec<(String,)> = sqlx::query_as(AssertSqlSafe(query))
                .fetch_all(&mut self.connection)
                .await?;
            lines.extend(rows.into_iter().map(|(row,)| format!("{table}: {row}")));
        }
        Ok(lines)
    }
}
