//! Receipts: each first content of an id is booked in once (F1).

use contracts::inventory::{ReceiveStock, StockReceived};
use messaging::envelope::Envelope;

use super::history::Fault;
use crate::digest::{self, Digest};
use crate::record::Place;

/// A command to book a receipt in.
#[derive(Clone, Copy, Debug)]
struct Sent {
    place: Place,
    id: Digest,
    content: Digest,
}

/// The event of a receipt.
#[derive(Clone, Copy, Debug)]
struct Booked {
    version: i64,
    bytes: Digest,
    cause: Digest,
    content: Digest,
}

/// All that the topics say of one receipt. Its commands may lie in several partitions, because they
/// are keyed by product.
#[derive(Clone, Debug, Default)]
pub(super) struct Receipt {
    sent: Vec<Sent>,
    booked: Option<Booked>,
    pub(super) faults: Vec<Fault>,
}

/// What became of a receipt's commands.
#[derive(Clone, Debug, Default)]
pub(super) struct Judged {
    pub(super) applied: u64,
    pub(super) duplicates: u64,
    /// Commands that must have been recorded as conflicts.
    pub(super) conflicts: Vec<Place>,
    pub(super) offence: Option<String>,
}

impl Receipt {
    pub(super) fn send(&mut self, place: Place, receive: &ReceiveStock, envelope: &Envelope) {
        self.sent.push(Sent {
            place,
            id: digest::text(&envelope.id),
            content: digest::short(receive.content()),
        });
    }

    /// Takes the event in; `true` if it was there before.
    pub(super) fn book(
        &mut self,
        event: &StockReceived,
        envelope: &Envelope,
        bytes: Digest,
    ) -> bool {
        let receive = ReceiveStock {
            receipt_id: event.receipt_id.clone(),
            product_id: event.product_id.clone(),
            quantity: event.quantity,
        };
        let booked = Booked {
            version: event.version,
            bytes,
            cause: digest::text(envelope.causation_id.as_deref().unwrap_or_default()),
            content: digest::short(receive.content()),
        };
        match self.booked {
            None => {
                self.booked = Some(booked);
                false
            }
            Some(known) if (known.version, known.bytes) == (booked.version, booked.bytes) => true,
            Some(known) if (known.version, known.content) == (booked.version, booked.content) => {
                let detail = format!(
                    "version {} was published again with other bytes",
                    booked.version
                );
                self.faults.push(("E2", detail));
                true
            }
            Some(known) => {
                let detail = format!(
                    "it was booked in twice, as versions {} and {}",
                    known.version, booked.version
                );
                self.faults.push(("F1", detail));
                false
            }
        }
    }

    /// Where its commands stand.
    pub(super) fn places(&self) -> impl Iterator<Item = Place> {
        self.sent.iter().map(|sent| sent.place)
    }

    /// Whether the log holds its event.
    pub(super) fn is_booked(&self) -> bool {
        self.booked.is_some()
    }

    /// Judges it; commands that were set aside have their outcome.
    pub(super) fn judge(&self, is_set_aside: impl Fn(Place) -> bool, is_trimmed: bool) -> Judged {
        let mut judged = Judged::default();
        let sent = self.sent.iter().filter(|sent| !is_set_aside(sent.place));
        let Some(booked) = self.booked else {
            judged.offence = sent.min_by_key(|sent| sent.place).map(|sent| {
                format!(
                    "ReceiveStock at {} was consumed and has no outcome: no event, not parked",
                    sent.place
                )
            });
            return judged;
        };
        let mut is_caused = false;
        for sent in sent {
            if sent.content != booked.content {
                judged.conflicts.push(sent.place);
            } else if !is_caused && sent.id == booked.cause {
                is_caused = true;
                judged.applied += 1;
            } else {
                judged.duplicates += 1;
            }
        }
        // An operator may have replayed what was parked.
        let replayed = self.sent.iter().any(|sent| sent.id == booked.cause);
        if !is_caused && !replayed && !is_trimmed {
            judged.offence =
                Some("StockReceived was caused by no command of this content".to_owned());
        }
        judged
    }
}
