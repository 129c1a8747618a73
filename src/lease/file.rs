//! Ownership by a file lock: one process owns all shards.
