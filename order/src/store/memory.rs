//! Orders in memory: one row per order, one per tombstone.

use std::collections::BTreeSet;

use async_trait::async_trait;
use messaging::clock::Timestamp;
use messaging::store::memory::{Reader, Tx};
use messaging::store::{Error, Tables};

use super::{Filter, Listed, Queries, Waiting};
use crate::context::{Changed, Loaded, OrderContext, State};
use crate::domain::{Entry, Message, Order, Status, Tombstones};

/// The table of orders: order_id -> [`OrderRow`].
pub const ORDERS: &str = "orders";
/// The table of tombstones: order_id -> [`TombstoneRow`].
pub const TOMBSTONES: &str = "tombstones";
/// What numbers the placements.
const SEQUENCE: &str = "order_sequence";

/// An order as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderRow {
    /// Rises with each placement; never changes.
    pub sequence: i64,
    /// The order.
    pub order: Order,
}

/// Cancellations that came before their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TombstoneRow {
    /// The first reason of each customer.
    pub tombstones: Tombstones,
}

/// Order's tables.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryTables;

impl Tables<OrderContext, Tx> for MemoryTables {
    async fn load(&self, tx: &mut Tx, messages: &[&Message]) -> Result<State, Error> {
        let ids: BTreeSet<&str> = messages.iter().map(|message| message.key()).collect();
        tx.select(|rows| {
            let mut state = State::default();
            for id in ids {
                let order = rows.get::<OrderRow>(ORDERS, id.as_bytes())?;
                let tombstone = rows.get::<TombstoneRow>(TOMBSTONES, id.as_bytes())?;
                let (loaded, entry) = match (order, tombstone) {
                    (Some(row), _) => {
                        let sequence = row.sequence;
                        (Loaded::Order { sequence }, Entry::Known(row.order.clone()))
                    }
                    (None, Some(row)) => {
                        let tombstones = row.tombstones.clone();
                        let loaded = Loaded::Tombstones(tombstones.len());
                        (loaded, Entry::Tombstones(tombstones))
                    }
                    (None, None) => (Loaded::Nothing, Entry::Unknown),
                };
                state.insert(id.to_owned(), loaded, entry);
            }
            Ok(state)
        })
        .await
    }

    async fn save(&self, tx: &mut Tx, state: &State) -> Result<(), Error> {
        let (mut placed, mut updated, mut entombed, mut raised) = (vec![], vec![], vec![], vec![]);
        for Changed {
            order_id,
            loaded,
            entry,
        } in state.changed()
        {
            let key = order_id.as_bytes().to_vec();
            match (loaded, entry) {
                (Loaded::Order { sequence }, Entry::Known(order)) => {
                    let order = order.clone();
                    updated.push((key, OrderRow { sequence, order }));
                }
                (Loaded::Nothing, Entry::Known(order)) => placed.push((key, order)),
                (Loaded::Tombstones(_), Entry::Known(order)) => {
                    placed.push((key.clone(), order));
                    raised.push(key);
                }
                (loaded, Entry::Tombstones(tombstones)) if loaded.lacks(tombstones) => {
                    let tombstones = tombstones.clone();
                    entombed.push((key, TombstoneRow { tombstones }));
                }
                // Nothing became of it: a completion of nothing, a second cancellation.
                (_, Entry::Unknown | Entry::Tombstones(_)) => {}
            }
        }
        insert(tx, placed).await?;
        tx.put_all(ORDERS, updated).await?;
        tx.put_all(TOMBSTONES, entombed).await?;
        tx.remove_all(TOMBSTONES, raised).await
    }
}

async fn insert(tx: &mut Tx, placed: Vec<(Vec<u8>, &Order)>) -> Result<(), Error> {
    if placed.is_empty() {
        return Ok(());
    }
    let first = tx.next(SEQUENCE, placed.len()).await?;
    let rows = (first..).zip(placed).map(|(sequence, (key, order))| {
        let order = order.clone();
        (key, OrderRow { sequence, order })
    });
    tx.insert_all(ORDERS, rows).await
}

/// Every committed order, by sequence.
///
/// # Errors
/// When the store holds rows of another program.
pub fn orders(reader: &Reader) -> Result<Vec<Listed>, Error> {
    let rows = reader.select(|rows| rows.scan::<OrderRow>(ORDERS, b""))?;
    let mut orders: Vec<_> = rows
        .into_iter()
        .map(|(_, row)| Listed {
            sequence: row.sequence,
            order: row.order.clone(),
        })
        .collect();
    orders.sort_by_key(|listed| listed.sequence);
    Ok(orders)
}

/// Every committed tombstone: order_id and row.
///
/// # Errors
/// When the store holds rows of another program.
pub fn tombstones(reader: &Reader) -> Result<Vec<(String, TombstoneRow)>, Error> {
    let rows = reader.select(|rows| rows.scan::<TombstoneRow>(TOMBSTONES, b""))?;
    Ok(rows
        .into_iter()
        .map(|(key, row)| (String::from_utf8_lossy(&key).into_owned(), (*row).clone()))
        .collect())
}

/// Reads orders as they are committed.
#[derive(Clone, Debug)]
pub struct MemoryQueries {
    reader: Reader,
}

impl MemoryQueries {
    /// Reads over `reader`.
    #[must_use]
    pub fn new(reader: Reader) -> Self {
        Self { reader }
    }
}

#[async_trait]
impl Queries for MemoryQueries {
    async fn get(&self, order_id: &str) -> Result<Option<Order>, Error> {
        tokio::task::yield_now().await;
        let row = self
            .reader
            .select(|rows| rows.get::<OrderRow>(ORDERS, order_id.as_bytes()))?;
        Ok(row.map(|row| row.order.clone()))
    }

    async fn list(
        &self,
        filter: &Filter,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Listed>, Error> {
        tokio::task::yield_now().await;
        let wanted = |listed: &Listed| {
            let (order, customer_id) = (&listed.order, filter.customer_id.as_ref());
            before.is_none_or(|before| listed.sequence < before)
                && customer_id.is_none_or(|id| *id == order.placed.customer_id)
                && filter.status.is_none_or(|status| status == order.status)
        };
        let orders = orders(&self.reader)?;
        Ok(orders
            .into_iter()
            .rev()
            .filter(wanted)
            .take(limit)
            .collect())
    }
}

#[async_trait]
impl Waiting for MemoryQueries {
    async fn backorders(&self, limit: u32) -> Result<(u32, Option<Timestamp>), Error> {
        tokio::task::yield_now().await;
        let orders = orders(&self.reader)?.into_iter();
        let waiting = orders.filter(|listed| listed.order.status == Status::Backordered);
        let placed: Vec<_> = waiting.map(|listed| listed.order.placed_at).collect();
        let count = u32::try_from(placed.len()).unwrap_or(u32::MAX);
        Ok((count.min(limit), placed.first().copied()))
    }
}
