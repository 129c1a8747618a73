//! Inventory's messages: what it is asked and what it tells.

use messaging::context::ContentHash;
use serde::{Deserialize, Serialize};

use crate::canonical::Canonical;
use crate::macros::{event, events, message, messages};
pub use crate::shared::{Line, Refusal};

/// The aggregate of the events of orders' reservations.
pub const RESERVATION: &str = "reservation";
/// The aggregate of the events of products' stock.
pub const STOCK: &str = "stock";

/// Command: book stock in. The first content received under a receipt_id counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiveStock {
    /// The client's id of the delivery.
    pub receipt_id: String,
    /// The product.
    pub product_id: String,
    /// How many, 1 to 1,000,000.
    pub quantity: i32,
}

impl ReceiveStock {
    /// Hash of what the client asked for.
    #[must_use]
    pub fn content(&self) -> ContentHash {
        Canonical::default()
            .text(&self.receipt_id)
            .text(&self.product_id)
            .number(self.quantity.into())
            .hash()
    }
}

/// All lines of an order are held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockReserved {
    /// The order.
    pub order_id: String,
    /// The reservation's version after the change.
    pub version: i64,
    /// What is held, sorted by product_id.
    pub lines: Vec<Line>,
}

/// An order waits in the queues of the products that it is short of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockBackordered {
    /// The order.
    pub order_id: String,
    /// The reservation's version after the change.
    pub version: i64,
    /// The products it waits for, sorted.
    pub short: Vec<String>,
}

/// An order gets no stock and does not wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockRefused {
    /// The order.
    pub order_id: String,
    /// The reservation's version after the change.
    pub version: i64,
    /// Why.
    pub reason: Refusal,
    /// The products that were unknown or short, sorted.
    pub short: Vec<String>,
    /// Whether its deadline passed before it was reserved; the reason is OUT_OF_STOCK then.
    pub timed_out: bool,
}

impl StockRefused {
    /// Why, in one word: see [`Refusal::why`].
    #[must_use]
    pub fn why(&self) -> &'static str {
        self.reason.why(self.timed_out)
    }
}

/// An order no longer holds stock nor waits for any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockReleased {
    /// The order.
    pub order_id: String,
    /// The reservation's version after the change.
    pub version: i64,
    /// What was held, sorted by product_id; empty if it only waited.
    pub lines: Vec<Line>,
}

/// An order's stock has left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockShipped {
    /// The order.
    pub order_id: String,
    /// The reservation's version after the change.
    pub version: i64,
    /// What was shipped, sorted by product_id.
    pub lines: Vec<Line>,
}

/// Stock of a product was booked in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockReceived {
    /// The product.
    pub product_id: String,
    /// The number of receipts applied to the product, this one included.
    pub version: i64,
    /// The delivery.
    pub receipt_id: String,
    /// How many came in.
    pub quantity: i32,
}

message!(
    ReceiveStock,
    "shop.inventory.ReceiveStock",
    INVENTORY_COMMANDS,
    SHOP_INVENTORY_RECEIVE_STOCK,
    product_id
);
event!(
    StockReserved,
    "shop.inventory.StockReserved",
    INVENTORY_EVENTS,
    SHOP_INVENTORY_STOCK_RESERVED,
    order_id,
    RESERVATION
);
event!(
    StockBackordered,
    "shop.inventory.StockBackordered",
    INVENTORY_EVENTS,
    SHOP_INVENTORY_STOCK_BACKORDERED,
    order_id,
    RESERVATION
);
event!(
    StockRefused,
    "shop.inventory.StockRefused",
    INVENTORY_EVENTS,
    SHOP_INVENTORY_STOCK_REFUSED,
    order_id,
    RESERVATION
);
event!(
    StockReleased,
    "shop.inventory.StockReleased",
    INVENTORY_EVENTS,
    SHOP_INVENTORY_STOCK_RELEASED,
    order_id,
    RESERVATION
);
event!(
    StockShipped,
    "shop.inventory.StockShipped",
    INVENTORY_EVENTS,
    SHOP_INVENTORY_STOCK_SHIPPED,
    order_id,
    RESERVATION
);
event!(
    StockReceived,
    "shop.inventory.StockReceived",
    INVENTORY_STOCK,
    SHOP_INVENTORY_STOCK_RECEIVED,
    product_id,
    STOCK
);

messages! {
    /// What Inventory is asked.
    InventoryCommand {
        Receive(ReceiveStock),
    }
}

events! {
    /// What Inventory tells of orders' reservations.
    ReservationEvent {
        Reserved(StockReserved),
        Backordered(StockBackordered),
        Refused(StockRefused),
        Released(StockReleased),
        Shipped(StockShipped),
    }
}

events! {
    /// What Inventory tells of products' stock.
    StockEvent {
        Received(StockReceived),
    }
}
