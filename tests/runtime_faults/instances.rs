//! Several instances of a service on one database.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use messaging::clock::Timestamp;
use messaging::lease::Lease;
use messaging::lease::postgres::PostgresLease;
use messaging::limits::{LEASE_GRANT_LASTS, LEASE_HEARTBEAT};
use messaging::log::Record;
use messaging::message::Message;
use messaging::shard::ShardId;
use messaging::store::contract::counter::{Counted, Counter, CounterTables};
use messaging::store::postgres::{Location, PostgresStore, migrate, scratch};
use messaging::store::{Effects, OutboxBatch, Store, Turn};
use tokio::time::Instant;

use crate::wait::eventually;
use crate::world::World;

const PARTITIONS: i32 = 4;
/// How soon a publisher must hear of another instance's rows.
const WOKEN_WITHIN: Duration = Duration::from_millis(100);

async fn database(location: &Location) -> Arc<PostgresStore<CounterTables>> {
    let migrations = CounterTables::postgres_migrations();
    migrate(location, &migrations).await.unwrap();
    let opened = PostgresStore::open(location, "instance", &migrations, CounterTables);
    Arc::new(opened.await.unwrap())
}

fn member(location: &Location) -> Arc<PostgresLease> {
    Arc::new(PostgresLease::new(location, "instance"))
}

/// How many different events there are.
async fn effects<S: Store<Counter>>(world: &World<S>) -> usize {
    let events = world.events().await;
    let different: BTreeSet<String> = events.iter().map(|event| format!("{event:?}")).collect();
    different.len()
}

/// How many shards each instance holds, the least first.
async fn held(location: &Location) -> Vec<i64> {
    let mut connection = scratch::connect(location).await;
    let count = "SELECT count(*) FROM lease WHERE holder IS NOT NULL GROUP BY holder ORDER BY 1";
    let counted = sqlx::query_scalar(count).fetch_all(&mut connection);
    counted.await.unwrap()
}

async fn until_held(location: &Location, counts: &[i64]) {
    eventually(&format!("{counts:?} shards"), async || {
        (held(location).await == counts).then_some(())
    })
    .await;
}

#[tokio::test]
#[ignore = "set MESSAGING_TEST_POSTGRES=postgres://..., see tests/postgres"]
async fn a_publisher_is_woken_by_the_commit_of_another_instance() {
    scratch::with(async |location| {
        let store = database(&location).await;
        let world = World::of(PARTITIONS, Arc::clone(&store)).await;
        let lease = member(&location);
        let service = world.launch_as(PARTITIONS, Arc::clone(&store), lease.clone());
        until_held(&location, &[PARTITIONS.into()]).await;
        let other = database(&location).await;
        let mut waits = Vec::new();
        for number in 1..=21 {
            let shard = ShardId(0);
            let holders = lease.holders().await.unwrap();
            let epoch = holders[0].grant.epoch;
            let turn = Store::<Counter>::begin(&*other, shard, epoch)
                .await
                .unwrap();
            let effects = Effects {
                outbox: vec![row_of_partition_1()],
                ..Effects::default()
            };
            turn.commit(None, effects).await.unwrap();
            let committed = Instant::now();
            Store::<Counter>::announce(&*other, &[1]).await.unwrap();
            while world.log.records(Counted::TOPIC, 1).len() < number {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            waits.push(committed.elapsed());
        }
        waits.sort_unstable();
        println!("woken after {:?}, at most {:?}", waits[10], waits[20]);
        // Without being told it would look every half second.
        assert!(waits[10] < WOKEN_WITHIN, "{waits:?}");
        service.stop().await;
    })
    .await;
}

fn row_of_partition_1() -> OutboxBatch {
    OutboxBatch {
        topic: Counted::TOPIC.to_owned(),
        partition: 1,
        records: vec![Record {
            key: None,
            value: None,
            headers: Vec::new(),
            timestamp: Timestamp(1),
        }],
    }
}

#[tokio::test]
#[ignore = "set MESSAGING_TEST_POSTGRES=postgres://..., see tests/postgres"]
async fn instances_share_hand_over_and_lose_nothing() {
    scratch::with(async |location| {
        let store = database(&location).await;
        let mut world = World::of(PARTITIONS, Arc::clone(&store)).await;
        let launch = async |world: &World<_>| {
            world.launch_as(PARTITIONS, database(&location).await, member(&location))
        };
        let first = launch(&world).await;
        until_held(&location, &[4]).await;
        let mut sent = 0;
        let mut send = async |world: &mut World<_>| {
            for key in ["a", "b", "c", "d", "e", "f"] {
                world.send(key, 1).await;
                sent += 1;
            }
            eventually("every effect", async || {
                (effects(world).await == sent).then_some(())
            })
            .await;
        };
        send(&mut world).await;
        let second = launch(&world).await;
        until_held(&location, &[2, 2]).await;
        send(&mut world).await;
        let third = launch(&world).await;
        until_held(&location, &[1, 1, 2]).await;
        send(&mut world).await;
        // Who goes in order waits for nothing: the others take over with their next heartbeat.
        first.stop().await;
        let gone = Instant::now();
        until_held(&location, &[2, 2]).await;
        assert!(gone.elapsed() < LEASE_HEARTBEAT * 2, "{:?}", gone.elapsed());
        send(&mut world).await;
        // Who stops renewing is missed after as long as a grant lasts. Its shards still run: what
        // they publish once more is the same, and what they would change is refused.
        second.task.abort();
        let gone = Instant::now();
        until_held(&location, &[4]).await;
        let limit = LEASE_GRANT_LASTS + LEASE_HEARTBEAT * 2;
        assert!(gone.elapsed() < limit, "{:?}", gone.elapsed());
        send(&mut world).await;
        third.stop().await;
    })
    .await;
}
