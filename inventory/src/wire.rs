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
            event::Refusal::OutOfStock | event::Refusal::TimedOut => Refusal::OutOfStock,
        },
        short: wire_products(short),
        timed_out: reason == event::Refusal::TimedOut,
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

#[cfg(test)]
mod tests {
    use contracts::inventory::{ReservationEvent, StockEvent};
    use messaging::codec::{self, Schema};
    use messaging::context::Context;
    use messaging::message::{Binding, Message};
    use messaging::registry::memory::MemoryRegistry;

    use super::*;
    use crate::context::InventoryContext;
    use crate::domain::ids::ReceiptId;

    fn events() -> Vec<Event> {
        let order_id = OrderId::from("O1");
        let lines: Lines = [("A", 1), ("B", 2)]
            .map(|(product, quantity)| (ProductId::from(product), quantity))
            .into();
        let short = vec![ProductId::from("A"), ProductId::from("B")];
        vec![
            Event::Reserved {
                order_id: order_id.clone(),
                version: 1,
                lines: lines.clone(),
            },
            Event::Backordered {
                order_id: order_id.clone(),
                version: 2,
                short: short.clone(),
            },
            Event::Refused {
                order_id: order_id.clone(),
                version: 3,
                reason: event::Refusal::TimedOut,
                short,
            },
            Event::Released {
                order_id: order_id.clone(),
                version: 4,
                lines: lines.clone(),
            },
            Event::Shipped {
                order_id,
                version: 5,
                lines,
            },
            Event::Received {
                product_id: ProductId::from("A"),
                version: 6,
                receipt_id: ReceiptId::from("R1"),
                quantity: 7,
            },
        ]
    }

    /// Encodes with the schemas that the context declares to write, and reads it back.
    async fn through_the_wire(event: &Event) -> (Encoded, String) {
        let registry = MemoryRegistry::new();
        let writes = InventoryContext::default().writes();
        let writer = Writer::bind(&registry, writes, Binding::Register)
            .await
            .unwrap();
        let encoded = encode(&writer, event).unwrap();
        let (_, datum) = codec::unframe(&encoded.value).unwrap();
        let written = writes
            .iter()
            .find(|registration| registration.message_type == encoded.message_type)
            .unwrap();
        let schema = Schema::parse(written.schema).unwrap();
        let read = match encoded.message_type {
            StockReceived::TYPE => format!(
                "{:?}",
                StockEvent::decode(StockReceived::TYPE, &schema, datum)
                    .unwrap()
                    .unwrap()
            ),
            other => format!(
                "{:?}",
                ReservationEvent::decode(other, &schema, datum)
                    .unwrap()
                    .unwrap()
            ),
        };
        (encoded, read)
    }

    #[tokio::test]
    async fn every_event_reads_back_as_it_was_written() {
        let lines =
            r#"[Line { product_id: "A", quantity: 1 }, Line { product_id: "B", quantity: 2 }]"#;
        let expected = [
            format!(r#"Reserved(StockReserved {{ order_id: "O1", version: 1, lines: {lines} }})"#),
            r#"Backordered(StockBackordered { order_id: "O1", version: 2, short: ["A", "B"] })"#.into(),
            r#"Refused(StockRefused { order_id: "O1", version: 3, reason: OutOfStock, short: ["A", "B"], timed_out: true })"#.into(),
            format!(r#"Released(StockReleased {{ order_id: "O1", version: 4, lines: {lines} }})"#),
            format!(r#"Shipped(StockShipped {{ order_id: "O1", version: 5, lines: {lines} }})"#),
            r#"Received(StockReceived { product_id: "A", version: 6, receipt_id: "R1", quantity: 7 })"#.into(),
        ];
        for (event, expected) in events().iter().zip(expected) {
            let (encoded, read) = through_the_wire(event).await;
            assert_eq!(read, expected);
            let of_stock = encoded.message_type == StockReceived::TYPE;
            let address = (encoded.topic, encoded.key.as_str(), encoded.aggregate);
            if of_stock {
                assert_eq!(address, ("inventory.stock", "A", "stock"));
            } else {
                assert_eq!(address, ("inventory.events", "O1", "reservation"));
            }
        }
    }
}
