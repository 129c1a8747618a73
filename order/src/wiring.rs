//! The only file that names concrete adapters.

use std::sync::Arc;

use messaging::clock::SystemClock;
use messaging::config::StoreLocation;
use messaging::ids::SystemIds;
use messaging::lease::file::FileLease;
use messaging::log::kafka::{self, KafkaLog};
use messaging::registry::confluent::ConfluentRegistry;
use messaging::runtime::Ports;
use messaging::spawner::TokioSpawner;
use messaging::store::sqlite::SqliteStore;

use crate::store::sqlite::{MIGRATIONS, OrderTables, SqliteQueries};
use crate::store::{Export, Queries};
use crate::{Args, Error};

/// The service's parts, ready to run.
pub(crate) struct Parts {
    pub(crate) ports: Ports,
    pub(crate) store: Arc<SqliteStore<OrderTables>>,
    pub(crate) queries: Arc<dyn Queries>,
    pub(crate) export: Arc<dyn Export>,
}

/// Locks and opens the database; log and registry connect when first used.
pub(crate) async fn open(args: &Args) -> Result<Parts, Error> {
    let StoreLocation::Sqlite(path) = &args.store;
    let failed = |source| Error::Store {
        location: args.store.to_string(),
        source,
    };
    // Locked first: a file that another process writes is not even looked into.
    let lease = FileLease::lock_beside(path).map_err(|source| Error::Lease {
        location: args.store.to_string(),
        source,
    })?;
    let store = SqliteStore::open(path, &MIGRATIONS, OrderTables)
        .await
        .map_err(failed)?;
    let lease = lease.starting_after(store.highest_epoch().await.map_err(failed)?);
    let ports = Ports {
        log: Arc::new(KafkaLog::new(kafka::Config {
            bootstrap: args.log.log.clone(),
            client_id: "order".to_owned(),
        })),
        registry: Arc::new(ConfluentRegistry::new(&args.registry.registry)?),
        lease: Arc::new(lease),
        clock: Arc::new(SystemClock),
        ids: Arc::new(SystemIds),
        spawner: Arc::new(TokioSpawner),
    };
    let queries = Arc::new(SqliteQueries::new(store.reader().clone()));
    Ok(Parts {
        ports,
        export: Arc::clone(&queries) as Arc<dyn Export>,
        queries,
        store: Arc::new(store),
    })
}
