//! The databases in memory.

use std::sync::Arc;
use std::time::Duration;

use inventory::context::InventoryContext;
use inventory::store::memory as stock_tables;
use messaging::context::Context;
use messaging::shard::{Epoch, ShardId};
use messaging::store::memory::{Commit, MemoryStore, Observer, Timeouts, Tx};
use messaging::store::{Checkpoint, Effects, Error, Operations, Tables};
use order::context::OrderContext;
use order::store::memory as order_tables;

use crate::check::{Observed, Side};
use crate::databases::{Databases, Rows};
use crate::ports::store::Backend;
use crate::said;
use crate::world::World;

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

/// Tells the checker, and asks it what it thinks.
struct Watched {
    observed: Observed,
    world: Arc<World>,
}

fn watched(world: &Arc<World>, side: Side) -> Arc<Watched> {
    let checker = Arc::clone(&world.checker);
    Arc::new(Watched {
        observed: Observed { checker, side },
        world: Arc::clone(world),
    })
}

impl Observer for Watched {
    fn claimed(&self, shard: ShardId, epoch: Epoch) {
        self.observed.claimed(shard, epoch);
        self.world.look();
    }

    fn committed(&self, commit: &Commit<'_>) {
        self.observed.committed(commit);
        self.world.look();
    }
}

/// One database per service, shared by its processes.
pub(crate) struct InMemory {
    pub(crate) order: Arc<MemoryStore<order_tables::MemoryTables>>,
    pub(crate) inventory: Arc<MemoryStore<stock_tables::MemoryTables>>,
}

impl InMemory {
    /// Empty databases, whose commits `world` looks at.
    pub(crate) fn new(world: &Arc<World>) -> Self {
        let timeouts = Timeouts::default();
        let order = MemoryStore::within(timeouts, order_tables::MemoryTables);
        order.observe(watched(world, Side::Order));
        let inventory = MemoryStore::within(timeouts, stock_tables::MemoryTables::default());
        inventory.observe(watched(world, Side::Inventory));
        Self {
            order: Arc::new(order),
            inventory: Arc::new(inventory),
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

    async fn desk(&self, side: Side) -> Result<Arc<dyn Operations>, Error> {
        Ok(match side {
            Side::Order => Arc::clone(&self.order) as _,
            Side::Inventory => Arc::clone(&self.inventory) as _,
        })
    }

    async fn checkpoint(&self, side: Side) -> Result<Checkpoint, Error> {
        match side {
            Side::Order => self.order.checkpoint().await,
            Side::Inventory => self.inventory.checkpoint().await,
        }
    }

    async fn rows(&self) -> Result<Rows, Error> {
        let said = said::by(&*self.order, &*self.inventory).await?;
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
            said,
        })
    }
}

/// So that the compiler says here, and not far away, if a table set does not fit its context.
const _: fn() = || {
    fn fits<C: Context, B: Backend<C>>() {}
    fits::<OrderContext, <InMemory as Databases>::Order>();
    fits::<InventoryContext, <InMemory as Databases>::Inventory>();
};
