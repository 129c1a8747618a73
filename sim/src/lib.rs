//! The store in a simulator: the shipped runtime and domain over ports with faults, on one thread,
//! with a paused clock and all randomness from a seed.
//!
//! A package of its own, so that it can be optimised: it is all tests. `cargo test -p sim`.

#![cfg(test)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

mod check;
mod client;
mod counts;
mod databases;
mod dice;
mod disasters;
mod edge;
mod end;
mod events;
mod fleet;
mod gate;
mod memory;
mod meta;
mod operator;
mod plan;
mod ports;
mod process;
mod proof;
mod run;
mod said;
mod seeds;
mod slot;
mod sqlite;
mod sweep;
mod trace;
mod weather;
mod world;
