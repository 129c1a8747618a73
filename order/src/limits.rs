//! Order's own limits and timeouts.

use std::time::Duration;

/// Orders of one answer of an export: the largest order is about 15 KiB,
/// so that an answer stays below the 4 MiB that gRPC clients decode unasked.
pub(crate) const EXPORT_ROWS: usize = 200;
/// Orders that one request for named ones may name.
pub(crate) const EXPORT_IDS_MAX: usize = 1_000;
/// How often a watch looks for changes unasked: they may be commits of another process.
pub(crate) const WATCH_POLL: Duration = Duration::from_millis(500);
/// Encoded size at which a page of a list ends, full or not: far below the 4 MiB that gRPC
/// clients decode unasked, and the largest order is about 15 KiB.
pub(crate) const PAGE_BYTES_MAX: usize = 1 << 20;
/// How often waiting orders are counted for the metrics: Prometheus asks as often.
pub(crate) const MEASURE_EVERY: Duration = Duration::from_secs(5);
/// Waiting orders that are counted: beyond, the number tells no more, and its index walk takes
/// milliseconds.
pub(crate) const BACKORDERS_COUNTED_MAX: u32 = 100_000;
