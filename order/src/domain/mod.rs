//! The rules of an order: pure, no IO, no clock, no randomness.

mod order;
mod rules;
mod status;

use contracts::inventory::ReservationEvent;
use contracts::order::{OrderCommand, OrderEvent};
use messaging::clock::Timestamp;

pub use order::{Entry, Order, Seen, Tombstones};
pub use status::Status;

/// What can happen to an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Somebody asks for something.
    Command(OrderCommand),
    /// Inventory tells of the order's reservation.
    Reservation(ReservationEvent),
}

/// Inventory told of a reservation for an order that was never placed here, which no correct
/// Inventory does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("reservation version {version} of order {order_id}, which was never placed")]
pub struct NeverPlaced {
    /// The order.
    pub order_id: String,
    /// The reservation's version.
    pub version: i64,
}

/// Applies a message that was not seen before: the new entry, and the event of the change if
/// there was one. Total: every pair of entry and message has an answer, most of them "nothing".
///
/// # Errors
/// [`NeverPlaced`] for a reservation of an order that is not there.
pub fn apply(
    entry: Entry,
    message: &Message,
    at: Timestamp,
) -> Result<(Entry, Option<OrderEvent>), NeverPlaced> {
    match message {
        Message::Command(OrderCommand::Place(place)) => Ok(rules::place(entry, place, at)),
        Message::Command(OrderCommand::Cancel(cancel)) => Ok(rules::cancel(entry, cancel, at)),
        Message::Command(OrderCommand::Complete(_)) => Ok(rules::complete(entry, at)),
        Message::Reservation(event) => rules::reservation(entry, event, at),
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod testing;
