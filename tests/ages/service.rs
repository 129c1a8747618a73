//! A running service of some age, on a database file that outlives it.

use std::path::Path;
use std::sync::Arc;

use messaging::clock::SystemClock;
use messaging::health::Health;
use messaging::ids::SystemIds;
use messaging::lease::file::FileLease;
use messaging::message::Binding;
use messaging::runtime::{self, Feed, Options, Ports};
use messaging::spawner::{Spawner, Task, TokioSpawner};
use messaging::store::Tables;
use messaging::store::sqlite::SqliteStore;
use sqlx::SqliteConnection;
use sqlx::migrate::Migrator;
use sqlx::sqlite::SqlitePool;
use tokio_util::sync::CancellationToken;

use crate::aged::{Aged, AgedTables, ReadsAs};
use crate::bus::{Bus, PARTITIONS};

pub(crate) struct Service<T> {
    store: Arc<SqliteStore<AgedTables<T>>>,
    shutdown: CancellationToken,
    running: Task,
}

impl<T> Service<T> {
    pub(crate) async fn start<C>(
        bus: &Bus,
        database: &Path,
        migrations: &Migrator,
        context: Aged<C>,
        tables: T,
    ) -> Self
    where
        C: ReadsAs,
        T: Tables<C, SqliteConnection>,
    {
        let lease = FileLease::lock_beside(database).unwrap();
        let store = SqliteStore::open(database, migrations, AgedTables(tables))
            .await
            .unwrap();
        let lease = lease.starting_after(store.highest_epoch().await.unwrap());
        let store = Arc::new(store);
        let ports = Ports {
            log: Arc::clone(&bus.log) as _,
            registry: Arc::clone(&bus.registry) as _,
            lease: Arc::new(lease),
            clock: Arc::new(SystemClock),
            ids: Arc::new(SystemIds),
            spawner: Arc::new(TokioSpawner),
            tracer: messaging::trace::Tracer::off(),
        };
        let options = Options {
            partitions: PARTITIONS,
            binding: Binding::Register,
        };
        let shutdown = CancellationToken::new();
        let running = runtime::run(
            Arc::new(context),
            Arc::clone(&store),
            ports,
            options,
            Feed::new(),
            Health::new(),
            shutdown.clone(),
        );
        let running = Box::pin(async { running.await.unwrap() });
        Self {
            store,
            shutdown,
            running: TokioSpawner.spawn("service", running),
        }
    }

    /// Connections for queries.
    pub(crate) fn reader(&self) -> SqlitePool {
        self.store.reader().clone()
    }

    /// What keeps it from its work for good: what it set aside, or that it has ended.
    pub(crate) async fn trouble(&self) -> Vec<String> {
        let parked = "SELECT 'parked: ' || topic || ': ' || reason || ': ' || detail FROM parked";
        let mut trouble: Vec<String> = sqlx::query_scalar(parked)
            .fetch_all(self.store.reader())
            .await
            .unwrap();
        if self.running.is_finished() {
            trouble.push("it has ended by itself".to_owned());
        }
        trouble
    }

    /// Ends it as a person would.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.running.join().await.unwrap();
        self.store.close().await;
    }
}
