//! What the tests on real processes share: the processes, who calls them, and the judging.
//!
//! | room | what happens there |
//! |---|---|
//! | `process`, `port` | the parts as processes that do not outlive the test |
//! | `load`, `client`, `dice` | who calls meanwhile, and what they are told |
//! | `backstage` | where the log and the databases are, past everything that stands before them |
//! | `settle`, `topics`, `database`, `rows` | the end, and what is there then |
//! | `proof`, `check` | what must hold then: the audit's rules, and what only a test can know |
//! | `tell` | what a run tells of its load and of its store |

#![allow(dead_code, reason = "each test uses its part of this")]

pub(crate) mod backstage;
pub(crate) mod check;
pub(crate) mod client;
pub(crate) mod database;
pub(crate) mod dice;
pub(crate) mod load;
pub(crate) mod port;
pub(crate) mod process;
pub(crate) mod proof;
pub(crate) mod rows;
pub(crate) mod settle;
pub(crate) mod tell;
pub(crate) mod topics;

/// Partitions of every topic.
pub(crate) const PARTITIONS: i32 = 4;

/// Runs `work` where the callers run.
pub(crate) fn in_runtime<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.unwrap().block_on(work)
}

pub(crate) fn unreadable(error: sqlx::Error) -> String {
    format!("a database cannot be read: {error}")
}
