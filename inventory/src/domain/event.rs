//! What the rules report.

use super::ids::{OrderId, ProductId, ReceiptId};
use super::reservation::Lines;

/// Why an order was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It names products that were never received.
    UnknownProduct,
    /// It does not want to wait and is short of something.
    OutOfStock,
    /// Its deadline passed before it was reserved.
    TimedOut,
}

/// One change, with the version that it led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// All lines are held.
    Reserved {
        /// The reservation.
        order_id: OrderId,
        /// Its version.
        version: i64,
        /// What is held.
        lines: Lines,
    },
    /// The order waits.
    Backordered {
        /// The reservation.
        order_id: OrderId,
        /// Its version.
        version: i64,
        /// The products that it is short of, sorted.
        short: Vec<ProductId>,
    },
    /// The order is not accepted.
    Refused {
        /// The reservation.
        order_id: OrderId,
        /// Its version.
        version: i64,
        /// Why.
        reason: Refusal,
        /// The products that are unknown or short, or that it waited for, sorted.
        short: Vec<ProductId>,
    },
    /// The order's promise is taken back, or it waits no longer.
    Released {
        /// The reservation.
        order_id: OrderId,
        /// Its version.
        version: i64,
        /// What was held; empty if it only waited.
        lines: Lines,
    },
    /// The order's pieces have left.
    Shipped {
        /// The reservation.
        order_id: OrderId,
        /// Its version.
        version: i64,
        /// What was held.
        lines: Lines,
    },
    /// Goods have arrived.
    Received {
        /// The product.
        product_id: ProductId,
        /// The version of its stock.
        version: i64,
        /// The receipt.
        receipt_id: ReceiptId,
        /// Pieces.
        quantity: i32,
    },
}
