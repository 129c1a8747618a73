//! The checker at a store in memory: it looks at every commit as it happens.

use std::any::Any;
use std::sync::Arc;

use inventory::domain::ids::OrderId;
use inventory::domain::marks::Mark;
use inventory::domain::receive::Receipt;
use inventory::domain::reservation::Reservation;
use inventory::domain::stock::Stock;
use inventory::store::memory as stock_tables;
use messaging::shard::{Epoch, ShardId};
use messaging::store::memory::{Commit, Observer, RowChange};
use order::store::memory::{self as order_tables, OrderRow, TombstoneRow};

use super::{Change, Checker, Committed, Row, Side};

/// One service's store, as the checker sees it.
pub(crate) struct Observed {
    pub(crate) checker: Arc<Checker>,
    pub(crate) side: Side,
}

impl Observer for Observed {
    fn claimed(&self, shard: ShardId, epoch: Epoch) {
        self.checker.claimed(self.side, shard, epoch);
    }

    fn committed(&self, commit: &Commit<'_>) {
        let changes: Vec<_> = commit.changes.iter().filter_map(typed).collect();
        let committed = Committed {
            shard: commit.shard,
            epoch: commit.epoch,
            effects: commit.effects,
            rows: commit.rows,
            changes: &changes,
        };
        self.checker.committed(self.side, &committed);
    }
}

/// A change in the checker's words; `None` for the rows that only number others.
fn typed(change: &RowChange) -> Option<Change> {
    let row = |row: &Option<messaging::store::memory::Row>| {
        row.as_ref().and_then(|row| self::row(change, &**row))
    };
    let (before, after) = (row(&change.before), row(&change.after));
    (before.is_some() || after.is_some()).then(|| Change {
        key: String::from_utf8_lossy(&change.key).into_owned(),
        before,
        after,
    })
}

fn row(change: &RowChange, row: &(dyn Any + Send + Sync)) -> Option<Row> {
    match change.table {
        order_tables::ORDERS => {
            let row: &OrderRow = row.downcast_ref()?;
            Some(Row::Order(Box::new(row.order.clone())))
        }
        order_tables::TOMBSTONES => {
            let row: &TombstoneRow = row.downcast_ref()?;
            Some(Row::Tombstone(row.tombstones.keys().cloned().collect()))
        }
        stock_tables::STOCK => Some(Row::Stock(*row.downcast_ref::<Stock>()?)),
        stock_tables::RECEIPT => Some(Row::Receipt(row.downcast_ref::<Receipt>()?.clone())),
        stock_tables::RESERVATION => {
            let row: &Reservation = row.downcast_ref()?;
            Some(Row::Reservation(Box::new(row.clone())))
        }
        stock_tables::WAITER => {
            let (product, place) = stock_tables::place_of(&change.key)?;
            let order: &OrderId = row.downcast_ref()?;
            Some(Row::Waiter(product.to_string(), place, order.clone()))
        }
        stock_tables::FULFILMENT_MARK => Some(Row::Mark(row.downcast_ref::<Mark>()?.clone())),
        _ => None,
    }
}
