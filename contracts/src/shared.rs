//! Values that several messages carry.

use serde::{Deserialize, Serialize};

/// A product and how many of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Line {
    /// The product.
    pub product_id: String,
    /// How many, 1 to 1,000,000.
    pub quantity: i32,
}

/// What to do when there is not enough stock for every line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OnShortage {
    /// Wait for stock.
    #[default]
    Backorder,
    /// Refuse the order.
    Reject,
}

/// Why an order gets no stock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Refusal {
    /// A product was never received.
    UnknownProduct,
    /// Too little available, or others wait for it.
    OutOfStock,
}

impl OnShortage {
    /// Its name on the wire: `BACKORDER`, `REJECT`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backorder => "BACKORDER",
            Self::Reject => "REJECT",
        }
    }
}

impl Refusal {
    /// Its name on the wire: `UNKNOWN_PRODUCT`, `OUT_OF_STOCK`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownProduct => "UNKNOWN_PRODUCT",
            Self::OutOfStock => "OUT_OF_STOCK",
        }
    }
}
