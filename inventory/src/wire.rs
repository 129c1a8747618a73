//! The rules' events as the messages of the contract.

use contracts::inventory::{
    Line, Refusal, StockBackordered, StockReceived, StockRefused, StockReleased, StockReserved,
    StockShipped,
};
use messaging::codec;
use messaging::message::{Encoded, Writer};

use crate::domain::event::{self, Event};
use crate::domain::ids::{OrderId, ProductId};
use crate::domain::reservation::Lines;

/// Encodes an event for the log.
///
/// # Errors
/// When the writer was not bound to the event's schema, or the event does not fit it.
pub fn encode(writer: &Writer, event: &Event) -> Result<Encoded, codec::Error> {
    match event {
        Event::Reserved {
            order_id,
            version,
            lines,
        } => writer.event(&StockReserved {
            order_id: order_id.to_string(),
            version: *version,
            lines: wire_lines(lines),
        }),
        Event::Backordered {
            order_id,
            version,
            short,
        } => writer.event(&StockBackordered {
            order_id: order_id.to_string(),
            version: *version,
            short: wire_products(short),
        }),
        Event::Refused {
            order_id,
            version,
            reason,
            short,
        } => writer.event(&refused(order_id, *version, *reason, short)),
        Event::Released {
            order_id,
            version,
            lines,
        } => writer.event(&StockReleased {
            order_id: order_id.to_string(),
            version: *version,
            lines: wire_lines(lines),
        }),
        Event::Shipped {
            order_id,
            version,
            lines,
        } => writer.event(&StockShipped {
            order_id: order_id.to_string(),
            version: *version,
            lines: wire_lines(lines),
        }),
        Event::Received {
            product_id,
            version,
            receipt_id,
            quantity,
        } => writer.event(&StockReceived {
            product_id: product_id.to_string(),
            version: *version,
            receipt_id: receipt_id.to_string(),
            quantity: *quantity,
        }),
    }
}

fn refused(
    order_id: &OrderId,
    version: i64,
    reason: event::Refusal,
    short: &[ProductId],
) -> StockRefused {
    StockRefused {
        order_id: order_id.to_string(),
        version,
        reason: match reason {
            event::Refusal::UnknownProduct => Refusal::UnknownProduct,
            event::Refusal::OutOfStock => Refusal::OutOfStock,
        },
        short: wire_products(short),
    }
}

fn wire_lines(lines: &Lines) -> Vec<Line> {
    lines
        .iter()
        .map(|(product_id, quantity)| Line {
            product_id: product_id.to_string(),
            quantity: *quantity,
        })
        .collect()
}

fn wire_products(products: &[ProductId]) -> Vec<String> {
    products.iter().map(ToString::to_string).collect()
}
