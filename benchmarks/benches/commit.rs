//! What a turn costs the database: Order takes 1 to 1,000 orders in one transaction, from begin to
//! commit, with the outbox, and the deletion of what the turn before has published.
//!
//! Postgres is the one that `MESSAGING_TEST_POSTGRES` names (`tests/postgres up`).

#![allow(
    clippy::expect_used,
    reason = "what cannot be prepared cannot be measured: the panic says why"
)]

mod common;

use std::time::Duration;

use common::Group;
use common::turn::Owner;
use criterion::{BenchmarkId, Throughput};
use messaging::store::Store;
use messaging::store::postgres::{PostgresStore, migrate, scratch};
use messaging::store::sqlite::SqliteStore;
use order::context::OrderContext;
use order::store::{postgres, sqlite};
use tokio::runtime::Handle;
use tokio::time::Instant;

fn main() {
    let runtime = common::runtime();
    common::run("commit", |group| {
        let directory = common::directory();
        let path = directory.path().join("order.db");
        let owner = runtime.block_on(async {
            let store = SqliteStore::open(&path, &sqlite::MIGRATIONS, sqlite::OrderTables).await;
            Owner::claim(store.expect("a new database")).await
        });
        time(group, "SQLite", runtime.handle(), owner);
        if std::env::var_os(scratch::VARIABLE).is_none() {
            println!(
                "NOT RUN: commits on Postgres: {} is not set",
                scratch::VARIABLE
            );
            return;
        }
        runtime.block_on(scratch::with(async |location| {
            let migrated = migrate(&location, &postgres::MIGRATIONS).await;
            migrated.expect("a new schema");
            let store = PostgresStore::open(
                &location,
                "benchmark",
                &postgres::MIGRATIONS,
                postgres::OrderTables,
            );
            let owner = Owner::claim(store.await.expect("the tables are there")).await;
            tokio::task::block_in_place(|| time(group, "Postgres", &Handle::current(), owner));
        }));
    });
}

fn time<S: Store<OrderContext>>(
    group: &mut Group<'_>,
    database: &str,
    runtime: &Handle,
    mut owner: Owner<S>,
) {
    for messages in [1, 10, 100, 1_000] {
        group.throughput(Throughput::Elements(messages));
        group.bench_function(BenchmarkId::new(database, messages), |bencher| {
            bencher.iter_custom(|turns| runtime.block_on(turns_of(&mut owner, turns, messages)));
        });
    }
}

/// How long so many turns take, without what prepares their messages.
async fn turns_of<S: Store<OrderContext>>(
    owner: &mut Owner<S>,
    turns: u64,
    messages: u64,
) -> Duration {
    let mut took = Duration::ZERO;
    for _ in 0..turns {
        let batch = owner.batch(messages);
        let start = Instant::now();
        owner.turn(batch).await;
        took += start.elapsed();
    }
    took
}
