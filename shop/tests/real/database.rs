//! A service's database, read beside the service or after it.

use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions, FromRow};

use super::backstage::Location;

/// Tables that tell of processes, not of what they have done.
const BOOKKEEPING: [&str; 4] = ["shard", "lease", "instance", "_sqlx_migrations"];

/// A database, opened for reading.
pub(crate) enum Database {
    File(SqliteConnection),
    Server(PgConnection),
}

impl Database {
    /// Opens it.
    pub(crate) async fn open(location: &Location) -> Result<Self, sqlx::Error> {
        match location {
            Location::File(file) => {
                let options = SqliteConnectOptions::new().filename(file).read_only(true);
                Ok(Self::File(options.connect().await?))
            }
            Location::Server(url) => {
                let options: PgConnectOptions = url.parse()?;
                let options = options
                    .application_name("check")
                    .disable_statement_logging();
                Ok(Self::Server(options.connect().await?))
            }
        }
    }

    pub(crate) async fn number(&mut self, query: &'static str) -> Result<i64, sqlx::Error> {
        let rows: Vec<(i64,)> = self.rows(query).await?;
        rows.first()
            .map(|row| row.0)
            .ok_or(sqlx::Error::RowNotFound)
    }

    /// The cursors: shard, topic, next offset.
    pub(crate) async fn cursors(&mut self) -> Result<Vec<(i32, String, i64)>, sqlx::Error> {
        self.rows("SELECT shard, topic, next_offset FROM cursor")
            .await
    }

    /// Rows of a query that both kinds of database understand.
    pub(crate) async fn rows<T>(&mut self, query: &'static str) -> Result<Vec<T>, sqlx::Error>
    where
        T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        match self {
            Self::File(connection) => sqlx::query_as(query).fetch_all(connection).await,
            Self::Server(connection) => sqlx::query_as(query).fetch_all(connection).await,
        }
    }

    /// What is wrong with the database itself, in its own words. A server looks after its files.
    pub(crate) async fn damage(&mut self) -> Result<Vec<String>, sqlx::Error> {
        if let Self::Server(_) = self {
            return Ok(Vec::new());
        }
        let verdict: Vec<(String,)> = self.rows("PRAGMA integrity_check").await?;
        let lines = verdict.into_iter().map(|(line,)| line);
        Ok(lines.filter(|line| line != "ok").collect())
    }

    /// Everything that a service knows, as text: two databases with one text hold the same.
    pub(crate) async fn dump(&mut self) -> Result<Vec<String>, sqlx::Error> {
        let mut lines = Vec::new();
        for table in self.tables().await? {
            if BOOKKEEPING.contains(&table.as_str()) {
                continue;
            }
            let rows = match self {
                Self::File(connection) => file_lines(connection, &table).await?,
                Self::Server(connection) => {
                    let query = format!("SELECT whole::text FROM {table} AS whole ORDER BY 1");
                    let query = sqlx::query_scalar(AssertSqlSafe(query));
                    query.fetch_all(connection).await?
                }
            };
            let rows: Vec<String> = rows;
            lines.extend(rows.into_iter().map(|row| format!("{table}: {row}")));
        }
        Ok(lines)
    }

    async fn tables(&mut self) -> Result<Vec<String>, sqlx::Error> {
        let query = match self {
            Self::File(_) => "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name",
            Self::Server(_) => {
                "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema() \
                 ORDER BY tablename"
            }
        };
        let names: Vec<(String,)> = self.rows(query).await?;
        Ok(names.into_iter().map(|(name,)| name).collect())
    }
}

async fn file_lines(
    connection: &mut SqliteConnection,
    table: &str,
) -> Result<Vec<String>, sqlx::Error> {
    let columns: Vec<(String,)> =
        sqlx::query_as("SELECT name FROM pragma_table_info($1) ORDER BY cid")
            .bind(table)
            .fetch_all(&mut *connection)
            .await?;
    let columns: Vec<_> = columns
        .into_iter()
        .map(|(column,)| format!("quote({column})"))
        .collect();
    let query = format!("SELECT {} FROM {table} ORDER BY 1", columns.join("||','||"));
    sqlx::query_scalar(AssertSqlSafe(query))
        .fetch_all(connection)
        .await
}
