//! Parked messages in the hands of operators, while everything goes wrong around them.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use messaging::clock::Timestamp;
use messaging::codec::{self, Schema, SchemaId};
use messaging::limits::REPLAY_RECORDS_MAX;
use messaging::log::Record;
use messaging::message::Message;
use messaging::registry::SchemaRegistry;
use messaging::shard::ShardId;
use messaging::store::contract::counter::Add;
use messaging::store::{
    Action, ActionKind, ActionRecord, AggregateKey, Operations, OutcomeKind, ParkReason,
    ParkedFilter, ParkedRow, Place, Target,
};

use crate::store::CommitFault;
use crate::wait::eventually;
use crate::world::{InMemory, World, in_memory};

/// `Add` as a writer of another release knows it: the registry gives it an id of its own.
pub(crate) const NEWER: &str = r#"{"type": "record", "name": "Add", "namespace": "toy", "fields": [
    {"name": "key", "type": "string"}, {"name": "amount", "type": "long"},
    {"name": "note", "type": "string", "default": ""}]}"#;

/// The id that the registry gives next, once the counter's own two schemas are there.
pub(crate) const NEXT_ID: SchemaId = SchemaId(3);

/// A counter service on one partition whose first message of "a" cannot be read: the registry does
/// not know its schema yet.
struct Poisoned {
    world: World<InMemory>,
    asked: usize,
}

impl Poisoned {
    async fn new() -> Self {
        let mut world = World::new(1, in_memory()).await;
        let poison = newer(world.add("a", 1));
        world.append("a", &poison).await;
        Self { world, asked: 0 }
    }

    fn database(&self) -> &dyn Operations {
        &self.world.store.inner
    }

    async fn register(&self) {
        let registry = &self.world.registry;
        let id = registry.register("toy.commands-toy.Add", NEWER).await;
        assert_eq!(id.unwrap(), NEXT_ID);
    }

    async fn send(&mut self, amounts: &[i64]) {
        for amount in amounts {
            self.world.send("a", *amount).await;
        }
    }

    async fn parked(&self) -> Vec<ParkedRow> {
        let all = ParkedFilter::default();
        self.database().parked(&all, 0, usize::MAX).await.unwrap()
    }

    async fn parked_count(&self, count: usize) {
        eventually(&format!("{count} parked"), async || {
            (self.parked().await.len() == count).then_some(())
        })
        .await;
    }

    async fn submit(&mut self, kind: ActionKind, target: Target) -> String {
        self.asked += 1;
        let action = Action {
            id: format!("action-{}", self.asked),
            shard: ShardId(0),
            kind,
            target,
            operator: "ada".to_owned(),
            reason: "the schema is there".to_owned(),
            at: Timestamp(1),
        };
        assert!(self.database().submit(&action).await.unwrap());
        action.id
    }

    async fn ask(&mut self, kind: ActionKind, target: Target) -> ActionRecord {
        let id = self.submit(kind, target).await;
        self.world.feed.ask();
        self.done(&id).await
    }

    async fn done(&self, id: &str) -> ActionRecord {
        eventually("the action is done", async || {
            let found = self.database().action(id, usize::MAX).await.unwrap();
            found.filter(|record| record.done_at.is_some())
        })
        .await
    }

    async fn replay(&mut self) -> Vec<OutcomeKind> {
        kinds(&self.ask(ActionKind::Replay, all_of_a()).await)
    }

    /// The totals of "a" in the order of its events; their versions have no gaps.
    async fn totals(&self) -> Vec<i64> {
        let mut events = self.world.events().await;
        events.retain(|event| event.key == "a");
        let versions: Vec<i64> = events.iter().map(|event| event.version).collect();
        let expected: Vec<i64> = (1..).take(events.len()).collect();
        assert_eq!(versions, expected);
        events.into_iter().map(|event| event.total).collect()
    }

    async fn totals_are(&self, expected: &[i64]) {
        self.world.events_count(expected.len()).await;
        assert_eq!(self.totals().await, expected);
    }
}

/// The record as a producer with the newer schema writes it.
pub(crate) fn newer(record: Record) -> Record {
    #[derive(serde::Serialize)]
    struct Newer<'a> {
        key: &'a str,
        amount: i64,
        note: &'a str,
    }
    let (_, datum) = codec::unframe(record.value.as_deref().unwrap()).unwrap();
    let add: Add = codec::decode(&Schema::parse(Add::SCHEMA).unwrap(), datum).unwrap();
    let newer = Newer {
        key: &add.key,
        amount: add.amount,
        note: "hello",
    };
    let value = codec::encode(NEXT_ID, &Schema::parse(NEWER).unwrap(), &newer).unwrap();
    Record {
        value: Some(Bytes::from(value.to_vec())),
        ..record
    }
}

fn all_of_a() -> Target {
    Target::Aggregate(AggregateKey {
        kind: "counter".to_owned(),
        id: "a".to_owned(),
    })
}

fn at(offset: i64) -> Target {
    Target::Place(Place {
        topic: Add::TOPIC.to_owned(),
        offset,
    })
}

fn kinds(record: &ActionRecord) -> Vec<OutcomeKind> {
    record.outcomes.iter().map(|outcome| outcome.kind).collect()
}

#[tokio::test(start_paused = true)]
async fn a_replay_decides_what_was_parked_in_order_once_the_cause_is_gone() {
    let mut poisoned = Poisoned::new().await;
    let service = poisoned.world.running().await;
    poisoned.send(&[10, 100]).await;
    poisoned.world.send("b", 7).await;
    poisoned.world.events_count(1).await;
    poisoned.parked_count(3).await;
    let reasons: Vec<ParkReason> = poisoned
        .parked()
        .await
        .iter()
        .map(|row| row.parked.reason)
        .collect();
    use ParkReason::{Behind, Undecodable};
    assert_eq!(reasons, [Undecodable, Behind, Behind]);

    poisoned.register().await;
    let record = poisoned.ask(ActionKind::Replay, all_of_a()).await;
    assert_eq!(kinds(&record), [OutcomeKind::Applied; 3]);
    assert!(
        record
            .outcomes
            .iter()
            .all(|outcome| outcome.detail == "toy.Counted")
    );
    poisoned.world.events_count(4).await;
    assert_eq!(poisoned.totals().await, [1, 11, 111]);
    poisoned.parked_count(0).await;

    poisoned.send(&[1_000]).await;
    poisoned.world.events_count(5).await;
    assert_eq!(poisoned.totals().await, [1, 11, 111, 1_111]);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_fails_again_stays_with_all_that_stands_behind() {
    let mut poisoned = Poisoned::new().await;
    let service = poisoned.world.running().await;
    poisoned.send(&[10]).await;
    poisoned.parked_count(2).await;
    assert_eq!(poisoned.replay().await, [OutcomeKind::Parked]);
    let rows = poisoned.parked().await;
    assert_eq!((rows[0].replays, rows[1].replays), (1, 0));
    assert!(rows[0].parked.detail.contains("schema id 3"), "{rows:?}");
    poisoned.send(&[100]).await;
    poisoned.parked_count(3).await;
    assert!(poisoned.totals().await.is_empty());

    poisoned.register().await;
    assert_eq!(poisoned.replay().await, [OutcomeKind::Applied; 3]);
    poisoned.totals_are(&[1, 11, 111]).await;
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_the_database_refuses_keeps_its_place_and_those_before_it_are_done() {
    let mut poisoned = Poisoned::new().await;
    let service = poisoned.world.running().await;
    poisoned.send(&[10, -500, 100]).await;
    poisoned.parked_count(4).await;
    poisoned.register().await;
    use OutcomeKind::{Applied, Parked};
    let foreseen = poisoned.ask(ActionKind::DryRun, all_of_a()).await;
    assert_eq!(kinds(&foreseen), [Applied, Applied, Parked]);
    assert!(
        poisoned.totals().await.is_empty(),
        "a dry run changes nothing"
    );
    assert_eq!(poisoned.parked().await.len(), 4);
    assert!(poisoned.parked().await.iter().all(|row| row.replays == 0));

    let record = poisoned.ask(ActionKind::Replay, all_of_a()).await;
    assert_eq!(kinds(&record), [Applied, Applied, Parked]);
    assert_eq!(record.outcomes[2].detail, foreseen.outcomes[2].detail);
    poisoned.totals_are(&[1, 11]).await;
    let rows = poisoned.parked().await;
    let reasons: Vec<ParkReason> = rows.iter().map(|row| row.parked.reason).collect();
    assert_eq!(reasons, [ParkReason::Failed, ParkReason::Behind]);

    // The first is given up; what stands behind waits until it is replayed.
    let offset = rows[0].parked.offset;
    let record = poisoned.ask(ActionKind::Discard, at(offset)).await;
    assert_eq!(kinds(&record), [OutcomeKind::Discarded]);
    assert_eq!(
        record.outcomes[0].record.as_ref(),
        Some(&rows[0].parked.record)
    );
    poisoned.send(&[1_000]).await;
    poisoned.parked_count(2).await;
    assert_eq!(poisoned.replay().await, [Applied; 2]);
    poisoned.totals_are(&[1, 11, 111, 1_111]).await;
    poisoned.parked_count(0).await;
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_of_what_can_be_done_says_so_and_changes_nothing() {
    let mut poisoned = Poisoned::new().await;
    let service = poisoned.world.running().await;
    poisoned.send(&[10]).await;
    poisoned.parked_count(2).await;
    let foreseen = poisoned.ask(ActionKind::DryRun, all_of_a()).await;
    assert_eq!(kinds(&foreseen), [OutcomeKind::Parked]);
    poisoned.register().await;
    let foreseen = poisoned.ask(ActionKind::DryRun, all_of_a()).await;
    assert_eq!(kinds(&foreseen), [OutcomeKind::Applied; 2]);
    let before = poisoned.parked().await;
    assert_eq!(poisoned.replay().await, [OutcomeKind::Applied; 2]);
    assert_eq!(before.iter().map(|row| row.replays).sum::<i32>(), 0);
    poisoned.totals_are(&[1, 11]).await;
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_repetition_behind_a_parked_message_has_no_effect_when_replayed() {
    let mut poisoned = Poisoned::new().await;
    let service = poisoned.world.running().await;
    let record = poisoned.world.add("a", 10);
    let other_content = Record {
        value: poisoned.world.add("a", 99).value,
        ..record.clone()
    };
    for repeated in [&record, &record, &other_content] {
        poisoned.world.append("a", repeated).await;
    }
    poisoned.parked_count(4).await;
    poisoned.register().await;
    use OutcomeKind::{Applied, Conflict, Duplicate};
    assert_eq!(
        poisoned.replay().await,
        [Applied, Applied, Duplicate, Conflict]
    );
    poisoned.totals_are(&[1, 11]).await;
    let conflicts = poisoned.database().conflicts(None, 0, 9).await.unwrap();
    assert_eq!(conflicts.len(), 1);
    assert_eq!(conflicts[0].conflict.record, other_content);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn more_than_a_turn_holds_is_replayed_in_order_and_told_whole() {
    let mut poisoned = Poisoned::new().await;
    let service = poisoned.world.running().await;
    let many = 2 * REPLAY_RECORDS_MAX + 3;
    poisoned.send(&vec![1; many - 1]).await;
    poisoned.parked_count(many).await;
    poisoned.register().await;
    assert_eq!(poisoned.replay().await, vec![OutcomeKind::Applied; many]);
    let expected: Vec<i64> = (1..).take(many).collect();
    poisoned.totals_are(&expected).await;
    poisoned.parked_count(0).await;
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_replay_whose_commit_nobody_answered_has_its_effects_once() {
    use CommitFault::{Fails, UnknownAndDone, UnknownAndLost};
    for fault in [Fails, UnknownAndDone, UnknownAndLost] {
        let mut poisoned = Poisoned::new().await;
        let service = poisoned.world.running().await;
        poisoned.send(&[10]).await;
        poisoned.parked_count(2).await;
        poisoned.world.outbox_empty().await;
        poisoned.register().await;
        poisoned.world.store.faults.commit(fault);
        assert_eq!(
            poisoned.replay().await,
            [OutcomeKind::Applied; 2],
            "{fault:?}"
        );
        poisoned.totals_are(&[1, 11]).await;
        assert_eq!(poisoned.world.store.faults.left(), 0);
        service.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_action_cut_off_is_carried_out_once_by_the_next_owner() {
    for yields in 0..60 {
        let mut poisoned = Poisoned::new().await;
        let service = poisoned.world.running().await;
        poisoned.send(&[10]).await;
        poisoned.parked_count(2).await;
        poisoned.register().await;
        let id = poisoned.submit(ActionKind::Replay, all_of_a()).await;
        poisoned.world.feed.ask();
        for _ in 0..yields {
            tokio::task::yield_now().await;
        }
        service.task.abort();
        let service = poisoned.world.running().await;
        let record = poisoned.done(&id).await;
        assert_eq!(kinds(&record), [OutcomeKind::Applied; 2], "{yields} yields");
        poisoned.totals_are(&[1, 11]).await;
        service.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_is_fenced_carries_nothing_out() {
    let mut poisoned = Poisoned::new().await;
    let first = poisoned.world.running().await;
    poisoned.send(&[10]).await;
    poisoned.parked_count(2).await;
    poisoned.register().await;
    // Both believe that the shard is theirs; both are asked.
    let second = poisoned.world.launch(1);
    eventually("a second acquisition", async || {
        (poisoned.world.leases.acquired.load(Ordering::SeqCst) >= 2).then_some(())
    })
    .await;
    assert_eq!(poisoned.replay().await, [OutcomeKind::Applied; 2]);
    poisoned.totals_are(&[1, 11]).await;
    poisoned.parked_count(0).await;
    first.shutdown.cancel();
    second.shutdown.cancel();
}

#[tokio::test(start_paused = true)]
async fn an_action_submitted_elsewhere_is_found_by_the_owner() {
    let mut poisoned = Poisoned::new().await;
    let service = poisoned.world.running().await;
    poisoned.parked_count(1).await;
    poisoned.register().await;
    // Nobody rings: the other instance shares nothing but the database.
    let id = poisoned.submit(ActionKind::Replay, all_of_a()).await;
    assert_eq!(kinds(&poisoned.done(&id).await), [OutcomeKind::Applied]);
    poisoned.totals_are(&[1]).await;
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_is_down_keeps_the_action_waiting_and_nothing_else() {
    let mut poisoned = Poisoned::new().await;
    let service = poisoned.world.running().await;
    poisoned.parked_count(1).await;
    poisoned.register().await;
    // A schema that was read once is not asked for again.
    poisoned.world.send("b", 7).await;
    poisoned.world.events_count(1).await;
    poisoned.world.registry.set_down(true);
    let id = poisoned.submit(ActionKind::Replay, all_of_a()).await;
    poisoned.world.feed.ask();
    poisoned.world.send("b", 7).await;
    poisoned.world.events_count(2).await;
    let found = poisoned.database().action(&id, 9).await.unwrap().unwrap();
    assert_eq!(found.done_at, None);
    poisoned.world.registry.set_down(false);
    assert_eq!(kinds(&poisoned.done(&id).await), [OutcomeKind::Applied]);
    poisoned.world.events_count(3).await;
    assert_eq!(poisoned.totals().await, [1]);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_message_parked_alone_is_replayed_and_discarded_by_its_place() {
    let mut poisoned = Poisoned::new().await;
    let service = poisoned.world.running().await;
    let mut stray = poisoned.world.add("b", 1);
    stray.key = None;
    poisoned.world.append("b", &stray).await;
    poisoned.parked_count(2).await;
    let offset = poisoned.parked().await[1].parked.offset;
    let record = poisoned.ask(ActionKind::Replay, at(offset)).await;
    assert_eq!(kinds(&record), [OutcomeKind::Parked]);
    assert_eq!(record.outcomes[0].detail, "the record has no key");
    let record = poisoned.ask(ActionKind::Discard, at(offset)).await;
    assert_eq!(record.outcomes[0].record, Some(stray));
    poisoned.parked_count(1).await;
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn of_two_that_ask_for_the_same_the_second_finds_nothing_left() {
    let mut poisoned = Poisoned::new().await;
    let service = poisoned.world.running().await;
    poisoned.parked_count(1).await;
    service.stop().await;
    poisoned.register().await;
    let first = poisoned.submit(ActionKind::Replay, all_of_a()).await;
    let second = poisoned.submit(ActionKind::Discard, at(0)).await;
    let service = poisoned.world.running().await;
    assert_eq!(kinds(&poisoned.done(&first).await), [OutcomeKind::Applied]);
    assert_eq!(kinds(&poisoned.done(&second).await), []);
    poisoned.totals_are(&[1]).await;
    service.stop().await;
}
