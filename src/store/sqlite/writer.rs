//! The one connection that writes, and its transactions.

use std::sync::Arc;

use futures::FutureExt;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::timeout;

use super::bulk::Values;
use super::error::{BUSY, commit_error, error, result_code};
use crate::limits::SQLITE_BUSY_TIMEOUT;
use crate::store::Error;
use crate::store::sql::outcome::{self, Outcome};

/// SQLite has one writer at a time, and waiting for a connection is fair where waiting for its lock
/// is not.
///
/// This is not a pool of one: that would ask the connection after every turn whether it still
/// lives, and the next turn would wait for the answer.
#[derive(Debug)]
pub(super) struct Writer {
    options: SqliteConnectOptions,
    seat: Arc<Mutex<Seat>>,
}

/// The place of the connection; nobody sits there once it is closed.
#[derive(Debug)]
struct Seat {
    connection: Option<SqliteConnection>,
    /// Whether a transaction may have begun that has not been committed.
    open: bool,
}

impl Writer {
    /// Writes over `connection`, which was made with `options`.
    pub(super) fn new(options: SqliteConnectOptions, connection: SqliteConnection) -> Self {
        Self {
            options,
            seat: Arc::new(Mutex::new(Seat {
                connection: Some(connection),
                open: false,
            })),
        }
    }

    /// Begins a transaction that may write, after those before it have ended.
    ///
    /// # Errors
    /// As [`error`] maps them, for `operation`.
    pub(super) async fn begin(&self, operation: &'static str) -> Result<Write, Error> {
        let begun = self.begin_with(operation, "", |_| {}).await?;
        Ok(begun.0)
    }

    /// Begins a transaction and reads in it what `then` asks for, in one crossing; `bind` pushes the
    /// parameters.
    ///
    /// # Errors
    /// As [`error`] maps them, for `operation`.
    pub(super) async fn begin_with(
        &self,
        operation: &'static str,
        then: &'static str,
        bind: impl Fn(&mut Values),
    ) -> Result<(Write, Vec<SqliteRow>), Error> {
        let failed = |source| error(operation, source);
        let seat = timeout(SQLITE_BUSY_TIMEOUT, Arc::clone(&self.seat).lock_owned());
        let seat = seat.await.map_err(|_| failed(sqlx::Error::PoolTimedOut))?;
        // Made first, so that whoever is dropped while it begins leaves nothing open.
        let mut write = Write {
            seat,
            outcome: None,
        };
        if write.seat.open {
            write.seat.undo().await;
        }
        let arguments = || {
            let mut values = Values::default();
            bind(&mut values);
            values.finish().map_err(failed)
        };
        let rows = match write.seat.begin(then, arguments()?).await {
            Ok(rows) => rows,
            // Another process has the lock: a new connection would wait for it as long again.
            Err(source) if result_code(&source) == Some(BUSY) => return Err(failed(source)),
            Err(_) => {
                // Its thread is gone, or SQLite could not undo what came before.
                write.seat.connection().map_err(failed)?;
                let connection = self.options.connect().await.map_err(failed)?;
                write.seat.connection = Some(connection);
                let again = write.seat.begin(then, arguments()?);
                again.await.map_err(failed)?
            }
        };
        write.outcome = Some(Outcome::open());
        Ok((write, rows))
    }

    /// Closes the connection, after the transaction that is open has ended.
    pub(super) async fn close(&self) {
        let connection = self.seat.lock().await.connection.take();
        if let Some(connection) = connection {
            // What was committed is in the file; nothing else is expected of it.
            let _ = connection.close().await;
        }
    }
}

impl Seat {
    fn connection(&mut self) -> Result<&mut SqliteConnection, sqlx::Error> {
        self.connection.as_mut().ok_or(sqlx::Error::PoolClosed)
    }

    async fn begin(
        &mut self,
        then: &'static str,
        arguments: SqliteArguments,
    ) -> Result<Vec<SqliteRow>, sqlx::Error> {
        // Before the statement: whoever waits for it may be dropped.
        self.open = true;
        let sql = AssertSqlSafe(format!("BEGIN IMMEDIATE;{then}"));
        let begin = sqlx::query_with(sql, arguments);
        begin.fetch_all(self.connection()?).await
    }

    /// Undoes a transaction that was begun, if there is one: SQLite may have undone it by itself
    /// (disk full, IO error), and then says so.
    async fn undo(&mut self) {
        if let Some(connection) = &mut self.connection {
            let _ = sqlx::query("ROLLBACK").execute(connection).await;
        }
    }
}

/// A write transaction, counted by how it ends. Dropping it undoes it.
#[derive(Debug)]
pub(super) struct Write {
    seat: OwnedMutexGuard<Seat>,
    outcome: Option<Outcome>,
}

impl Write {
    /// The connection, inside the transaction.
    ///
    /// # Errors
    /// None: it closes only after the transaction.
    pub(super) fn connection(&mut self) -> Result<&mut SqliteConnection, Error> {
        self.seat
            .connection()
            .map_err(|source| error("write", source))
    }

    /// Commits, durably.
    ///
    /// # Errors
    /// As [`commit_error`] maps them, for `operation`.
    pub(super) async fn commit(mut self, operation: &'static str) -> Result<(), Error> {
        let committing = sqlx::query("COMMIT").execute(self.connection()?);
        let result = outcome::timed(committing).await;
        self.seat.open = result.is_err();
        let result = result.map_err(|source| commit_error(operation, source));
        let result = result.map(|_| ());
        if let Some(outcome) = self.outcome.take() {
            outcome.end(&result);
        }
        result
    }
}

impl Drop for Write {
    fn drop(&mut self) {
        if self.seat.open {
            // The first poll sends it to the connection's thread. If it cannot, the next
            // transaction undoes this one before it begins.
            let _ = self.seat.undo().now_or_never();
        }
    }
}
