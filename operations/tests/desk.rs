//! The operators' service over a store in memory. The test is the shard's owner where one is
//! needed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use contracts::proto;
use contracts::proto::operations_service_server::OperationsService;
use messaging::clock::{Clock, SystemClock, Timestamp};
use messaging::ids::SystemIds;
use messaging::lease::Lease;
use messaging::lease::memory::MemoryLease;
use messaging::log::memory::MemoryLog;
use messaging::log::{Log, Record};
use messaging::registry::memory::MemoryRegistry;
use messaging::runtime::{Feed, Ports};
use messaging::shard::{Epoch, ShardId};
use messaging::spawner::TokioSpawner;
use messaging::store::contract::counter::{Counter, CounterTables};
use messaging::store::memory::MemoryStore;
use messaging::store::{
    Action, ActionDone, AggregateKey, CursorMove, Effects, OutboxBatch, Outcome, OutcomeKind,
    ParkReason, Parked, RecordHash, Store, Turn,
};
use operations::Desk;
use tonic::{Code, Request, Status};

const SHARD: ShardId = ShardId(2);
const TOPIC: &str = "toy.commands";

struct World {
    store: Arc<MemoryStore<CounterTables>>,
    log: Arc<MemoryLog>,
    lease: Arc<MemoryLease>,
    desk: Desk,
}

impl World {
    async fn new() -> Self {
        let store = Arc::new(MemoryStore::new(CounterTables));
        let clock = Arc::new(SystemClock);
        let log = Arc::new(MemoryLog::new(clock.clone()));
        let lease = Arc::new(MemoryLease::new(clock.clone(), Duration::from_secs(10)));
        let ports = Ports {
            log: log.clone(),
            registry: Arc::new(MemoryRegistry::new()),
            lease: lease.clone(),
            clock,
            ids: Arc::new(SystemIds),
            spawner: Arc::new(TokioSpawner),
            tracer: messaging::trace::Tracer::off(),
        };
        let desk = Desk::new("/counter", store.clone(), &ports, Feed::new());
        Store::<Counter>::claim(&*store, SHARD, Epoch(1))
            .await
            .unwrap();
        Self {
            store,
            log,
            lease,
            desk,
        }
    }

    async fn commit(&self, effects: Effects) {
        let turn = Store::<Counter>::begin(&*self.store, SHARD, Epoch(1))
            .await
            .unwrap();
        Turn::<Counter>::commit(turn, None, effects).await.unwrap();
    }

    async fn park(&self, messages: impl IntoIterator<Item = Parked>) {
        let parked = messages.into_iter().collect();
        self.commit(Effects {
            parked,
            ..Effects::default()
        })
        .await;
    }

    /// Carries out the first action, as the shard's owner would.
    async fn carry_out(&self) -> Action {
        loop {
            let open = Store::<Counter>::actions(&*self.store, SHARD)
                .await
                .unwrap();
            let Some(action) = open.into_iter().next() else {
                tokio::task::yield_now().await;
                continue;
            };
            let rows = Store::<Counter>::parked_of(&*self.store, SHARD, &action.target, 9);
            let rows = rows.await.unwrap();
            let outcomes = rows.iter().map(|row| Outcome {
                place: row.place(),
                kind: OutcomeKind::Applied,
                detail: String::new(),
                record: None,
            });
            let done = ActionDone {
                id: action.id.clone(),
                outcomes: outcomes.collect(),
                at: Some(Timestamp(1)),
            };
            let unparked = rows.iter().map(|row| row.place()).collect();
            self.commit(Effects {
                unparked,
                done: vec![done],
                ..Effects::default()
            })
            .await;
            return action;
        }
    }

    async fn list(&self, request: proto::ListParkedRequest) -> Result<Vec<i64>, Status> {
        let (mut offsets, mut request) = (Vec::new(), request);
        loop {
            let page = self.desk.list_parked(Request::new(request.clone())).await?;
            let page = page.into_inner();
            let places = page
                .messages
                .into_iter()
                .map(|message| message.place.unwrap());
            offsets.extend(places.map(|place| place.offset));
            if page.next_page_token.is_empty() {
                return Ok(offsets);
            }
            request.page_token = page.next_page_token;
        }
    }
}

fn parked(offset: i64, kind: &str, id: &str) -> Parked {
    Parked {
        topic: TOPIC.to_owned(),
        offset,
        aggregate: Some(AggregateKey {
            kind: kind.to_owned(),
            id: id.to_owned(),
        }),
        reason: ParkReason::Failed,
        detail: "wrong".to_owned(),
        record: Record {
            key: Some(Bytes::from(id.to_owned())),
            value: Some(Bytes::from_static(b"\x01garbage")),
            headers: vec![("ce_type".into(), Bytes::from_static(b"toy.Add"))],
            timestamp: Timestamp(5),
        },
        at: SystemClock.now(),
    }
}

fn place(offset: i64) -> Option<proto::Place> {
    Some(proto::Place {
        topic: TOPIC.to_owned(),
        partition: SHARD.0,
        offset,
    })
}

fn replay_of(id: &str) -> Request<proto::ReplayParkedRequest> {
    Request::new(proto::ReplayParkedRequest {
        aggregate_id: id.to_owned(),
        operator: "ada".to_owned(),
        ..Default::default()
    })
}

fn discard(offset: i64, reason: &str) -> Request<proto::DiscardParkedRequest> {
    Request::new(proto::DiscardParkedRequest {
        place: place(offset),
        reason: reason.to_owned(),
        ..Default::default()
    })
}

fn refusal<T: std::fmt::Debug>(answer: Result<T, Status>) -> Code {
    answer.unwrap_err().code()
}

#[tokio::test]
async fn a_long_list_comes_in_pages_of_its_own_filters() {
    let world = World::new().await;
    let key = |n: i64| if n % 2 == 0 { "even" } else { "odd" };
    world
        .park((0..130).map(|n| parked(n, "counter", key(n))))
        .await;
    let all: Vec<i64> = (0..130).collect();
    for page_size in [0, 1, 50, 64, 129, 130, 1_000] {
        let request = proto::ListParkedRequest {
            page_size,
            ..Default::default()
        };
        assert_eq!(world.list(request).await.unwrap(), all, "{page_size}");
    }
    let odd = proto::ListParkedRequest {
        key: "odd".to_owned(),
        page_size: 7,
        ..Default::default()
    };
    let expected: Vec<i64> = (0..130).filter(|n| n % 2 == 1).collect();
    assert_eq!(world.list(odd.clone()).await.unwrap(), expected);
    let old = proto::ListParkedRequest {
        age_min_seconds: 3_600,
        ..Default::default()
    };
    assert!(world.list(old).await.unwrap().is_empty());
    for wrong in [
        proto::ListParkedRequest {
            reason: "bored".to_owned(),
            ..Default::default()
        },
        proto::ListParkedRequest {
            age_min_seconds: -1,
            ..Default::default()
        },
        proto::ListParkedRequest {
            page_token: "7-00000000".to_owned(),
            ..odd
        },
    ] {
        assert_eq!(refusal(world.list(wrong).await), Code::InvalidArgument);
    }
}

#[tokio::test]
async fn a_message_is_shown_as_far_as_it_can_be_read() {
    let world = World::new().await;
    world.park([parked(7, "counter", "a")]).await;
    let get = |offset| {
        Request::new(proto::GetParkedRequest {
            place: place(offset),
        })
    };
    let shown = world.desk.get_parked(get(7)).await.unwrap().into_inner();
    assert_eq!(shown.message.unwrap().message_type, "toy.Add");
    assert_eq!((shown.schema_id, shown.decoded_json.as_str()), (0, ""));
    assert!(
        shown.undecoded.contains("not a framed datum"),
        "{}",
        shown.undecoded
    );
    assert_eq!(refusal(world.desk.get_parked(get(8)).await), Code::NotFound);
    let nowhere = Request::new(proto::GetParkedRequest { place: None });
    assert_eq!(
        refusal(world.desk.get_parked(nowhere).await),
        Code::InvalidArgument
    );
}

#[tokio::test]
async fn what_is_not_parked_or_not_said_clearly_is_refused() {
    let world = World::new().await;
    world
        .park([parked(1, "order", "a"), parked(2, "product", "a")])
        .await;
    let desk = &world.desk;
    assert_eq!(
        refusal(desk.replay_parked(replay_of("b")).await),
        Code::NotFound
    );
    // Two kinds share the id.
    let ambiguous = desk.replay_parked(replay_of("a")).await.unwrap_err();
    assert_eq!(ambiguous.code(), Code::InvalidArgument);
    assert_eq!(ambiguous.message(), "invalid: aggregate_kind");
    let nothing = Request::new(proto::ReplayParkedRequest::default());
    assert_eq!(
        refusal(desk.replay_parked(nothing).await),
        Code::InvalidArgument
    );
    let mut both = replay_of("a").into_inner();
    both.place = place(1);
    let both = desk.replay_parked(Request::new(both)).await;
    assert_eq!(refusal(both), Code::InvalidArgument);
    assert_eq!(
        refusal(desk.discard_parked(discard(9, "x")).await),
        Code::NotFound
    );
    for reason in ["", "  ", &"x".repeat(501)] {
        let refused = desk.discard_parked(discard(1, reason)).await;
        assert_eq!(refusal(refused), Code::InvalidArgument, "{reason}");
    }
    assert!(
        Store::<Counter>::actions(&*world.store, SHARD)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn the_outcome_of_an_action_is_waited_for() {
    let world = World::new().await;
    world
        .park([parked(1, "order", "a"), parked(2, "order", "a")])
        .await;
    let (answer, action) =
        tokio::join!(world.desk.replay_parked(replay_of("a")), world.carry_out());
    let answer = answer.unwrap().into_inner();
    assert_eq!(answer.action_id, action.id);
    assert_eq!((answer.outcome_count, answer.left), (2, 0));
    assert_eq!(answer.outcomes[1].place, place(2));
    assert_eq!(action.operator, "ada");

    // A message stands for all of its aggregate.
    world
        .park([parked(3, "order", "b"), parked(4, "order", "b")])
        .await;
    let by_place = Request::new(proto::ReplayParkedRequest {
        place: place(4),
        dry_run: true,
        ..Default::default()
    });
    let (answer, action) = tokio::join!(world.desk.replay_parked(by_place), world.carry_out());
    assert_eq!(answer.unwrap().into_inner().outcome_count, 2);
    assert_eq!(action.kind.as_str(), "dry-run");

    let listed = Request::new(proto::ListActionsRequest {
        page_size: 1,
        ..Default::default()
    });
    let page = world.desk.list_actions(listed).await.unwrap().into_inner();
    assert_eq!(page.actions[0].action_id, action.id);
    assert_eq!(page.actions[0].aggregate_id, "b");
    let next = Request::new(proto::ListActionsRequest {
        page_token: page.next_page_token,
        ..Default::default()
    });
    let page = world.desk.list_actions(next).await.unwrap().into_inner();
    assert_eq!((page.actions.len(), page.next_page_token.as_str()), (1, ""));
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_does_not_get_to_it_leaves_the_action_open() {
    let world = World::new().await;
    world.park([parked(1, "order", "a")]).await;
    let answer = world.desk.discard_parked(discard(1, "no use")).await;
    let status = answer.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    let open = Store::<Counter>::actions(&*world.store, SHARD)
        .await
        .unwrap();
    assert_eq!(open.len(), 1);
    assert!(status.message().contains(&open[0].id), "{status}");

    // Asked twice: the second finds nothing left, and says so.
    let late = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.carry_out().await;
        world.carry_out().await
    };
    let (answer, _) = tokio::join!(world.desk.discard_parked(discard(1, "no use")), late);
    assert_eq!(refusal(answer), Code::NotFound);
}

#[tokio::test]
async fn the_checkpoint_names_its_service() {
    let world = World::new().await;
    world.park([parked(1, "order", "a")]).await;
    let asked = Request::new(proto::GetCheckpointRequest {});
    let answer = world.desk.get_checkpoint(asked).await.unwrap().into_inner();
    assert_eq!(answer.source, "/counter");
    assert_eq!(answer.shards.len(), 1);
    let shard = &answer.shards[0];
    assert_eq!((shard.shard, shard.epoch, shard.parked), (SHARD.0, 1, 1));
    let none = Request::new(proto::ListConflictsRequest::default());
    let conflicts = world.desk.list_conflicts(none).await.unwrap().into_inner();
    assert!(conflicts.conflicts.is_empty());
}

#[tokio::test]
async fn shards_are_told_with_owner_lag_and_outbox() {
    let world = World::new().await;
    let list = async || {
        let answer = world
            .desk
            .list_shards(Request::new(proto::ListShardsRequest {}));
        answer.await.unwrap().into_inner().shards
    };
    let free = list().await;
    assert_eq!((free[0].shard, free[0].owner.as_str()), (SHARD.0, ""));
    world.lease.acquire(3).await.unwrap();
    world.log.create_topic(TOPIC, 3).await.unwrap();
    let record = parked(0, "order", "a").record;
    let records = vec![record.clone(), record.clone(), record.clone()];
    world
        .log
        .append(TOPIC, SHARD.0, records.clone())
        .await
        .unwrap();
    world
        .commit(Effects {
            outbox: vec![OutboxBatch {
                topic: "toy.events".to_owned(),
                partition: SHARD.0,
                records,
            }],
            cursors: vec![CursorMove {
                topic: TOPIC.to_owned(),
                from: 0,
                to: 1,
                last_hash: RecordHash([0; 16]),
            }],
            ..Effects::default()
        })
        .await;
    let shards = list().await;
    let [shard] = &shards[..] else {
        panic!("one shard was ever claimed: {shards:?}")
    };
    assert!(!shard.owner.is_empty());
    assert_eq!((shard.epoch, shard.outbox_rows), (1, 1));
    assert!(shard.outbox_age.is_some());
    let [input] = &shard.inputs[..] else {
        panic!("one topic was read: {shard:?}")
    };
    assert_eq!(
        (input.next_offset, input.high_watermark, input.lag),
        (1, Some(3), Some(2))
    );
}

#[tokio::test]
async fn shards_are_told_while_the_log_is_away() {
    let world = World::new().await;
    world
        .commit(Effects {
            cursors: vec![CursorMove {
                topic: "no.such.topic".to_owned(),
                from: 0,
                to: 1,
                last_hash: RecordHash([0; 16]),
            }],
            ..Effects::default()
        })
        .await;
    let answer = world
        .desk
        .list_shards(Request::new(proto::ListShardsRequest {}));
    let shards = answer.await.unwrap().into_inner().shards;
    assert_eq!(
        (shards[0].inputs[0].next_offset, shards[0].inputs[0].lag),
        (1, None)
    );
}
