//! One pass over the topics: what they say of the ids of one scope.

use std::collections::HashMap;
use std::time::Duration;

use contracts::inventory::{ReceiveStock, ReservationEvent, StockEvent};
use contracts::order::{OrderCommand, OrderEvent};
use contracts::source;
use messaging::envelope::Envelope;

use super::facts::{Fact, Step};
use super::history::{Asked, History, check_id};
use super::known::{Extent, Known};
use super::products::{Products, When};
use super::receipts::Receipt;
use super::reservation;
use crate::digest::Digest;
use crate::record::{Body, Message, Place, Record, Topic};
use crate::report::Counts;
use crate::scope::Scope;

/// What one pass holds.
#[derive(Debug, Default)]
pub(super) struct Pass {
    pub(super) scope: Scope,
    pub(super) orders: HashMap<Box<str>, History>,
    pub(super) receipts: HashMap<Box<str>, Receipt>,
    pub(super) products: Products,
    /// Records that nobody can read and that name no order.
    pub(super) unreadable: Vec<(Place, String)>,
    /// Broken promises found while reading that belong to no order or receipt.
    pub(super) faults: Vec<(&'static str, String, String)>,
    pub(super) counts: Counts,
    /// How often each claimed command was seen.
    pub(super) claimed: HashMap<String, u64>,
    pub(super) items: usize,
    /// Only what is known already is told of further.
    pub(super) is_closed: bool,
}

/// A record with its surroundings.
pub(super) struct Told<'r> {
    pub(super) record: &'r Record,
    pub(super) extent: Extent,
    pub(super) known: &'r Known,
    /// How long at least the services remember the ids of commands.
    pub(super) memory: Duration,
}

impl Told<'_> {
    fn is_trimmed(&self) -> bool {
        self.extent.first > 0
    }

    fn when(&self) -> When {
        let offset = self.record.place.offset;
        match self.extent.stock_read {
            Some((from, until)) if offset >= from && offset < until => When::Meanwhile,
            Some((_, until)) if offset >= until => When::Later,
            _ => When::Before,
        }
    }
}

impl Pass {
    pub(super) fn new(scope: Scope) -> Self {
        Self {
            scope,
            ..Self::default()
        }
    }

    /// Whether something is left to judge.
    pub(super) fn is_open(&self) -> bool {
        !(self.orders.is_empty() && self.receipts.is_empty() && self.unreadable.is_empty())
    }

    /// The order's history; `None` if it is of another scope, or judged already.
    pub(super) fn order(&mut self, order_id: &str, partition: i32) -> Option<&mut History> {
        if !self.scope.holds(order_id) {
            return None;
        }
        if !self.orders.contains_key(order_id) {
            if self.is_closed {
                return None;
            }
            self.items += 1;
            self.orders.insert(order_id.into(), History::new(partition));
        }
        self.orders.get_mut(order_id)
    }

    pub(super) fn record(&mut self, told: &Told<'_>) {
        let Record { place, bytes, body } = told.record;
        match body {
            Body::Unreadable { key, detail } => self.unreadable(told, key.as_deref(), detail),
            Body::Message { envelope, message } => match message {
                Message::Order(command) => self.command(told, command, envelope),
                Message::OrderEvent(event) => self.order_event(told, event, envelope, *bytes),
                Message::Reservation(event) => {
                    self.reservation_event(told, event, envelope, *bytes)
                }
                Message::Receive(receive) => self.receive(*place, receive, envelope),
                Message::Stock(event) => self.stock_event(told, event, envelope, *bytes),
            },
        }
    }

    fn unreadable(&mut self, told: &Told<'_>, key: Option<&str>, detail: &str) {
        let place = told.record.place;
        let is_orders = !matches!(
            place.topic,
            Topic::InventoryCommands | Topic::InventoryStock
        );
        match key.filter(|_| is_orders) {
            Some(order_id) => {
                let Some(history) = self.order(order_id, place.partition) else {
                    return;
                };
                history.seen(place.topic, place.offset);
                history.was_parked |= told.known.set_aside.contains(&place);
                history
                    .undecidable
                    .push((place.topic, place.offset, detail.to_owned()));
            }
            // Told once, by the scope of nobody.
            None if self.scope.holds("") && !self.is_closed => {
                self.unreadable.push((place, detail.to_owned()));
            }
            None => return,
        }
        self.items += 1;
        self.counts.records += 1;
    }

    fn command(&mut self, told: &Told<'_>, command: &OrderCommand, envelope: &Envelope) {
        let Place {
            topic,
            partition,
            offset,
        } = told.record.place;
        let Some(history) = self.order(command.key(), partition) else {
            return;
        };
        history.seen(topic, offset);
        history.was_parked |= told.known.set_aside.contains(&told.record.place);
        let violations = match command {
            OrderCommand::Place(place) => place.validate(),
            OrderCommand::Cancel(cancel) => cancel.validate(),
            OrderCommand::Complete(complete) => complete.validate(),
        };
        if violations.is_empty() {
            match history.ask(Step::of(command, envelope, offset), told.memory) {
                Asked::New => self.items += 1,
                Asked::Again => self.counts.duplicates += 1,
                Asked::Conflict => {
                    self.items += 1;
                    self.counts.conflicts += 1;
                }
            }
        } else {
            let detail = contracts::validate::summary(&violations);
            history.undecidable.push((topic, offset, detail));
            self.items += 1;
        }
        self.claim(&envelope.id);
        self.counts.records += 1;
    }

    fn claim(&mut self, id: &str) {
        if let Some(seen) = self.claimed.get_mut(id) {
            *seen += 1;
        }
    }

    fn order_event(
        &mut self,
        told: &Told<'_>,
        event: &OrderEvent,
        envelope: &Envelope,
        bytes: Digest,
    ) {
        let place = told.record.place;
        let Some(history) = self.order(event.key(), place.partition) else {
            return;
        };
        history.seen(place.topic, place.offset);
        history.was_parked |= told.known.set_aside.contains(&place);
        let aggregate = contracts::order::AGGREGATE;
        history.faults.extend(check_id(
            envelope,
            source::ORDER,
            aggregate,
            event.key(),
            event.version(),
        ));
        let occurrence = history
            .order
            .tell(Fact::of_order(event, envelope, bytes), told.is_trimmed());
        let is_new = history.take(occurrence);
        self.count(is_new);
    }

    fn reservation_event(
        &mut self,
        told: &Told<'_>,
        event: &ReservationEvent,
        envelope: &Envelope,
        bytes: Digest,
    ) {
        let place = told.record.place;
        let Some(history) = self.order(event.key(), place.partition) else {
            return;
        };
        history.seen(place.topic, place.offset);
        history.was_parked |= told.known.set_aside.contains(&place);
        history.faults.extend(check_id(
            envelope,
            source::INVENTORY,
            reservation::AGGREGATE,
            event.key(),
            event.version(),
        ));
        let fact = Fact::of_reservation(event, envelope, bytes);
        let occurrence = history.reservation.tell(fact, told.is_trimmed());
        let is_new = history.take(occurrence);
        self.count(is_new);
        if is_new {
            self.products.add(event, told.when());
        }
    }

    /// Counts an event's record; a new version takes room.
    fn count(&mut self, is_new: bool) {
        self.counts.records += 1;
        if is_new {
            self.items += 1;
        } else {
            self.counts.republished += 1;
        }
    }

    fn receive(&mut self, place: Place, receive: &ReceiveStock, envelope: &Envelope) {
        let is_known = self.receipts.contains_key(receive.receipt_id.as_str());
        if !self.scope.holds(&receive.receipt_id) || (self.is_closed && !is_known) {
            return;
        }
        self.counts.records += 1;
        let violations = receive.validate();
        if violations.is_empty() {
            self.items += if is_known { 1 } else { 2 };
            let receipt = self.receipts.entry(receive.receipt_id.as_str().into());
            receipt.or_default().send(place, receive, envelope);
        } else {
            self.items += 1;
            let detail = contracts::validate::summary(&violations);
            self.unreadable.push((place, detail));
        }
        self.claim(&envelope.id);
    }

    fn stock_event(
        &mut self,
        told: &Told<'_>,
        event: &StockEvent,
        envelope: &Envelope,
        bytes: Digest,
    ) {
        let StockEvent::Received(received) = event;
        if self.scope.holds(&received.product_id) {
            let what = || format!("product {}", received.product_id);
            let (when, is_trimmed) = (told.when(), told.is_trimmed());
            let aggregate = contracts::inventory::STOCK;
            let fault = check_id(
                envelope,
                source::INVENTORY,
                aggregate,
                event.key(),
                event.version(),
            );
            if let Some((invariant, detail)) = fault {
                self.faults.push((invariant, what(), detail));
            }
            let product = self.products.of(&received.product_id);
            if let Some(detail) =
                product.receive(received.version, received.quantity, when, is_trimmed)
            {
                self.faults.push(("E3", what(), detail));
            }
        }
        let is_known = self.receipts.contains_key(received.receipt_id.as_str());
        if self.scope.holds(&received.receipt_id) && (is_known || !self.is_closed) {
            self.counts.records += 1;
            if !is_known {
                self.items += 1;
            }
            let receipt = self.receipts.entry(received.receipt_id.as_str().into());
            if receipt.or_default().book(received, envelope, bytes) {
                self.counts.republished += 1;
            }
        }
    }
}
