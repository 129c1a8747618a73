//! The book's tables in memory, kept as plainly as can be.

use std::collections::{BTreeMap, BTreeSet};

use inventory::domain::book::Counters;
use inventory::domain::changes::Changes;
use inventory::domain::ids::{OrderId, ProductId, ReceiptId};
use inventory::domain::marks::Mark;
use inventory::domain::receive::Receipt;
use inventory::domain::reservation::{Reservation, Status};
use inventory::domain::stock::Stock;
use inventory::store::BookTables;
use messaging::store::Error;

/// All rows. The reservations' queues stand in `waiters` only.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Shelf {
    pub(crate) counters: Counters,
    pub(crate) stock: BTreeMap<ProductId, Stock>,
    pub(crate) receipts: BTreeMap<ReceiptId, Receipt>,
    pub(crate) reservations: BTreeMap<OrderId, Reservation>,
    pub(crate) waiters: BTreeMap<(ProductId, i64), OrderId>,
    pub(crate) marks: BTreeMap<ProductId, Mark>,
}

impl Shelf {
    pub(crate) fn status(&self, order: &str) -> Option<Status> {
        let reservation = self.reservations.get(&OrderId::from(order))?;
        Some(reservation.status)
    }

    /// Who waits for a product, in order.
    pub(crate) fn queue(&self, product: &ProductId) -> Vec<(i64, &Reservation)> {
        let of_product = self.waiters.iter().filter(|((of, _), _)| of == product);
        of_product
            .map(|((_, position), order)| (*position, &self.reservations[order]))
            .collect()
    }

    pub(crate) fn available(&self, product: &ProductId) -> i64 {
        self.stock.get(product).map_or(0, Stock::available)
    }

    fn stored(reservation: &Reservation) -> Reservation {
        Reservation {
            short: BTreeSet::new(),
            ..reservation.clone()
        }
    }
}

impl BookTables for Shelf {
    async fn lock(&mut self) -> Result<Counters, Error> {
        Ok(self.counters)
    }

    async fn receipts(&mut self, ids: &[ReceiptId]) -> Result<Vec<Receipt>, Error> {
        Ok(ids
            .iter()
            .filter_map(|id| self.receipts.get(id).cloned())
            .collect())
    }

    async fn reservations(&mut self, orders: &[OrderId]) -> Result<Vec<Reservation>, Error> {
        let found = orders.iter().filter_map(|id| self.reservations.get(id));
        Ok(found
            .map(|reservation| {
                let places = self.waiters.iter();
                let own = places.filter(|(_, order)| **order == reservation.order_id);
                Reservation {
                    short: own.map(|((product, _), _)| product.clone()).collect(),
                    ..reservation.clone()
                }
            })
            .collect())
    }

    async fn stock(&mut self, products: &[ProductId]) -> Result<Vec<(ProductId, Stock)>, Error> {
        let row = |id: &ProductId| Some((id.clone(), *self.stock.get(id)?));
        Ok(products.iter().filter_map(row).collect())
    }

    async fn queues(
        &mut self,
        products: &[ProductId],
        places: usize,
    ) -> Result<Vec<(ProductId, i64, OrderId)>, Error> {
        let mut first = Vec::new();
        for product in products {
            let queue = self.waiters.iter().filter(|((of, _), _)| of == product);
            let queue = queue.map(|((of, at), order)| (of.clone(), *at, order.clone()));
            first.extend(queue.take(places));
        }
        Ok(first)
    }

    async fn marks(&mut self, limit: usize) -> Result<Vec<(ProductId, Mark)>, Error> {
        let mut marks: Vec<_> = self.marks.clone().into_iter().collect();
        marks.sort_by_key(|(_, mark)| mark.sequence);
        marks.truncate(limit);
        Ok(marks)
    }

    async fn write(&mut self, changes: &Changes<'_>) -> Result<(), Error> {
        if let Some(counters) = changes.counters {
            self.counters = counters;
        }
        for (product, stock) in &changes.stock {
            self.stock.insert((*product).clone(), **stock);
        }
        for receipt in &changes.receipts {
            let twice = self
                .receipts
                .insert(receipt.receipt_id.clone(), (*receipt).clone());
            assert_eq!(twice, None, "a receipt is written once");
        }
        for placed in &changes.placed {
            let row = Self::stored(placed);
            let twice = self.reservations.insert(placed.order_id.clone(), row);
            assert_eq!(twice, None, "a reservation is placed once");
        }
        for moved in &changes.moved {
            let row = self.reservations.get_mut(&moved.order_id).unwrap();
            *row = Self::stored(moved);
        }
        for left in &changes.left {
            let place = (left.product.clone(), left.position);
            assert_eq!(self.waiters.remove(&place).as_ref(), Some(left.order_id));
        }
        for joined in &changes.joined {
            let place = (joined.product.clone(), joined.position);
            let taken = self.waiters.insert(place, joined.order_id.clone());
            assert_eq!(taken, None, "a place belongs to one order");
        }
        for product in &changes.unmarked {
            self.marks.remove(*product);
        }
        for (product, mark) in &changes.marked {
            self.marks
                .entry((*product).clone())
                .or_insert((*mark).clone());
        }
        Ok(())
    }
}
