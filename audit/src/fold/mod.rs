//! The fold: what the topics say against what the rows say.
//!
//! Pure, without IO and without a clock. First the stock's rows between [`Audit::before_stock`] and
//! [`Audit::after_stock`]. Then, for every scope of [`Audit::scopes`]:
//!
//! 1. [`Audit::begin`]; every record of every partition in the order of its offsets;
//! 2. the services' checkpoints are taken ("before"); every order, every reservation (in the first
//!    pass also to [`Audit::waiter`]); the checkpoints again ("after"); the records that have come
//!    meanwhile;
//! 3. [`Audit::judge`]. It names the orders that were in flight: read their rows again between two
//!    checkpoints, then the records that have come, and judge once more, for the last time;
//! 4. [`Audit::end`].
//!
//! Then [`Audit::finish`] gives the report. A store that stands still is judged at once: see
//! [`crate::snapshot`].
//!
//! What is held is bounded: an order is a few digests, and a scope that turns out to hold more than
//! the limit ([`Overflow`]) is begun again as two. Only products are held whole.

mod facts;
mod finish;
mod history;
mod known;
mod order;
mod pass;
mod products;
mod queues;
mod receipts;
mod replay;
mod reservation;
mod verdict;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use ::inventory::domain::reservation::Reservation;
use ::inventory::domain::stock::Stock;
use messaging::clock::Timestamp;
use messaging::limits::{INBOX_HORIZON, TOPIC_RETENTION};
use messaging::log::Bounds;
use messaging::partitioner::partition_of;

pub use finish::OUTBOX_AGE_MAX;
pub use known::{Claims, Known, Told};
pub use queues::Passed;

use self::history::{OrderRow, ReservationRow};
use self::known::{Extent, Partition};
use self::pass::Pass;
use self::products::Products;
use self::queues::Queues;
use self::verdict::Bench;
use crate::checkpoint::{Checkpoint, Checkpoints};
use crate::record::{Record, Topic};
use crate::report::Report;
use crate::scope::Scope;

/// Items (orders, receipts, commands, events) that an audit holds at one time: about 300 MB (206
/// bytes each, measured; some 7 of them are one order).
pub const ITEMS_MAX: usize = 1_500_000;
/// How far apart two commands may lie so that whoever decided the second certainly still remembered
/// the first: a consumer can be behind by as much as the topics keep.
pub const MEMORY: Duration = INBOX_HORIZON.saturating_sub(TOPIC_RETENTION);

/// A scope holds more than the limit: begin it again as its two halves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a pass holds more than {items_max} items; split its scope")]
pub struct Overflow {
    /// The limit.
    pub items_max: usize,
}

/// An audit of a store.
#[derive(Debug)]
pub struct Audit {
    partitions: i32,
    items_max: usize,
    known: Known,
    claims: Claims,
    memory: Duration,
    /// How often each claimed command was seen.
    claimed: HashMap<String, u64>,
    extents: BTreeMap<Partition, Extent>,
    products: Products,
    queues: Queues,
    pass: Pass,
    explained: BTreeSet<crate::record::Place>,
    left_out: BTreeSet<String>,
    /// Inventory had published every event when its stock was read.
    is_stock_told: bool,
    /// Reservations were in flight: their rows' sums prove nothing.
    is_moving: bool,
    report: Report,
}

impl Audit {
    /// An audit of a store whose topics have `partitions` partitions; at most about `items_max`
    /// items are held at one time ([`ITEMS_MAX`] unless there is a reason).
    #[must_use]
    pub fn new(partitions: i32, items_max: usize) -> Self {
        Self {
            partitions,
            items_max,
            known: Known::default(),
            claims: Claims::new(),
            memory: MEMORY,
            claimed: HashMap::new(),
            extents: BTreeMap::new(),
            products: Products::default(),
            queues: Queues::new(items_max),
            pass: Pass::default(),
            explained: BTreeSet::new(),
            left_out: BTreeSet::new(),
            is_stock_told: true,
            is_moving: false,
            report: Report::default(),
        }
    }

    /// What the services say of single messages, now.
    pub fn know(&mut self, known: Known) {
        self.known = known;
    }

    /// What clients were told of their commands.
    pub fn claim(&mut self, claims: Claims) {
        self.claims = claims;
    }

    /// How long at least the services remember the ids of commands, if not for [`MEMORY`].
    pub fn remember(&mut self, memory: Duration) {
        self.memory = memory;
    }

    /// Where a partition begins and ends now.
    pub fn extent(&mut self, topic: Topic, partition: i32, bounds: Bounds) {
        let extent = self.extents.entry((topic, partition)).or_default();
        extent.first = extent.first.max(bounds.first);
        extent.next = bounds.next;
    }

    /// The stock is about to be read: events from here on may or may not be in it. The extents
    /// must be fresh.
    pub fn before_stock(&mut self) {
        for extent in self.extents.values_mut() {
            extent.stock_read = Some((extent.next, i64::MAX));
        }
    }

    /// The stock has been read: events from here on are not in it. The extents must be fresh, and
    /// fresher than Inventory's checkpoint, which tells whether it has published all of them.
    pub fn after_stock(&mut self, inventory: &Checkpoint) {
        self.is_stock_told = inventory
            .shards
            .values()
            .all(|shard| shard.outbox_rows == 0);
        for extent in self.extents.values_mut() {
            if let Some((_, until)) = &mut extent.stock_read {
                *until = extent.next;
            }
        }
    }

    /// The scopes to begin with, from the extents known.
    #[must_use]
    pub fn scopes(&self) -> Vec<Scope> {
        let kept = |extent: &Extent| u64::try_from(extent.next - extent.first).unwrap_or(0);
        let records: u64 = self.extents.values().map(kept).sum();
        // Besides its records each order is an item.
        Scope::parts(records + records / 4, self.items_max)
    }

    /// Begins a pass; what an unfinished one held is forgotten.
    pub fn begin(&mut self, scope: Scope) {
        self.pass = Pass::new(scope);
        self.pass.claimed = verdict::unseen(&self.claims);
        self.report.counts.passes += 1;
    }

    /// Takes a record in.
    ///
    /// # Errors
    /// [`Overflow`] when the scope is too large.
    pub fn record(&mut self, record: &Record) -> Result<(), Overflow> {
        let place = record.place;
        let extent = self
            .extents
            .entry((place.topic, place.partition))
            .or_default();
        extent.read = extent.read.max(place.offset + 1);
        let told = pass::Told {
            record,
            extent: *extent,
            known: &self.known,
            memory: self.memory,
        };
        self.pass.record(&told);
        self.check()
    }

    /// Takes Order's row of an order in.
    ///
    /// # Errors
    /// [`Overflow`] when the scope is too large.
    pub fn order(&mut self, row: &::order::domain::Order) -> Result<(), Overflow> {
        let order_id = &row.placed.order_id;
        let partition = partition_of(order_id.as_bytes(), self.partitions);
        if let Some(history) = self.pass.order(order_id, partition) {
            history.order_row = Some(OrderRow::from(row));
        }
        self.check()
    }

    /// Takes Inventory's row of an order in.
    ///
    /// # Errors
    /// [`Overflow`] when the scope is too large.
    pub fn reservation(&mut self, row: &Reservation) -> Result<(), Overflow> {
        let order_id = row.order_id.as_str();
        let partition = partition_of(order_id.as_bytes(), self.partitions);
        let is_first = !self.pass.is_closed;
        let Some(history) = self.pass.order(order_id, partition) else {
            return Ok(());
        };
        history.reservation_row = Some(ReservationRow::from(row));
        if is_first {
            self.pass.products.hold(row);
        }
        self.check()
    }

    /// Takes a reservation's row in for the order of the queues: every row once, whatever the
    /// scope, until [`Audit::end_window`] says that it is enough.
    pub fn waiter(&mut self, row: &Reservation) {
        self.queues.row(row);
        let items = self.pass.items + self.queues.items();
        let most = &mut self.report.counts.items_max;
        *most = (*most).max(items);
    }

    /// Every reservation will be given to [`Audit::waiter`]; what was given before is forgotten.
    pub fn begin_window(&mut self) {
        self.queues.begin();
    }

    /// Every reservation was given to [`Audit::waiter`]; `true` if all of them are needed again.
    pub fn end_window(&mut self) -> bool {
        self.queues.end_window()
    }

    /// Takes the row of a product's stock in.
    pub fn stock(&mut self, product_id: &str, row: Stock) {
        self.products.of(product_id).row = Some(row);
    }

    /// Judges what stands still. Returns the orders that do not: read their rows again and judge
    /// for the last time, when they are told as not judged.
    pub fn judge(
        &mut self,
        before: &Checkpoints,
        after: &Checkpoints,
        is_last: bool,
    ) -> Vec<String> {
        let mut bench = Bench {
            known: &self.known,
            extents: &self.extents,
            before,
            after,
            is_last,
            report: &mut self.report,
            explained: &mut self.explained,
            left_out: &mut self.left_out,
        };
        let again = bench.judge(&mut self.pass);
        self.is_moving |= self.pass.is_open();
        again
    }

    /// Whether something is left to judge in this pass.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.pass.is_open()
    }

    /// Ends a pass.
    pub fn end(&mut self) {
        let pass = std::mem::take(&mut self.pass);
        self.products.merge(pass.products);
        for (id, seen) in pass.claimed {
            *self.claimed.entry(id).or_default() += seen;
        }
        self.report.counts.add(&pass.counts);
    }

    /// The report: what concerns the whole store is judged now, at `now`, with the services' last
    /// checkpoints.
    #[must_use]
    pub fn finish(mut self, last: &Checkpoints, now: Timestamp) -> Report {
        self.judge_whole(last, now);
        self.report
    }

    fn check(&mut self) -> Result<(), Overflow> {
        let items = self.pass.items + self.queues.items();
        let counts = &mut self.report.counts;
        counts.items_max = counts.items_max.max(items);
        if self.pass.items > self.items_max && self.pass.scope.halves().is_some() {
            return Err(Overflow {
                items_max: self.items_max,
            });
        }
        Ok(())
    }
}
