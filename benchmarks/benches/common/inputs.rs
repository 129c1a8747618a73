//! Orders, products and records, the same in every run.

use bytes::Bytes;
use contracts::inventory::ReceiveStock;
use contracts::order::{OnShortage, PlaceOrder, PlaceOrderLine};
use contracts::source;
use messaging::clock::Timestamp;
use messaging::context::Incoming;
use messaging::envelope::Envelope;
use messaging::log::Record;
use messaging::message::{Message, Writer};

/// How many products there are.
pub(crate) const PRODUCTS: u64 = 100;
/// Lines of an order.
const LINES: u64 = 3;
/// When everything was written.
pub(crate) const AT: Timestamp = Timestamp(1_795_000_000_123);

/// An id as the gateway makes them: rising with time.
pub(crate) fn order_id(number: u64) -> String {
    format!("01a203a8-cddd-70bf-a155-{number:012x}")
}

pub(crate) fn product_id(number: u64) -> String {
    format!("PRODUCT_{:03}", number % PRODUCTS)
}

/// An order of three products, which differ from order to order.
pub(crate) fn place_order(number: u64) -> PlaceOrder {
    let line = |at| PlaceOrderLine {
        product_id: product_id(number * 7 + at),
        quantity: 2,
        unit_price_minor: 1_999,
    };
    PlaceOrder {
        order_id: order_id(number),
        customer_id: format!("CUSTOMER_{:05}", number % 10_000),
        currency: "GBP".to_owned(),
        lines: (0..LINES).map(line).collect(),
        on_shortage: OnShortage::Backorder,
        reserve_by: None,
    }
    .sorted()
}

/// Plenty of a product.
pub(crate) fn receive_stock(number: u64) -> ReceiveStock {
    ReceiveStock {
        receipt_id: format!("RECEIPT_{number:06}"),
        product_id: product_id(number),
        quantity: 1_000_000,
    }
}

fn envelope<M: Message>(number: u64, message: &M) -> Envelope {
    let id = format!("01a203a8-cddd-70bf-b000-{number:012x}");
    Envelope::command(id, M::TYPE, source::GATEWAY, message.key(), AT)
}

/// A command as the gateway writes it.
pub(crate) fn record<M: Message>(writer: &Writer, number: u64, message: &M) -> Record {
    Record {
        key: Some(Bytes::copy_from_slice(message.key().as_bytes())),
        value: Some(writer.encode(message).expect("the message fits its schema")),
        headers: envelope(number, message).to_headers(),
        timestamp: AT,
    }
}

/// A message as the runtime hands it to a context, whose word for it `wrap` knows.
pub(crate) fn incoming<M: Message, T>(
    number: u64,
    message: M,
    wrap: impl FnOnce(M) -> T,
) -> Incoming<T> {
    Incoming {
        envelope: envelope(number, &message),
        message: wrap(message),
        topic: M::TOPIC.into(),
        offset: i64::try_from(number).unwrap_or(i64::MAX),
    }
}
