//! Stock of one product.

/// What the book holds of one product, in pieces.
///
/// `0 <= reserved <= on_hand` at every commit; the database checks it too, so a rule that broke it
/// could not be committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stock {
    /// Pieces in the house: receipts minus shipments.
    pub on_hand: i64,
    /// Pieces promised to orders.
    pub reserved: i64,
    /// Number of receipts applied.
    pub version: i64,
}

impl Stock {
    /// Pieces that may still be promised.
    #[must_use]
    pub fn available(&self) -> i64 {
        self.on_hand - self.reserved
    }

    /// Goods arrive.
    #[must_use]
    pub fn receive(self, quantity: i32) -> Self {
        Self {
            on_hand: self.on_hand + i64::from(quantity),
            version: self.version + 1,
            ..self
        }
    }

    /// Promises pieces that are available.
    #[must_use]
    pub fn hold(self, quantity: i32) -> Self {
        debug_assert!(
            i64::from(quantity) <= self.available(),
            "held more than available"
        );
        Self {
            reserved: self.reserved + i64::from(quantity),
            ..self
        }
    }

    /// Takes a promise back.
    #[must_use]
    pub fn release(self, quantity: i32) -> Self {
        debug_assert!(
            i64::from(quantity) <= self.reserved,
            "released more than held"
        );
        Self {
            reserved: self.reserved - i64::from(quantity),
            ..self
        }
    }

    /// Promised pieces leave the house: what is available stays the same.
    #[must_use]
    pub fn ship(self, quantity: i32) -> Self {
        debug_assert!(
            i64::from(quantity) <= self.reserved,
            "shipped more than held"
        );
        Self {
            on_hand: self.on_hand - i64::from(quantity),
            reserved: self.reserved - i64::from(quantity),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STOCK: Stock = Stock {
        on_hand: 10,
        reserved: 4,
        version: 2,
    };

    #[test]
    fn a_receipt_raises_what_is_available_and_the_version() {
        let after = STOCK.receive(5);
        assert_eq!((after.on_hand, after.reserved, after.version), (15, 4, 3));
        assert_eq!(after.available(), 11);
    }

    #[test]
    fn holding_and_releasing_move_only_what_is_reserved() {
        let held = STOCK.hold(6);
        assert_eq!((held.on_hand, held.reserved, held.available()), (10, 10, 0));
        assert_eq!(held.release(6), STOCK);
    }

    #[test]
    fn shipping_leaves_what_is_available_as_it_was() {
        let shipped = STOCK.ship(3);
        assert_eq!((shipped.on_hand, shipped.reserved), (7, 1));
        assert_eq!(shipped.available(), STOCK.available());
    }
}
