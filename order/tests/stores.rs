//! Order's tables in every database: the same story leads to the same events and rows as in memory.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

mod harness;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use contracts::inventory::ReservationEvent;
use contracts::order::{OrderCommand, OrderEvent, PlaceOrder};
use contracts::{source, topics};
use harness::{backordered, cancel, cancel_of, complete, place, refused, released, reserved};
use messaging::clock::Timestamp;
use messaging::context::{Context, Incoming, Recognised};
use messaging::envelope::Envelope;
use messaging::shard::{Epoch, ShardId};
use messaging::store::memory::MemoryStore;
use messaging::store::postgres::{Location, PostgresStore, migrate, scratch};
use messaging::store::sqlite::SqliteStore;
use messaging::store::{Effects, Store, Turn};
use order::context::OrderContext;
use order::domain::{Defaults, Message, Status};
use order::store::memory::{self, MemoryQueries, MemoryTables};
use order::store::postgres::{self, PostgresQueries};
use order::store::sqlite::{self, SqliteQueries};
use order::store::{Export, Filter, Listed, Queries, Waiting};
use proptest::prelude::*;

const SHARD: ShardId = ShardId(0);
const FIRST: Epoch = Epoch(1);

/// One turn: every message that is new is decided. One that cannot be decided, such as a reservation
/// of an order that was never placed, is taken out and the turn begins anew, as in the runtime.
async fn turn(store: &impl Store<OrderContext>, batch: &[Incoming<Message>]) -> Vec<OrderEvent> {
    let mut batch: Vec<_> = batch.iter().collect();
    loop {
        match try_turn(store, &batch).await {
            Ok(events) => return events,
            Err(undecidable) => drop(batch.remove(undecidable)),
        }
    }
}

/// The events of a committed turn, or the place in `batch` of a message that cannot be decided.
async fn try_turn(
    store: &impl Store<OrderContext>,
    batch: &[&Incoming<Message>],
) -> Result<Vec<OrderEvent>, usize> {
    let context = OrderContext::with(Defaults {
        reserve_within: Some(Duration::from_secs(60)),
    });
    let mut turn = store.begin(SHARD, FIRST).await.unwrap();
    let wanted: Vec<_> = batch.iter().map(|incoming| &incoming.message).collect();
    let mut state = turn.load(&wanted).await.unwrap();
    let mut events = Vec::new();
    for (place, incoming) in batch.iter().enumerate() {
        if context.recognise(&state, incoming) == Recognised::New {
            let decided = context.decide(&mut state, incoming).map_err(|_| place)?;
            events.extend(decided.into_iter().map(|outgoing| outgoing.event));
        }
    }
    turn.commit(Some(&state), Effects::default()).await.unwrap();
    Ok(events)
}

/// What the queries show: every order, and those that a filter and a page let through.
async fn shown(queries: &impl Queries) -> Vec<Vec<Listed>> {
    let mut shown = Vec::new();
    let customer_id = Some("C1".to_owned());
    let status = Some(Status::Cancelled);
    for filter in [
        Filter::default(),
        Filter {
            customer_id: customer_id.clone(),
            status: None,
        },
        Filter {
            customer_id,
            status,
        },
    ] {
        for (before, limit) in [(None, 100), (None, 2), (Some(3), 2)] {
            shown.push(queries.list(&filter, before, limit).await.unwrap());
        }
    }
    for listed in shown[0].clone() {
        let order = queries.get(&listed.order.placed.order_id).await.unwrap();
        assert_eq!(order, Some(listed.order));
    }
    assert_eq!(queries.get("nobody's").await.unwrap(), None);
    shown
}

fn message() -> impl Strategy<Value = Message> {
    (0..4_u8, 0..9_u8, 1..4_i64).prop_map(|(order, kind, number)| {
        let id = format!("O{order}");
        let command = |command: OrderCommand| Message::Command(command);
        let event = |event: ReservationEvent| Message::Reservation(event);
        match kind {
            0 | 1 => command(
                PlaceOrder {
                    reserve_by: (kind == 1).then_some(number),
                    ..place(&id, &format!("C{}", order % 2), 3)
                }
                .into(),
            ),
            2 => command(cancel(&id, &format!("reason {number}")).into()),
            3 => command(complete(&id).into()),
            8 => command(cancel_of(&format!("C{}", number % 2), &id, "own").into()),
            4 => event(reserved(&id, number).into()),
            5 => event(backordered(&id, number).into()),
            6 => event(refused(&id, number).into()),
            _ => event(released(&id, number).into()),
        }
    })
}

fn incoming(offset: i64, message: Message) -> Incoming<Message> {
    let time = Timestamp(1_000 + offset);
    let key = message.key().to_owned();
    let id = format!("message {offset}");
    Incoming {
        message,
        envelope: Envelope::command(id, "any", source::GATEWAY, &key, time),
        topic: Arc::from(topics::ORDER_COMMANDS),
        offset,
    }
}

/// A story in batches, told to a database and to the store in memory.
async fn both_agree(
    database: &impl Store<OrderContext>,
    queries: &(impl Queries + Waiting),
    tombstones: impl AsyncFn() -> Vec<(String, String, String)>,
    batches: Vec<Vec<Message>>,
) {
    let memory = MemoryStore::new(MemoryTables);
    let reader = memory.reader();
    let in_memory = MemoryQueries::new(reader.clone());
    database.claim(SHARD, FIRST).await.unwrap();
    Store::<OrderContext>::claim(&memory, SHARD, FIRST)
        .await
        .unwrap();
    let mut offset = 0;
    for batch in batches {
        let next = |message| {
            offset += 1;
            incoming(offset, message)
        };
        let batch: Vec<_> = batch.into_iter().map(next).collect();
        let events = turn(database, &batch).await;
        assert_eq!(turn(&memory, &batch).await, events);
        let rows = shown(queries).await;
        assert_eq!(shown(&in_memory).await, rows);
        for limit in [1, 100] {
            let waiting = in_memory.backorders(limit).await.unwrap();
            assert_eq!(queries.backorders(limit).await.unwrap(), waiting);
        }
        let newest_first = memory::orders(&reader).unwrap().into_iter().rev();
        assert_eq!(newest_first.collect::<Vec<_>>(), rows[0]);
        let kept = memory::tombstones(&reader).unwrap().into_iter();
        let kept = kept.flat_map(|(order_id, row)| {
            let rows = row.tombstones.into_iter();
            rows.map(move |(customer_id, reason)| {
                (order_id.clone(), customer_id.unwrap_or_default(), reason)
            })
        });
        assert_eq!(kept.collect::<Vec<_>>(), tombstones().await);
    }
}

/// What an export gives: all pages, and the named ones.
async fn exported(export: &impl Export) {
    let all = export.after(0, 100).await.unwrap();
    let paged = async {
        let (mut found, mut last) = (Vec::new(), 0);
        loop {
            let page = export.after(last, 2).await.unwrap();
            let Some(end) = page.last() else {
                return found;
            };
            last = end.sequence;
            found.extend(page);
        }
    };
    assert_eq!(paged.await, all);
    let ids: Vec<String> = all
        .iter()
        .map(|listed| listed.order.placed.order_id.clone())
        .chain(["nobody's".to_owned()])
        .collect();
    let mut named = export.of(&ids).await.unwrap();
    named.sort_by_key(|order| order.placed.order_id.clone());
    let mut expected: Vec<_> = all.into_iter().map(|listed| listed.order).collect();
    expected.sort_by_key(|order| order.placed.order_id.clone());
    assert_eq!(named, expected);
}

const TOMBSTONES: &str =
    "SELECT order_id, customer_id, reason FROM tombstones ORDER BY order_id, customer_id";

async fn sqlite_agrees(batches: Vec<Vec<Message>>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("order.db");
    let store = SqliteStore::open(&path, &sqlite::MIGRATIONS, sqlite::OrderTables)
        .await
        .unwrap();
    let queries = SqliteQueries::new(store.reader().clone());
    let tombstones = async || {
        let rows = sqlx::query_as(TOMBSTONES).fetch_all(store.reader());
        rows.await.unwrap()
    };
    both_agree(&store, &queries, tombstones, batches).await;
    exported(&queries).await;
    store.close().await;
}

async fn postgres_agrees(location: Location, batches: Vec<Vec<Message>>) {
    migrate(&location, &postgres::MIGRATIONS).await.unwrap();
    let tables = postgres::OrderTables;
    let store = PostgresStore::open(&location, "test", &postgres::MIGRATIONS, tables)
        .await
        .unwrap();
    let queries = PostgresQueries::new(store.reader().clone());
    let tombstones = async || {
        let rows = sqlx::query_as(TOMBSTONES).fetch_all(store.reader());
        rows.await.unwrap()
    };
    both_agree(&store, &queries, tombstones, batches).await;
    exported(&queries).await;
    store.close().await;
}

fn batches() -> impl Strategy<Value = Vec<Vec<Message>>> {
    prop::collection::vec(prop::collection::vec(message(), 1..6), 1..10)
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(test);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn sqlite_and_memory_agree(batches in batches()) {
        run(sqlite_agrees(batches));
    }

    #[test]
    #[ignore = "set MESSAGING_TEST_POSTGRES=postgres://..., see tests/postgres"]
    fn postgres_and_memory_agree(batches in batches()) {
        run(scratch::with(|location| postgres_agrees(location, batches)));
    }
}
