//! The byte form of an outbox row's records.
