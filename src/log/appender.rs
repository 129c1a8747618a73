//! A batching appender: many callers, one append per partition in flight.
