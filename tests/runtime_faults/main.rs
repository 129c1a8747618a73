//! The runtime under faults that come together: lost answers, late repetitions, owners that change,
//! and a service that is cut off at any await.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

mod crash;
mod health;
mod instances;
mod ownership;
mod parked;
mod registry;
mod start;
mod store;
#[path = "../common/wait.rs"]
mod wait;
mod world;
