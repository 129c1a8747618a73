//! At-least-once delivery with effects once, over any Kafka-protocol log.
//!
//! A service is a [`context::Context`]: a pure decision `(state, message) -> (new state, events)`
//! and the tables that hold its state. The [`runtime`] consumes the log's partitions, runs the
//! decisions inside the service's own database transactions and publishes the outcome. It reaches
//! the world through narrow ports only, each with its contract on the trait:
//!
//! | port | module | adapters |
//! |---|---|---|
//! | [`log::Log`] | [`log`] | rskafka, in-memory |
//! | [`store::Store`] | [`store`] | SQLite, Postgres, in-memory |
//! | [`lease::Lease`] | [`lease`] | file lock, Postgres, in-memory |
//! | [`registry::SchemaRegistry`] | [`registry`] | Confluent REST, in-memory |
//! | [`clock::Clock`], [`ids::Ids`], [`spawner::Spawner`] | same names | tokio |
//!
//! This library knows nothing of the store that it ships with: no orders, no stock.

pub mod auth;
pub mod clock;
pub mod codec;
pub mod config;
pub mod context;
pub mod crash;
pub mod envelope;
pub mod health;
pub mod ids;
pub mod lease;
pub mod limits;
pub mod log;
pub mod message;
pub mod mutant;
pub mod partitioner;
pub mod program;
pub mod registry;
pub mod retry;
pub mod runtime;
pub mod server;
pub mod shard;
pub mod spawner;
pub mod status;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod trace;
