//! Who waits for one product, in order.

use std::collections::BTreeMap;

use messaging::mutant::{self, Mutant};

use super::ids::{OrderId, ProductId};
use super::rows::NotLoaded;

/// The first waiters of one product's queue, by position. `rest` says that more stand behind
/// them; then nothing is known about places behind the last one loaded.
#[derive(Clone, Debug)]
pub struct Queue {
    product: ProductId,
    prefix: BTreeMap<i64, OrderId>,
    rest: bool,
}

impl Queue {
    /// A queue's first waiters as loaded.
    #[must_use]
    pub fn new(
        product: ProductId,
        first: impl IntoIterator<Item = (i64, OrderId)>,
        rest: bool,
    ) -> Self {
        Self {
            product,
            prefix: first.into_iter().collect(),
            rest,
        }
    }

    /// A waiter takes its place. Behind the loaded part it is not seen, like the others there.
    pub fn join(&mut self, position: i64, order_id: OrderId) {
        let within = self
            .prefix
            .last_key_value()
            .is_some_and(|(last, _)| position < *last);
        if within || !self.rest {
            self.prefix.insert(position, order_id);
        }
    }

    /// A waiter leaves.
    pub fn leave(&mut self, position: i64) {
        self.prefix.remove(&position);
    }

    /// The first waiter.
    ///
    /// # Errors
    /// When the loaded part is used up and more may stand behind it.
    pub fn head(&self) -> Result<Option<(i64, &OrderId)>, NotLoaded> {
        let first = match mutant::on(Mutant::BackordersOutOfOrder) {
            true => self.prefix.last_key_value(),
            false => self.prefix.first_key_value(),
        };
        match first {
            Some((position, order_id)) => Ok(Some((*position, order_id))),
            None if self.rest => Err(self.used_up()),
            None => Ok(None),
        }
    }

    /// Whether somebody stands before `position`.
    ///
    /// # Errors
    /// As [`Queue::head`].
    pub fn anyone_before(&self, position: i64) -> Result<bool, NotLoaded> {
        Ok(self.head()?.is_some_and(|(first, _)| first < position))
    }

    /// The loaded waiters, first to last.
    pub fn waiters(&self) -> impl Iterator<Item = &OrderId> {
        self.prefix.values()
    }

    fn used_up(&self) -> NotLoaded {
        NotLoaded {
            what: "the rest of the queue for",
            id: self.product.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(positions: &[i64], rest: bool) -> Queue {
        let waiters = positions
            .iter()
            .map(|at| (*at, OrderId::from(format!("O{at}"))));
        Queue::new(ProductId::from("A"), waiters, rest)
    }

    fn head(queue: &Queue) -> Option<i64> {
        queue.head().unwrap().map(|(position, _)| position)
    }

    #[test]
    fn the_lowest_position_is_the_head_whoever_joins_later() {
        let mut queue = queue(&[3, 5], false);
        queue.join(9, OrderId::from("O9"));
        queue.join(1, OrderId::from("O1"));
        assert_eq!(head(&queue), Some(1));
        queue.leave(1);
        queue.leave(3);
        assert_eq!(head(&queue), Some(5));
    }

    #[test]
    fn a_whole_queue_that_is_used_up_is_empty() {
        let mut queue = queue(&[3], false);
        queue.leave(3);
        assert_eq!(head(&queue), None);
        assert_eq!(queue.anyone_before(100), Ok(false));
    }

    #[test]
    fn a_prefix_that_is_used_up_knows_nothing() {
        let mut queue = queue(&[3], true);
        queue.leave(3);
        assert!(queue.head().is_err());
        assert!(queue.anyone_before(100).is_err());
    }

    #[test]
    fn nobody_joins_a_prefix_behind_its_end() {
        let mut queue = queue(&[3, 5], true);
        queue.join(4, OrderId::from("O4"));
        queue.join(9, OrderId::from("O9"));
        assert_eq!(
            queue.waiters().count(),
            3,
            "9 may stand behind others unseen"
        );
    }

    #[test]
    fn only_lower_positions_are_before() {
        let queue = queue(&[3, 5], true);
        assert_eq!(queue.anyone_before(3), Ok(false));
        assert_eq!(queue.anyone_before(4), Ok(true));
    }
}
