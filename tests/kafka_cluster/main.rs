//! What a real cluster of three brokers does to the rskafka adapter, and to the whole store, when its
//! brokers come and go.
//!
//! ```console
//! $ export $(tests/kafka up 3 --secure)
//! $ cargo test --test kafka_cluster -- --ignored --nocapture --test-threads=1
//! $ tests/kafka down
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a failed test is the report; one request is written to a socket by hand"
)]

mod cluster;
#[path = "../common/mod.rs"]
mod common;
