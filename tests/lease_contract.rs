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
use sqlx::Executor;
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
                    let lease = super::postgres_lease(&location).await.unwrap();
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
}

async fn postgres_lease(location: &Location) -> Result<PostgresLease, Error> {
    let migrations = CounterTables::postgres_migrations();
    migrate(location, &migrations).await.unwrap();
    PostgresLease::lock(location, "lease-test").await
}

#[tokio::test]
#[ignore = "set MESSAGING_TEST_POSTGRES=postgres://..., see tests/postgres"]
async fn a_postgres_database_has_one_owner_until_its_session_ends() {
    scratch::with(async |location| {
        let first = postgres_lease(&location).await.unwrap();
        let grants = first.acquire(2).await.unwrap();
        let error = postgres_lease(&location).await.unwrap_err();
        assert!(matches!(error, Error::InUse { .. }), "{error}");
        drop(first);
        let second = loop {
            match postgres_lease(&location).await {
                Ok(lease) => break lease,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        assert_eq!(second.renew(&grants).await.unwrap().lost, grants);
    })
    .await;
}

#[tokio::test]
#[ignore = "set MESSAGING_TEST_POSTGRES=postgres://..., see tests/postgres"]
async fn who_loses_the_session_loses_the_grants_and_goes_on_above_every_epoch() {
    scratch::with(async |location| {
        let lease = postgres_lease(&location).await.unwrap();
        let grants = lease.acquire(2).await.unwrap();
        let mut connection = scratch::connect(&location).await;
        let statements = "INSERT INTO shard VALUES (0, 40);
             SELECT pg_terminate_backend(pid) FROM pg_locks
             WHERE locktype = 'advisory' AND granted AND pid <> pg_backend_pid()
               AND (classid::bigint << 32 | objid::bigint)
                   = hashtextextended('owner of ' || current_schema(), 0)";
        connection.execute(statements).await.unwrap();
        assert_eq!(lease.renew(&grants).await.unwrap().lost, grants);
        let again = loop {
            match lease.acquire(2).await.unwrap() {
                none if none.is_empty() => tokio::time::sleep(Duration::from_millis(20)).await,
                grants => break grants,
            }
        };
        assert!(
            again.iter().all(|grant| grant.epoch > Epoch(40)),
            "{again:?}"
        );
        assert_eq!(lease.renew(&again).await.unwrap().kept, again);
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
