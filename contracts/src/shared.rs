//! Values that several messages carry.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

/// A product and how many of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Line {
    /// The product.
    pub product_id: String,
    /// How many, 1 to 1,000,000.
    pub quantity: i32,
}

/// Reads the record of a line under any name: each schema has a line record of its own, because a
/// named type is used once, while a derived reader insists on the name of the Rust type.
impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LineVisitor)
    }
}

struct LineVisitor;

/// The fields of [`Line`], once the record is a map.
#[derive(Deserialize)]
struct LineFields {
    product_id: String,
    quantity: i32,
}

impl<'de> Visitor<'de> for LineVisitor {
    type Value = Line;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a line: product_id and quantity")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Line, A::Error> {
        let LineFields {
            product_id,
            quantity,
        } = LineFields::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Line {
            product_id,
            quantity,
        })
    }
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

/// Why an order was refused whose deadline has passed.
pub const TIMED_OUT: &str = "TIMED_OUT";

/// Why an order gets no stock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Refusal {
    /// A product was never received.
    UnknownProduct,
    /// Too little available, or others wait for it.
    OutOfStock,
}

/// Why an order was refused, for people: the word, and the products concerned if there are any.
#[must_use]
pub fn refusal_text(why: &str, short: &[String]) -> String {
    if short.is_empty() {
        return why.to_owned();
    }
    format!("{why}: {}", short.join(", "))
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

    /// Why an order was refused, in one word: [`TIMED_OUT`] or the name of the reason.
    ///
    /// The enum on the wire cannot grow: its readers of version 1 have no symbol to fall back on. So
    /// that a deadline has passed stands beside it.
    #[must_use]
    pub fn why(self, timed_out: bool) -> &'static str {
        if timed_out { TIMED_OUT } else { self.as_str() }
    }
}
