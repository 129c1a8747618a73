//! The rules of an order: pure, no IO, no clock, no randomness.

mod order;
mod rules;
mod status;

use std::time::Duration;

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

impl Message {
    /// The order that it is about.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Command(command) => command.key(),
            Self::Reservation(event) => event.key(),
        }
    }
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

/// What the store decides where a client leaves it open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    /// How long after its placement an order without a `reserve_by` may be reserved; for ever if
    /// `None`.
    pub reserve_within: Option<Duration>,
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
    defaults: Defaults,
) -> Result<(Entry, Option<OrderEvent>), NeverPlaced> {
    match message {
        Message::Command(OrderCommand::Place(place)) => {
            Ok(rules::place(entry, place, at, defaults))
        }
        Message::Command(OrderCommand::Cancel(cancel)) => Ok(rules::cancel(entry, cancel, at)),
        Message::Command(OrderCommand::Complete(_)) => Ok(rules::complete(entry, at)),
        Message::Reservation(event) => rules::reservation(entry, event, at),
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod testing;
