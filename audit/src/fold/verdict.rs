//! Judges what a pass has gathered, as far as it stands still.

use super::history::History;
use super::known::{Extent, Known, Partition};
use super::order::{self, Kept};
use super::pass::Pass;
use super::{receipts, reservation};
use crate::checkpoint::Checkpoints;
use crate::record::{Place, Topic};
use crate::report::Report;

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What judging needs to know, and where it tells.
pub(super) struct Bench<'a> {
    pub(super) known: &'a Known,
    pub(super) extents: &'a BTreeMap<Partition, Extent>,
    /// How far the services had come before the rows were read.
    pub(super) before: &'a Checkpoints,
    /// And after.
    pub(super) after: &'a Checkpoints,
    /// Nothing will be read again: what is in flight is told as not judged.
    pub(super) is_last: bool,
    pub(super) report: &'a mut Report,
    /// Conflicts that the topics explain.
    pub(super) explained: &'a mut BTreeSet<Place>,
    /// Orders whose conflicts are not asked about.
    pub(super) left_out: &'a mut BTreeSet<String>,
}

impl Bench<'_> {
    fn is_consumed(&self, place: Place) -> bool {
        let cursor = self.before.cursor(place.topic, place.partition);
        cursor.is_none_or(|cursor| place.offset < cursor)
    }

    fn is_trimmed(&self, topic: Topic, partition: i32) -> bool {
        self.extents
            .get(&(topic, partition))
            .is_some_and(|extent| extent.first > 0)
    }

    /// Judges every order and receipt that stands still; the orders in flight stay in the pass
    /// without their rows, to be read again.
    pub(super) fn judge(&mut self, pass: &mut Pass) -> Vec<String> {
        for (invariant, what, detail) in pass.faults.drain(..) {
            self.report.offend(invariant, what, detail);
        }
        let orders = std::mem::take(&mut pass.orders);
        let receipts = std::mem::take(&mut pass.receipts);
        let mut again = Vec::new();
        // In the sequence of ids: a report must not depend on the hash.
        let mut ids: Vec<_> = orders.into_iter().collect();
        ids.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        for (order_id, mut history) in ids {
            if !self.is_in_flight(&history) {
                self.order(pass, &order_id, &history);
            } else if self.is_last {
                // What the log itself shows needs no row.
                let what = format!("order {order_id}");
                for (invariant, detail) in history.faults {
                    self.report.offend(invariant, what.clone(), detail);
                }
                self.report.unsettle("orders in flight", what);
            } else {
                (history.order_row, history.reservation_row) = (None, None);
                again.push(order_id.to_string());
                pass.orders.insert(order_id, history);
            }
        }
        let mut ids: Vec<_> = receipts.into_iter().collect();
        ids.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        self.receipts(pass, ids);
        self.unreadable(pass);
        pass.is_closed = true;
        again
    }

    /// Whether a message of the order may have been applied while its rows were read, or an event
    /// of its waits to be published.
    fn is_in_flight(&self, history: &History) -> bool {
        let partition = history.partition;
        let topics = [
            Topic::OrderCommands,
            Topic::OrderEvents,
            Topic::InventoryEvents,
        ];
        let ahead = topics.into_iter().any(|topic| {
            let offset = history.last(topic);
            !self.is_consumed(Place {
                topic,
                partition,
                offset,
            })
        });
        let order_row = history.order_row.map_or(0, |row| row.version);
        let reservation_row = history.reservation_row.map_or(0, |row| row.version);
        ahead
            || (order_row > history.order.version() && self.after.order.publishes(partition))
            || (reservation_row > history.reservation.version()
                && self.after.inventory.publishes(partition))
    }

    fn order(&mut self, pass: &mut Pass, order_id: &str, history: &History) {
        let what = format!("order {order_id}");
        let mut found = Vec::new();
        for (invariant, detail) in &history.faults {
            found.push((*invariant, detail.clone()));
        }
        let mut set_aside = history.was_parked || self.known.parked_orders.contains(order_id);
        for (topic, offset, detail) in &history.undecidable {
            let place = Place {
                topic: *topic,
                partition: history.partition,
                offset: *offset,
            };
            if self.known.set_aside.contains(&place) {
                set_aside = true;
            } else {
                found.push((
                    "F1",
                    format!("{place} cannot be decided and is not parked: {detail}"),
                ));
            }
        }
        let kept = self.kept(history);
        if set_aside {
            pass.counts.left_out += 1;
            self.left_out.insert(order_id.to_owned());
        } else if found.is_empty() {
            self.conflicts(history, &mut found);
            let mut tell = |invariant, detail| found.push((invariant, detail));
            order::judge(order_id, history, kept, &mut pass.counts, &mut tell);
            reservation::judge(order_id, history, kept, &mut tell);
            // A lost event is the cause; that the rows then disagree is no further news.
            if !found.iter().any(|(invariant, _)| *invariant == "F2") {
                reservation::agree(history, &mut |invariant, detail| {
                    found.push((invariant, detail))
                });
            }
        }
        match kept {
            Kept::Whole => {}
            Kept::Part => pass.counts.partial += 1,
            Kept::Nothing => pass.counts.before_log += 1,
        }
        pass.counts.orders += u64::from(history.order_row.is_some());
        pass.counts.reservations += u64::from(history.reservation_row.is_some());
        for (invariant, detail) in found {
            self.report.offend(invariant, what.clone(), detail);
        }
    }

    fn conflicts(&mut self, history: &History, found: &mut Vec<(&'static str, String)>) {
        for conflict in &history.conflicts {
            let place = Place {
                topic: Topic::OrderCommands,
                partition: history.partition,
                offset: conflict.offset,
            };
            self.explained.insert(place);
            if conflict.is_sure && !self.known.conflicts.contains_key(&place) {
                found.push((
                    "F1",
                    format!(
                        "{place} repeats a command with other content, and no conflict is recorded"
                    ),
                ));
            }
        }
    }

    /// Whether all records of the order are there.
    fn kept(&self, history: &History) -> Kept {
        let trimmed = |topic| self.is_trimmed(topic, history.partition);
        let (commands, events) = (trimmed(Topic::OrderCommands), trimmed(Topic::OrderEvents));
        let reservations = trimmed(Topic::InventoryEvents);
        if !(commands || events || reservations) {
            return Kept::Whole;
        }
        let (order, reservation) = (&history.order, &history.reservation);
        let Some(first) = order.facts.first() else {
            let nothing = history.steps.is_empty() && reservation.facts.is_empty();
            return if nothing { Kept::Nothing } else { Kept::Part };
        };
        let is_asked = history.steps.iter().any(|step| step.id == first.cause);
        // An order that was cancelled at once was cancelled before it was placed: earlier.
        let begins = first.version == 1
            && is_asked
            && (!commands || first.kind == super::facts::Kind::Placed);
        let known = history.order_row.map_or(0, |row| row.reservation_version);
        let answers =
            reservation.is_whole() && !(reservations && reservation.facts.is_empty() && known > 0);
        if begins && answers {
            Kept::Whole
        } else {
            Kept::Part
        }
    }

    fn receipts(&mut self, pass: &mut Pass, receipts: Vec<(Box<str>, receipts::Receipt)>) {
        let is_trimmed = self.extents.iter().any(|((topic, _), extent)| {
            matches!(topic, Topic::InventoryCommands | Topic::InventoryStock) && extent.first > 0
        });
        for (receipt_id, receipt) in receipts {
            let what = format!("receipt {receipt_id}");
            let awaits = |place: Place| {
                !self.is_consumed(place)
                    || (!receipt.is_booked() && self.after.inventory.publishes(place.partition))
            };
            if receipt.places().any(awaits) {
                if self.is_last {
                    self.report.unsettle("receipts in flight", what);
                } else {
                    pass.receipts.insert(receipt_id, receipt);
                }
                continue;
            }
            for (invariant, detail) in &receipt.faults {
                self.report.offend(invariant, what.clone(), detail.clone());
            }
            let judged = receipt.judge(|place| self.known.set_aside.contains(&place), is_trimmed);
            pass.counts.receipts += 1;
            pass.counts.applied += judged.applied;
            pass.counts.duplicates += judged.duplicates;
            pass.counts.conflicts += judged.conflicts.len() as u64;
            if let Some(detail) = judged
                .offence
                .filter(|_| receipt.is_booked() || !is_trimmed)
            {
                self.report.offend("F1", what.clone(), detail);
            }
            for place in judged.conflicts {
                self.explained.insert(place);
                if !self.known.conflicts.contains_key(&place) {
                    let detail = format!(
                        "{place} repeats it with other content, and no conflict is recorded"
                    );
                    self.report.offend("F1", what.clone(), detail);
                }
            }
        }
    }

    fn unreadable(&mut self, pass: &mut Pass) {
        for (place, detail) in std::mem::take(&mut pass.unreadable) {
            if self.known.set_aside.contains(&place) {
                continue;
            }
            let what = format!("record {place}");
            if place.topic == Topic::InventoryStock {
                self.report.offend("E4", what, detail);
            } else if self.is_consumed(place) {
                self.report.offend(
                    "F1",
                    what,
                    format!("it cannot be decided and is not parked: {detail}"),
                );
            } else if self.is_last {
                self.report.unsettle("records not consumed", what);
            } else {
                pass.unreadable.push((place, detail));
            }
        }
    }
}

/// Claims of which none was seen yet.
pub(super) fn unseen(claims: &super::known::Claims) -> HashMap<String, u64> {
    claims.keys().map(|id| (id.clone(), 0)).collect()
}
