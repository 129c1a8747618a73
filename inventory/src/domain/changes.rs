//! What a working set must write: only rows that are not as they were loaded.

use super::book::{Book, Counters};
use super::ids::{OrderId, ProductId};
use super::marks::Mark;
use super::receive::Receipt;
use super::reservation::Reservation;
use super::stock::Stock;

/// A place in a product's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'b> {
    /// The product.
    pub product: &'b ProductId,
    /// The place.
    pub position: i64,
    /// Who stands there.
    pub order_id: &'b OrderId,
}

/// The rows to write, per table. Deletions come before insertions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes<'b> {
    /// The book's counters, if one moved.
    pub counters: Option<Counters>,
    /// Stock, to insert or replace.
    pub stock: Vec<(&'b ProductId, &'b Stock)>,
    /// Receipts, new.
    pub receipts: Vec<&'b Receipt>,
    /// Reservations, new, with their lines.
    pub placed: Vec<&'b Reservation>,
    /// Reservations, to replace; their lines never change.
    pub moved: Vec<&'b Reservation>,
    /// Places given up.
    pub left: Vec<Place<'b>>,
    /// Places taken.
    pub joined: Vec<Place<'b>>,
    /// Marks to delete.
    pub unmarked: Vec<&'b ProductId>,
    /// Marks to insert unless there is one.
    pub marked: Vec<(&'b ProductId, &'b Mark)>,
}

impl<'b> Changes<'b> {
    /// What `book` must write.
    #[must_use]
    pub fn of(book: &'b Book) -> Self {
        let mut changes = Self {
            counters: (book.counters != book.counters_stored).then_some(book.counters),
            stock: book
                .stock
                .changed()
                .map(|(product, _, now)| (product, now))
                .collect(),
            receipts: book.receipts.changed().map(|(_, _, now)| now).collect(),
            unmarked: book.marks.removed().collect(),
            marked: book.marks.added().collect(),
            ..Self::default()
        };
        for (_, stored, now) in book.reservations.changed() {
            changes.reservation(stored, now);
        }
        changes
    }

    fn reservation(&mut self, stored: Option<&'b Reservation>, now: &'b Reservation) {
        match stored {
            Some(_) => self.moved.push(now),
            None => self.placed.push(now),
        }
        let Some(position) = now.position else {
            return;
        };
        let place = |product| Place {
            product,
            position,
            order_id: &now.order_id,
        };
        let stood = stored.map(|stored| &stored.short);
        for product in &now.short {
            if !stood.is_some_and(|stood| stood.contains(product)) {
                self.joined.push(place(product));
            }
        }
        for product in stood.into_iter().flatten() {
            if !now.short.contains(product) {
                self.left.push(place(product));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::given::Given;
    use super::*;

    #[test]
    fn an_untouched_working_set_writes_nothing() {
        let book = Given::stock(&[("A", 5)]).book();
        assert_eq!(Changes::of(&book), Changes::default());
    }

    #[test]
    fn an_order_that_waited_and_left_in_one_batch_leaves_no_place() {
        let mut book = Given::stock(&[("A", 0)]).book();
        book.place("O1", &[("A", 1)]);
        book.cancel("O1");
        let changes = Changes::of(&book);
        assert_eq!((changes.joined.len(), changes.left.len()), (0, 0));
        assert_eq!(changes.placed.len(), 1);
        assert!(changes.stock.is_empty());
    }
}
