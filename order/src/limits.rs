//! Order's own limits and timeouts.

use std::time::Duration;

/// How often a watch looks for changes unasked: they may be commits of another process.
pub(crate) const WATCH_POLL: Duration = Duration::from_millis(500);
/// Encoded size at which a page of a list ends, full or not: far below the 4 MiB that gRPC
/// clients decode unasked, and the largest order is about 15 KiB.
pub(crate) const PAGE_BYTES_MAX: usize = 1 << 20;
