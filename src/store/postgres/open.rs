//! Connecting, and saying clearly why a database cannot be used.

use std::time::Duration;

use sqlx::migrate::{AppliedMigration, Migrate, MigrateError, Migration, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection};
use tokio::time::timeout;

use super::error::{
    self, BAD_PASSWORD, NO_PERMISSION, NO_SUCH_DATABASE, NO_SUCH_TABLE, NOT_AUTHORISED,
};
use super::{Location, Timeouts};
use crate::limits;
use crate::store::sql::migrations;
use crate::store::{Error, ErrorKind};

/// The library's own migrations, versions 1 to 999.
static MIGRATIONS: Migrator = sqlx::migrate!("src/store/postgres/migrations");
/// Where sqlx keeps which migrations were applied.
const APPLIED: &str = "_sqlx_migrations";
/// The oldest server that this program is tested with.
const VERSION_MIN: i32 = 150_000;

/// Brings the tables up to date. `context` has the context's migrations, versions 1000 and up.
///
/// Takes a role that may create tables, and is one process at a time; others wait for it.
///
/// # Errors
/// One line that says what is wrong; of kind [`ErrorKind::Retry`] if it may pass.
pub async fn migrate(location: &Location, context: &Migrator) -> Result<(), Error> {
    let wanted = migrations::merged(&MIGRATIONS, context).map_err(refused)?;
    let options = location.options()?.application_name("migrate");
    let mut connection = connect(&options).await?;
    check_server(&mut connection).await?;
    // Nothing to do must take no permission to do it.
    if difference(&applied(&mut connection).await?, &wanted).is_some() {
        run(&mut connection, wanted).await.map_err(not_migrated)?;
    }
    let _ = connection.close().await;
    Ok(())
}

/// Waits long for other migrations, but never long for the services' locks: who waits for a table
/// keeps everybody else from it.
async fn run(connection: &mut PgConnection, wanted: Vec<Migration>) -> Result<(), MigrateError> {
    set_lock_timeout(connection, limits::POSTGRES_MIGRATION_WAIT).await?;
    connection.lock().await?;
    set_lock_timeout(connection, limits::LOCK_TIMEOUT).await?;
    let mut migrator = Migrator::with_migrations(wanted);
    migrator.set_locking(false);
    migrator.run(&mut *connection).await?;
    connection.unlock().await
}

async fn set_lock_timeout(
    connection: &mut PgConnection,
    timeout: Duration,
) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT set_config('lock_timeout', $1, false)")
        .bind(timeout.as_millis().to_string())
        .execute(connection)
        .await
        .map(drop)
}

/// The connections of a store: for turns, and for reading beside them.
pub(super) async fn pools(
    location: &Location,
    application: &str,
    context: &Migrator,
    timeouts: &Timeouts,
) -> Result<(PgPool, PgPool), Error> {
    let wanted = migrations::merged(&MIGRATIONS, context).map_err(refused)?;
    let options = session(location.options()?, application, timeouts);
    let look = async {
        let mut connection = connect(&options).await?;
        check_server(&mut connection).await?;
        let applied = applied(&mut connection).await?;
        let _ = connection.close().await;
        difference(&applied, &wanted).map_or(Ok(()), |why| Err(refused(why)))
    };
    match timeout(limits::POSTGRES_CONNECT_TIMEOUT, look).await {
        Ok(looked) => looked?,
        Err(_) => return Err(silent()),
    }
    if let Some(why) = location.weakness() {
        tracing::warn!(%location, why, "the way to the database is not safe from others");
    }
    let reading = options
        .clone()
        .options([("default_transaction_read_only", "on")]);
    // The plans are the same for any parameters, so they are made once.
    let turning = options.options([("plan_cache_mode", "force_generic_plan")]);
    Ok((
        pool(limits::POSTGRES_TURNS).connect_lazy_with(turning),
        pool(limits::POSTGRES_READERS).connect_lazy_with(reading),
    ))
}

/// A connection for one holder alone, who may leave it at rest.
pub(crate) async fn reserved(
    location: &Location,
    application: &str,
) -> Result<PgConnection, Error> {
    connect(&resting(location, application)?).await
}

/// The settings of a session that may be at rest for long.
pub(super) fn resting(location: &Location, application: &str) -> Result<PgConnectOptions, Error> {
    let options = session(location.options()?, application, &Timeouts::default());
    Ok(options.options([("idle_session_timeout", "0")]))
}

/// What every session is told, whatever the server's configuration says.
fn session(options: PgConnectOptions, application: &str, timeouts: &Timeouts) -> PgConnectOptions {
    let millis = |duration: Duration| duration.as_millis().to_string();
    let keepalive = limits::POSTGRES_KEEPALIVE.as_secs().to_string();
    options
        .application_name(application)
        .statement_cache_capacity(limits::POSTGRES_STATEMENTS)
        .disable_statement_logging()
        .options([
            // Each statement sees what is committed when it begins: what was waited for.
            ("default_transaction_isolation", "read committed".to_owned()),
            ("statement_timeout", millis(timeouts.statement)),
            ("lock_timeout", millis(timeouts.lock)),
            (
                "idle_in_transaction_session_timeout",
                millis(timeouts.idle_in_transaction),
            ),
            // A client that has vanished is noticed, also while its statement runs.
            ("tcp_keepalives_idle", keepalive.clone()),
            ("tcp_keepalives_interval", keepalive),
            ("tcp_keepalives_count", "2".to_owned()),
            ("client_connection_check_interval", "1000".to_owned()),
            // Statements are short: compiling them takes longer than running them.
            ("jit", "off".to_owned()),
            // Every statement finds its rows by keys. Left to choose, the server reads a table whole
            // while it is new, and keeps to that plan until it has analysed the table.
            ("enable_seqscan", "off".to_owned()),
            ("enable_hashjoin", "off".to_owned()),
            ("enable_mergejoin", "off".to_owned()),
        ])
}

fn pool(connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(limits::POSTGRES_ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                Ok(meta.idle_for < limits::POSTGRES_PROBE_AFTER || answers(connection).await)
            })
        })
        // What a dropped turn left is undone here. The pool itself would wait for it without end.
        .after_release(|connection, _| Box::pin(async move { Ok(answers(connection).await) }))
}

async fn answers(connection: &mut PgConnection) -> bool {
    let answer = timeout(limits::POSTGRES_PROBE_TIMEOUT, connection.ping()).await;
    answer.is_ok_and(|answer| answer.is_ok())
}

async fn connect(options: &PgConnectOptions) -> Result<PgConnection, Error> {
    match timeout(limits::POSTGRES_CONNECT_TIMEOUT, options.connect()).await {
        Ok(connected) => connected.map_err(failed),
        Err(_) => Err(silent()),
    }
}

/// Refuses a server that would not keep what a commit promises.
async fn check_server(connection: &mut PgConnection) -> Result<(), Error> {
    let (version, encoding, synchronous): (i32, String, String) = sqlx::query_as(
        "SELECT current_setting('server_version_num')::int, current_setting('server_encoding'),
                current_setting('synchronous_commit')",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(failed)?;
    if version < VERSION_MIN {
        let (version, least) = (version / 10_000, VERSION_MIN / 10_000);
        return Err(refused(format!(
            "its server is PostgreSQL {version}; {least} or later is needed"
        )));
    }
    if encoding != "UTF8" {
        return Err(refused(format!(
            "its encoding is {encoding}; make one with ENCODING UTF8"
        )));
    }
    if synchronous == "off" {
        return Err(refused(
            "commits would be lost with the server: set synchronous_commit = on",
        ));
    }
    Ok(())
}

/// The migrations that were applied, by reading alone.
async fn applied(connection: &mut PgConnection) -> Result<Vec<AppliedMigration>, Error> {
    match connection.list_applied_migrations(APPLIED).await {
        Err(MigrateError::Execute(source))
            if error::sqlstate(&source).as_deref() == Some(NO_SUCH_TABLE) =>
        {
            Ok(Vec::new())
        }
        listed => listed.map_err(not_migrated),
    }
}

/// What keeps this program from using the database, in words.
fn difference(applied: &[AppliedMigration], wanted: &[Migration]) -> Option<String> {
    let of = |version| applied.iter().find(|applied| applied.version == version);
    let unknown = applied.iter().find(|applied| {
        !wanted
            .iter()
            .any(|wanted| wanted.version == applied.version)
    });
    let changed = wanted.iter().find(|wanted| {
        of(wanted.version).is_some_and(|applied| applied.checksum != wanted.checksum)
    });
    let missing = wanted.iter().find(|wanted| of(wanted.version).is_none());
    match (changed, unknown, missing) {
        (Some(changed), _, _) => Some(migrations::changed(changed.version)),
        (_, Some(unknown), _) => Some(migrations::newer(unknown.version)),
        (_, _, Some(missing)) => Some(format!(
            "its tables lack migration {}; run the subcommand migrate, or start with --migrate",
            missing.version
        )),
        (None, None, None) => None,
    }
}

fn not_migrated(source: MigrateError) -> Error {
    match source {
        MigrateError::Execute(source) => failed(source),
        MigrateError::ExecuteMigration(source, version) => {
            let Error { kind, source, .. } = failed(source);
            Error::new(kind, "open", format!("migration {version}: {source}"))
        }
        other => refused(migrations::foreign(&other)),
    }
}

fn failed(source: sqlx::Error) -> Error {
    let told = |what: &str| refused(format!("{what} ({source})"));
    match error::sqlstate(&source).as_deref() {
        Some(BAD_PASSWORD | NOT_AUTHORISED) => told("it does not let this user in"),
        Some(NO_SUCH_DATABASE) => told("there is no such database; create it first"),
        Some(NO_PERMISSION) => told("this user may not do that"),
        _ if matches!(source, sqlx::Error::Tls(_)) => told("no encrypted connection"),
        _ => error::error("open", source),
    }
}

fn silent() -> Error {
    let detail = format!("no answer within {:?}", limits::POSTGRES_CONNECT_TIMEOUT);
    Error::new(ErrorKind::Retry, "open", detail)
}

fn refused(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Fatal, "open", why.into())
}
