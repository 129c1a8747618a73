//! The store in a simulator: the shipped runtime and domain over ports with faults, on one thread,
//! with a paused clock and all randomness from a seed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

mod check;
