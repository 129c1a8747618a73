//! A service as a program of its own: listen, run, drain on a signal, exit status.

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;

use sqlx::migrate::Migrator;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, SystemClock};
use crate::config::{self, Refusal, RegistryArgs, TelemetryArgs, access, auth};
use crate::health::{Condition, Health};
use crate::ids::{Ids, SystemIds};
use crate::store::postgres::{self, Location};
use crate::{lease, limits, registry, runtime, server, store, telemetry, tls, trace};

/// Exit status of a program that cannot start, or cannot go on.
const CANNOT_START: u8 = 5;

/// What every service's command line gives.
#[derive(Clone, Debug)]
pub struct Program {
    /// The service's name, in logs, readiness and error lines.
    pub name: &'static str,
    /// Where gRPC is served (`--listen`).
    pub listen: SocketAddr,
    /// Where metrics and readiness are served (`--listen-http`).
    pub listen_http: SocketAddr,
    /// How it logs.
    pub telemetry: TelemetryArgs,
}

impl Program {
    /// Runs `service` until SIGINT or SIGTERM, or until it ends by itself; an error is one line on
    /// stderr and exit status 5.
    pub async fn run<F, E>(
        self,
        service: impl FnOnce(TcpListener, Health, CancellationToken) -> F,
    ) -> ExitCode
    where
        F: Future<Output = Result<(), E>>,
        E: std::error::Error + 'static,
    {
        telemetry::init_logs(self.telemetry.log_format);
        exit(self.name, self.serve(service).await)
    }

    async fn serve<F, E>(
        &self,
        service: impl FnOnce(TcpListener, Health, CancellationToken) -> F,
    ) -> Result<(), Box<dyn std::error::Error>>
    where
        F: Future<Output = Result<(), E>>,
        E: std::error::Error + 'static,
    {
        let metrics = telemetry::metrics();
        let grpc = server::bind("--listen", self.listen)?;
        let http = server::bind("--listen-http", self.listen_http)?;
        let shutdown = CancellationToken::new();
        let signalled = server::cancel_on_signal(shutdown.clone())?;
        tracing::info!(
            service = self.name, grpc = %grpc.local_addr()?, http = %http.local_addr()?,
            "listening"
        );
        let health = Health::new();
        let parts = vec![(self.name.to_owned(), health.clone())];
        let observed = server::serve_http(http, parts, metrics, shutdown.clone());
        let served = async {
            // When the service ends, for whatever reason, everything else ends with it.
            let _stop = shutdown.clone().drop_guard();
            service(grpc, health, shutdown.clone()).await
        };
        let (served, observed, ()) = tokio::join!(served, observed, signalled);
        served?;
        observed?;
        Ok(())
    }
}

/// Asks again while the database's answer may pass; `None` when told to stop before it did.
/// `health` hears what is in the way.
///
/// # Errors
/// When only a person can help.
pub async fn until_reachable<V, F>(
    health: &Health,
    stop: &CancellationToken,
    mut ask: impl FnMut() -> F,
) -> Result<Option<V>, store::Error>
where
    F: Future<Output = Result<V, store::Error>>,
{
    const PART: &str = "database";
    let mut backoff = limits::BACKOFF.start();
    loop {
        let reason = match ask().await {
            Err(error) if error.kind == store::ErrorKind::Retry => error.to_string(),
            answer => {
                // Not running: that alone would make a program ready which has not begun.
                health.remove(PART);
                return answer.map(Some);
            }
        };
        health.set(PART, Condition::Stalled { reason });
        let wait = SystemClock.sleep(backoff.next(SystemIds.random()));
        if stop.run_until_cancelled(wait).await.is_none() {
            return Ok(None);
        }
    }
}

/// Brings the tables of a Postgres database up to date, waiting for it for a while.
///
/// # Errors
/// When it cannot be reached, or used; one line.
pub async fn migrate(location: &Location, migrations: &Migrator) -> Result<(), store::Error> {
    let (health, stop) = (Health::new(), CancellationToken::new());
    let asked = until_reachable(&health, &stop, || postgres::migrate(location, migrations));
    match timeout(limits::POSTGRES_MIGRATION_WAIT, asked).await {
        Ok(migrated) => migrated.map(drop),
        // Why not, once more.
        Err(_) => postgres::migrate(location, migrations).await,
    }
}

/// Ends a program that does one thing: an error is one line on stderr and exit status 5.
pub fn exit(name: &str, outcome: Result<(), impl std::fmt::Display>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::from(CANNOT_START)
        }
    }
}

/// Why a context's service cannot run; each message is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has the database.
    #[error("--store {location}: {source}")]
    Lease {
        /// The database, as given.
        location: String,
        /// What the lock says.
        source: lease::Error,
    },
    /// The database cannot be used.
    #[error("--store {location}: {source}")]
    Store {
        /// The database, as given.
        location: String,
        /// What the database says.
        source: store::Error,
    },
    /// The log cannot be used as the flags say.
    #[error(transparent)]
    Access(#[from] access::Error),
    /// The registry cannot be used as the flags say.
    #[error(transparent)]
    RegistryAccess(#[from] config::registry::Error),
    /// TLS cannot be used as the flags say.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// Spans cannot be sent as the flags say.
    #[error(transparent)]
    Trace(#[from] trace::Error),
    /// The keys of those who may call cannot be used.
    #[error(transparent)]
    Auth(#[from] auth::Error),
    /// The registry's address cannot be used.
    #[error("--registry: {0}")]
    Registry(#[from] registry::Error),
    /// The registry does not let the service write.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The gRPC server cannot run.
    #[error(transparent)]
    Server(#[from] server::Error),
    /// The context cannot run.
    #[error(transparent)]
    Runtime(runtime::Error),
}

impl Error {
    /// Why a context that was started with these flags has ended.
    #[must_use]
    pub fn ended(error: runtime::Error, registry: &RegistryArgs) -> Self {
        match error {
            runtime::Error::Registry(source) => Self::Refused(registry.refusal(source)),
            other => Self::Runtime(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_database_that_is_reached_does_not_make_a_program_ready() {
        let (health, stop) = (Health::new(), CancellationToken::new());
        let away = store::Error::new(store::ErrorKind::Retry, "open", "it is away");
        let mut answers = vec![Ok(()), Err(away)];
        let opened = until_reachable(&health, &stop, || {
            let answer = answers.pop().unwrap();
            async { answer }
        });
        assert_eq!(opened.await.unwrap(), Some(()));
        assert!(!health.is_ready());
    }
}
