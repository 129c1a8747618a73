//! What the database tells of every shard, as gauges: what waits in the outbox, what conflicted.

use std::convert::Infallible;
use std::time::Duration;

use messaging::clock::Timestamp;
use messaging::store::ShardCheckpoint;
use messaging::telemetry::{self, Metric};

use crate::Desk;
use crate::limits::MEASURE_EVERY;

/// The metrics of this crate. Every instance tells of all shards: take the maximum over instances.
pub const METRICS: &[Metric] = &[
    Metric::gauge(
        "outbox_rows",
        &["source", "shard"],
        "Rows of events that are committed and not yet known to be in the log.",
    ),
    Metric::gauge(
        "outbox_oldest_age_seconds",
        &["source", "shard"],
        "Time since the oldest row of the outbox was written; 0 if it is empty.",
    ),
    Metric::gauge(
        "conflicts_recorded",
        &["source", "shard"],
        "Conflicts in the database: messages that repeated an id or a business key with other content.",
    ),
];

impl Desk {
    /// Looks into the database every few seconds, for ever. While it cannot be read, what was seen
    /// last grows older.
    pub async fn measure(self) -> Infallible {
        telemetry::describe(METRICS);
        let mut seen = Vec::new();
        loop {
            match self.store.checkpoint().await {
                Ok(checkpoint) => seen = checkpoint,
                // The turns meet the same database, and tell of it.
                Err(error) => tracing::debug!(%error, "the outbox was not measured"),
            }
            let now = self.clock.now();
            for shard in &seen {
                tell(self.source, shard, now);
            }
            self.clock.sleep(MEASURE_EVERY).await;
        }
    }
}

fn tell(source: &'static str, shard: &ShardCheckpoint, now: Timestamp) {
    let labels = [
        ("source", source.to_owned()),
        ("shard", shard.shard.to_string()),
    ];
    let oldest = shard.outbox_oldest.map(|oldest| now.since(oldest));
    metrics::gauge!("outbox_rows", &labels).set(count(shard.outbox_rows));
    metrics::gauge!("outbox_oldest_age_seconds", &labels)
        .set(oldest.unwrap_or(Duration::ZERO).as_secs_f64());
    metrics::gauge!("conflicts_recorded", &labels).set(count(shard.conflicts));
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn count(rows: i64) -> f64 {
    rows as f64
}
