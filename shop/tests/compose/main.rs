//! The files for running the store in containers, checked against the programs: what a file names
//! must exist in the program that gets it. `tests/compose` runs them where there is Docker.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

mod brokers;
mod dashboard;
mod files;
mod house;
mod network;
mod programs;
