//! What Order knows under an order_id.

use std::collections::BTreeMap;

use contracts::order::PlaceOrder;
use messaging::clock::Timestamp;

use super::{Message, Status};

/// An order as placed, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// What was ordered: the winning command, lines sorted by product.
    pub placed: PlaceOrder,
    /// Where it stands.
    pub status: Status,
    /// Rises by one per change, from 1.
    pub version: i64,
    /// The newest version of its reservation at Inventory that was applied; 0 before the first.
    pub reservation_version: i64,
    /// Why it stands there, for people; empty where the status says it all.
    pub reason: String,
    /// When the winning command was accepted.
    pub placed_at: Timestamp,
    /// When the message that last changed it was written.
    pub updated_at: Timestamp,
    /// Not reserved before this instant, it is refused: the client's wish, or the store's default.
    /// None for an order that was cancelled before it was placed.
    pub deadline: Option<Timestamp>,
}

/// The cancellations that came before their order: the first reason of each customer; under `None`,
/// that of whoever may cancel everybody's.
pub type Tombstones = BTreeMap<Option<String>, String>;

/// What is known under an order_id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Entry {
    /// Nothing yet.
    #[default]
    Unknown,
    /// Cancelled before it was placed: a placement that follows, of a customer who is named here, is
    /// cancelled at once.
    Tombstones(Tombstones),
    /// An order.
    Known(Order),
}

/// What an entry knows of a message that is deduplicated by the order's own state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Not applied yet.
    New,
    /// Applied before, or older than what was applied.
    Before,
    /// The order_id was placed with other content.
    Otherwise,
}

impl Entry {
    /// Whether nothing comes of it any more, whatever happens: a tombstone for everybody becomes at
    /// most a cancelled order, that of one customer leaves the order of another be. Until then a cancellation or completion that did nothing could still do
    /// something if it were decided again.
    #[must_use]
    pub fn is_over(&self) -> bool {
        match self {
            Self::Unknown => false,
            Self::Tombstones(tombstones) => tombstones.contains_key(&None),
            Self::Known(order) => order.status.is_terminal(),
        }
    }

    /// Whether `message` was applied before: placements by their order_id and content, events by
    /// the reservation's version. Cancellations and completions are always new here: their ids
    /// are kept in the inbox.
    #[must_use]
    pub fn recognise(&self, message: &Message) -> Seen {
        use contracts::order::OrderCommand::Place;
        match (self, message) {
            (Self::Known(order), Message::Command(Place(place))) => {
                if order.placed.content() == place.content() {
                    Seen::Before
                } else {
                    Seen::Otherwise
                }
            }
            (Self::Known(order), Message::Reservation(event))
                if event.version() <= order.reservation_version =>
            {
                Seen::Before
            }
            _ => Seen::New,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{
        cancel, complete, known, place, placement, reserved, shipped, tombstone,
    };
    use super::*;

    #[test]
    fn a_placement_is_known_by_its_id_and_compared_by_its_content() {
        let given = known(Status::Reserved);
        assert_eq!(given.recognise(&place()), Seen::Before);
        let mut other = placement();
        other.currency = "EUR".to_owned();
        let other = Message::Command(other.into());
        assert_eq!(given.recognise(&other), Seen::Otherwise);
        for nothing in [Entry::Unknown, tombstone("x")] {
            assert_eq!(nothing.recognise(&place()), Seen::New);
        }
    }

    #[test]
    fn a_reservations_event_is_known_by_its_version() {
        let Entry::Known(mut order) = known(Status::Reserved) else {
            panic!("no order")
        };
        order.reservation_version = 2;
        let given = Entry::Known(order);
        assert_eq!(given.recognise(&reserved(1)), Seen::Before);
        assert_eq!(given.recognise(&shipped(2)), Seen::Before);
        assert_eq!(given.recognise(&shipped(3)), Seen::New);
    }

    #[test]
    fn cancellations_and_completions_are_left_to_the_inbox() {
        for given in [Entry::Unknown, known(Status::Cancelled)] {
            assert_eq!(given.recognise(&cancel("x")), Seen::New);
            assert_eq!(given.recognise(&complete()), Seen::New);
        }
    }
}
