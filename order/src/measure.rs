//! How many orders wait for stock, as gauges.

use std::convert::Infallible;
use std::sync::Arc;

use messaging::clock::Clock;
use messaging::telemetry::Metric;

use crate::limits::{BACKORDERS_COUNTED_MAX, MEASURE_EVERY};
use crate::store::Waiting;

/// The metrics of this crate. Every instance tells of all orders: take the maximum over instances.
pub const METRICS: &[Metric] = &[
    Metric::gauge(
        "backorders_waiting",
        &[],
        "Orders that wait for stock, counted up to 100,000.",
    ),
    Metric::gauge(
        "backorders_oldest_age_seconds",
        &[],
        "Time since the first placed of the orders that wait for stock was placed; 0 if none waits.",
    ),
];

/// Looks into the database every few seconds, for ever. While it cannot be read, what was seen last
/// grows older.
pub(crate) async fn measure(waiting: Arc<dyn Waiting>, clock: Arc<dyn Clock>) -> Infallible {
    let mut seen = (0, None);
    loop {
        match waiting.backorders(BACKORDERS_COUNTED_MAX).await {
            Ok(backorders) => seen = backorders,
            // The turns meet the same database, and tell of it.
            Err(error) => tracing::debug!(%error, "backorders were not counted"),
        }
        let (count, oldest) = seen;
        let age = oldest.map(|placed_at| clock.now().since(placed_at));
        metrics::gauge!("backorders_waiting").set(count);
        metrics::gauge!("backorders_oldest_age_seconds").set(age.unwrap_or_default().as_secs_f64());
        clock.sleep(MEASURE_EVERY).await;
    }
}
