//! Counts that do not depend on how fast a machine is, and what a check of them says.
//!
//! What is counted stands in `benches/counts/`, beside the micro-benchmarks: `cargo bench -p benchmarks`.
//! The numbers of the last release stand in `counts.json`.

mod judge;
mod record;

pub use judge::{Finding, Verdict, judge};
pub use record::{Counts, Error, Made, Record};
