//! The only file that names concrete adapters.

use std::path::Path;
use std::sync::Arc;

use messaging::clock::{Clock, SystemClock};
use messaging::config::StoreLocation;
use messaging::health::Health;
use messaging::ids::{Ids, SystemIds};
use messaging::lease::file::FileLease;
use messaging::lease::postgres::PostgresLease;
use messaging::lease::{self, Lease};
use messaging::program;
use messaging::registry::confluent::ConfluentRegistry;
use messaging::runtime::Ports;
use messaging::spawner::TokioSpawner;
use messaging::store::postgres::{Location, PostgresStore};
use messaging::store::sqlite::SqliteStore;
use messaging::trace::Tracing;
use tokio_util::sync::CancellationToken;

use crate::store::{Export, Queries, postgres, sqlite};
use crate::{Args, Error};

/// The name under which the log, the database and traces know this service.
const NAME: &str = "inventory";

/// The service's parts, ready to run.
pub(crate) struct Parts<S> {
    pub(crate) ports: Ports,
    pub(crate) tracing: Tracing,
    pub(crate) store: Arc<S>,
    pub(crate) queries: Arc<dyn Queries>,
    pub(crate) export: Arc<dyn Export>,
}

/// Takes and opens a database file; log and registry connect when first used.
pub(crate) async fn sqlite(
    args: &Args,
    path: &Path,
) -> Result<Parts<SqliteStore<sqlite::SqliteTables>>, Error> {
    let failed = |source| Error::Store {
        location: args.store.to_string(),
        source,
    };
    // Locked first: a file that another process writes is not even looked into.
    let lease = FileLease::lock_beside(path).map_err(|source| in_use(&args.store, source))?;
    let store = SqliteStore::open(path, &sqlite::MIGRATIONS, sqlite::SqliteTables::default())
        .await
        .map_err(failed)?;
    let lease = lease.starting_after(store.highest_epoch().await.map_err(failed)?);
    let queries = Arc::new(sqlite::SqliteQueries::new(store.reader().clone()));
    let (ports, tracing) = ports(args, Arc::new(lease))?;
    Ok(Parts {
        ports,
        tracing,
        export: Arc::clone(&queries) as Arc<dyn Export>,
        queries,
        store: Arc::new(store),
    })
}

/// Opens a database on a server, once it can be reached; `None` when told to stop before.
pub(crate) async fn postgres(
    args: &Args,
    location: &Location,
    health: &Health,
    stop: &CancellationToken,
) -> Result<Option<Parts<PostgresStore<postgres::PostgresTables>>>, Error> {
    let opened = program::until_reachable(health, stop, || {
        PostgresStore::open(
            location,
            NAME,
            &postgres::MIGRATIONS,
            postgres::PostgresTables::default(),
        )
    });
    let opened = opened.await.map_err(|source| Error::Store {
        location: args.store.to_string(),
        source,
    })?;
    let Some(store) = opened else {
        return Ok(None);
    };
    let lease = PostgresLease::new(location, NAME);
    let queries = Arc::new(postgres::PostgresQueries::new(store.reader().clone()));
    let (ports, tracing) = ports(args, Arc::new(lease))?;
    Ok(Some(Parts {
        ports,
        tracing,
        export: Arc::clone(&queries) as Arc<dyn Export>,
        queries,
        store: Arc::new(store),
    }))
}

/// Brings the tables of a database on a server up to date; those of a file are when it is opened.
pub(crate) async fn migrate(store: &StoreLocation) -> Result<(), Error> {
    match store {
        StoreLocation::Sqlite(_) => Ok(()),
        StoreLocation::Postgres(location) => program::migrate(location, &postgres::MIGRATIONS)
            .await
            .map_err(|source| Error::Store {
                location: store.to_string(),
                source,
            }),
    }
}

fn ports(args: &Args, lease: Arc<dyn Lease>) -> Result<(Ports, Tracing), Error> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let ids: Arc<dyn Ids> = Arc::new(SystemIds);
    let registry = ConfluentRegistry::secured(&args.registry.registry, &args.registry.access()?)?;
    let log = args.log.client(NAME)?;
    let tracing = args.trace.start(NAME, &clock, &ids, &TokioSpawner)?;
    let ports = Ports {
        log: Arc::new(log),
        registry: Arc::new(registry),
        lease,
        clock,
        ids,
        spawner: Arc::new(TokioSpawner),
        tracer: tracing.tracer().clone(),
    };
    Ok((ports, tracing))
}

fn in_use(store: &StoreLocation, source: lease::Error) -> Error {
    Error::Lease {
        location: store.to_string(),
        source,
    }
}
