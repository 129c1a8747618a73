//! The store as real processes, with faults between and inside them, and its promises afterwards.
//!
//! Log, registry, order, inventory and gateway run as processes of their own with their real
//! databases. A proxy stands on every way between two of them and before the gateway. While
//! customers place, repeat, change and cancel orders and the warehouse receives stock, processes
//! are killed, stopped and paused at random and at named places, and the ways are cut, slowed and
//! half-closed. Then everything is healed and left alone until it has settled, and what the
//! databases and the topics hold must be what the clients were promised.
//!
//! `FAULT_SECONDS` is how long the faults last, `FAULT_SEED` draws them: the same seed injects the
//! same faults, as far as an operating system repeats itself.
//!
//! | room | what happens there |
//! |---|---|
//! | `world`, `proxy`, `disk` | the processes and the ways between them |
//! | `mix`, `fault` | what is done to them |
//! | `noticed` | that the checks notice |
//! | `run`, `tell` | one run from start to end, and its report |
//! | `../real` | processes, load and judging, as in the other tests on real processes |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

#[path = "../support/mod.rs"]
mod support;

#[path = "../real/mod.rs"]
mod real;

mod disk;
mod fault;
mod mix;
mod noticed;
mod proxy;
mod run;
mod tell;
mod world;

use run::run;

/// Seconds of faults of the run that every `cargo test` includes.
const SHORT_SECONDS: u64 = 8;
/// Seconds of faults of the others.
const LONG_SECONDS: u64 = 60;

#[test]
fn a_few_seconds_of_everything() {
    run(mix::everything(), SHORT_SECONDS);
}

#[test]
#[ignore = "takes more than a minute: cargo test --test faults a_minute_of -- --ignored --test-threads=1"]
fn a_minute_of_kills() {
    run(mix::kills(), LONG_SECONDS);
}

#[test]
#[ignore = "takes more than a minute: cargo test --test faults a_minute_of -- --ignored --test-threads=1"]
fn a_minute_of_broken_ways_to_the_log() {
    run(mix::log_network(), LONG_SECONDS);
}

#[test]
#[ignore = "takes more than a minute: cargo test --test faults a_minute_of -- --ignored --test-threads=1"]
fn a_minute_of_broken_ways_elsewhere() {
    run(mix::other_network(), LONG_SECONDS);
}

#[test]
#[ignore = "takes more than a minute: cargo test --test faults a_minute_of -- --ignored --test-threads=1"]
fn a_minute_of_log_restarts_and_named_places() {
    run(mix::log_and_places(), LONG_SECONDS);
}

#[test]
#[ignore = "takes more than a minute: cargo test --test faults a_minute_of -- --ignored --test-threads=1"]
fn a_minute_of_everything() {
    run(mix::everything(), LONG_SECONDS);
}
