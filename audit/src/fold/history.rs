//! All that the topics say of one order, and both rows.

use std::time::Duration;

use messaging::clock::Timestamp;
use messaging::envelope::Envelope;

use super::facts::{Fact, Step};
use crate::digest::{self, Digest};
use crate::record::Topic;

/// A broken promise found while reading: the invariant and what was found.
pub(super) type Fault = (&'static str, String);

/// Order's row, by what is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OrderRow {
    pub(super) status: order::domain::Status,
    pub(super) version: i64,
    pub(super) reservation_version: i64,
    pub(super) content: Digest,
    pub(super) reason: Digest,
    pub(super) placed_at: Timestamp,
    pub(super) updated_at: Timestamp,
    pub(super) deadline: Option<Timestamp>,
}

impl From<&order::domain::Order> for OrderRow {
    fn from(order: &order::domain::Order) -> Self {
        Self {
            status: order.status,
            version: order.version,
            reservation_version: order.reservation_version,
            content: digest::short(order.placed.content()),
            reason: digest::text(&order.reason),
            placed_at: order.placed_at,
            updated_at: order.updated_at,
            deadline: order.deadline,
        }
    }
}

/// Inventory's row, by what is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReservationRow {
    pub(super) status: inventory::domain::reservation::Status,
    pub(super) version: i64,
    pub(super) order_version: i64,
    pub(super) lines: Digest,
    pub(super) has_position: bool,
    pub(super) has_fulfilment: bool,
    pub(super) reserve_by: Option<Timestamp>,
    /// Stands in a queue, and only in those of its own products.
    pub(super) stands: Stands,
}

/// Where a reservation's row says that it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stands {
    Nowhere,
    InItsQueues,
    /// In the queue of a product that it did not ask for.
    Elsewhere,
}

impl From<&inventory::domain::reservation::Reservation> for ReservationRow {
    fn from(row: &inventory::domain::reservation::Reservation) -> Self {
        let stands = if row.short.is_empty() {
            Stands::Nowhere
        } else if row.short.iter().all(|short| row.lines.contains_key(short)) {
            Stands::InItsQueues
        } else {
            Stands::Elsewhere
        };
        let lines = row
            .lines
            .iter()
            .map(|(product, quantity)| (product.as_str(), *quantity));
        Self {
            status: row.status,
            version: row.version,
            order_version: row.order_version,
            lines: digest::lines(lines),
            has_position: row.position.is_some(),
            has_fulfilment: row.fulfilment.is_some(),
            reserve_by: row.reserve_by,
            stands,
        }
    }
}

/// First occurrences of one aggregate's events.
#[derive(Clone, Debug, Default)]
pub(super) struct Story {
    pub(super) facts: Vec<Fact>,
}

/// What an event's occurrence was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Occurrence {
    /// The next version.
    First,
    /// A version that was there before, with the same bytes.
    Again,
    /// Neither.
    Fault(Fault),
}

impl Story {
    /// Takes an event in (E2, E3). Where the beginning is deleted, the first one seen may have any
    /// version.
    pub(super) fn tell(&mut self, fact: Fact, is_trimmed: bool) -> Occurrence {
        let last = self.version();
        if fact.version <= last {
            let known = self
                .facts
                .iter()
                .find(|known| known.version == fact.version);
            return match known {
                Some(known) if known.bytes == fact.bytes => Occurrence::Again,
                Some(_) => Occurrence::Fault((
                    "E2",
                    format!(
                        "version {} was published again with other bytes",
                        fact.version
                    ),
                )),
                // Older than the first one that is left.
                None => Occurrence::Again,
            };
        }
        let next = fact.version == last + 1 || (self.facts.is_empty() && is_trimmed);
        let fault = (
            "E3",
            format!(
                "version {} is not in the log: version {} follows version {last}",
                last + 1,
                fact.version
            ),
        );
        if self.facts.is_empty() {
            // Most stories have two versions: four places each would be the most of an audit.
            self.facts.reserve_exact(2);
        }
        self.facts.push(fact);
        if next {
            Occurrence::First
        } else {
            Occurrence::Fault(fault)
        }
    }

    /// The newest version in the log; 0 if there is none.
    pub(super) fn version(&self) -> i64 {
        self.facts.last().map_or(0, |fact| fact.version)
    }

    /// Whether version 1 is there, or nothing is.
    pub(super) fn is_whole(&self) -> bool {
        self.facts.first().is_none_or(|fact| fact.version == 1)
    }
}

/// A command that repeats the id of an earlier one with other content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Conflict {
    pub(super) offset: i64,
    /// Whether the service must have noticed: it does not remember every id for ever.
    pub(super) is_sure: bool,
}

/// What a command's occurrence was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    New,
    Again,
    Conflict,
}

/// One order.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    pub(super) partition: i32,
    /// Commands that an earlier one did not already say, in order.
    pub(super) steps: Vec<Step>,
    /// Order's events.
    pub(super) order: Story,
    /// Inventory's events.
    pub(super) reservation: Story,
    /// Commands that must have been recorded as conflicts, or may have been.
    pub(super) conflicts: Vec<Conflict>,
    /// Records that nobody can decide.
    pub(super) undecidable: Vec<(Topic, i64, String)>,
    pub(super) faults: Vec<Fault>,
    /// A message was parked at some time.
    pub(super) was_parked: bool,
    /// The newest offsets in order.commands, order.events and inventory.events; -1 for none.
    last: [i64; 3],
    pub(super) order_row: Option<OrderRow>,
    pub(super) reservation_row: Option<ReservationRow>,
}

impl History {
    pub(super) fn new(partition: i32) -> Self {
        Self {
            partition,
            last: [-1; 3],
            ..Self::default()
        }
    }

    /// Takes a command in, deduplicated as Order does: placements by the order, the others by id.
    /// Ids are remembered for as long as the commands lie within `memory`. After that one that
    /// comes again may have taken the place of the first in the inbox.
    pub(super) fn ask(&mut self, step: Step, memory: Duration) -> Asked {
        let known = self
            .steps
            .iter()
            .find(|known| known.is_like(&step) && (known.is_place() || known.id == step.id));
        match known {
            Some(known) => {
                let is_sure = known.is_place() || step.time.since(known.time) < memory;
                let differs = known.content != step.content;
                let offset = step.offset;
                if differs || !is_sure {
                    self.conflicts.push(Conflict { offset, is_sure });
                }
                if differs {
                    Asked::Conflict
                } else {
                    Asked::Again
                }
            }
            None => {
                if self.steps.is_empty() {
                    self.steps.reserve_exact(1);
                }
                self.steps.push(step);
                Asked::New
            }
        }
    }

    /// Takes note of an event's occurrence; whether it tells something new.
    pub(super) fn take(&mut self, occurrence: Occurrence) -> bool {
        match occurrence {
            Occurrence::First => true,
            Occurrence::Again => false,
            Occurrence::Fault(fault) => {
                self.faults.push(fault);
                true
            }
        }
    }

    /// The newest offset of this order's records in `topic`; -1 for none.
    pub(super) fn last(&self, topic: Topic) -> i64 {
        index(topic).map_or(-1, |index| self.last[index])
    }

    pub(super) fn seen(&mut self, topic: Topic, offset: i64) {
        if let Some(index) = index(topic) {
            self.last[index] = self.last[index].max(offset);
        }
    }
}

fn index(topic: Topic) -> Option<usize> {
    match topic {
        Topic::OrderCommands => Some(0),
        Topic::OrderEvents => Some(1),
        Topic::InventoryEvents => Some(2),
        Topic::InventoryCommands | Topic::InventoryStock => None,
    }
}

/// Checks that an event's id is the one that its version has (E2).
pub(super) fn check_id(
    envelope: &Envelope,
    source: &str,
    aggregate: &str,
    key: &str,
    version: i64,
) -> Option<Fault> {
    let expected = messaging::envelope::event_id(source, aggregate, key, version).to_string();
    (envelope.id != expected).then(|| {
        let detail = format!(
            "version {version} has the id {}, not {expected}",
            envelope.id
        );
        ("E2", detail)
    })
}
