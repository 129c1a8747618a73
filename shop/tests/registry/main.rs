//! The schema registry is away, or says no: the store as real processes.
//!
//! While orders are placed at a steady rate the registry's process is stopped, or killed, and comes
//! back later. What the services have seen before goes on without it; a record whose schema they have
//! never seen waits in its shard, and nothing is parked. `OUTAGE_SECONDS` is how long it is away.
//!
//! | room | what happens there |
//! |---|---|
//! | `outage` | the registry goes and comes back under load |
//! | `start` | a service and a gateway that are started meanwhile |
//! | `refused` | a registry in which somebody has registered what does not fit |
//! | `world` | the processes, and what they say of their health |
//! | `rate` | orders at a steady rate, and how long each took |
//! | `release` | a command as another release writes it |
//! | `claim` | what that is, and what a program says of it |
//! | `../real` | processes and judging, as in the other tests on real processes |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

#[path = "../support/mod.rs"]
mod support;

#[path = "../real/mod.rs"]
mod real;

#[path = "../../../tests/common/claim.rs"]
mod claim;

mod outage;
mod rate;
mod refused;
mod release;
mod start;
mod world;

use outage::End;

/// Seconds without a registry in the runs that every `cargo test` includes.
const SHORT_SECONDS: u64 = 6;
/// Seconds without a registry in the others.
const LONG_SECONDS: u64 = 60;

#[test]
fn a_few_seconds_without_a_registry_that_was_stopped() {
    outage::run(End::Stopped, SHORT_SECONDS);
}

#[test]
fn a_few_seconds_without_a_registry_that_was_killed() {
    outage::run(End::Killed, SHORT_SECONDS);
}

#[test]
fn a_few_seconds_without_a_registry_that_stands_still() {
    outage::run(End::Paused, SHORT_SECONDS);
}

#[test]
#[ignore = "takes more than a minute: cargo test --test registry a_minute_without -- --ignored --test-threads=1"]
fn a_minute_without_a_registry_that_was_stopped() {
    outage::run(End::Stopped, LONG_SECONDS);
}

#[test]
#[ignore = "takes more than a minute: cargo test --test registry a_minute_without -- --ignored --test-threads=1"]
fn a_minute_without_a_registry_that_was_killed() {
    outage::run(End::Killed, LONG_SECONDS);
}
