//! The gateway over a log and a registry in memory, with services made up by the test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

mod accepting;
mod following;
mod passing_on;
mod preparing;
mod services;
mod store;
mod streaming;
