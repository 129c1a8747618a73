//! Inventory's behaviour: messages in, rows and events out.
//!
//! | module | what is tested |
//! |---|---|
//! | `properties` | random stories keep the invariants, whatever the batches and bounds |
//! | `database` | SQLite holds exactly what the rules say |
//! | `service` | the context under the real runtime: from records of the log to records of the log |
//!
//! `shelf`, `story` and `world` are what they stand on: tables in memory, random messages as Order
//! would send them, and turns.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

mod database;
mod properties;
mod service;
mod shelf;
mod story;
mod world;
