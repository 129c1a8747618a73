//! The database server loses sessions, and is restarted as after a crash.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use tokio::time::{Instant, sleep};

use crate::instances::two_of_each;
use crate::place::variable;
use crate::real::backstage::SERVICES;
use crate::real::process::Role;
use crate::run::{STANDSTILL_MAX, Size, Stage, run};
use crate::support::checkout;

/// Between two events, with everybody at work.
const QUIET: Duration = Duration::from_secs(5);
/// Turns of each service whose sessions are ended.
const SESSIONS: usize = 10;
/// How long it may take to find so many.
const SESSIONS_MAX: Duration = Duration::from_secs(60);
/// Restarts of the server.
const RESTARTS: usize = 3;

#[test]
#[ignore = "needs servers: export MESSAGING_TEST_POSTGRES=$(tests/postgres up) $(tests/kafka up 3)"]
fn sessions_and_the_server_end() {
    run(Size::SHORT, &two_of_each(), end_sessions_and_server);
}

#[test]
#[ignore = "needs servers, and minutes: export MESSAGING_TEST_POSTGRES=$(tests/postgres up) $(tests/kafka up 3)"]
fn sessions_and_the_server_end_during_20_000_orders() {
    run(Size::LONG, &two_of_each(), end_sessions_and_server);
}

/// # Errors
/// With what could not be done.
async fn end_sessions_and_server(stage: &Stage) -> Result<(), String> {
    stage.during("two of each", QUIET).await;

    stage.event("sessions end inside of turns");
    for role in SERVICES {
        end_sessions(stage, role).await.map_err(failed)?;
    }
    sleep(QUIET).await;

    for _ in 0..RESTARTS {
        stage.event("pg_ctl -m immediate restart");
        restart().await.map_err(failed)?;
        sleep(QUIET * 2).await;
    }
    stage.expect_progress(STANDSTILL_MAX);
    Ok(())
}

fn failed(error: sqlx::Error) -> String {
    format!("the server does not do as it is told: {error}")
}

async fn connect() -> Result<PgConnection, sqlx::Error> {
    let options: PgConnectOptions = variable("MESSAGING_TEST_POSTGRES").parse()?;
    options.application_name("test").connect().await
}

/// Ends sessions of a service that have written something and not committed.
async fn end_sessions(stage: &Stage, role: Role) -> Result<(), sqlx::Error> {
    let mut connection = connect().await?;
    let (mut ended, deadline) = (0, Instant::now() + SESSIONS_MAX);
    while ended < SESSIONS && Instant::now() < deadline {
        let hit: Option<(bool,)> = sqlx::query_as(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE application_name = $1 AND backend_xid IS NOT NULL LIMIT 1",
        )
        .bind(role.name())
        .fetch_optional(&mut connection)
        .await?;
        if hit == Some((true,)) {
            ended += 1;
            // The next one hits another turn.
            sleep(Duration::from_millis(100)).await;
        }
    }
    connection.close().await?;
    stage.tell(format!(
        "{}: {ended} sessions ended inside of a turn",
        role.name()
    ));
    if ended < SESSIONS {
        stage.complain(format!("{}: too few turns were met", role.name()));
    }
    Ok(())
}

/// Ends the server as a crash does, and starts it again.
async fn restart() -> Result<(), sqlx::Error> {
    let mut connection = connect().await?;
    let data: String = sqlx::query_scalar("SELECT current_setting('data_directory')")
        .fetch_one(&mut connection)
        .await?;
    connection.close().await?;
    let directory: PathBuf = Path::new(&data).parent().unwrap().to_owned();
    let restarting = tokio::task::spawn_blocking(move || {
        let mut script = Command::new(checkout("tests/postgres"));
        script.arg("restart").arg(directory).output().unwrap()
    });
    let restarted = restarting.await.unwrap();
    let told = String::from_utf8_lossy(&restarted.stderr);
    assert!(restarted.status.success(), "tests/postgres restart: {told}");
    Ok(())
}
