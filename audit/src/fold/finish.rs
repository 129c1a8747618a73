//! What concerns the whole store: F1 of the clients' calls, F2 of the outboxes, F3, F4 of the
//! stock, F6.

use std::time::Duration;

use messaging::clock::Timestamp;

use super::Audit;
use super::known::{Extent, Told};
use crate::checkpoint::{Checkpoint, Checkpoints};
use crate::record::{Place, Topic};

/// Age of an outbox row from which it is an offender: a publisher looks every half second, and
/// waits at most a second between tries.
pub const OUTBOX_AGE_MAX: Duration = Duration::from_secs(30);

impl Audit {
    pub(super) fn judge_whole(&mut self, last: &Checkpoints, now: Timestamp) {
        self.trimmed();
        self.outbox("order", &last.order, now);
        self.outbox("inventory", &last.inventory, now);
        self.cursors(last);
        self.unexplained();
        self.claims();
        let is_kept = !self.extents.iter().any(|((topic, _), extent)| {
            matches!(topic, Topic::InventoryEvents | Topic::InventoryStock) && extent.first > 0
        });
        self.products.judge(
            is_kept,
            !self.is_stock_told,
            self.is_moving,
            &mut self.report,
        );
        self.queues();
    }

    fn trimmed(&mut self) {
        for (&(topic, partition), extent) in &self.extents {
            if extent.first > 0 {
                self.report.judged_from.push(Place {
                    topic,
                    partition,
                    offset: extent.first,
                });
            }
        }
    }

    /// F2: nothing waits to be published.
    fn outbox(&mut self, service: &str, checkpoint: &Checkpoint, now: Timestamp) {
        for (number, shard) in &checkpoint.shards {
            if shard.outbox_rows == 0 {
                continue;
            }
            let what = format!("{service} shard {number}");
            let age = now.since(shard.outbox_oldest.unwrap_or(now));
            if age > OUTBOX_AGE_MAX {
                let detail = format!(
                    "{} rows wait in the outbox, the oldest for {} s",
                    shard.outbox_rows,
                    age.as_secs()
                );
                self.report.offend("F2", what, detail);
            } else {
                self.report.unsettle("outboxes not empty", what);
            }
        }
    }

    /// F3: everything is consumed.
    fn cursors(&mut self, last: &Checkpoints) {
        for (&(topic, partition), extent) in &self.extents {
            let Some(cursor) = last.cursor(topic, partition) else {
                continue;
            };
            let what = format!("{}/{partition}", topic.name());
            if cursor > extent.next {
                let detail = format!("the cursor is {cursor}, the log ends at {}", extent.next);
                self.report.offend("F3", what, detail);
            } else if cursor < extent.first && extent.first > 0 {
                let detail = format!(
                    "the cursor is {cursor}, and the log begins at {}: what lies between was never read",
                    extent.first
                );
                self.report.offend("F3", what, detail);
            } else if cursor < extent.read {
                let behind = format!("{what}: {} records", extent.read - cursor);
                self.report
                    .unsettle("partitions not consumed to the end", behind);
            }
        }
    }

    /// Recorded conflicts that none of the records read is. (What was set aside can be one by its
    /// replay, and it is not judged by its place in the log.)
    fn unexplained(&mut self) {
        for (place, key) in &self.known.conflicts {
            let extent = self.extents.get(&(place.topic, place.partition));
            let is_read =
                extent.is_some_and(|extent| (extent.first..extent.read).contains(&place.offset));
            let is_trimmed = extent.is_some_and(|extent| extent.first > 0);
            if is_read
                && !is_trimmed
                && !self.explained.contains(place)
                && !self.known.set_aside.contains(place)
                && !self.left_out.contains(key)
            {
                let unsettled = self
                    .report
                    .unsettled
                    .keys()
                    .any(|why| why.ends_with("in flight"));
                if !unsettled {
                    self.report.offend(
                        "F1",
                        format!("record {place}"),
                        format!("a conflict of {key} is recorded, and it repeats nothing"),
                    );
                }
            }
        }
    }

    /// F1: what clients were told.
    fn claims(&mut self) {
        let mut claims: Vec<_> = self.claims.iter().collect();
        claims.sort_unstable_by_key(|(id, _)| *id);
        for (id, told) in claims {
            let seen = self.claimed.get(id).copied().unwrap_or(0);
            match told {
                Told::Accepted if seen == 0 => {
                    self.report.offend(
                        "F1",
                        format!("command {id}"),
                        "it was accepted and is not in the log",
                    );
                }
                Told::Refused if seen > 0 => {
                    self.report.offend(
                        "F1",
                        format!("command {id}"),
                        "it was refused and is in the log",
                    );
                }
                Told::Accepted | Told::Unknown | Told::Refused => {}
            }
        }
    }

    /// Whether something happened since the stock was read: a waiter's row may be newer than the
    /// stock that it is held against.
    fn has_moved(&self) -> bool {
        let since_stock = |extent: &Extent| {
            let read = extent.stock_read;
            read.is_some_and(|(from, _)| extent.next > from)
        };
        self.is_moving || !self.is_stock_told || self.extents.values().any(since_stock)
    }

    /// F6 and F6b.
    fn queues(&mut self) {
        let has_moved = self.has_moved();
        for passed in &self.queues.passed {
            let served = passed
                .fulfilment
                .map_or("still waits".to_owned(), |number| {
                    format!("was served as number {number}")
                });
            let detail = format!(
                "it waited for {} in front of order {}, which was served as number {}; it {served}",
                passed.product, passed.by, passed.by_fulfilment
            );
            if passed.fulfilment.is_none() && has_moved {
                self.report
                    .unsettle("waiters in motion", format!("order {}", passed.order_id));
            } else {
                self.report
                    .offend("F6", format!("order {}", passed.order_id), detail);
            }
        }
        for (order_id, products) in self.queues.forgotten(&self.products) {
            let what = format!("order {order_id}");
            if has_moved {
                self.report.unsettle("waiters in motion", what);
            } else {
                let detail = format!(
                    "it waits, although nobody is ahead of it and all of {} is available",
                    products.join(", ")
                );
                self.report.offend("F6b", what, detail);
            }
        }
    }
}
