//! The part of the stock book that one batch concerns.

use std::collections::BTreeMap;

use messaging::clock::Timestamp;

use super::deadline::Earliest;
use super::ids::{OrderId, ProductId, ReceiptId};
use super::marks::{Mark, Marks};
use super::queue::Queue;
use super::receive::Receipt;
use super::reservation::Reservation;
use super::rows::{NotLoaded, Rows};
use super::stock::Stock;

/// The book's own row: the next number of each kind, and the next deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    /// Next place in the queues; one line of places for the whole book.
    pub position: i64,
    /// Next number of a waiter served.
    pub fulfilment: i64,
    /// Next number of a mark.
    pub mark: i64,
    /// No waiter's deadline lies before this; `None` if no waiter has one.
    pub due: Option<Timestamp>,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            position: 1,
            fulfilment: 1,
            mark: 1,
            due: None,
        }
    }
}

/// A working set: rows as loaded, with the changes that the rules have made.
///
/// Rules read facts through it and get [`NotLoaded`] for what is not here, so that a rule can never
/// take "not looked at" for "not there".
#[derive(Clone, Debug)]
pub struct Book {
    pub(super) counters_stored: Counters,
    pub(super) counters: Counters,
    pub(super) stock: Rows<ProductId, Stock>,
    pub(super) receipts: Rows<ReceiptId, Receipt>,
    pub(super) reservations: Rows<OrderId, Reservation>,
    pub(super) marks: Marks,
    pub(super) earliest: Option<Earliest>,
    queues: BTreeMap<ProductId, Queue>,
    now: Timestamp,
}

impl Book {
    /// A working set with nothing loaded but the counters.
    #[must_use]
    pub fn new(counters: Counters) -> Self {
        Self {
            counters_stored: counters,
            counters,
            stock: Rows::new("stock of"),
            receipts: Rows::new("receipt"),
            reservations: Rows::new("reservation of"),
            marks: Marks::default(),
            earliest: None,
            queues: BTreeMap::new(),
            now: Timestamp(i64::MIN),
        }
    }

    /// Takes in the time of the turn. Before that no deadline has passed.
    pub fn tell_time(&mut self, now: Timestamp) {
        self.now = now;
    }

    /// The time of the turn.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Whether a waiter's deadline may have passed.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.is_late(self.counters.due)
    }

    /// Takes in the waiters with the earliest deadlines.
    pub fn load_earliest(&mut self, earliest: Earliest) {
        self.earliest = Some(earliest);
    }

    /// Takes in a product's stock; `None` if it was never received.
    pub fn load_stock(&mut self, product: ProductId, stored: Option<Stock>) {
        self.stock.load(product, stored);
    }

    /// Takes in a receipt; `None` if there is none of this id.
    pub fn load_receipt(&mut self, id: ReceiptId, stored: Option<Receipt>) {
        self.receipts.load(id, stored);
    }

    /// Takes in an order's reservation; `None` if it has none.
    pub fn load_reservation(&mut self, order_id: OrderId, stored: Option<Reservation>) {
        self.reservations.load(order_id, stored);
    }

    /// Takes in the first waiters of a product's queue as the database has them, and applies what
    /// this working set has already changed there. `rest` says that more stand behind them.
    pub fn load_queue(
        &mut self,
        product: ProductId,
        first: impl IntoIterator<Item = (i64, OrderId)>,
        rest: bool,
    ) {
        let mut queue = Queue::new(product.clone(), first, rest);
        for (order_id, stored, now) in self.reservations.changed() {
            let Some(position) = now.position else {
                continue;
            };
            let stood = stored.is_some_and(|stored| stored.short.contains(&product));
            match (stood, now.short.contains(&product)) {
                (true, false) => queue.leave(position),
                (false, true) => queue.join(position, order_id.clone()),
                _ => {}
            }
        }
        self.queues.insert(product, queue);
    }

    /// Takes in the oldest marks of the database; `beyond` says that there are more.
    pub fn load_marks(
        &mut self,
        stored: impl IntoIterator<Item = (ProductId, Mark)>,
        beyond: bool,
    ) {
        self.marks.load(stored, beyond);
    }

    /// A product's stock; `None` if it was never received.
    ///
    /// # Errors
    /// When it is not loaded.
    pub fn stock(&self, product: &ProductId) -> Result<Option<Stock>, NotLoaded> {
        Ok(self.stock.get(product)?.copied())
    }

    /// A receipt; `None` if there is none of this id.
    ///
    /// # Errors
    /// When it is not loaded.
    pub fn receipt(&self, id: &ReceiptId) -> Result<Option<&Receipt>, NotLoaded> {
        self.receipts.get(id)
    }

    /// An order's reservation; `None` if it has none.
    ///
    /// # Errors
    /// When it is not loaded.
    pub fn reservation(&self, order_id: &OrderId) -> Result<Option<&Reservation>, NotLoaded> {
        self.reservations.get(order_id)
    }

    /// Whether the reservation's row is loaded, present or not.
    #[must_use]
    pub fn has_reservation(&self, order_id: &OrderId) -> bool {
        self.reservations.is_loaded(order_id)
    }

    /// Whether the product's stock row is loaded, present or not.
    #[must_use]
    pub fn has_stock(&self, product: &ProductId) -> bool {
        self.stock.is_loaded(product)
    }

    /// A product's queue.
    ///
    /// # Errors
    /// When it is not loaded.
    pub fn queue(&self, product: &ProductId) -> Result<&Queue, NotLoaded> {
        self.queues.get(product).ok_or_else(|| NotLoaded {
            what: "the queue for",
            id: product.to_string(),
        })
    }

    /// The marked products that are known here, oldest mark first.
    #[must_use]
    pub fn marked(&self) -> Vec<ProductId> {
        self.marks.products()
    }

    /// How many waiters have left queues in this working set so far: a prefix that is loaded now
    /// may lose as many.
    #[must_use]
    pub fn waiters_left(&self) -> usize {
        self.reservations
            .changed()
            .filter(|(_, stored, now)| {
                stored.is_some_and(|stored| !stored.short.is_subset(&now.short))
            })
            .count()
    }

    /// Changes a loaded product's stock.
    pub(super) fn put_stock(&mut self, product: &ProductId, stock: Stock) {
        self.stock.put(product.clone(), stock);
    }

    /// Records a receipt.
    pub(super) fn put_receipt(&mut self, receipt: Receipt) {
        self.receipts.put(receipt.receipt_id.clone(), receipt);
    }

    /// Writes a reservation; the loaded queues follow what it is short of.
    pub(super) fn put_reservation(&mut self, reservation: Reservation) {
        let before = match self.reservations.get(&reservation.order_id) {
            Ok(Some(before)) => before.short.clone(),
            _ => Default::default(),
        };
        if let Some(position) = reservation.position {
            for product in before.difference(&reservation.short) {
                if let Some(queue) = self.queues.get_mut(product) {
                    queue.leave(position);
                }
            }
            for product in reservation.short.difference(&before) {
                if let Some(queue) = self.queues.get_mut(product) {
                    queue.join(position, reservation.order_id.clone());
                }
            }
        }
        self.reservations
            .put(reservation.order_id.clone(), reservation);
    }

    /// Marks a product for the fulfilment pass, unless nobody waits for it.
    pub(super) fn mark(&mut self, product: &ProductId, causation_id: &str) {
        let nobody_waits = self
            .queue(product)
            .and_then(|queue| Ok(queue.head()?.is_none()));
        if nobody_waits == Ok(true) {
            return;
        }
        let mark = Mark {
            sequence: self.counters.mark,
            causation_id: causation_id.to_owned(),
        };
        self.counters.mark += 1;
        self.marks.set(product.clone(), mark);
    }

    /// Whether it is too late for an order that must be reserved by then.
    pub(super) fn is_late(&self, deadline: Option<Timestamp>) -> bool {
        deadline.is_some_and(|deadline| deadline <= self.now)
    }

    /// Somebody waits whose deadline this is.
    pub(super) fn expect(&mut self, deadline: Option<Timestamp>) {
        let deadlines = self.counters.due.into_iter().chain(deadline);
        self.counters.due = deadlines.min();
    }

    /// The next place in the queues.
    pub(super) fn take_position(&mut self) -> i64 {
        let position = self.counters.position;
        self.counters.position += 1;
        position
    }

    /// The next number of a waiter served.
    pub(super) fn take_fulfilment(&mut self) -> i64 {
        let fulfilment = self.counters.fulfilment;
        self.counters.fulfilment += 1;
        fulfilment
    }
}

#[cfg(test)]
mod tests {
    use super::super::given::{Given, waiters};
    use super::*;

    #[test]
    fn a_queue_loaded_late_follows_what_has_changed_since() {
        let mut book = Given::stock(&[("A", 0)]).book();
        book.place("O1", &[("A", 1)]);
        book.place("O2", &[("A", 1)]);
        book.cancel("O1");
        // The database knows neither.
        book.load_queue(ProductId::from("A"), [], false);
        assert_eq!(waiters(&book, "A"), ["O2"]);
    }

    #[test]
    fn nothing_is_marked_where_nobody_waits() {
        let mut book = Given::stock(&[("A", 5)]).book();
        book.mark(&ProductId::from("A"), "a receipt");
        assert!(book.marked().is_empty());
    }

    #[test]
    fn a_product_whose_queue_was_not_looked_at_is_marked() {
        let mut book = Book::new(Counters::default());
        book.mark(&ProductId::from("A"), "a receipt");
        assert_eq!(book.marked(), [ProductId::from("A")]);
    }
}
