//! Both services under the shipped runtime, on one thread with a paused clock, with the log and the
//! databases in memory. Each call takes a fixed time, so that batches form as they do on a disk, and
//! what is counted is the same in every run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use contracts::topics;
use inventory::context::InventoryContext;
use messaging::clock::{Clock, Timestamp};
use messaging::context::Context;
use messaging::ids::Ids;
use messaging::limits::APPEND_RECORDS_MAX;
use messaging::log::appender::Appender;
use messaging::log::memory::MemoryLog;
use messaging::log::{Batch, Bounds, Error, Log, ReadLimit, Record};
use messaging::message::Writer;
use messaging::partitioner::partition_of;
use messaging::registry::memory::MemoryRegistry;
use messaging::shard::{Epoch, ShardId};
use messaging::spawner::TokioSpawner;
use messaging::store;
use messaging::store::Tables;
use messaging::store::memory::{Commit, MemoryStore, Observer, Tx};
use order::context::OrderContext;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::common::batches::{commands, writer};
use crate::common::inputs::{AT, PRODUCTS, receive_stock, record};
use crate::common::service::{Service, Surroundings};

const PARTITIONS: i32 = 4;
/// What an append takes to be durable.
const APPEND: Duration = Duration::from_millis(1);
/// What an answer of the log takes.
const FETCH: Duration = Duration::from_millis(1);
/// What a transaction takes.
const COMMIT: Duration = Duration::from_millis(2);
/// Between orders that arrive; one or several at once.
const ARRIVAL: Duration = Duration::from_millis(1);
/// How long it takes until nothing happens any more but long polls.
const REST: Duration = Duration::from_secs(1);

/// One thread with a paused clock.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    let built = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    built.expect("a runtime of one thread")
}

/// What was taken of the log and the databases.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) transactions: u64,
    pub(crate) appends: u64,
    pub(crate) fetches: u64,
}

/// Records of one partition.
pub(crate) type Portion = (i32, Vec<Record>);

/// A store with plenty of every product, at rest.
pub(crate) struct Store {
    clock: Arc<dyn Clock>,
    log: Arc<CountedLog>,
    commits: Arc<Commits>,
    writer: Writer,
    _services: [Service; 2],
}

impl Store {
    pub(crate) async fn start() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(PausedClock(Instant::now()));
        let log = Arc::new(CountedLog::new(Arc::clone(&clock)));
        let registry = Arc::new(MemoryRegistry::new());
        let writer = writer(&*registry).await;
        for topic in topics::ALL {
            let created = log.create_topic(topic, PARTITIONS).await;
            created.expect("a topic");
        }
        let surroundings = Surroundings {
            log: Arc::clone(&log) as Arc<dyn Log>,
            registry,
            clock: Arc::clone(&clock),
            ids: Arc::new(Numbers::default()),
            partitions: PARTITIONS,
        };
        let commits = Arc::new(Commits::default());
        let orders = MemoryStore::new(Timed(order::store::memory::MemoryTables));
        let stock = MemoryStore::new(Timed(inventory::store::memory::MemoryTables::default()));
        orders.observe(Arc::clone(&commits) as Arc<dyn Observer>);
        stock.observe(Arc::clone(&commits) as Arc<dyn Observer>);
        let services = [
            surroundings
                .start(OrderContext::default(), Arc::new(orders))
                .await,
            surroundings
                .start(InventoryContext::default(), Arc::new(stock))
                .await,
        ];
        let store = Self {
            clock,
            log,
            commits,
            writer,
            _services: services,
        };
        let receipts = (0..PRODUCTS).map(|number| {
            let receipt = receive_stock(number);
            record(&store.writer, number, &receipt)
        });
        let receipts = by_partition(receipts.collect());
        store.append(topics::INVENTORY_COMMANDS, receipts).await;
        store.until(topics::INVENTORY_STOCK, PRODUCTS).await;
        sleep(REST).await;
        store.log.appends.store(0, Ordering::Relaxed);
        store.log.fetches.store(0, Ordering::Relaxed);
        store.commits.0.store(0, Ordering::Relaxed);
        store
    }

    /// The commands of so many orders, as a log that nobody read holds them.
    pub(crate) fn backlog(&self, orders: u64) -> Vec<Portion> {
        by_partition(commands(&self.writer, 0, orders))
    }

    /// Puts a backlog into the log at one moment; returns when all of its orders are RESERVED and the
    /// store is at rest.
    pub(crate) async fn drain(&self, backlog: Vec<Portion>) {
        let orders: usize = backlog.iter().map(|(_, records)| records.len()).sum();
        self.append(topics::ORDER_COMMANDS, backlog).await;
        self.until_reserved(orders as u64).await;
    }

    /// Lets orders arrive at the gateway's appender, so many each millisecond, as callers send them
    /// that do not wait for one another; returns when all are RESERVED and the store is at rest.
    pub(crate) async fn serve(&self, orders: u64, each_ms: usize) {
        let log = Arc::clone(&self.log) as Arc<dyn Log>;
        let topic = topics::ORDER_COMMANDS;
        let appender = Appender::new(log, topic, PARTITIONS, &self.clock, &TokioSpawner);
        let mut callers = JoinSet::new();
        for together in commands(&self.writer, 0, orders).chunks(each_ms) {
            for command in together.iter().cloned() {
                let appender = appender.clone();
                callers.spawn(async move { appender.append(command).await });
            }
            sleep(ARRIVAL).await;
        }
        for answered in callers.join_all().await {
            answered.expect("the log takes it");
        }
        self.until_reserved(orders).await;
    }

    pub(crate) fn taken(&self) -> Taken {
        Taken {
            transactions: self.commits.0.load(Ordering::Relaxed),
            appends: self.log.appends.load(Ordering::Relaxed),
            fetches: self.log.fetches.load(Ordering::Relaxed),
        }
    }

    /// Appends what nobody is to count.
    async fn append(&self, topic: &str, portions: Vec<Portion>) {
        for (partition, records) in portions {
            let appended = self.log.inner.append(topic, partition, records).await;
            appended.expect("the log takes it");
        }
    }

    /// Each order has been placed and reserved.
    async fn until_reserved(&self, orders: u64) {
        self.until(topics::ORDER_EVENTS, 2 * orders).await;
        sleep(REST).await;
    }

    async fn until(&self, topic: &str, records: u64) {
        loop {
            let mut written = 0;
            for partition in 0..PARTITIONS {
                let bounds = self.log.inner.bounds(topic, partition).await;
                written += bounds.expect("the topic is there").next;
            }
            if u64::try_from(written).is_ok_and(|written| written >= records) {
                return;
            }
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Records by their keys' partitions, in portions that the log takes.
fn by_partition(records: Vec<Record>) -> Vec<Portion> {
    let mut portions: Vec<Portion> = Vec::new();
    for home in 0..PARTITIONS {
        let key = |record: &Record| record.key.clone().unwrap_or_default();
        let here = records
            .iter()
            .filter(|record| partition_of(&key(record), PARTITIONS) == home);
        let here: Vec<Record> = here.cloned().collect();
        let chunks = here.chunks(APPEND_RECORDS_MAX);
        portions.extend(chunks.map(|records| (home, records.to_vec())));
    }
    portions
}

/// A log that takes its time, and counts.
struct CountedLog {
    inner: MemoryLog,
    appends: AtomicU64,
    fetches: AtomicU64,
}

impl CountedLog {
    fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            inner: MemoryLog::new(clock),
            appends: AtomicU64::new(0),
            fetches: AtomicU64::new(0),
        }
    }
}

#[async_trait]
impl Log for CountedLog {
    async fn create_topic(&self, topic: &str, partitions: i32) -> Result<(), Error> {
        self.inner.create_topic(topic, partitions).await
    }

    async fn partitions(&self, topic: &str) -> Result<Option<i32>, Error> {
        self.inner.partitions(topic).await
    }

    async fn append(
        &self,
        topic: &str,
        partition: i32,
        records: Vec<Record>,
    ) -> Result<i64, Error> {
        self.appends.fetch_add(1, Ordering::Relaxed);
        sleep(APPEND).await;
        self.inner.append(topic, partition, records).await
    }

    async fn read(
        &self,
        topic: &str,
        partition: i32,
        from: i64,
        limit: ReadLimit,
    ) -> Result<Batch, Error> {
        self.fetches.fetch_add(1, Ordering::Relaxed);
        let batch = self.inner.read(topic, partition, from, limit).await;
        sleep(FETCH).await;
        batch
    }

    async fn bounds(&self, topic: &str, partition: i32) -> Result<Bounds, Error> {
        self.fetches.fetch_add(1, Ordering::Relaxed);
        self.inner.bounds(topic, partition).await
    }
}

/// Tables whose transactions take their time.
#[derive(Debug)]
struct Timed<T>(T);

impl<C: Context, T: Tables<C, Tx>> Tables<C, Tx> for Timed<T> {
    async fn load(&self, tx: &mut Tx, messages: &[&C::Message]) -> Result<C::State, store::Error> {
        self.0.load(tx, messages).await
    }

    async fn load_follow_up(&self, tx: &mut Tx, state: &mut C::State) -> Result<(), store::Error> {
        self.0.load_follow_up(tx, state).await
    }

    async fn save(&self, tx: &mut Tx, state: &C::State) -> Result<(), store::Error> {
        sleep(COMMIT).await;
        self.0.save(tx, state).await
    }
}

/// Transactions of both databases.
#[derive(Debug, Default)]
struct Commits(AtomicU64);

impl Observer for Commits {
    fn claimed(&self, _shard: ShardId, _epoch: Epoch) {}

    fn committed(&self, _commit: &Commit<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The runtime's clock as the wall's.
struct PausedClock(Instant);

#[async_trait]
impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        let passed = i64::try_from(self.0.elapsed().as_millis()).unwrap_or(i64::MAX);
        Timestamp(AT.0.saturating_add(passed))
    }

    async fn sleep(&self, span: Duration) {
        sleep(span).await;
    }
}

/// Ids and jitter without chance.
#[derive(Debug, Default)]
struct Numbers(AtomicU64);

impl Numbers {
    fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

impl Ids for Numbers {
    fn fresh(&self) -> Uuid {
        Uuid::from_u64_pair(1, self.next())
    }

    /// A step of SplitMix64.
    fn random(&self) -> u64 {
        let mut mixed = self.next().wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ (mixed >> 27)
    }
}
