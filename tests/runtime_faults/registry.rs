//! A registry that is away, or that says no.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use messaging::codec::{self, Schema, SchemaId};
use messaging::health::Condition;
use messaging::log::{Log, Record};
use messaging::message::{Binding, Message, Registration};
use messaging::partitioner::partition_of;
use messaging::registry::memory::MemoryRegistry;
use messaging::registry::{self, ErrorKind, SchemaRegistry};
use messaging::runtime;
use messaging::store::contract::counter::{Add, Counted};
use tokio::time::Instant;

use crate::parked::{NEWER, NEXT_ID, newer};
use crate::wait::within;
use crate::world::{InMemory, World, in_memory};

/// How long the registry is away; the waits between asks have long reached their limit by then.
const AWAY: Duration = Duration::from_secs(20);
/// Asks in that time: the waits grow to between half a second and a second.
const ASKS: std::ops::Range<usize> = 20..60;

/// When a service asked its registry, and about what.
#[derive(Debug, Default)]
pub(crate) struct Asks(Mutex<Vec<(Instant, String)>>);

impl Asks {
    fn note(&self, subject: String) {
        self.0.lock().unwrap().push((Instant::now(), subject));
    }

    /// The waits between asks about `subject` since `start`.
    fn waits(&self, subject: &str, start: Instant) -> Vec<Duration> {
        let asks = self.0.lock().unwrap();
        let about = asks.iter().filter(|ask| ask.0 >= start && ask.1 == subject);
        let times: Vec<Instant> = about.map(|ask| ask.0).collect();
        times.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }
}

/// A registry that notes what it is asked.
#[derive(Debug)]
pub(crate) struct Asked {
    registry: Arc<MemoryRegistry>,
    asks: Arc<Asks>,
}

impl Asked {
    pub(crate) fn new(registry: &Arc<MemoryRegistry>, asks: &Arc<Asks>) -> Self {
        Self {
            registry: Arc::clone(registry),
            asks: Arc::clone(asks),
        }
    }
}

#[async_trait]
impl SchemaRegistry for Asked {
    async fn schema(&self, id: SchemaId) -> Result<Schema, registry::Error> {
        self.asks.note(about(id));
        self.registry.schema(id).await
    }

    async fn lookup(&self, subject: &str, schema: &str) -> Result<SchemaId, registry::Error> {
        self.asks.note(subject.to_owned());
        self.registry.lookup(subject, schema).await
    }

    async fn register(&self, subject: &str, schema: &str) -> Result<SchemaId, registry::Error> {
        self.asks.note(subject.to_owned());
        self.registry.register(subject, schema).await
    }
}

fn about(id: SchemaId) -> String {
    format!("schema id {id}")
}

fn subject<M: Message>() -> String {
    Registration::of::<M>().subject()
}

fn assert_less_and_less_often(waits: &[Duration]) {
    assert!(ASKS.contains(&waits.len()), "{waits:?}");
    assert!(waits[0] <= Duration::from_millis(20), "{waits:?}");
    let late = &waits[waits.len() / 2..];
    let long = |wait: &Duration| *wait >= Duration::from_millis(500);
    assert!(late.iter().all(long), "{waits:?}");
}

async fn register_newer(world: &World<InMemory>) {
    let id = world.registry.register(&subject::<Add>(), NEWER).await;
    assert_eq!(id.unwrap(), NEXT_ID);
}

async fn append(world: &World<InMemory>, partition: i32, records: Vec<Record>) {
    world
        .log
        .append(Add::TOPIC, partition, records)
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_was_never_seen_waits_alone_and_is_asked_for_less_and_less_often() {
    let mut world = World::new(2, in_memory()).await;
    let service = world.running().await;
    let home = |key: &str| partition_of(key.as_bytes(), 2);
    let mut others = ["b", "c", "d", "e"].into_iter();
    let elsewhere = others.find(|key| home(key) != home("a")).unwrap();
    for key in ["a", elsewhere] {
        world.send(key, 1).await;
    }
    world.events_count(2).await;
    register_newer(&world).await;
    world.registry.set_down(true);
    let start = Instant::now();
    // In one batch: what stands before goes on, what stands behind waits.
    let (before, behind) = (world.add("a", 10), world.add("a", 1_000));
    let unseen = newer(world.add("a", 100));
    append(&world, home("a"), vec![before, unseen, behind]).await;
    world.send(elsewhere, 1).await;
    world.events_count(4).await;
    tokio::time::sleep(AWAY).await;

    assert_eq!(world.events().await.len(), 4);
    let mut report = world.health.report();
    let waiting = report.remove(&format!("shard {} {}", home("a"), Add::TOPIC));
    assert!(
        matches!(&waiting, Some(Condition::Stalled { reason })
            if reason == "schema registry: schema id 3: the registry is down"),
        "{waiting:?}"
    );
    let mut others = report.values();
    assert!(
        others.all(|condition| *condition == Condition::Running),
        "{report:?}"
    );
    assert_less_and_less_often(&world.asks.waits(&about(NEXT_ID), start));

    world.registry.set_down(false);
    world.events_count(6).await;
    within(world.health.ready(), "ready again").await;
    assert!(world.store.inner.parked().is_empty());
    let events = world.events().await.into_iter();
    let of_a = events.filter(|event| event.key == "a");
    let totals: Vec<i64> = of_a.map(|event| event.total).collect();
    assert_eq!(totals, [1, 11, 111, 1_111]);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_start_without_its_registry_waits_says_so_and_goes_on_by_itself() {
    let mut world = World::new(1, in_memory()).await;
    world.registry.set_down(true);
    let start = Instant::now();
    let service = world.launch(1);
    tokio::time::sleep(AWAY).await;
    let waiting = world.health.report().remove("start");
    let expected = format!(
        "schema registry: {}: the registry is down",
        subject::<Counted>()
    );
    assert_eq!(waiting, Some(Condition::Stalled { reason: expected }));
    assert_less_and_less_often(&world.asks.waits(&subject::<Counted>(), start));
    assert!(!service.task.is_finished());

    world.registry.set_down(false);
    within(world.health.ready(), "ready").await;
    world.send("a", 1).await;
    world.events_count(1).await;
    service.stop().await;
}

/// Checks that a start is refused and says so in its health, too.
async fn assert_refused(world: &World<InMemory>, kind: ErrorKind, words: &str) {
    let refusal = world.launch(1).refusal().await;
    let runtime::Error::Registry(error) = refusal else {
        panic!("{refusal}")
    };
    assert_eq!(
        (error.kind, error.subject.as_str()),
        (kind, &*subject::<Counted>())
    );
    assert!(error.detail.contains(words), "{error}");
    let reason = error.to_string();
    assert_eq!(
        world.health.report().remove("start"),
        Some(Condition::Stopped { reason })
    );
}

#[tokio::test]
async fn a_start_is_refused_when_somebody_else_has_registered_what_does_not_fit() {
    let world = World::new(1, in_memory()).await;
    let theirs = Counted::SCHEMA.replace(
        r#""name": "total", "type": "long""#,
        r#""name": "total", "type": "string""#,
    );
    let registered = world
        .registry
        .register(&subject::<Counted>(), &theirs)
        .await;
    registered.unwrap();
    assert_refused(&world, ErrorKind::Incompatible, "TYPE_MISMATCH").await;
}

#[tokio::test]
async fn a_start_that_registers_nothing_is_refused_what_is_not_registered() {
    let mut world = World::new(1, in_memory()).await;
    world.binding = Binding::Lookup;
    assert_refused(&world, ErrorKind::NotFound, "not registered").await;
    let (subject, schema) = (subject::<Counted>(), Counted::SCHEMA);
    world.registry.register(&subject, schema).await.unwrap();
    world.running().await.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_schema_that_the_registry_learns_late_is_not_parked() {
    let mut world = World::new(1, in_memory()).await;
    let service = world.running().await;
    let early = newer(world.add("a", 1));
    append(&world, 0, vec![early]).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    register_newer(&world).await;
    world.events_count(1).await;
    assert!(world.store.inner.parked().is_empty());
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn many_records_that_nobody_has_registered_hold_their_shard_up_as_long_as_one() {
    const MANY: usize = 200;
    let mut world = World::new(1, in_memory()).await;
    let service = world.running().await;
    let start = Instant::now();
    let mut unknown = Vec::new();
    for n in 0..MANY {
        let record = world.add(&format!("key {n}"), 1);
        let value = Some(codec::frame(SchemaId(4_711), b"x"));
        unknown.push(Record { value, ..record });
    }
    append(&world, 0, unknown).await;
    world.send("a", 1).await;
    world.events_count(1).await;
    let took = start.elapsed();
    assert_eq!(world.store.inner.parked().len(), MANY);
    assert!(took < Duration::from_secs(2), "{took:?}");
    service.stop().await;
}
