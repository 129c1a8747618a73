//! The same records through the same log, with no services: appended in ideal batches, each
//! acknowledged as the store's are, and fetched once by the service that reads them.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use contracts::topics::{INVENTORY_EVENTS, ORDER_COMMANDS, ORDER_EVENTS};
use messaging::limits::{FETCH_BYTES_MAX, FETCH_WAIT_MAX};
use messaging::log::{Log, ReadLimit, Record};
use serde::Serialize;
use tokio::task::JoinSet;

use super::Error;
use super::messages::{Batch, ORDERS};
use super::meter::{Meter, Period};

/// Records of orders through a log.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Appends {
    /// Orders per second whose records were appended, acknowledged and fetched.
    pub orders_per_second: f64,
    /// Records of an order.
    pub records_per_order: f64,
    /// Bytes of their keys, values and headers.
    pub bytes_per_order: f64,
}

impl fmt::Display for Appends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            records_per_order: records,
            bytes_per_order: bytes,
            ..
        } = self;
        write!(f, "{records:.0} records, {bytes:.0} bytes per order")
    }
}

/// Appends the records of `batch` to `log`, a log of its own, in the store's topics with
/// `partitions` partitions: all partitions side by side, one append of each in flight.
///
/// # Errors
/// When the log refuses.
pub async fn appends(
    log: &Arc<dyn Log>,
    partitions: i32,
    batch: &Arc<Batch>,
    period: Period,
) -> Result<Appends, Error> {
    for topic in [ORDER_COMMANDS, ORDER_EVENTS, INVENTORY_EVENTS] {
        log.create_topic(topic, partitions).await?;
    }
    let meter = Arc::new(Meter::default());
    let mut tasks = JoinSet::new();
    for partition in 0..partitions {
        let lane = Lane {
            log: Arc::clone(log),
            partition,
            batch: Arc::clone(batch),
            meter: Arc::clone(&meter),
        };
        tasks.spawn(async move {
            let Err(error) = lane.run().await;
            error
        });
    }
    let measured = meter.measure(period, &mut tasks).await?;
    Ok(Appends {
        orders_per_second: measured.per_second(),
        records_per_order: per_order(batch.records().count()),
        bytes_per_order: per_order(batch.bytes()),
    })
}

fn per_order(count: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "megabytes at most")]
    let per_order = count as f64 / ORDERS as f64;
    per_order
}

/// One partition of all topics.
struct Lane {
    log: Arc<dyn Log>,
    partition: i32,
    batch: Arc<Batch>,
    meter: Arc<Meter>,
}

impl Lane {
    async fn run(self) -> Result<Infallible, Error> {
        let Batch {
            commands,
            placed,
            held,
            reserved,
            ..
        } = &*self.batch;
        let (mut commands_read, mut events_read, mut held_read) = (0, 0, 0);
        loop {
            tokio::try_join!(
                self.pass(ORDER_COMMANDS, [commands], &mut commands_read),
                self.pass(ORDER_EVENTS, [placed, reserved], &mut events_read),
                self.pass(INVENTORY_EVENTS, [held], &mut held_read),
            )?;
            self.meter.done(ORDERS as u64);
            // A log that is always ready must not keep this from being stopped.
            tokio::task::yield_now().await;
        }
    }

    /// Appends `batches` one after the other, and reads them from offset `next` on.
    async fn pass(
        &self,
        topic: &str,
        batches: impl IntoIterator<Item = &Vec<Record>>,
        next: &mut i64,
    ) -> Result<(), Error> {
        let mut last = *next;
        for batch in batches {
            let records = batch.clone();
            last = self.log.append(topic, self.partition, records).await?;
        }
        let limit = ReadLimit {
            bytes_max: FETCH_BYTES_MAX,
            wait_max: FETCH_WAIT_MAX,
        };
        while *next <= last {
            let read = self.log.read(topic, self.partition, *next, limit).await?;
            if let Some(newest) = read.records.last() {
                *next = newest.offset + 1;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use messaging::clock::SystemClock;
    use messaging::log::memory::MemoryLog;

    use super::super::messages::tests::of_plan;
    use super::*;

    #[tokio::test]
    async fn every_partition_takes_the_records_of_whole_orders() {
        let log: Arc<dyn Log> = Arc::new(MemoryLog::new(Arc::new(SystemClock)));
        let batch = Arc::new(of_plan().await);
        let period = Period::of(Duration::from_millis(20));
        let measured = appends(&log, 2, &batch, period).await.unwrap();
        assert!(measured.orders_per_second > 0.0, "{measured:?}");
        assert!((measured.records_per_order - 4.0).abs() < f64::EPSILON);
        assert!(measured.bytes_per_order > 1_000.0, "{measured:?}");
        for partition in 0..2 {
            for (topic, least) in [
                (ORDER_COMMANDS, ORDERS),
                (ORDER_EVENTS, 2 * ORDERS),
                (INVENTORY_EVENTS, ORDERS),
            ] {
                let next = log.bounds(topic, partition).await.unwrap().next;
                let least = i64::try_from(least).unwrap();
                assert!(next >= least, "{topic}/{partition} has {next} records");
            }
        }
    }
}
