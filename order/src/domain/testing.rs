//! Orders and messages for the tests of the rules.

use contracts::inventory::{
    StockBackordered, StockRefused, StockReleased, StockReserved, StockShipped,
};
use contracts::order::{CancelOrder, CompleteOrder, PlaceOrder, PlaceOrderLine};
use contracts::shared::{OnShortage, Refusal};
use messaging::clock::Timestamp;

use super::{Entry, Message, Order, Status};

/// When the given order was placed.
pub(super) const BEFORE: Timestamp = Timestamp(1_000);
/// When the message that is applied was written.
pub(super) const NOW: Timestamp = Timestamp(2_000);

pub(super) fn id() -> String {
    "O1".to_owned()
}

/// 2 x P2 and 3 x P1, in this unsorted sequence.
pub(super) fn placement() -> PlaceOrder {
    let line = |product_id: &str, quantity| PlaceOrderLine {
        product_id: product_id.to_owned(),
        quantity,
        unit_price_minor: 100,
    };
    PlaceOrder {
        order_id: id(),
        customer_id: "C1".to_owned(),
        currency: "GBP".to_owned(),
        lines: vec![line("P2", 2), line("P1", 3)],
        on_shortage: OnShortage::Backorder,
        reserve_by: None,
    }
}

/// An order that stands at `status`, version 1.
pub(super) fn known(status: Status) -> Entry {
    Entry::Known(Order {
        placed: placement().sorted(),
        status,
        version: 1,
        reservation_version: 0,
        reason: "as given".to_owned(),
        placed_at: BEFORE,
        updated_at: BEFORE,
        deadline: None,
    })
}

pub(super) fn tombstone(reason: &str) -> Entry {
    Entry::Tombstones([(None, reason.to_owned())].into())
}

pub(super) fn place() -> Message {
    Message::Command(placement().into())
}

pub(super) fn cancel(reason: &str) -> Message {
    let cancel = CancelOrder {
        order_id: id(),
        reason: reason.to_owned(),
        customer_id: None,
    };
    Message::Command(cancel.into())
}

pub(super) fn cancel_of(customer_id: &str, reason: &str) -> Message {
    let cancel = CancelOrder {
        order_id: id(),
        reason: reason.to_owned(),
        customer_id: Some(customer_id.to_owned()),
    };
    Message::Command(cancel.into())
}

pub(super) fn complete() -> Message {
    Message::Command(CompleteOrder { order_id: id() }.into())
}

pub(super) fn reserved(version: i64) -> Message {
    let event = StockReserved {
        order_id: id(),
        version,
        lines: Vec::new(),
    };
    Message::Reservation(event.into())
}

pub(super) fn backordered(version: i64) -> Message {
    let event = StockBackordered {
        order_id: id(),
        version,
        short: vec!["P1".to_owned()],
    };
    Message::Reservation(event.into())
}

pub(super) fn refused(version: i64) -> Message {
    let event = StockRefused {
        order_id: id(),
        version,
        reason: Refusal::OutOfStock,
        short: vec!["P1".to_owned(), "P2".to_owned()],
        timed_out: false,
    };
    Message::Reservation(event.into())
}

pub(super) fn timed_out(version: i64) -> Message {
    let event = StockRefused {
        order_id: id(),
        version,
        reason: Refusal::OutOfStock,
        short: vec!["P1".to_owned()],
        timed_out: true,
    };
    Message::Reservation(event.into())
}

pub(super) fn released(version: i64) -> Message {
    let event = StockReleased {
        order_id: id(),
        version,
        lines: Vec::new(),
    };
    Message::Reservation(event.into())
}

pub(super) fn shipped(version: i64) -> Message {
    let event = StockShipped {
        order_id: id(),
        version,
        lines: Vec::new(),
    };
    Message::Reservation(event.into())
}
