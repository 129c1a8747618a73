//! The store as real processes on PostgreSQL and Apache Kafka, several instances of each service,
//! while instances, the database and brokers come and go under load.
//!
//! ```console
//! $ export MESSAGING_TEST_POSTGRES=$(tests/postgres up) $(tests/kafka up 3)
//! $ cargo test -p shop --test cluster -- --ignored --nocapture --test-threads=1
//! $ tests/kafka down; tests/postgres down
//! ```
//!
//! The long ones place 20,000 orders. `CLUSTER_LOGS=DIRECTORY` keeps what the processes have logged.
//!
//! | room | what happens there |
//! |---|---|
//! | `world` | the instances, their servers, and where everybody listens |
//! | `run` | one run: load, events, the verdict |
//! | `instances` | instances are killed, started, stopped and paused |
//! | `database` | sessions of the database server end, and the server itself |
//! | `brokers`, `leader` | brokers of the log are stopped and killed |
//! | `progress` | how long each shard makes no progress although there is work |
//! | `scaling` | orders per second by instances and partitions, and what binds |
//! | `../real` | processes, load and judging, as in the other tests on real processes |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a failed test is the report; one request is written to a socket by hand"
)]

#[path = "../support/many.rs"]
mod many;
#[path = "../support/place.rs"]
mod place;
#[path = "../support/mod.rs"]
mod support;
#[path = "../../../tests/common/topics.rs"]
mod topics;

#[path = "../real/mod.rs"]
mod real;

mod brokers;
mod database;
mod instances;
mod leader;
mod progress;
mod run;
mod scaling;
mod world;
