//! The two services' databases, whatever they are made of.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use inventory::context::InventoryContext;
use inventory::domain::reservation::Reservation;
use inventory::domain::stock::Stock;
use messaging::store::{Checkpoint, Error, Operations};
use order::context::OrderContext;
use order::domain::Order;

use crate::check::Side;
use crate::ports::store::Backend;
use crate::said::Said;

/// The databases of one run.
pub(crate) trait Databases: Send + Sync + 'static {
    type Order: Backend<OrderContext>;
    type Inventory: Backend<InventoryContext>;

    /// Order's, for one process.
    fn order(&self) -> impl Future<Output = Result<Arc<Self::Order>, Error>> + Send;

    /// Inventory's, for one process.
    fn inventory(&self) -> impl Future<Output = Result<Arc<Self::Inventory>, Error>> + Send;

    /// A service's, for operators.
    fn desk(&self, side: Side) -> impl Future<Output = Result<Arc<dyn Operations>, Error>> + Send;

    /// How far a service has come.
    fn checkpoint(&self, side: Side) -> impl Future<Output = Result<Checkpoint, Error>> + Send;

    /// Everything that the two services hold.
    fn rows(&self) -> impl Future<Output = Result<Rows, Error>> + Send;
}

/// The contexts' own rows, and what the services say of themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rows {
    pub(crate) orders: BTreeMap<String, Order>,
    pub(crate) reservations: BTreeMap<String, Reservation>,
    pub(crate) stock: BTreeMap<String, Stock>,
    pub(crate) said: Said,
}
