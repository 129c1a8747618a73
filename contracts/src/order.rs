//! Order's messages: what it is asked and what it tells.

use messaging::context::ContentHash;
use serde::{Deserialize, Serialize};

use crate::canonical::Canonical;
use crate::macros::{event, events, message, messages};
pub use crate::shared::{Line, OnShortage, Refusal};

/// The aggregate of Order's events.
pub const AGGREGATE: &str = "order";

/// Command: place an order. The first content placed under an order_id wins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceOrder {
    /// The client's id of the order.
    pub order_id: String,
    /// The customer.
    pub customer_id: String,
    /// ISO 4217 code of all prices.
    pub currency: String,
    /// 1 to 100 lines, sorted by product_id, no product twice.
    pub lines: Vec<PlaceOrderLine>,
    /// What to do when there is not enough stock for every line.
    pub on_shortage: OnShortage,
    /// Not reserved before this instant (milliseconds since the Unix epoch), it is refused.
    pub reserve_by: Option<i64>,
}

/// One product of an order, with its price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceOrderLine {
    /// The product.
    pub product_id: String,
    /// How many, 1 to 1,000,000.
    pub quantity: i32,
    /// Price of one in minor units, 0 to 1,000,000,000.
    pub unit_price_minor: i64,
}

impl PlaceOrder {
    /// The order with its lines as every writer must give them: sorted by product.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.lines
            .sort_by(|one, other| one.product_id.cmp(&other.product_id));
        self
    }

    /// Sum of quantity times price, in minor units, saturating. Within the limits it fits: at most
    /// 100 * 1e6 * 1e9 = 1e17.
    #[must_use]
    pub fn total_price_minor(&self) -> i64 {
        self.lines.iter().fold(0, |sum: i64, line| {
            sum.saturating_add(i64::from(line.quantity).saturating_mul(line.unit_price_minor))
        })
    }

    /// Sum of the quantities.
    #[must_use]
    pub fn total_quantity(&self) -> i64 {
        self.lines.iter().map(|line| i64::from(line.quantity)).sum()
    }

    /// Hash of what the client ordered; the sequence of the lines does not matter.
    #[must_use]
    pub fn content(&self) -> ContentHash {
        let mut lines: Vec<_> = self.lines.iter().collect();
        lines.sort_by_key(|line| (&line.product_id, line.quantity, line.unit_price_minor));
        let order = Canonical::default()
            .text(&self.order_id)
            .text(&self.customer_id)
            .text(&self.currency)
            .text(self.on_shortage.as_str());
        let order = lines.into_iter().fold(order, |canonical, line| {
            canonical
                .text(&line.product_id)
                .number(line.quantity.into())
                .number(line.unit_price_minor)
        });
        // Without one the form is that of the time before there were deadlines. A number alone is no
        // line, so no two contents share a form.
        match self.reserve_by {
            Some(deadline) => order.number(deadline).hash(),
            None => order.hash(),
        }
    }
}

/// Command: cancel an order, also one that is placed only later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelOrder {
    /// The order.
    pub order_id: String,
    /// For people; may be empty.
    pub reason: String,
    /// Only if it is this customer's order; `None`: whoever's it is.
    pub customer_id: Option<String>,
}

impl CancelOrder {
    /// Hash of what the client asked for.
    #[must_use]
    pub fn content(&self) -> ContentHash {
        let asked = Canonical::default().text(&self.order_id).text(&self.reason);
        // Without a customer it is what version 1 of the schema was hashed to.
        let customer_id = self.customer_id.iter();
        customer_id
            .fold(asked, |asked, customer_id| asked.text(customer_id))
            .hash()
    }
}

/// Command: ship an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompleteOrder {
    /// The order.
    pub order_id: String,
}

impl CompleteOrder {
    /// Hash of what the client asked for.
    #[must_use]
    pub fn content(&self) -> ContentHash {
        Canonical::default().text(&self.order_id).hash()
    }
}

/// An order exists and asks for stock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderPlaced {
    /// The order.
    pub order_id: String,
    /// The order's version after the change.
    pub version: i64,
    /// What it asks for, sorted by product_id.
    pub lines: Vec<Line>,
    /// What to do when there is not enough stock.
    pub on_shortage: OnShortage,
    /// The deadline in force, the client's or the store's, in milliseconds since the Unix epoch.
    pub reserve_by: Option<i64>,
}

/// All lines of the order are held in stock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderReserved {
    /// The order.
    pub order_id: String,
    /// The order's version after the change.
    pub version: i64,
}

/// The order waits for stock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderBackordered {
    /// The order.
    pub order_id: String,
    /// The order's version after the change.
    pub version: i64,
    /// The products it waits for, sorted.
    pub short: Vec<String>,
}

/// The order is refused. Terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderRejected {
    /// The order.
    pub order_id: String,
    /// The order's version after the change.
    pub version: i64,
    /// Why.
    pub reason: Refusal,
    /// The products that were unknown or short, sorted.
    pub short: Vec<String>,
    /// Whether its deadline passed before it was reserved; the reason is OUT_OF_STOCK then.
    pub timed_out: bool,
}

impl OrderRejected {
    /// Why, in one word: see [`Refusal::why`].
    #[must_use]
    pub fn why(&self) -> &'static str {
        self.reason.why(self.timed_out)
    }
}

/// The order is cancelled. Terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderCancelled {
    /// The order.
    pub order_id: String,
    /// The order's version after the change.
    pub version: i64,
    /// The reason given with the cancellation; may be empty.
    pub reason: String,
}

/// The order is shipped. Terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderCompleted {
    /// The order.
    pub order_id: String,
    /// The order's version after the change.
    pub version: i64,
}

message!(
    PlaceOrder,
    "shop.order.PlaceOrder",
    ORDER_COMMANDS,
    SHOP_ORDER_PLACE_ORDER,
    order_id
);
message!(
    CancelOrder,
    "shop.order.CancelOrder",
    ORDER_COMMANDS,
    SHOP_ORDER_CANCEL_ORDER,
    order_id
);
message!(
    CompleteOrder,
    "shop.order.CompleteOrder",
    ORDER_COMMANDS,
    SHOP_ORDER_COMPLETE_ORDER,
    order_id
);
event!(
    OrderPlaced,
    "shop.order.OrderPlaced",
    ORDER_EVENTS,
    SHOP_ORDER_ORDER_PLACED,
    order_id,
    AGGREGATE
);
event!(
    OrderReserved,
    "shop.order.OrderReserved",
    ORDER_EVENTS,
    SHOP_ORDER_ORDER_RESERVED,
    order_id,
    AGGREGATE
);
event!(
    OrderBackordered,
    "shop.order.OrderBackordered",
    ORDER_EVENTS,
    SHOP_ORDER_ORDER_BACKORDERED,
    order_id,
    AGGREGATE
);
event!(
    OrderRejected,
    "shop.order.OrderRejected",
    ORDER_EVENTS,
    SHOP_ORDER_ORDER_REJECTED,
    order_id,
    AGGREGATE
);
event!(
    OrderCancelled,
    "shop.order.OrderCancelled",
    ORDER_EVENTS,
    SHOP_ORDER_ORDER_CANCELLED,
    order_id,
    AGGREGATE
);
event!(
    OrderCompleted,
    "shop.order.OrderCompleted",
    ORDER_EVENTS,
    SHOP_ORDER_ORDER_COMPLETED,
    order_id,
    AGGREGATE
);

messages! {
    /// What Order is asked.
    OrderCommand {
        Place(PlaceOrder),
        Cancel(CancelOrder),
        Complete(CompleteOrder),
    }
}

events! {
    /// What Order tells.
    OrderEvent {
        Placed(OrderPlaced),
        Reserved(OrderReserved),
        Backordered(OrderBackordered),
        Rejected(OrderRejected),
        Cancelled(OrderCancelled),
        Completed(OrderCompleted),
    }
}
