//! The log in memory.
