//! A counter service over in-memory ports, and the world around it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use messaging::clock::{SystemClock, Timestamp};
use messaging::codec;
use messaging::envelope::Envelope;
use messaging::health::Health;
use messaging::ids::SystemIds;
use messaging::lease::{self, Grant, Holding, Lease, Renewal};
use messaging::log::memory::MemoryLog;
use messaging::log::{Log, Record};
use messaging::message::{Binding, Message, Registration, Writer};
use messaging::partitioner::partition_of;
use messaging::registry::memory::MemoryRegistry;
use messaging::registry::{SchemaId, SchemaRegistry};
use messaging::runtime::{self, Error, Feed, Options, Ports};
use messaging::shard::{Epoch, ShardId};
use messaging::spawner::TokioSpawner;
use messaging::store::contract::counter::{Add, Counted, Counter, CounterTables};
use messaging::store::memory::MemoryStore;
use messaging::store::{Sequence, Store};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::registry::{Asked, Asks};
use crate::store::Faulty;
use crate::wait::{eventually, within};

pub(crate) type InMemory = Faulty<MemoryStore<CounterTables>>;

pub(crate) fn in_memory() -> InMemory {
    Faulty::new(MemoryStore::new(CounterTables))
}

/// What the holders of the leases share. Two that run at once both get every shard, as when the
/// first was paused: only epochs tell them apart.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    epoch: AtomicI64,
    /// Acquisitions that granted something.
    pub(crate) acquired: AtomicUsize,
    pub(crate) renewed: AtomicUsize,
    /// The next renewal finds everything lost, and it is free again at once.
    pub(crate) lose: AtomicBool,
    /// Another instance has whatever is not held.
    pub(crate) taken: AtomicBool,
}

#[derive(Debug)]
struct Holder {
    leases: Arc<Leases>,
    held: Mutex<BTreeMap<ShardId, Epoch>>,
}

#[async_trait]
impl Lease for Holder {
    async fn acquire(&self, partitions: i32) -> Result<Vec<Grant>, lease::Error> {
        let mut held = self.held.lock().unwrap();
        let mut grants = Vec::new();
        for shard in (0..partitions).map(ShardId) {
            if !held.contains_key(&shard) && !self.leases.taken.load(Ordering::SeqCst) {
                let epoch = Epoch(self.leases.epoch.fetch_add(1, Ordering::SeqCst) + 1);
                held.insert(shard, epoch);
                grants.push(Grant { shard, epoch });
            }
        }
        if !grants.is_empty() {
            self.leases.acquired.fetch_add(1, Ordering::SeqCst);
        }
        Ok(grants)
    }

    async fn renew(&self, held: &[Grant]) -> Result<Renewal, lease::Error> {
        self.leases.renewed.fetch_add(1, Ordering::SeqCst);
        if self.leases.lose.swap(false, Ordering::SeqCst) {
            self.held.lock().unwrap().clear();
            return Ok(Renewal {
                lost: held.to_vec(),
                ..Renewal::default()
            });
        }
        Ok(Renewal {
            kept: held.to_vec(),
            ..Renewal::default()
        })
    }

    async fn release(&self, grants: &[Grant]) -> Result<(), lease::Error> {
        let mut held = self.held.lock().unwrap();
        held.retain(|shard, epoch| {
            !grants.contains(&Grant {
                shard: *shard,
                epoch: *epoch,
            })
        });
        Ok(())
    }

    async fn leave(&self) -> Result<(), lease::Error> {
        self.held.lock().unwrap().clear();
        Ok(())
    }

    async fn holders(&self) -> Result<Vec<Holding>, lease::Error> {
        let held = self.held.lock().unwrap();
        let holding = |(&shard, &epoch)| Holding {
            grant: Grant { shard, epoch },
            holder: Some("holder".to_owned()),
        };
        Ok(held.iter().map(holding).collect())
    }
}

pub(crate) struct World<S> {
    pub(crate) partitions: i32,
    pub(crate) log: Arc<MemoryLog>,
    pub(crate) registry: Arc<MemoryRegistry>,
    pub(crate) asks: Arc<Asks>,
    pub(crate) binding: Binding,
    pub(crate) store: Arc<S>,
    pub(crate) leases: Arc<Leases>,
    pub(crate) health: Health,
    pub(crate) feed: Feed,
    writer: Writer,
    sent: usize,
}

pub(crate) struct Service {
    pub(crate) shutdown: CancellationToken,
    pub(crate) task: JoinHandle<Result<(), Error>>,
}

impl<S: Store<Counter>> World<S> {
    pub(crate) async fn new(partitions: i32, store: S) -> Self {
        Self::of(partitions, Arc::new(store)).await
    }

    pub(crate) async fn of(partitions: i32, store: Arc<S>) -> Self {
        let log = Arc::new(MemoryLog::new(Arc::new(SystemClock)));
        log.create_topic(Add::TOPIC, partitions).await.unwrap();
        let registry = Arc::new(MemoryRegistry::new());
        let types = [Registration::of::<Add>()];
        let writer = Writer::bind(&*registry, &types, Binding::Register)
            .await
            .unwrap();
        Self {
            partitions,
            log,
            registry,
            asks: Arc::default(),
            binding: Binding::Register,
            store,
            leases: Arc::default(),
            health: Health::new(),
            feed: Feed::new(),
            writer,
            sent: 0,
        }
    }

    pub(crate) fn launch(&self, partitions: i32) -> Service {
        let lease = Holder {
            leases: Arc::clone(&self.leases),
            held: Mutex::default(),
        };
        self.launch_as(partitions, Arc::clone(&self.store), Arc::new(lease))
    }

    /// An instance with its own connection to the database and its own part in the sharing.
    #[allow(clippy::disallowed_methods, reason = "the test owns this task")]
    pub(crate) fn launch_as(
        &self,
        partitions: i32,
        store: Arc<S>,
        lease: Arc<dyn Lease>,
    ) -> Service {
        let ports = Ports {
            log: self.log.clone(),
            registry: Arc::new(Asked::new(&self.registry, &self.asks)),
            lease,
            clock: Arc::new(SystemClock),
            ids: Arc::new(SystemIds),
            spawner: Arc::new(TokioSpawner),
            tracer: messaging::trace::Tracer::off(),
        };
        let shutdown = CancellationToken::new();
        let running = runtime::run(
            Arc::new(Counter),
            store,
            ports,
            Options {
                partitions,
                binding: self.binding,
            },
            self.feed.clone(),
            self.health.clone(),
            shutdown.clone(),
        );
        Service {
            shutdown,
            task: tokio::spawn(running),
        }
    }

    pub(crate) async fn running(&self) -> Service {
        let service = self.launch(self.partitions);
        within(self.health.ready(), "the service is ready").await;
        service
    }

    pub(crate) fn add(&mut self, key: &str, amount: i64) -> Record {
        self.sent += 1;
        let message = Add {
            key: key.to_owned(),
            amount,
        };
        let id = format!("m{}", self.sent);
        Record {
            key: Some(Bytes::from(key.to_owned())),
            value: Some(self.writer.encode(&message).unwrap()),
            headers: Envelope::command(id, Add::TYPE, "/test", key, Timestamp(1)).to_headers(),
            timestamp: Timestamp(1),
        }
    }

    /// Appends until the log takes it, as a client does that retries.
    pub(crate) async fn append(&self, key: &str, record: &Record) {
        let partition = partition_of(key.as_bytes(), self.partitions);
        let append = || self.log.append(Add::TOPIC, partition, vec![record.clone()]);
        while append().await.is_err() {}
    }

    pub(crate) async fn send(&mut self, key: &str, amount: i64) {
        let record = self.add(key, amount);
        self.append(key, &record).await;
    }

    /// The events in the log, partition by partition, in order.
    pub(crate) async fn events(&self) -> Vec<Counted> {
        let mut events = Vec::new();
        if self
            .log
            .partitions(Counted::TOPIC)
            .await
            .ok()
            .flatten()
            .is_none()
        {
            return events;
        }
        for partition in 0..self.partitions {
            for consumed in self.log.records(Counted::TOPIC, partition) {
                let value = consumed.record.value.unwrap();
                let (id, datum) = codec::unframe(&value).unwrap();
                let schema = self.registry.schema(SchemaId(id.0)).await.unwrap();
                events.push(codec::decode(&schema, datum).unwrap());
            }
        }
        events
    }

    pub(crate) async fn events_count(&self, count: usize) {
        eventually(&format!("{count} events"), async || {
            (self.events().await.len() >= count).then_some(())
        })
        .await;
    }

    pub(crate) async fn outbox_empty(&self) {
        eventually("an empty outbox", async || {
            for partition in 0..self.partitions {
                let rows = self.store.outbox(partition, Sequence(0), 1).await.unwrap();
                if !rows.is_empty() {
                    return None;
                }
            }
            Some(())
        })
        .await;
    }
}

impl Service {
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        within(self.task, "the service stops")
            .await
            .unwrap()
            .unwrap();
    }

    pub(crate) async fn refusal(self) -> Error {
        within(self.task, "the service refuses")
            .await
            .unwrap()
            .unwrap_err()
    }
}
