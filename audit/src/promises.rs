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
