//! F1 as far as the fold cannot know it: receipts, whose messages get their ids from the gateway,
//! and messages that nobody sent.

use std::collections::{BTreeMap, BTreeSet};

use crate::fold::Told;
use crate::record::{Body, Message};
use crate::report::Offender;
use crate::snapshot::Snapshot;

/// A receipt as its client knows it: its id, the product, the quantity.
pub type Receipt = (String, String, i32);

/// What clients were told of their receipts. A repetition looks like the first: the best answer
/// counts.
pub type Receipts = BTreeMap<Receipt, Told>;

/// Promises to clients that the log does not keep. Every command that was ever sent has its claim
/// in `snapshot`, and every receipt its own in `receipts`.
#[must_use]
pub fn broken(snapshot: &Snapshot, receipts: &Receipts) -> Vec<Offender> {
    let (mut commands, mut received) = (BTreeSet::new(), BTreeSet::new());
    for record in snapshot.log.iter().flat_map(|partition| &partition.records) {
        let Body::Message { envelope, message } = &record.body else {
            continue;
        };
        match message {
            Message::Order(_) => drop(commands.insert(envelope.id.as_str())),
            Message::Receive(receive) => {
                let (receipt, product) = (receive.receipt_id.clone(), receive.product_id.clone());
                received.insert((receipt, product, receive.quantity));
            }
            Message::OrderEvent(_) | Message::Reservation(_) | Message::Stock(_) => {}
        }
    }
    let unsent = commands
        .into_iter()
        .filter(|id| !snapshot.claims.contains_key(*id))
        .map(|id| {
            offender(
                format!("command {id}"),
                "it is in the log and nobody sent it",
            )
        });
    let in_vain = receipts.iter().filter_map(|(receipt, told)| {
        let detail = match (told, received.contains(receipt)) {
            (Told::Accepted, false) => "it was accepted and is not in the log",
            (Told::Refused, true) => "it was refused and is in the log",
            _ => return None,
        };
        Some(offender(described(receipt), detail))
    });
    let unasked = received
        .iter()
        .filter(|receipt| !receipts.contains_key(*receipt))
        .map(|receipt| offender(described(receipt), "it is in the log and nobody sent it"));
    unsent.chain(in_vain).chain(unasked).collect()
}

fn described((receipt, product, quantity): &Receipt) -> String {
    format!("receipt {receipt} of {quantity} {product}")
}

fn offender(what: String, detail: &str) -> Offender {
    Offender {
        invariant: "F1",
        what,
        detail: detail.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use contracts::order::OnShortage;

    use super::*;
    use crate::record::Topic;
    use crate::testing::World;

    /// Given a store that kept its promises, and what its clients were told.
    fn given() -> (Snapshot, Receipts) {
        let mut world = World::new(7);
        world.receive("R1", "A", 10);
        world.place("O1", &[("A", 3)], OnShortage::Backorder);
        world.rest();
        let mut snapshot = world.snapshot();
        for record in snapshot.log.iter().flat_map(|partition| &partition.records) {
            if let (Topic::OrderCommands, Body::Message { envelope, .. }) =
                (record.place.topic, &record.body)
            {
                snapshot.claims.insert(envelope.id.clone(), Told::Accepted);
            }
        }
        let receipt = ("R1".to_owned(), "A".to_owned(), 10);
        (snapshot, Receipts::from([(receipt, Told::Accepted)]))
    }

    fn whose(snapshot: &Snapshot, receipts: &Receipts) -> Vec<String> {
        let broken = broken(snapshot, receipts).into_iter();
        broken.map(|offender| offender.what).collect()
    }

    #[test]
    fn promises_that_were_kept_are_not_named() {
        let (snapshot, receipts) = given();
        assert_eq!(broken(&snapshot, &receipts), []);
    }

    #[test]
    fn a_command_that_nobody_sent_is_named() {
        let (mut snapshot, receipts) = given();
        let ids: Vec<String> = snapshot.claims.drain().map(|(id, _)| id).collect();
        let named = whose(&snapshot, &receipts);
        assert_eq!(named, [format!("command {}", ids[0])]);
    }

    #[test]
    fn a_receipt_must_be_there_if_it_was_accepted_and_must_not_if_it_was_refused() {
        let (snapshot, mut receipts) = given();
        let lost = ("R2".to_owned(), "A".to_owned(), 1);
        receipts.insert(lost, Told::Accepted);
        assert_eq!(whose(&snapshot, &receipts), ["receipt R2 of 1 A"]);
        receipts.values_mut().for_each(|told| *told = Told::Refused);
        assert_eq!(whose(&snapshot, &receipts), ["receipt R1 of 10 A"]);
        receipts.values_mut().for_each(|told| *told = Told::Unknown);
        assert!(whose(&snapshot, &receipts).is_empty());
        assert_eq!(whose(&snapshot, &Receipts::new()), ["receipt R1 of 10 A"]);
    }
}
