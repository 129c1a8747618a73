//! What a person is told who starts on a Postgres database that cannot be used.

use messaging::shard::{Epoch, ShardId};
use messaging::store::contract::counter::CounterTables;
use messaging::store::postgres::{Location, PostgresStore, migrate, scratch};
use messaging::store::{Error, ErrorKind, Store};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, Executor, SqlSafeStr};

use super::open_postgres;

async fn opened(location: &Location, migrations: &Migrator) -> Result<(), Error> {
    PostgresStore::open(location, "test", migrations, CounterTables)
        .await
        .map(drop)
}

/// The line that a program shows which cannot start on this database.
async fn refusal(location: &Location, migrations: &Migrator, kind: ErrorKind) -> String {
    let error = opened(location, migrations).await.unwrap_err();
    assert_eq!(error.kind, kind, "{error}");
    let line = error.to_string();
    assert!(!line.contains('\n') && !line.contains("s3cret"), "{line}");
    line
}

fn assert_tells(line: &str, what: &str) {
    assert!(line.contains(what), "{line}");
}

fn migration(version: i64, sql: &'static str) -> Migration {
    let sql = sql.into_sql_str();
    Migration::new(version, "test".into(), MigrationType::Simple, sql, false)
}

#[tokio::test]
#[ignore = "set MESSAGING_TEST_POSTGRES=postgres://..., see tests/postgres"]
async fn postgres_tables_that_are_missing_or_not_this_programs_are_refused() {
    scratch::with(async |location| {
        let migrations = CounterTables::postgres_migrations();
        let line = refusal(&location, &migrations, ErrorKind::Fatal).await;
        assert_tells(&line, "lack migration 1; run the subcommand migrate");
        migrate(&location, &migrations).await.unwrap();
        migrate(&location, &migrations).await.unwrap();
        opened(&location, &migrations).await.unwrap();

        let with = |more| {
            let all = migrations.iter().cloned().chain([more]).collect();
            Migrator::with_migrations(all)
        };
        let newer = with(migration(1_001, "CREATE TABLE later (x INT)"));
        let line = refusal(&location, &newer, ErrorKind::Fatal).await;
        assert_tells(&line, "lack migration 1001");
        migrate(&location, &newer).await.unwrap();
        let line = refusal(&location, &migrations, ErrorKind::Fatal).await;
        assert_tells(&line, "newer version of this program (migration 1001)");
        let error = migrate(&location, &migrations).await.unwrap_err();
        assert_tells(&error.to_string(), "newer version");

        let other = Migrator::with_migrations(vec![migration(1_000, "CREATE TABLE other (x INT)")]);
        let line = refusal(&location, &other, ErrorKind::Fatal).await;
        assert_tells(&line, "another service or version");
        let stray = Migrator::with_migrations(vec![migration(999, "CREATE TABLE stray (x INT)")]);
        let line = refusal(&location, &stray, ErrorKind::Fatal).await;
        assert_tells(&line, "library's range");
    })
    .await;
}

#[tokio::test]
#[ignore = "set MESSAGING_TEST_POSTGRES=postgres://..., see tests/postgres"]
async fn postgres_migrations_of_several_processes_at_once_are_made_once() {
    scratch::with(async |location| {
        let migrations = CounterTables::postgres_migrations();
        let outcomes = tokio::join!(
            migrate(&location, &migrations),
            migrate(&location, &migrations),
            migrate(&location, &migrations)
        );
        for outcome in [outcomes.0, outcomes.1, outcomes.2] {
            outcome.unwrap();
        }
        opened(&location, &migrations).await.unwrap();
    })
    .await;
}

#[tokio::test]
#[ignore = "set MESSAGING_TEST_POSTGRES=postgres://..., see tests/postgres"]
async fn postgres_that_nobody_answers_for_is_worth_another_try_and_a_wrong_name_is_not() {
    scratch::with(async |location| {
        let migrations = CounterTables::postgres_migrations();
        migrate(&location, &migrations).await.unwrap();
        let with = |key, value| location.with(key, value);
        for (location, kind, what) in [
            (
                with("dbname", "nowhere"),
                ErrorKind::Fatal,
                "no such database",
            ),
            (
                with("password", "s3cret"),
                ErrorKind::Fatal,
                "does not let this user in",
            ),
            (
                with("user", "nobody"),
                ErrorKind::Fatal,
                "does not let this user in",
            ),
            (
                with("sslmode", "require"),
                ErrorKind::Fatal,
                "no encrypted connection",
            ),
            (with("port", "1"), ErrorKind::Retry, "refused"),
            (
                Location::new("postgres://ada:s3cret@[nowhere/x"),
                ErrorKind::Fatal,
                "no database URL",
            ),
        ] {
            let line = refusal(&location, &migrations, kind).await;
            assert_tells(&line, what);
        }
    })
    .await;
}

/// What a service needs at run time: rows, and nothing else.
#[tokio::test]
#[ignore = "set MESSAGING_TEST_POSTGRES=postgres://..., see tests/postgres"]
async fn postgres_takes_no_permission_to_change_tables_at_run_time() {
    scratch::with(async |location| {
        open_postgres(&location).await.close().await;
        let mut connection = scratch::connect(&location).await;
        let schema: String = sqlx::query_scalar("SELECT current_schema()")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        let role = format!("{schema}_role");
        connection
            .execute(AssertSqlSafe(format!(
                "CREATE ROLE {role} LOGIN PASSWORD 's3cret';
                 GRANT USAGE ON SCHEMA {schema} TO {role};
                 GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}"
            )))
            .await
            .unwrap();
        let location = location.with("user", &role).with("password", "s3cret");
        let store = open_postgres(&location).await;
        store.claim(ShardId(0), Epoch(1)).await.unwrap();
        messaging::store::contract::add(&store, "a", 1, Default::default(), Epoch(1))
            .await
            .unwrap();
        store.close().await;
        let migrations = CounterTables::postgres_migrations();
        let later = migration(1_001, "CREATE TABLE later (x INT)");
        let newer = Migrator::with_migrations(migrations.iter().cloned().chain([later]).collect());
        let error = migrate(&location, &newer).await.unwrap_err();
        assert_tells(&error.to_string(), "this user may not do that");
        connection
            .execute(AssertSqlSafe(format!(
                "DROP OWNED BY {role}; DROP ROLE {role}"
            )))
            .await
            .unwrap();
    })
    .await;
}
