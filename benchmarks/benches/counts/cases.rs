//! What instructions are counted of.

use std::hint::black_box;

use messaging::partitioner::partition_of;
use messaging::registry::memory::MemoryRegistry;
use messaging::store::sqlite::SqliteStore;
use order::store::sqlite::{MIGRATIONS, OrderTables};

use crate::common::batches::{batch, commands, writer};
use crate::common::inputs::order_id;
use crate::common::turn::Owner;
use crate::common::{self, Case, decisions, messages};
use crate::simulated;
use embedded::log::storage::{self, Storage};

/// Keys, records, and messages of one run.
const MESSAGES: u64 = 100;
/// Orders that go through the simulated store.
const ORDERS: u64 = 1_000;
/// What is done by several threads.
pub(crate) const THREADED: &[&str] = &[COMMIT];
const COMMIT: &str = "commit of 100 orders on SQLite";

/// What is done by one thread.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = messages::cases();
    cases.extend(decisions::cases());
    cases.extend([partitions(), checked(), appended(), placed()]);
    cases
}

/// The partition of a key.
fn partitions() -> Case {
    Case::new("partition of a key", MESSAGES, || {
        let keys: Vec<String> = (0..MESSAGES).map(order_id).collect();
        Box::new(move || {
            for key in &keys {
                black_box(partition_of(black_box(key.as_bytes()), 16));
            }
            Box::new(keys)
        })
    })
}

fn records(orders: u64) -> bytes::Bytes {
    let writer = alone().block_on(writer(&MemoryRegistry::new()));
    batch(commands(&writer, 0, orders))
}

/// Everything on this thread.
fn alone() -> tokio::runtime::Runtime {
    let built = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    built.expect("a runtime of one thread")
}

/// What the log looks at before it takes a batch.
fn checked() -> Case {
    Case::new("log checks a record", MESSAGES, || {
        let batch = records(MESSAGES);
        Box::new(move || {
            let count = storage::check(black_box(&batch));
            assert_eq!(count, Ok(100), "a sound batch");
            Box::new(batch)
        })
    })
}

/// What the log's storage does with a batch.
fn appended() -> Case {
    Case::new("log stores a record", MESSAGES, || {
        let directory = common::directory();
        let storage = Storage::create(&directory.path().join("0"), 64 << 20);
        let storage = storage.expect("a new directory");
        let batch = records(MESSAGES);
        Box::new(move || {
            let first = storage.append(std::slice::from_ref(&batch));
            first.expect("the disk takes it");
            Box::new((storage, batch, directory))
        })
    })
}

/// An order from the log to RESERVED, with both services, the log and the databases in memory.
fn placed() -> Case {
    Case::new("order through both services, in memory", ORDERS, || {
        let runtime = simulated::runtime();
        let (store, backlog) = runtime.block_on(async {
            let store = simulated::Store::start().await;
            let backlog = store.backlog(ORDERS);
            (store, backlog)
        });
        Box::new(move || {
            runtime.block_on(store.drain(backlog));
            Box::new((store, runtime))
        })
    })
}

/// Does what `name` says so many times; returns how many messages that were.
pub(crate) fn threaded(name: &str, times: u64) -> u64 {
    assert_eq!(name, COMMIT, "the only one");
    let directory = common::directory();
    alone().block_on(async {
        let path = directory.path().join("order.db");
        let store = SqliteStore::open(&path, &MIGRATIONS, OrderTables).await;
        let mut owner = Owner::claim(store.expect("a new database")).await;
        for _ in 0..times {
            let batch = owner.batch(MESSAGES);
            owner.turn(batch).await;
        }
    });
    times * MESSAGES
}
