//! A context under the shipped runtime.

use std::sync::Arc;

use messaging::clock::Clock;
use messaging::context::Context;
use messaging::health::Health;
use messaging::ids::Ids;
use messaging::lease::memory::MemoryLease;
use messaging::limits::LEASE_TIME;
use messaging::log::Log;
use messaging::message::Binding;
use messaging::registry::SchemaRegistry;
use messaging::runtime::{self, Feed, Options, Ports};
use messaging::spawner::{Spawner, Task, TokioSpawner};
use messaging::store::Store;
use tokio_util::sync::CancellationToken;

/// What services share.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) registry: Arc<dyn SchemaRegistry>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) partitions: i32,
}

/// A service that runs.
pub(crate) struct Service {
    shutdown: CancellationToken,
    running: Task,
}

impl Surroundings {
    /// Starts a context over its database, and waits until it is ready.
    pub(crate) async fn start<C: Context, S: Store<C>>(
        &self,
        context: C,
        store: Arc<S>,
    ) -> Service {
        let lease = MemoryLease::new(Arc::clone(&self.clock), LEASE_TIME);
        let ports = Ports {
            log: Arc::clone(&self.log),
            registry: Arc::clone(&self.registry),
            lease: Arc::new(lease),
            clock: Arc::clone(&self.clock),
            ids: Arc::clone(&self.ids),
            spawner: Arc::new(TokioSpawner),
            tracer: messaging::trace::Tracer::off(),
        };
        let options = Options {
            partitions: self.partitions,
            binding: Binding::Register,
        };
        let (health, shutdown) = (Health::new(), CancellationToken::new());
        let run = runtime::run(
            Arc::new(context),
            store,
            ports,
            options,
            Feed::new(),
            health.clone(),
            shutdown.clone(),
        );
        let run = async { run.await.expect("the service goes on") };
        let running = TokioSpawner.spawn("service", Box::pin(run));
        health.ready().await;
        Service { shutdown, running }
    }
}

impl Service {
    /// Lets it end its turn.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.running.join().await.expect("the service ends");
    }
}
