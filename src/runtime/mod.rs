//! The shard runtime.
