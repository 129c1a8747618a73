//! A commit, in the checker's words.

use std::collections::BTreeSet;

use inventory::domain::ids::OrderId;
use inventory::domain::marks::Mark;
use inventory::domain::receive::Receipt;
use inventory::domain::reservation::Reservation;
use inventory::domain::stock::Stock;
use messaging::shard::{Epoch, ShardId};
use messaging::store::{Effects, OutboxRow};
use order::domain::Order;

/// What one turn has made durable.
pub(crate) struct Committed<'c> {
    pub(crate) shard: ShardId,
    pub(crate) epoch: Epoch,
    pub(crate) effects: &'c Effects,
    pub(crate) rows: &'c [OutboxRow],
    pub(crate) changes: &'c [Change],
}

/// A row of a context's own tables, as it was and as it is.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// The row's key as text, where the table has one column of it.
    pub(crate) key: String,
    pub(crate) before: Option<Row>,
    pub(crate) after: Option<Row>,
}

/// A row of either context.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Row {
    Order(Box<Order>),
    /// The customers whose cancellations came before their order.
    Tombstone(BTreeSet<Option<String>>),
    Stock(Stock),
    Receipt(Receipt),
    Reservation(Box<Reservation>),
    /// Who stands at a place of a product's queue: product, position, order.
    Waiter(String, i64, OrderId),
    Mark(Mark),
}
