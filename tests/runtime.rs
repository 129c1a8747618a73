//! The runtime over in-memory ports: what happens when log, database or registry misbehave.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

#[path = "common/wait.rs"]
mod wait;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use messaging::clock::{SystemClock, Timestamp};
use messaging::envelope::Envelope;
use messaging::health::{Condition, Health};
use messaging::ids::SystemIds;
use messaging::lease::memory::MemoryLease;
use messaging::log::memory::{AppendFault, MemoryLog};
use messaging::log::{ErrorKind, Log, Record};
use messaging::message::{Binding, Event, Message, Registration, Writer};
use messaging::registry::memory::MemoryRegistry;
use messaging::runtime::{self, Error, Feed, Options, Ports};
use messaging::shard::{Epoch, ShardId};
use messaging::spawner::TokioSpawner;
use messaging::store::contract::counter::{Add, Counted, Counter, CounterTables};
use messaging::store::memory::MemoryStore;
use messaging::store::{ParkReason, Sequence, Store};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wait::{eventually, within};

/// A counter service on one partition, and the world around it.
struct World {
    log: Arc<MemoryLog>,
    registry: Arc<MemoryRegistry>,
    store: Arc<MemoryStore<CounterTables>>,
    health: Health,
    writer: Writer,
    sent: usize,
}

struct Service {
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), Error>>,
}

const OPTIONS: Options = Options {
    partitions: 1,
    binding: Binding::Register,
};

impl World {
    async fn new() -> Self {
        let log = Arc::new(MemoryLog::new(Arc::new(SystemClock)));
        log.create_topic(Add::TOPIC, 1).await.unwrap();
        let registry = Arc::new(MemoryRegistry::new());
        let types = [Registration::of::<Add>()];
        let writer = Writer::bind(&*registry, &types, Binding::Register)
            .await
            .unwrap();
        let store = Arc::new(MemoryStore::new(CounterTables));
        Self {
            log,
            registry,
            store,
            health: Health::new(),
            writer,
            sent: 0,
        }
    }

    #[allow(clippy::disallowed_methods, reason = "the test owns this task")]
    fn launch(&self, options: Options) -> Service {
        let clock = Arc::new(SystemClock);
        let ports = Ports {
            log: self.log.clone(),
            registry: self.registry.clone(),
            lease: Arc::new(MemoryLease::new(clock.clone(), Duration::from_secs(10))),
            clock,
            ids: Arc::new(SystemIds),
            spawner: Arc::new(TokioSpawner),
            tracer: messaging::trace::Tracer::off(),
        };
        let shutdown = CancellationToken::new();
        let (store, health) = (self.store.clone(), self.health.clone());
        let running = runtime::run(
            Arc::new(Counter),
            store,
            ports,
            options,
            Feed::new(),
            health,
            shutdown.clone(),
        );
        Service {
            shutdown,
            task: tokio::spawn(running),
        }
    }

    async fn running(&self) -> Service {
        let service = self.launch(OPTIONS);
        within(self.health.ready(), "the service is ready").await;
        service
    }

    fn add(&mut self, key: &str, amount: i64) -> Record {
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

    async fn send(&mut self, key: &str, amount: i64) {
        let record = self.add(key, amount);
        self.log.append(Add::TOPIC, 0, vec![record]).await.unwrap();
    }

    /// Ids of the events in the log, in order.
    fn events(&self) -> Vec<String> {
        let records = self.log.records(Counted::TOPIC, 0);
        let id = |record: &Record| Envelope::from_headers(&record.headers).unwrap().id;
        records
            .iter()
            .map(|consumed| id(&consumed.record))
            .collect()
    }

    async fn events_count(&self, count: usize) {
        eventually(&format!("{count} events"), async || {
            (self.events().len() >= count).then_some(())
        })
        .await;
    }

    async fn outbox_empty(&self) {
        eventually("an empty outbox", async || {
            self.store
                .outbox(0, Sequence(0), 1 << 20)
                .await
                .unwrap()
                .is_empty()
                .then_some(())
        })
        .await;
    }

    async fn stopped(&self, words: &str) {
        eventually(&format!("stopped: {words}"), async || {
            self.health.report().values().any(|condition| {
                matches!(condition, Condition::Stopped { reason } if reason.contains(words))
            })
            .then_some(())
        })
        .await;
    }
}

impl Service {
    async fn stop(self) {
        self.shutdown.cancel();
        within(self.task, "the service stops")
            .await
            .unwrap()
            .unwrap();
    }

    async fn refusal(self) -> Error {
        within(self.task, "the service refuses")
            .await
            .unwrap()
            .unwrap_err()
    }
}

#[tokio::test]
async fn an_acknowledgement_lost_repeats_the_event_under_the_same_id() {
    let mut world = World::new().await;
    let service = world.running().await;
    world.log.fail_append(AppendFault::AcknowledgementLost);
    let record = world.add("a", 1);
    // The fault meets whichever append comes first; the command's own repetition is harmless.
    while world
        .log
        .append(Add::TOPIC, 0, vec![record.clone()])
        .await
        .is_err()
    {}
    world.log.fail_append(AppendFault::AcknowledgementLost);
    world.events_count(1).await;
    world.outbox_empty().await;
    let mut ids = world.events();
    ids.dedup();
    assert_eq!(ids.len(), 1, "one event, however often it was appended");
    service.stop().await;
}

#[tokio::test]
async fn what_was_published_is_not_published_again_after_a_clean_stop() {
    let mut world = World::new().await;
    let service = world.running().await;
    world.send("a", 1).await;
    world.events_count(1).await;
    service.stop().await;
    let service = world.running().await;
    world.send("a", 1).await;
    world.events_count(2).await;
    service.stop().await;
    assert_eq!(world.events().len(), 2);
}

#[tokio::test]
async fn a_tail_lost_while_running_stops_the_shard() {
    let mut world = World::new().await;
    let service = world.running().await;
    world.send("a", 1).await;
    world.events_count(1).await;
    world.log.truncate_tail(Add::TOPIC, 0, 1);
    world.log.fail_read(ErrorKind::Retry);
    world.stopped("lost records").await;
    assert!(!world.health.is_ready());
    service.stop().await;
}

#[tokio::test]
async fn a_tail_replaced_by_other_records_is_noticed() {
    let mut world = World::new().await;
    let service = world.running().await;
    world.send("a", 1).await;
    world.events_count(1).await;
    service.stop().await;
    world.log.truncate_tail(Add::TOPIC, 0, 1);
    world.send("a", 2).await;
    world.send("a", 3).await;
    let refusal = world.launch(OPTIONS).refusal().await;
    assert!(matches!(refusal, Error::LogBehind { .. }), "{refusal}");
}

#[tokio::test]
async fn events_lost_by_the_log_are_noticed() {
    let mut world = World::new().await;
    let service = world.running().await;
    world.send("a", 1).await;
    world.events_count(1).await;
    service.stop().await;
    world.log.truncate_tail(Counted::TOPIC, 0, 1);
    let refusal = world.launch(OPTIONS).refusal().await;
    assert!(matches!(refusal, Error::LogBehind { .. }), "{refusal}");
}

#[tokio::test]
async fn a_database_without_its_published_events_refuses_to_start() {
    let mut world = World::new().await;
    let service = world.running().await;
    world.send("a", 1).await;
    world.events_count(1).await;
    service.stop().await;
    world.store = Arc::new(MemoryStore::new(CounterTables));
    let refusal = world.launch(OPTIONS).refusal().await;
    assert!(
        matches!(refusal, Error::DatabaseBehind { offset: 0, .. }),
        "{refusal}"
    );
}

#[tokio::test]
async fn unread_records_deleted_by_retention_are_not_skipped_silently() {
    let mut world = World::new().await;
    let service = world.running().await;
    world.send("a", 1).await;
    world.events_count(1).await;
    service.stop().await;
    world.send("a", 2).await;
    world.send("a", 3).await;
    world.log.delete_before(Add::TOPIC, 0, 2);
    let refusal = world.launch(OPTIONS).refusal().await;
    assert!(
        matches!(
            refusal,
            Error::RetentionPassed {
                expected: 1,
                first: 2,
                ..
            }
        ),
        "{refusal}"
    );
}

#[tokio::test]
async fn offsets_may_have_gaps() {
    let mut world = World::new().await;
    world.send("a", 1).await;
    world.log.leave_gap(Add::TOPIC, 0, 5);
    world.send("a", 1).await;
    let service = world.running().await;
    world.events_count(2).await;
    world.log.leave_gap(Add::TOPIC, 0, 5);
    world.send("a", 1).await;
    world.events_count(3).await;
    service.stop().await;
}

#[tokio::test]
async fn a_message_that_the_database_refuses_is_parked_and_the_rest_of_its_batch_applied() {
    let mut world = World::new().await;
    // Totals below zero are refused by the database, not by the decision.
    for (key, amount) in [("a", 1), ("b", -5), ("c", 1), ("b", 1)] {
        world.send(key, amount).await;
    }
    let service = world.running().await;
    world.events_count(2).await;
    eventually("two parked", async || {
        (world.store.parked().len() == 2).then_some(())
    })
    .await;
    let parked = world.store.parked();
    let reasons: Vec<_> = parked.iter().map(|parked| parked.reason).collect();
    assert_eq!(reasons, [ParkReason::Failed, ParkReason::Behind]);
    assert_eq!(
        parked
            .iter()
            .map(|parked| parked.offset)
            .collect::<Vec<_>>(),
        [1, 3]
    );
    service.stop().await;
}

#[tokio::test]
async fn a_registry_that_is_down_delays_and_parks_nothing() {
    let mut world = World::new().await;
    let service = world.running().await;
    world.registry.set_down(true);
    world.send("a", 1).await;
    eventually("not ready", async || {
        (!world.health.is_ready()).then_some(())
    })
    .await;
    world.registry.set_down(false);
    world.events_count(1).await;
    assert!(world.store.parked().is_empty());
    service.stop().await;
}

#[tokio::test]
async fn a_schema_that_the_registry_does_not_know_parks_its_record() {
    let mut world = World::new().await;
    let service = world.running().await;
    let mut unknown = world.add("a", 1);
    unknown.value = Some(messaging::codec::frame(
        messaging::registry::SchemaId(4_711),
        b"x",
    ));
    world
        .log
        .append(Add::TOPIC, 0, vec![unknown])
        .await
        .unwrap();
    eventually("parked", async || {
        (world.store.parked().len() == 1).then_some(())
    })
    .await;
    world.send("b", 1).await;
    world.events_count(1).await;
    service.stop().await;
}

#[tokio::test]
async fn a_log_that_is_down_makes_the_service_unready_and_nothing_is_lost() {
    let mut world = World::new().await;
    let service = world.running().await;
    world.log.set_down(true);
    eventually("not ready", async || {
        (!world.health.is_ready()).then_some(())
    })
    .await;
    world.log.set_down(false);
    world.send("a", 1).await;
    world.events_count(1).await;
    within(world.health.ready(), "ready again").await;
    service.stop().await;
}

#[tokio::test]
async fn another_owner_fences_this_one() {
    let mut world = World::new().await;
    let service = world.running().await;
    world.send("a", 1).await;
    world.events_count(1).await;
    world.outbox_empty().await;
    Store::<Counter>::claim(&*world.store, ShardId(0), Epoch(1_000))
        .await
        .unwrap();
    world.send("a", 1).await;
    eventually("not ready", async || {
        (!world.health.is_ready()).then_some(())
    })
    .await;
    assert_eq!(world.events().len(), 1, "a fenced owner commits nothing");
    service.shutdown.cancel();
}

#[tokio::test]
async fn a_changed_number_of_partitions_is_refused() {
    let world = World::new().await;
    world.running().await.stop().await;
    let more = Options {
        partitions: 2,
        ..OPTIONS
    };
    let refusal = world.launch(more).refusal().await;
    let expected = (1, 2);
    assert!(
        matches!(refusal, Error::PartitionsChanged { found, expected: set, .. } if (found, set) == expected),
        "{refusal}"
    );
}

#[tokio::test]
async fn every_event_carries_its_cause() {
    let mut world = World::new().await;
    let service = world.running().await;
    world.send("a", 1).await;
    world.events_count(1).await;
    let record = world.log.records(Counted::TOPIC, 0)[0].record.clone();
    let envelope = Envelope::from_headers(&record.headers).unwrap();
    assert_eq!(envelope.causation_id.as_deref(), Some("m1"));
    assert_eq!(envelope.correlation(), "m1");
    assert_eq!(
        (envelope.source.as_str(), envelope.subject.as_str()),
        ("/counter", "a")
    );
    let id = messaging::envelope::event_id("/counter", Counted::AGGREGATE, "a", 1);
    assert_eq!(envelope.id, id.to_string());
    service.stop().await;
}
