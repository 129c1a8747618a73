//! Fixed inputs, and the steps of the store that are measured.

#![allow(dead_code, reason = "each benchmark uses its part of this")]
#![allow(
    clippy::expect_used,
    reason = "what cannot be prepared cannot be measured: the panic says why"
)]

use std::any::Any;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, Criterion, Throughput};
use tempfile::TempDir;
use tokio::runtime::Runtime;

pub(crate) mod batches;
pub(crate) mod decisions;
pub(crate) mod inputs;
pub(crate) mod messages;
pub(crate) mod service;
pub(crate) mod turn;

/// One run of the code under measurement; what it leaves is thrown away outside of it.
pub(crate) type Work = Box<dyn FnOnce() -> Box<dyn Any>>;

/// Code under measurement.
pub(crate) struct Case {
    /// What it does, and to what.
    pub(crate) name: String,
    /// How many of them one run handles.
    pub(crate) messages: u64,
    /// Makes everything ready for one run.
    pub(crate) prepare: Box<dyn FnMut() -> Work>,
}

impl Case {
    pub(crate) fn new(
        name: impl Into<String>,
        messages: u64,
        prepare: impl FnMut() -> Work + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            messages,
            prepare: Box::new(prepare),
        }
    }
}

/// A group of timings, as the command line asks for them.
pub(crate) type Group<'a> = BenchmarkGroup<'a, WallTime>;

/// Runs the group `name`.
pub(crate) fn run(name: &str, timings: impl FnOnce(&mut Group<'_>)) {
    let mut criterion = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    let mut group = criterion.benchmark_group(name);
    timings(&mut group);
    group.finish();
    criterion.final_summary();
}

/// Times a case; the rate is in messages.
pub(crate) fn time(group: &mut Group<'_>, mut case: Case) {
    group.throughput(Throughput::Elements(case.messages));
    group.bench_function(&case.name, |bencher| {
        bencher.iter_batched(
            &mut case.prepare,
            |work: Work| work(),
            BatchSize::SmallInput,
        );
    });
}

/// A directory on the disk that programs are built on: a temporary file system would sync at no cost.
pub(crate) fn directory() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the build directory can be written")
}

/// Tasks on as many threads as there are processors.
pub(crate) fn runtime() -> Runtime {
    Runtime::new().expect("the system gives threads")
}
