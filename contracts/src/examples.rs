//! A value of every version of every message: what the golden bytes beside the schemas were written
//! from.
//!
//! For a new version of a schema append its example here, with the new fields set, and give the
//! examples of earlier versions what today's type makes of them (the defaults). Then
//! `shop schemas golden` writes the new version's bytes.

use messaging::codec::{self, Schema};
use messaging::message::{self, Message, Registration};
use messaging::registry::SchemaId;
use serde::Serialize;
use serde_json::Value;

use crate::inventory::{
    ReceiveStock, StockBackordered, StockReceived, StockRefused, StockReleased, StockReserved,
    StockShipped,
};
use crate::order::{
    CancelOrder, CompleteOrder, OrderBackordered, OrderCancelled, OrderCompleted, OrderPlaced,
    OrderRejected, OrderReserved, PlaceOrder, PlaceOrderLine,
};
use crate::shared::{Line, OnShortage, Refusal};

/// A bare datum, or why there is none.
pub type Written = Result<Vec<u8>, codec::Error>;

/// The examples of one message type, whichever it is.
#[derive(Debug)]
pub struct Examples {
    /// The message type.
    pub registration: Registration,
    /// How many versions have an example.
    pub versions: fn() -> usize,
    /// An example as its Rust type holds it, in serde's eyes.
    pub value: fn(usize) -> Option<Value>,
    /// An example as `schema` writes it: a bare datum.
    pub datum: fn(usize, &Schema) -> Option<Written>,
    /// What today's type makes of a datum that `schema` wrote, in serde's eyes.
    pub read: fn(&Schema, &[u8]) -> Result<Value, codec::Error>,
}

fn value<M: Serialize>(examples: &[M], version: usize) -> Option<Value> {
    let example = examples.get(version.checked_sub(1)?)?;
    serde_json::to_value(example).ok()
}

fn datum<M: Message>(examples: &[M], version: usize, schema: &Schema) -> Option<Written> {
    let example = examples.get(version.checked_sub(1)?)?;
    let frame = codec::encode(SchemaId(1), schema, example);
    Some(frame.and_then(|frame| Ok(codec::unframe(&frame)?.1.to_vec())))
}

fn read<M: Message>(schema: &Schema, datum: &[u8]) -> Result<Value, codec::Error> {
    let message: M = message::decode(schema, datum)?;
    serde_json::to_value(message).map_err(|error| codec::Error::Decode {
        schema: schema.name().to_owned(),
        detail: error.to_string(),
    })
}

/// One list of examples per message type, by version.
macro_rules! examples {
    ($($type:ident: [$({ $($fields:tt)* })+])+) => {
        /// Every message type.
        pub const ALL: &[Examples] = &[$(
            Examples {
                registration: Registration::of::<$type>(),
                versions: || $type::examples().len(),
                value: |version| value(&$type::examples(), version),
                datum: |version, schema| datum(&$type::examples(), version, schema),
                read: |schema, datum| read::<$type>(schema, datum),
            },
        )+];

        $(
            impl $type {
                fn examples() -> Vec<Self> {
                    vec![$($type { $($fields)* }),+]
                }
            }
        )+
    };
}

examples! {
    PlaceOrder: [{
        order_id: id(),
        customer_id: "CUSTOMER_001".to_owned(),
        currency: "GBP".to_owned(),
        lines: priced_lines(),
        on_shortage: OnShortage::Reject,
        reserve_by: None,
    } {
        order_id: id(),
        customer_id: "CUSTOMER_001".to_owned(),
        currency: "GBP".to_owned(),
        lines: priced_lines(),
        on_shortage: OnShortage::Backorder,
        reserve_by: Some(1_795_305_600_123),
    }]
    CancelOrder: [
        { order_id: id(), reason: "müde 🥱".to_owned(), customer_id: None }
        { order_id: id(), reason: "müde 🥱".to_owned(), customer_id: Some("CUSTOMER_001".to_owned()) }
    ]
    CompleteOrder: [{ order_id: id() }]
    OrderPlaced: [{
        order_id: id(),
        version: 1,
        lines: lines(),
        on_shortage: OnShortage::Backorder,
        reserve_by: None,
    } {
        order_id: id(),
        version: 1,
        lines: lines(),
        on_shortage: OnShortage::Backorder,
        reserve_by: Some(1_795_305_600_123),
    }]
    OrderReserved: [{ order_id: id(), version: 2 }]
    OrderBackordered: [{ order_id: id(), version: 2, short: short() }]
    OrderRejected: [{
        order_id: id(),
        version: 2,
        reason: Refusal::OutOfStock,
        short: short(),
        timed_out: false,
    } {
        order_id: id(),
        version: 3,
        reason: Refusal::OutOfStock,
        short: short(),
        timed_out: true,
    }]
    OrderCancelled: [{ order_id: id(), version: 3, reason: String::new() }]
    OrderCompleted: [{ order_id: id(), version: 3 }]
    ReceiveStock: [{
        receipt_id: "RECEIPT_001".to_owned(),
        product_id: "PRODUCT_001".to_owned(),
        quantity: 1_000_000,
    }]
    StockReserved: [{ order_id: id(), version: 1, lines: lines() }]
    StockBackordered: [{ order_id: id(), version: 1, short: short() }]
    StockRefused: [{
        order_id: id(),
        version: 1,
        reason: Refusal::UnknownProduct,
        short: short(),
        timed_out: false,
    } {
        order_id: id(),
        version: 2,
        reason: Refusal::OutOfStock,
        short: short(),
        timed_out: true,
    }]
    StockReleased: [{ order_id: id(), version: 2, lines: Vec::new() }]
    StockShipped: [{ order_id: id(), version: 2, lines: lines() }]
    StockReceived: [{
        product_id: "PRODUCT_001".to_owned(),
        version: i64::MAX,
        receipt_id: "RECEIPT_001".to_owned(),
        quantity: 10,
    }]
}

fn id() -> String {
    "ORDER_001".to_owned()
}

fn lines() -> Vec<Line> {
    [("PRODUCT_001", 3), ("PRODUCT_002", 1_000_000)]
        .map(|(product_id, quantity)| Line {
            product_id: product_id.to_owned(),
            quantity,
        })
        .to_vec()
}

fn short() -> Vec<String> {
    vec!["PRODUCT_001".to_owned(), "PRODUCT_002".to_owned()]
}

fn priced_lines() -> Vec<PlaceOrderLine> {
    let priced = |line: Line| PlaceOrderLine {
        product_id: line.product_id,
        quantity: line.quantity,
        unit_price_minor: 1_000_000_000,
    };
    lines().into_iter().map(priced).collect()
}
