//! Order's own tables: what the gRPC service reads through a narrow port, and the adapters.

pub mod memory;
pub mod postgres;
mod row;
pub mod sqlite;

use async_trait::async_trait;
use messaging::clock::Timestamp;
use messaging::store::Error;

use crate::domain::{Order, Status};

/// Which orders a list holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only this customer's.
    pub customer_id: Option<String>,
    /// Only those that stand there now.
    pub status: Option<Status>,
}

/// An order with its place in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Rises with each placement; never changes.
    pub sequence: i64,
    /// The order.
    pub order: Order,
}

/// The port for reading all orders, for an audit. As [`Queries`] otherwise. An order whose placement
/// commits while pages are read may be missing from them, wherever its sequence stands.
#[async_trait]
pub trait Export: Send + Sync + 'static {
    /// At most `limit` orders placed after the one at sequence `after` (0: from the first), in the
    /// sequence of placement.
    async fn after(&self, after: i64, limit: usize) -> Result<Vec<Listed>, Error>;

    /// The orders with these ids, those that are known.
    async fn of(&self, order_ids: &[String]) -> Result<Vec<Order>, Error>;
}

/// The port for reading orders.
///
/// Reads see what is committed when they begin, and never wait for a writer. Every call returns
/// within the adapter's timeouts.
#[async_trait]
pub trait Queries: Send + Sync + 'static {
    /// The order with this id, if it was placed.
    async fn get(&self, order_id: &str) -> Result<Option<Order>, Error>;

    /// At most `limit` orders that `filter` lets through, newest placement first, only those
    /// placed before the one at sequence `before`.
    async fn list(
        &self,
        filter: &Filter,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Listed>, Error>;
}

/// The port for counting orders that wait for stock. As [`Queries`] otherwise.
///
/// Order's own table answers it, since Inventory's queues do not know when an order was placed. It
/// walks the index by status, over waiting orders only.
#[async_trait]
pub trait Waiting: Send + Sync + 'static {
    /// How many orders are BACKORDERED, counted up to `limit`, and when the first placed of them
    /// was placed.
    async fn backorders(&self, limit: u32) -> Result<(u32, Option<Timestamp>), Error>;
}

/// The SQL of [`Waiting`]; `$1` is the limit.
const BACKORDERS: &str = "SELECT
        (SELECT count(*) FROM (SELECT 1 FROM orders WHERE status = 'BACKORDERED' LIMIT $1) AS waiting),
        (SELECT placed_at FROM orders WHERE status = 'BACKORDERED' ORDER BY sequence LIMIT 1)";

/// A row of [`BACKORDERS`].
fn backorders((count, oldest): (i64, Option<i64>)) -> (u32, Option<Timestamp>) {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    (count, oldest.map(Timestamp))
}
