//! Stock: Inventory's rows are the sum of its own events (F4).

use std::collections::BTreeMap;

use contracts::inventory::ReservationEvent;
use inventory::domain::reservation::{Reservation, Status};
use inventory::domain::stock::Stock;

use crate::digest;
use crate::report::Report;

/// What the log and the rows say of one product.
#[derive(Clone, Debug, Default)]
pub(super) struct Product {
    /// Its row, when the stock was read.
    pub(super) row: Option<Stock>,
    /// Pieces received less pieces shipped, by the events before the stock was read.
    on_hand: i64,
    /// Pieces held, by the same events.
    reserved: i64,
    /// The newest version among its own events before the stock was read.
    version: i64,
    /// The newest version among all its own events.
    newest: i64,
    /// Pieces held, by the reservations' rows.
    held: i64,
    /// An event of its came while the stock was read.
    moved: bool,
    /// An event of its came after the stock was read, or a reservation of its is in flight.
    moved_later: bool,
}

/// When an event came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// Before the stock was read.
    Before,
    /// While it was read.
    Meanwhile,
    /// Later.
    Later,
}

/// Sums by product.
#[derive(Clone, Debug, Default)]
pub(super) struct Products(pub(super) BTreeMap<Box<str>, Product>);

impl Products {
    pub(super) fn of(&mut self, product: &str) -> &mut Product {
        if !self.0.contains_key(product) {
            self.0.insert(product.into(), Product::default());
        }
        // It was just put there.
        self.0.entry(product.into()).or_default()
    }

    /// Adds what a reservation's event changes.
    pub(super) fn add(&mut self, event: &ReservationEvent, when: When) {
        let (lines, on_hand, reserved) = match event {
            ReservationEvent::Reserved(event) => (&event.lines, 0, 1),
            ReservationEvent::Released(event) => (&event.lines, 0, -1),
            ReservationEvent::Shipped(event) => (&event.lines, -1, -1),
            ReservationEvent::Backordered(_) | ReservationEvent::Refused(_) => return,
        };
        for (product, quantity) in digest::pairs(lines) {
            let product = self.of(product);
            match when {
                When::Before => {
                    product.on_hand += on_hand * i64::from(quantity);
                    product.reserved += reserved * i64::from(quantity);
                }
                When::Meanwhile => product.moved = true,
                When::Later => product.moved_later = true,
            }
        }
    }

    /// Adds what a reservation's row holds.
    pub(super) fn hold(&mut self, row: &Reservation) {
        if row.status == Status::Held {
            for (product, quantity) in &row.lines {
                self.of(product.as_str()).held += i64::from(*quantity);
            }
        }
    }

    /// Adds what another part of the store gave.
    pub(super) fn merge(&mut self, other: Self) {
        for (id, from) in other.0 {
            let product = self.0.entry(id).or_default();
            product.row = product.row.or(from.row);
            product.on_hand += from.on_hand;
            product.reserved += from.reserved;
            product.version = product.version.max(from.version);
            product.newest = product.newest.max(from.newest);
            product.held += from.held;
            product.moved |= from.moved;
            product.moved_later |= from.moved_later;
        }
    }

    /// Judges every row. `kept` says that no event was deleted, `awaits` that Inventory had events
    /// to publish when its stock was read.
    pub(super) fn judge(&self, is_kept: bool, awaits: bool, is_moving: bool, report: &mut Report) {
        for (id, product) in &self.0 {
            if product.moved {
                report.unsettle("stock changed while it was read", format!("product {id}"));
                continue;
            }
            report.counts.products += 1;
            if let Some((invariant, detail)) = product.offence(is_kept, is_moving) {
                if awaits {
                    report.unsettle("Inventory had events to publish", format!("product {id}"));
                } else {
                    report.offend(invariant, format!("product {id}"), detail);
                }
            }
        }
    }
}

impl Product {
    /// Takes a receipt's event in; what it is to the versions before it, if not the next.
    pub(super) fn receive(
        &mut self,
        version: i64,
        quantity: i32,
        when: When,
        is_trimmed: bool,
    ) -> Option<String> {
        if version <= self.newest {
            return None;
        }
        let follows = version == self.newest + 1 || (self.newest == 0 && is_trimmed);
        let fault = (!follows).then(|| {
            format!(
                "version {} is not in the log: version {version} follows version {}",
                self.newest + 1,
                self.newest
            )
        });
        self.newest = version;
        match when {
            When::Before => {
                self.version = version;
                self.on_hand += i64::from(quantity);
            }
            When::Meanwhile => self.moved = true,
            When::Later => self.moved_later = true,
        }
        fault
    }

    fn offence(&self, is_kept: bool, is_moving: bool) -> Option<(&'static str, String)> {
        let Some(row) = self.row else {
            return (self.version > 0).then(|| {
                (
                    "F4",
                    "it was received, and the database has no row".to_owned(),
                )
            });
        };
        if row.version > self.version && (is_kept || self.version > 0) {
            return Some((
                "F2",
                format!(
                    "stands at version {}, the log ends with version {}",
                    row.version, self.version
                ),
            ));
        }
        let sums = format!(
            "on_hand {} and reserved {}, by the events {} and {}",
            row.on_hand, row.reserved, self.on_hand, self.reserved
        );
        if is_kept
            && (row.on_hand, row.reserved, row.version)
                != (self.on_hand, self.reserved, self.version)
        {
            return Some(("F4", format!("the row says {sums}")));
        }
        if !is_moving && !self.moved_later && row.reserved != self.held {
            return Some((
                "F4",
                format!(
                    "the row says reserved {}, the reservations hold {}",
                    row.reserved, self.held
                ),
            ));
        }
        if row.reserved < 0 || row.available() < 0 {
            return Some((
                "F4",
                format!(
                    "on_hand {} and reserved {} cannot be",
                    row.on_hand, row.reserved
                ),
            ));
        }
        None
    }
}
