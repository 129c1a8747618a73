//! The databases in memory.

use std::sync::Arc;
use std::time::Duration;

use inventory::context::InventoryContext;
use inventory::store::memory as stock_tables;
use messaging::context::Context;
use messaging::store::memory::{MemoryStore, Timeouts, Tx};
use messaging::store::{Checkpoint, Effects, Error, Operations, Tables};
use order::context::OrderContext;
use order::store::memory as order_tables;

use crate::databases::{Databases, Rows, Side};
use crate::ports::store::Backend;

impl<C: Context, T: Tables<C, Tx>> Backend<C> for MemoryStore<T> {
    const LATE: bool = true;

    async fn commit_late(
        turn: Self::Turn<'_>,
        state: Option<&C::State>,
        effects: Effects,
        after: Duration,
    ) -> Result<(), Error> {
        turn.commit_late::<C>(state, effects, after).await
    }
}

/// One database per service, shared by its processes.
pub(crate) struct InMemory {
    pub(crate) order: Arc<MemoryStore<order_tables::MemoryTables>>,
    pub(crate) inventory: Arc<MemoryStore<stock_tables::MemoryTables>>,
}

impl InMemory {
    pub(crate) fn new() -> Self {
        let timeouts = Timeouts::default();
        Self {
            order: Arc::new(MemoryStore::within(timeouts, order_tables::MemoryTables)),
            inventory: Arc::new(MemoryStore::within(
                timeouts,
                stock_tables::MemoryTables::default(),
            )),
        }
    }
}

impl Databases for InMemory {
    type Order = MemoryStore<order_tables::MemoryTables>;
    type Inventory = MemoryStore<stock_tables::MemoryTables>;

    async fn order(&self) -> Result<Arc<Self::Order>, Error> {
        Ok(Arc::clone(&self.order))
    }

    async fn inventory(&self) -> Result<Arc<Self::Inventory>, Error> {
        Ok(Arc::clone(&self.inventory))
    }

    async fn checkpoint(&self, side: Side) -> Result<Checkpoint, Error> {
        match side {
            Side::Order => self.order.checkpoint().await,
            Side::Inventory => self.inventory.checkpoint().await,
        }
    }

    async fn rows(&self) -> Result<Rows, Error> {
        let orders = order_tables::orders(&self.order.reader())?;
        let holdings = stock_tables::holdings(&self.inventory.reader())?;
        Ok(Rows {
            orders: orders
                .into_iter()
                .map(|listed| (listed.order.placed.order_id.clone(), listed.order))
                .collect(),
            reservations: holdings
                .reservations
                .into_iter()
                .map(|(id, reservation)| (id.to_string(), reservation))
                .collect(),
            stock: holdings
                .stock
                .into_iter()
                .map(|(id, stock)| (id.to_string(), stock))
                .collect(),
        })
    }
}

/// So that the compiler says here, and not far away, if a table set does not fit its context.
const _: fn() = || {
    fn fits<C: Context, B: Backend<C>>() {}
    fits::<OrderContext, <InMemory as Databases>::Order>();
    fits::<InventoryContext, <InMemory as Databases>::Inventory>();
};
