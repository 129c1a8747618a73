//! Hostile bytes against everything that reads what others wrote.
//!
//! One room per target. Each has a `run` that is given bytes and panics when a promise of the room's
//! head is broken, and a `MEMORY` that it may take beside what its input is worth. The fuzzers in
//! `fuzz_targets/` call them with bytes that they make up; `tests/fuzz.rs` calls them with every file
//! of `corpus/` and `regressions/`, so that an ordinary `cargo test` repeats what was found.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "two crates have these rooms, and a broken promise is to panic"
)]

use std::alloc::System;
use std::future::Future;
use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Once, PoisonError};

use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

pub mod avro_datum;
pub mod evolution;
pub mod grpc_request;
pub mod headers;
pub mod jwt;
pub mod log_batches;
pub mod log_frames;
pub mod registry_answers;
pub mod registry_json;
pub mod seeds;

/// A target: what it takes in memory, and what it does with bytes.
pub type Target = (&'static str, usize, fn(&[u8]));

/// Every target, by the name of its folder in `corpus/`.
pub const ALL: [Target; 9] = [
    ("avro_datum", avro_datum::MEMORY, avro_datum::run),
    ("evolution", evolution::MEMORY, evolution::run),
    ("grpc_request", grpc_request::MEMORY, grpc_request::run),
    ("headers", headers::MEMORY, headers::run),
    ("jwt", jwt::MEMORY, jwt::run),
    ("log_batches", log_batches::MEMORY, log_batches::run),
    ("log_frames", log_frames::MEMORY, log_frames::run),
    (
        "registry_answers",
        registry_answers::MEMORY,
        registry_answers::run,
    ),
    ("registry_json", registry_json::MEMORY, registry_json::run),
];

/// Bytes of memory that each byte of an input may take beside [`Target`]'s own.
const MEMORY_PER_BYTE: usize = 1024;

/// Counts what is allocated, and refuses what is beyond the limit: the process then ends.
#[global_allocator]
static ALLOCATED: cap::Cap<System> = cap::Cap::new(System, usize::MAX);

/// Panics of all threads: tasks that panic must not pass for refusals.
static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Runs the target called `name` on `data`.
///
/// # Panics
/// When a promise is broken, here or in a task. The process is ended when `data` makes it take more
/// memory than it is worth.
pub fn run(name: &str, data: &[u8]) {
    // One after the other: the memory is counted for the whole process.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    count_panics();
    let (_, memory, target) = ALL
        .iter()
        .find(|(known, ..)| *known == name)
        .expect("a target");
    let before = PANICS.load(Ordering::SeqCst);
    let limit = ALLOCATED.allocated() + memory + data.len() * MEMORY_PER_BYTE;
    ALLOCATED.set_limit(limit).expect("more than is allocated");
    target(data);
    ALLOCATED.set_limit(usize::MAX).expect("no limit");
    assert_eq!(PANICS.load(Ordering::SeqCst), before, "a task panicked");
}

fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PANICS.fetch_add(1, Ordering::SeqCst);
            before(info);
        }));
    });
}

/// A runtime whose clock stands still while something is done, and jumps while nothing is.
fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime")
}

/// Waits for `work` on this thread's runtime.
fn block_on<T>(work: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: Runtime = runtime();
    }
    RUNTIME.with(|runtime| runtime.block_on(work))
}

/// An empty directory, in memory where there is such a place: syncs would take most of the time.
fn directory() -> TempDir {
    let in_memory = tempfile::tempdir_in("/dev/shm");
    in_memory
        .or_else(|_| tempfile::tempdir())
        .expect("a directory")
}

/// `data` at the first zero byte: a text cannot hold one.
fn halves(data: &[u8]) -> (&[u8], &[u8]) {
    match data.iter().position(|byte| *byte == 0) {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, &[]),
    }
}
