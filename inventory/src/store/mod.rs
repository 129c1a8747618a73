//! Inventory's own tables.
//!
//! What a turn loads and writes is decided here once ([`loading`], [`crate::domain::changes`]);
//! a database gives only the bulk statements, as a [`BookTables`].

use std::future::Future;

use async_trait::async_trait;
use messaging::clock::Timestamp;
use messaging::store::Error;

use crate::domain::book::Counters;
use crate::domain::changes::Changes;
use crate::domain::ids::{OrderId, ProductId, ReceiptId};
use crate::domain::marks::Mark;
use crate::domain::receive::Receipt;
use crate::domain::reservation::Reservation;
use crate::domain::stock::Stock;

pub mod loading;
pub mod memory;
pub mod postgres;
mod row;
pub mod sqlite;

/// The book that this version works on.
pub const BOOK: &str = "main";

/// The book's tables, inside one transaction. Each call is at most a few statements, whatever the
/// number of keys; keys without a row have no item in the answer.
pub trait BookTables: Send {
    /// Locks the book until the transaction ends, then reads its counters. Must be the first call:
    /// what later calls read is then nobody else's to change.
    fn lock(&mut self) -> impl Future<Output = Result<Counters, Error>> + Send;

    /// Receipts by id.
    fn receipts(
        &mut self,
        ids: &[ReceiptId],
    ) -> impl Future<Output = Result<Vec<Receipt>, Error>> + Send;

    /// Reservations by order, with their lines and the queues they stand in.
    fn reservations(
        &mut self,
        orders: &[OrderId],
    ) -> impl Future<Output = Result<Vec<Reservation>, Error>> + Send;

    /// Stock by product.
    fn stock(
        &mut self,
        products: &[ProductId],
    ) -> impl Future<Output = Result<Vec<(ProductId, Stock)>, Error>> + Send;

    /// The first `places` waiters of each product's queue.
    fn queues(
        &mut self,
        products: &[ProductId],
        places: usize,
    ) -> impl Future<Output = Result<Vec<(ProductId, i64, OrderId)>, Error>> + Send;

    /// The oldest `limit` marks.
    fn marks(
        &mut self,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<(ProductId, Mark)>, Error>> + Send;

    /// The `limit` waiters with the earliest deadlines, earliest first.
    fn deadlines(
        &mut self,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<(Timestamp, OrderId)>, Error>> + Send;

    /// Writes the changes.
    fn write(&mut self, changes: &Changes<'_>) -> impl Future<Output = Result<(), Error>> + Send;
}

/// A reservation, with its place in each queue that it stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The reservation.
    pub reservation: Reservation,
    /// Its places, from 1, in the sequence of `reservation.short`.
    pub places: Vec<i64>,
}

/// What an audit reads: committed reservations, beside the turns.
#[async_trait]
pub trait Export: Send + Sync + 'static {
    /// At most `limit` reservations after that of order `after` (all of them if empty), by order.
    async fn after(&self, after: &str, limit: usize) -> Result<Vec<Reservation>, Error>;

    /// The reservations of these orders, those that there are.
    async fn of(&self, order_ids: &[String]) -> Result<Vec<Placed>, Error>;
}

/// What the query service reads: committed stock, beside the turns.
#[async_trait]
pub trait Queries: Send + Sync + 'static {
    /// A product's stock; `None` if it was never received.
    async fn stock(&self, product_id: &str) -> Result<Option<Stock>, Error>;

    /// At most `limit` products after `after` (all of them if empty), by product id.
    async fn page(&self, after: &str, limit: u32) -> Result<Vec<(ProductId, Stock)>, Error>;
}
