//! A durable log that speaks the Kafka protocol, and a schema registry that speaks Confluent's
//! REST API, for one machine: development, demos, tests and small installations.
//!
//! Any Kafka client can look at the log, and any registry client at the registry. Beyond one
//! machine the store runs on Redpanda or Apache Kafka instead, and nothing in a service knows
//! which of them it talks to.

mod clock;
mod counters;
mod error;
mod files;
pub mod log;
pub mod registry;

pub use counters::COUNTERS;
pub use error::Error;
