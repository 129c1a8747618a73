//! Every adapter of the `Lease` port runs the port's contract suite, and each what only it can
//! show.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

use std::fs::File;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use messaging::clock::{Clock, Timestamp};
use messaging::lease::file::FileLease;
use messaging::lease::memory::MemoryLease;
use messaging::lease::postgres::PostgresLease;
use messaging::lease::{Error, Lease, contract};
use messaging::shard::Epoch;
use messaging::store::contract::counter::CounterTables;
use messaging::store::postgres::{Location, migrate, scratch};
use sqlx::{AssertSqlSafe, Executor};
use tempfile::TempDir;

/// Each rule, once for each adapter.
macro_rules! contract {
    ($($rule:ident,)*) => {
        mod file {
            $(#[tokio::test]
            async fn $rule() {
                let folder = super::TempDir::new().unwrap();
                let lease = super::FileLease::lock(&folder.path().join("order.db.lock")).unwrap();
                super::contract::$rule(&lease).await;
            })*
        }

        mod postgres {
            $(#[tokio::test]
            #[ignore = "set MESSAGING_TEST_POSTGRES=postgres://..., see tests/postgres"]
            async fn $rule() {
                super::scratch::with(async |location| {
                    let lease = super::postgres_lease(&location).await;
                    super::contract::$rule(&lease).await;
                })
                .await;
            })*
        }

        mod memory {
            $(#[tokio::test]
            async fn $rule() {
                let (lease, _) = super::memory_lease();
                super::contract::$rule(&lease).await;
            })*
        }
    };
}

contract! {
    a_lone_holder_owns_every_shard,
    epochs_rise_with_each_acquisition,
    a_released_shard_is_free_again,
    an_older_grant_is_lost,
    holders_are_told,
}

async fn postgres_lease(location: &Location) -> PostgresLease {
    let migrations = CounterTables::postgres_migrations();
    migrate(location, &migrations).await.unwrap();
    another(location)
}

fn another(location: &Location) -> PostgresLease {
    PostgresLease::lasting(location, "lease-test", LEASE_TIME)
}

/// Lets time pass for all instances: what was written before seems that much older.
async fn advance(location: &Location, span: &str) {
    let mut connection = scratch::connect(location).await;
    let statements = AssertSqlSafe(format!(
        "UPDATE instance SET seen = seen - interval '{span}';
         UPDATE lease SET renewed = renewed - interval '{span}'"
    ));
    connection.execute(statements).await.unwrap();
}

#[tokio::test]
#[ignore = "set MESSAGING_TEST_POSTGRES=postgres://..., see tests/postgres"]
async fn instances_on_postgres_share_the_shards() {
    scratch::with(async |location| {
        let first = postgres_lease(&location).await;
        contract::two_holders_share_the_shards(&first, &another(&location)).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "set MESSAGING_TEST_POSTGRES=postgres://..., see tests/postgres"]
async fn every_free_shard_has_its_turn_on_postgres() {
    scratch::with(async |location| {
        let first = postgres_lease(&location).await;
        contract::every_free_shard_has_its_turn(&first, &another(&location)).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "set MESSAGING_TEST_POSTGRES=postgres://..., see tests/postgres"]
async fn who_leaves_makes_room_on_postgres() {
    scratch::with(async |location| {
        let first = postgres_lease(&location).await;
        contract::who_leaves_makes_room(&first, &another(&location)).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "set MESSAGING_TEST_POSTGRES=postgres://..., see tests/postgres"]
async fn a_newcomer_gets_its_part_on_postgres() {
    scratch::with(async |location| {
        let first = postgres_lease(&location).await;
        let (second, third) = (another(&location), another(&location));
        contract::a_newcomer_gets_its_part([&first, &second, &third]).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "set MESSAGING_TEST_POSTGRES=postgres://..., see tests/postgres"]
async fn a_silent_instances_shards_are_taken_over_after_the_lease_time() {
    scratch::with(async |location| {
        let first = postgres_lease(&location).await;
        let second = another(&location);
        let all = first.acquire(4).await.unwrap();
        advance(&location, "9 seconds").await;
        assert_eq!(second.acquire(4).await.unwrap(), []);
        advance(&location, "1 second").await;
        assert_eq!(second.acquire(4).await.unwrap().len(), 4);
        assert_eq!(first.renew(&all).await.unwrap().lost, all);
        let held = second.renew(&[]).await.unwrap();
        assert_eq!(held.surrender, [], "what is not held cannot be given up");
    })
    .await;
}

#[tokio::test]
#[ignore = "set MESSAGING_TEST_POSTGRES=postgres://..., see tests/postgres"]
async fn what_a_clock_set_back_has_left_behind_counts_as_silent() {
    scratch::with(async |location| {
        let first = postgres_lease(&location).await;
        assert_eq!(first.acquire(4).await.unwrap().len(), 4);
        advance(&location, "-1 hour").await;
        assert_eq!(another(&location).acquire(4).await.unwrap().len(), 4);
    })
    .await;
}

#[tokio::test]
#[ignore = "set MESSAGING_TEST_POSTGRES=postgres://..., see tests/postgres"]
async fn epochs_on_postgres_are_above_those_that_its_turns_have_seen() {
    scratch::with(async |location| {
        let lease = postgres_lease(&location).await;
        let mut connection = scratch::connect(&location).await;
        let claimed = "INSERT INTO shard VALUES (0, 40)";
        connection.execute(claimed).await.unwrap();
        let epochs = lease.acquire(2).await.unwrap();
        let epochs: Vec<i64> = epochs.iter().map(|grant| grant.epoch.0).collect();
        assert_eq!(epochs, [41, 1]);
    })
    .await;
}

#[tokio::test]
#[ignore = "set MESSAGING_TEST_POSTGRES=postgres://..., see tests/postgres"]
async fn who_loses_the_session_keeps_the_grants() {
    scratch::with(async |location| {
        let lease = postgres_lease(&location).await;
        let grants = lease.acquire(2).await.unwrap();
        let mut connection = scratch::connect(&location).await;
        let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE application_name = 'lease-test' AND query LIKE '%lease%'
                      AND datname = current_database()";
        connection.execute(kill).await.unwrap();
        let error = lease.renew(&grants).await.unwrap_err();
        assert!(matches!(error, Error::Unreachable(_)), "{error}");
        assert_eq!(lease.renew(&grants).await.unwrap().kept, grants);
    })
    .await;
}

#[tokio::test]
#[ignore = "set MESSAGING_TEST_POSTGRES=postgres://..., see tests/postgres"]
async fn many_instances_at_once_never_share_a_shard() {
    scratch::with(async |location| {
        let mut leases = vec![postgres_lease(&location).await];
        leases.extend((1..8).map(|_| another(&location)));
        let acquired = leases.iter().map(async |lease| {
            let mut grants = Vec::new();
            for _ in 0..10 {
                grants.extend(lease.acquire(16).await.unwrap());
                let renewal = lease.renew(&grants).await.unwrap();
                assert_eq!(renewal.lost, []);
                lease.release(&renewal.surrender).await.unwrap();
                grants.retain(|grant| !renewal.surrender.contains(grant));
            }
            grants
        });
        let held = futures::future::join_all(acquired).await;
        let mut shards: Vec<i32> = held.iter().flatten().map(|grant| grant.shard.0).collect();
        shards.sort_unstable();
        let all = shards.len();
        shards.dedup();
        assert_eq!(shards.len(), all, "{held:?}");
    })
    .await;
}

const LEASE_TIME: Duration = Duration::from_secs(10);

/// A clock that stands until it is told to go on.
#[derive(Clone, Default)]
struct Hands(Arc<AtomicI64>);

impl Hands {
    fn advance(&self, span: Duration) {
        let span = i64::try_from(span.as_millis()).unwrap();
        self.0.fetch_add(span, Ordering::Relaxed);
    }

    fn set_back(&self, span: Duration) {
        let span = i64::try_from(span.as_millis()).unwrap();
        self.0.fetch_sub(span, Ordering::Relaxed);
    }
}

#[async_trait]
impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }

    async fn sleep(&self, _: Duration) {
        std::future::pending().await
    }
}

fn memory_lease() -> (MemoryLease, Hands) {
    let hands = Hands::default();
    (MemoryLease::new(Arc::new(hands.clone()), LEASE_TIME), hands)
}

#[tokio::test]
async fn holders_in_memory_share_the_shards() {
    let (first, _) = memory_lease();
    contract::two_holders_share_the_shards(&first, &first.another()).await;
}

#[tokio::test]
async fn every_free_shard_has_its_turn_in_memory() {
    let (first, _) = memory_lease();
    contract::every_free_shard_has_its_turn(&first, &first.another()).await;
}

#[tokio::test]
async fn who_leaves_makes_room_in_memory() {
    let (first, _) = memory_lease();
    contract::who_leaves_makes_room(&first, &first.another()).await;
}

#[tokio::test]
async fn a_newcomer_gets_its_part_in_memory() {
    let (first, _) = memory_lease();
    contract::a_newcomer_gets_its_part([&first, &first.another(), &first.another()]).await;
}

#[tokio::test]
async fn a_silent_holders_shards_are_taken_over_after_the_lease_time() {
    let (first, hands) = memory_lease();
    let second = first.another();
    let all = first.acquire(4).await.unwrap();
    hands.advance(LEASE_TIME - Duration::from_millis(1));
    assert_eq!(second.acquire(4).await.unwrap(), []);
    hands.advance(Duration::from_millis(1));
    assert_eq!(second.acquire(4).await.unwrap().len(), 4);
    assert_eq!(first.renew(&all).await.unwrap().lost, all);
}

#[tokio::test]
async fn a_grant_whose_answer_was_lost_ends_with_the_lease_time() {
    let (lease, hands) = memory_lease();
    drop(lease.acquire(4).await.unwrap());
    for _ in 0..4 {
        // Alive, and it knows of nothing.
        assert_eq!(lease.acquire(4).await.unwrap(), []);
        lease.renew(&[]).await.unwrap();
        hands.advance(LEASE_TIME / 4);
    }
    assert_eq!(lease.acquire(4).await.unwrap().len(), 4);
}

#[tokio::test]
async fn a_clock_set_back_does_not_keep_a_silent_holder_alive() {
    let (first, hands) = memory_lease();
    let second = first.another();
    hands.advance(LEASE_TIME * 400);
    assert_eq!(first.acquire(4).await.unwrap().len(), 4);
    hands.set_back(LEASE_TIME * 360);
    assert_eq!(second.acquire(4).await.unwrap(), []);
    hands.advance(LEASE_TIME);
    assert_eq!(second.acquire(4).await.unwrap().len(), 4);
}

#[tokio::test]
async fn a_holder_that_renews_keeps_its_shards() {
    let (lease, hands) = memory_lease();
    let all = lease.acquire(4).await.unwrap();
    for _ in 0..5 {
        hands.advance(LEASE_TIME / 2);
        assert_eq!(lease.renew(&all).await.unwrap().kept, all);
    }
}

#[test]
fn a_locked_file_refuses_the_next_holder_until_it_is_dropped() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("not/there/yet/order.db.lock");
    let first = FileLease::lock(&path).unwrap();
    match FileLease::lock(&path) {
        Err(Error::InUse { what }) => assert_eq!(what, path.display().to_string()),
        other => panic!("expected that the file is in use: {other:?}"),
    }
    drop(first);
    FileLease::lock(&path).unwrap();
}

#[test]
fn a_file_locked_by_another_process_is_in_use_until_that_process_is_killed() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("order.db.lock");
    let locked = File::create(&path).unwrap();
    locked.lock().unwrap();
    // The lock goes with the open file, and only the child has that from here on.
    let mut other = Command::new("sleep")
        .arg("600")
        .stdin(locked)
        .spawn()
        .unwrap();
    assert!(matches!(FileLease::lock(&path), Err(Error::InUse { .. })));
    other.kill().unwrap();
    other.wait().unwrap();
    FileLease::lock(&path).unwrap();
}

#[test]
fn a_place_that_cannot_be_locked_is_named() {
    let folder = TempDir::new().unwrap();
    let error = FileLease::lock(folder.path()).unwrap_err();
    let path = folder.path().to_str().unwrap();
    assert!(error.to_string().contains(path), "{error}");
}

#[tokio::test]
async fn epochs_start_after_those_that_the_database_has_seen() {
    let folder = TempDir::new().unwrap();
    let lease = FileLease::lock(&folder.path().join("order.db.lock")).unwrap();
    let lease = lease.starting_after(Epoch(41));
    let grants = lease.acquire(2).await.unwrap();
    assert!(grants.iter().all(|grant| grant.epoch == Epoch(42)));
}
