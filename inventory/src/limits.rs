//! Inventory's own limits, each with its reason.

/// Reservations of one answer of an export: the largest is about 15 KiB, so that an answer stays
/// below the 4 MiB that gRPC clients decode unasked.
pub(crate) const EXPORT_ROWS: usize = 200;
/// Orders that one request for named reservations may name.
pub(crate) const EXPORT_IDS_MAX: usize = 1_000;

/// How much of the queues one turn looks at: enough to serve a popular product's waiters by the
/// hundred, little enough that a turn stays below tens of milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Waiters that one fulfilment pass looks at.
    pub waiters_per_turn: usize,
    /// Marked products that one turn loads.
    pub products_per_turn: usize,
    /// Places in queues that one turn loads for the pass, shared out among its products.
    pub places_per_turn: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            waiters_per_turn: 200,
            products_per_turn: 50,
            places_per_turn: 400,
        }
    }
}

impl Bounds {
    /// Places to load of each of `products` queues: at least one, so that every turn can look at
    /// the first waiter of the oldest mark.
    #[must_use]
    pub fn places_each(&self, products: usize) -> usize {
        (self.places_per_turn / products.max(1)).max(1)
    }
}
