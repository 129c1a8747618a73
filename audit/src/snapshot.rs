//! A store that stands still, judged at once: for simulations and tests.

use std::time::Duration;

use inventory::domain::reservation::Reservation;
use inventory::domain::stock::Stock;
use messaging::clock::Timestamp;
use messaging::log::Bounds;
use order::domain::Order;

use crate::checkpoint::Checkpoints;
use crate::fold::{Audit, Claims, ITEMS_MAX, Known, MEMORY};
use crate::record::{Record, Topic};
use crate::report::Report;
use crate::scope::Scope;

/// A partition, whole.
#[derive(Clone, Debug)]
pub struct Partition {
    /// Its topic.
    pub topic: Topic,
    /// Its number.
    pub partition: i32,
    /// Where it begins and ends.
    pub bounds: Bounds,
    /// Its records, by offset.
    pub records: Vec<Record>,
}

/// A store that stands still.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The number of partitions of every topic.
    pub partitions: i32,
    /// The partitions of the topics.
    pub log: Vec<Partition>,
    /// Order's rows.
    pub orders: Vec<Order>,
    /// Inventory's rows of reservations.
    pub reservations: Vec<Reservation>,
    /// Inventory's rows of stock, by product.
    pub stock: Vec<(String, Stock)>,
    /// How far the services have come.
    pub checkpoints: Checkpoints,
    /// What the services say of single messages.
    pub known: Known,
    /// What clients were told.
    pub claims: Claims,
    /// How long at least the services remember the ids of commands; `None` for [`MEMORY`].
    pub memory: Option<Duration>,
    /// The time, for the age of outbox rows.
    pub now: Timestamp,
}

impl Snapshot {
    /// Judges it. A store that has come to rest and kept its promises is a proof: nobody offends,
    /// and nothing is unsettled.
    #[must_use]
    pub fn judge(&self) -> Report {
        self.judge_within(ITEMS_MAX)
    }

    /// As [`Snapshot::judge`], holding at most about `items_max` items at one time.
    #[must_use]
    pub fn judge_within(&self, items_max: usize) -> Report {
        let mut audit = Audit::new(self.partitions, items_max);
        audit.know(self.known.clone());
        audit.claim(self.claims.clone());
        audit.remember(self.memory.unwrap_or(MEMORY));
        for Partition {
            topic,
            partition,
            bounds,
            ..
        } in &self.log
        {
            audit.extent(*topic, *partition, *bounds);
        }
        audit.before_stock();
        for (product, stock) in &self.stock {
            audit.stock(product, *stock);
        }
        audit.after_stock(&self.checkpoints.inventory);
        loop {
            self.reservations.iter().for_each(|row| audit.waiter(row));
            if !audit.end_window() {
                break;
            }
        }
        let mut scopes = audit.scopes();
        while let Some(scope) = scopes.pop() {
            if !self.pass(&mut audit, scope) {
                scopes.extend(scope.halves().into_iter().flatten());
            }
        }
        audit.finish(&self.checkpoints, self.now)
    }

    /// One pass; `false` if the scope is too large.
    fn pass(&self, audit: &mut Audit, scope: Scope) -> bool {
        audit.begin(scope);
        let mut records = self.log.iter().flat_map(|partition| &partition.records);
        let fits = records.try_for_each(|record| audit.record(record)).is_ok()
            && self
                .orders
                .iter()
                .try_for_each(|row| audit.order(row))
                .is_ok()
            && self
                .reservations
                .iter()
                .try_for_each(|row| audit.reservation(row))
                .is_ok();
        if fits {
            audit.judge(&self.checkpoints, &self.checkpoints, true);
            audit.end();
        }
        fits
    }
}
