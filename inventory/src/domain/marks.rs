//! Products whose queues must be looked at.

use std::collections::{BTreeMap, BTreeSet};

use super::ids::ProductId;

/// A note that something changed for a product's waiters: goods came, a promise was taken back, a
/// waiter left. It is durable until the fulfilment pass has dealt with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Marks are dealt with in this order, so that no product is forgotten for a busier one.
    pub sequence: i64,
    /// Id of the message that made it.
    pub causation_id: String,
}

/// The marks of a working set.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    stored: BTreeMap<ProductId, Mark>,
    now: BTreeMap<ProductId, Mark>,
    beyond: bool,
}

impl Marks {
    /// Takes in the first marks of the database; `beyond` says that there are more. Must come
    /// before the first mark is cleared. An older mark replaces one of this turn.
    pub fn load(&mut self, stored: impl IntoIterator<Item = (ProductId, Mark)>, beyond: bool) {
        for (product, mark) in stored {
            self.now.insert(product.clone(), mark.clone());
            self.stored.insert(product, mark);
        }
        self.beyond = beyond;
    }

    /// Marks a product, unless it is marked.
    pub fn set(&mut self, product: ProductId, mark: Mark) {
        self.now.entry(product).or_insert(mark);
    }

    /// Removes a product's mark.
    pub fn clear(&mut self, product: &ProductId) {
        self.now.remove(product);
    }

    /// The oldest mark of a product that is not in `except`.
    #[must_use]
    pub fn oldest(&self, except: &BTreeSet<ProductId>) -> Option<(ProductId, Mark)> {
        self.now
            .iter()
            .filter(|(product, _)| !except.contains(*product))
            .min_by_key(|(_, mark)| mark.sequence)
            .map(|(product, mark)| (product.clone(), mark.clone()))
    }

    /// The marked products that are known here, oldest mark first.
    #[must_use]
    pub fn products(&self) -> Vec<ProductId> {
        let mut marked: Vec<_> = self.now.iter().collect();
        marked.sort_by_key(|(_, mark)| mark.sequence);
        marked
            .into_iter()
            .map(|(product, _)| product.clone())
            .collect()
    }

    /// Whether any product is marked, here or in the part that was not loaded.
    #[must_use]
    pub fn any(&self) -> bool {
        self.beyond || !self.now.is_empty()
    }

    /// Marks to delete from the database (before [`Marks::added`] are inserted).
    pub fn removed(&self) -> impl Iterator<Item = &ProductId> {
        self.stored
            .iter()
            .filter(|(product, mark)| self.now.get(*product) != Some(*mark))
            .map(|(product, _)| product)
    }

    /// Marks to insert where there is none.
    pub fn added(&self) -> impl Iterator<Item = (&ProductId, &Mark)> {
        self.now
            .iter()
            .filter(|(product, mark)| self.stored.get(*product) != Some(*mark))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(sequence: i64) -> Mark {
        Mark {
            sequence,
            causation_id: format!("message {sequence}"),
        }
    }

    #[test]
    fn the_oldest_mark_comes_first_whatever_the_product() {
        let mut marks = Marks::default();
        marks.load([(ProductId::from("Z"), mark(1))], false);
        marks.set(ProductId::from("A"), mark(2));
        marks.set(ProductId::from("Z"), mark(3));
        let (first, _) = marks.oldest(&BTreeSet::new()).unwrap();
        assert_eq!(first, ProductId::from("Z"));
        assert_eq!(marks.products(), ["Z", "A"].map(ProductId::from));
    }

    #[test]
    fn a_mark_set_and_cleared_in_one_turn_is_never_written() {
        let mut marks = Marks::default();
        marks.load([], false);
        marks.set(ProductId::from("A"), mark(1));
        marks.clear(&ProductId::from("A"));
        assert_eq!((marks.added().count(), marks.removed().count()), (0, 0));
        assert!(!marks.any());
    }

    #[test]
    fn a_mark_cleared_and_set_again_goes_to_the_end() {
        let mut marks = Marks::default();
        marks.load([(ProductId::from("A"), mark(1))], false);
        marks.clear(&ProductId::from("A"));
        marks.set(ProductId::from("A"), mark(7));
        assert_eq!(marks.removed().count(), 1);
        assert_eq!(
            marks.added().next(),
            Some((&ProductId::from("A"), &mark(7)))
        );
    }
}
