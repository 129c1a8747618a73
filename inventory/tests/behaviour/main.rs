//! Inventory's behaviour: messages in, rows and events out.
//!
//! | module | what is tested |
//! |---|---|
//! | `properties` | random stories keep the invariants, whatever the batches and bounds |
//! | `database` | SQLite and Postgres hold exactly what the rules say, and what the store in memory does |
//! | `service` | the context under the real runtime: from records of the log to records of the log |
//!
//! `story` and `world` are what they stand on: random messages as Order would send them, and turns
//! over the store in memory.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

mod database;
mod databases;
mod properties;
mod service;
mod story;
mod world;
