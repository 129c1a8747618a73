//! Opening the file: its connections, its migrations, and saying clearly what is wrong with it.

use std::path::Path;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use super::error::{self, CANTOPEN, CORRUPT, NOTADB};
use super::writer::Writer;
use crate::limits;
use crate::store::sql::migrations;
use crate::store::{Error, ErrorKind};

/// The library's own migrations, versions 1 to 999.
static MIGRATIONS: Migrator = sqlx::migrate!("src/store/sqlite/migrations");

/// The connection for writing, to a file that is sound and up to date.
pub(super) async fn writer(
    path: &Path,
    context: &Migrator,
    busy_timeout: Duration,
) -> Result<Writer, Error> {
    let migrations = migrations::merged(&MIGRATIONS, context).map_err(|why| refused(path, &why))?;
    let migrations = Migrator::with_migrations(migrations);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .map_err(|source| refused(path, &format!("its folder cannot be made: {source}")))?;
    }
    let options = options(path, busy_timeout)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .connect_with(options.clone())
        .await
        .map_err(|source| failed(path, source))?;
    check(path, &pool).await?;
    migrations
        .run(&pool)
        .await
        .map_err(|source| not_migrated(path, source))?;
    let connection = pool
        .acquire()
        .await
        .map_err(|source| failed(path, source))?;
    let connection = connection.detach();
    Ok(Writer::new(options, connection))
}

/// Connections that see what is committed and can write nothing. They connect when first used.
pub(super) fn readers(path: &Path, busy_timeout: Duration) -> SqlitePool {
    let options = options(path, busy_timeout).read_only(true);
    SqlitePoolOptions::new()
        .max_connections(limits::SQLITE_READERS)
        .acquire_timeout(limits::SQLITE_BUSY_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        // A local file needs no ping.
        .test_before_acquire(false)
        .connect_lazy_with(options)
}

fn options(path: &Path, busy_timeout: Duration) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(true)
        .busy_timeout(busy_timeout)
        .statement_cache_capacity(limits::SQLITE_STATEMENTS)
        .row_buffer_size(limits::TURN_RECORDS_MAX)
        .disable_statement_logging()
}

/// Looks the whole file over, unless it is so large that starting would take too long.
async fn check(path: &Path, pool: &SqlitePool) -> Result<(), Error> {
    let size = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    if size > limits::SQLITE_CHECK_BYTES_MAX {
        return Ok(());
    }
    let verdict: String = sqlx::query_scalar("PRAGMA quick_check(1)")
        .fetch_one(pool)
        .await
        .map_err(|source| failed(path, source))?;
    match verdict.as_str() {
        "ok" => Ok(()),
        damage => Err(damaged(path, damage)),
    }
}

fn not_migrated(path: &Path, source: MigrateError) -> Error {
    match source {
        MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => {
            failed(path, source)
        }
        other => refused(path, &migrations::foreign(&other)),
    }
}

fn failed(path: &Path, source: sqlx::Error) -> Error {
    match error::result_code(&source) {
        Some(NOTADB) => refused(
            path,
            "it is not a SQLite database; move it away or name another file",
        ),
        Some(CORRUPT) => damaged(path, &source.to_string()),
        Some(CANTOPEN) => refused(
            path,
            "it cannot be opened; check the path and its permissions",
        ),
        _ => {
            let Error { kind, source, .. } = error::error("open", source);
            Error::new(kind, "open", format!("{}: {source}", path.display()))
        }
    }
}

fn damaged(path: &Path, damage: &str) -> Error {
    let damage = damage.replace('\n', "; ");
    refused(
        path,
        &format!("it is damaged ({damage}); restore it from a backup"),
    )
}

fn refused(path: &Path, why: &str) -> Error {
    Error::new(
        ErrorKind::Fatal,
        "open",
        format!("{}: {why}", path.display()),
    )
}
