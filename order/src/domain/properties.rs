//! What holds over any sequence of messages.

use contracts::order::{OrderCommand, OrderEvent};
use messaging::clock::Timestamp;
use proptest::prelude::*;

use super::testing::{
    backordered, cancel, cancel_of, complete, place, placement, refused, released, reserved,
    shipped,
};
use super::{Defaults, Entry, Message, Order, Seen, Status, apply};

fn any_message() -> impl Strategy<Value = Message> {
    let version = 1..6_i64;
    prop_oneof![
        3 => Just(place()),
        1 => Just(other_placement()),
        1 => "[a-z]{0,3}".prop_map(|reason| cancel(&reason)),
        2 => ("C[12]", "[a-z]{0,3}").prop_map(|(customer, reason)| cancel_of(&customer, &reason)),
        1 => Just(complete()),
        2 => version.clone().prop_map(reserved),
        2 => version.clone().prop_map(backordered),
        1 => version.clone().prop_map(refused),
        1 => version.clone().prop_map(released),
        1 => version.prop_map(shipped),
    ]
}

/// The same order_id with other content.
fn other_placement() -> Message {
    let mut other = placement();
    other.lines[0].quantity += 1;
    Message::Command(other.into())
}

fn any_messages() -> impl Strategy<Value = Vec<Message>> {
    prop::collection::vec(any_message(), 0..20)
}

/// One step as the runtime takes it: recognised messages are not applied, undecidable ones are
/// set aside.
fn step(entry: &Entry, message: &Message, at: Timestamp) -> (Entry, Option<OrderEvent>) {
    match entry.recognise(message) {
        Seen::New => apply(entry.clone(), message, at, Defaults::default())
            .unwrap_or_else(|_| (entry.clone(), None)),
        Seen::Before | Seen::Otherwise => (entry.clone(), None),
    }
}

fn order(entry: &Entry) -> Option<&Order> {
    match entry {
        Entry::Known(order) => Some(order),
        Entry::Unknown | Entry::Tombstones(_) => None,
    }
}

fn allowed(from: Option<Status>, to: Status) -> bool {
    use Status::{Backordered, Cancelled, Completed, Pending, Rejected, Reserved};
    matches!(
        (from, to),
        (None, Pending | Cancelled)
            | (Some(Pending), Reserved | Backordered | Rejected | Cancelled)
            | (Some(Backordered), Reserved | Rejected | Cancelled)
            | (Some(Reserved), Completed | Cancelled)
    )
}

proptest! {
    #[test]
    fn versions_rise_by_one_per_event_along_allowed_transitions(messages in any_messages()) {
        let mut entry = Entry::Unknown;
        for (at, message) in (0..).zip(&messages) {
            let (next, event) = step(&entry, message, Timestamp(at));
            let (before, after) = (order(&entry), order(&next));
            let version = before.map_or(0, |order| order.version);
            match event {
                Some(event) => {
                    let after = after.unwrap();
                    prop_assert_eq!(event.version(), version + 1);
                    prop_assert_eq!(after.version, version + 1);
                    prop_assert!(allowed(before.map(|order| order.status), after.status));
                    prop_assert_eq!(after.updated_at, Timestamp(at));
                }
                None => {
                    prop_assert_eq!(after.map(|order| order.version), before.map(|o| o.version));
                    prop_assert_eq!(after.map(|order| order.status), before.map(|o| o.status));
                }
            }
            entry = next;
        }
    }

    #[test]
    fn what_was_placed_never_changes_and_a_terminal_status_stays(messages in any_messages()) {
        let mut entry = Entry::Unknown;
        for message in &messages {
            let (next, _) = step(&entry, message, Timestamp(0));
            if let Some(before) = order(&entry) {
                let after = order(&next).unwrap();
                prop_assert_eq!(&after.placed, &before.placed);
                if before.status.is_terminal() {
                    prop_assert_eq!(after.status, before.status);
                }
                prop_assert!(after.reservation_version >= before.reservation_version);
            }
            entry = next;
        }
    }

    /// What the inbox may forget: once an order is over, nothing else stands in the way of a
    /// command that comes again.
    #[test]
    fn what_is_over_stays_over_and_answers_commands_with_nothing(
        messages in any_messages(),
        again in prop_oneof![Just(cancel_of("C1", "again")), Just(complete())],
    ) {
        let mut entry = Entry::Unknown;
        for message in &messages {
            let (next, _) = step(&entry, message, Timestamp(0));
            prop_assert!(next.is_over() || !entry.is_over());
            entry = next;
            if entry.is_over() {
                let (after, event) = step(&entry, &again, Timestamp(9));
                prop_assert_eq!(event, None);
                prop_assert_eq!(&after, &entry);
            }
        }
    }

    #[test]
    fn placements_and_events_that_come_again_change_nothing(
        messages in any_messages(),
        again in any::<prop::sample::Index>(),
    ) {
        // Cancellations and completions are recognised by the inbox, not here. Events of an order
        // that is not there yet are set aside, so it is placed first.
        let by_state = |message: &Message| {
            matches!(
                message,
                Message::Command(OrderCommand::Place(_)) | Message::Reservation(_)
            )
        };
        let first = std::iter::once(place());
        let messages: Vec<_> = first.chain(messages.into_iter().filter(by_state)).collect();
        let mut entry = Entry::Unknown;
        for message in &messages {
            entry = step(&entry, message, Timestamp(0)).0;
        }
        let (after, event) = step(&entry, &messages[again.index(messages.len())], Timestamp(9));
        prop_assert_eq!(event, None);
        prop_assert_eq!(after, entry);
    }
}
