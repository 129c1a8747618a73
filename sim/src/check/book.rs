//! Inventory's rows: the decisions on its records worked out once more, and what must hold of
//! stock and reservations at every commit (S1, S2, S3). Who is served from the queues is left to
//! [`super::queues`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use contracts::inventory::{
    InventoryCommand, ReceiveStock, StockBackordered, StockReceived, StockRefused, StockReleased,
    StockReserved, StockShipped,
};
use contracts::order::{OnShortage, OrderEvent, OrderPlaced};
use contracts::{limits, topics};
use inventory::domain::ids::ProductId;
use inventory::domain::reservation::{Lines, Reservation, Status};
use inventory::domain::stock::Stock;
use messaging::clock::Timestamp;
use messaging::message::Message as _;

use super::commit::{Change, Row};
use super::decisions::{Decisions, Verdict};
use super::queues;
use super::told::Body;
use super::violation::{Checked, require};

/// The stock book.
#[derive(Clone, Default)]
pub(crate) struct Book {
    pub(super) stock: BTreeMap<ProductId, Stock>,
    /// Product and quantity by receipt.
    receipts: BTreeMap<String, (String, i32)>,
    pub(super) reservations: BTreeMap<String, Held>,
    /// Products whose queues must still be looked at.
    pub(super) marks: BTreeSet<String>,
    /// The last place taken in the queues, and the last number of a waiter served.
    pub(super) last_position: i64,
    pub(super) last_fulfilment: i64,
    /// The rows of reservations as they were last written, but for the queues.
    rows: BTreeMap<String, Held>,
    /// Who stands where in the queues, by product and place.
    pub(super) places: BTreeMap<(ProductId, i64), String>,
    /// Of the commit being checked: orders that queued, in order, and receipts.
    pub(super) queued: Vec<String>,
    received: Vec<String>,
}

/// A reservation without what the rules do not depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(super) order_version: i64,
    pub(super) version: i64,
    pub(super) status: Status,
    /// 0 for one that has queued in this commit: any place behind the last one will do.
    pub(super) position: Option<i64>,
    pub(super) fulfilment: Option<i64>,
    pub(super) lines: Lines,
    pub(super) short: BTreeSet<ProductId>,
    pub(super) reserve_by: Option<Timestamp>,
}

impl From<&Reservation> for Held {
    fn from(row: &Reservation) -> Self {
        Self {
            order_version: row.order_version,
            version: row.version,
            status: row.status,
            position: row.position,
            fulfilment: row.fulfilment,
            lines: row.lines.clone(),
            short: row.short.clone(),
            reserve_by: row.reserve_by,
        }
    }
}

/// How long after its deadline a waiter has gone, where nothing goes wrong.
const TIMEOUT_WITHIN: Duration = Duration::from_secs(3);

/// A place that is taken in this commit: its number is not known yet.
pub(super) const NEW_PLACE: i64 = i64::MAX;

impl Book {
    /// Applies a message, unless it is known.
    pub(crate) fn decide(&mut self, body: &Body, decisions: &mut Decisions) -> Verdict {
        match body {
            Body::Inventory(InventoryCommand::Receive(receive)) => self.receive(receive, decisions),
            Body::OrderEvent(event) => {
                let version = event.version();
                decisions.before(event.key(), &self.reservations.get(event.key()));
                let known = self.reservations.get(event.key());
                if known.is_some_and(|known| known.order_version >= version) {
                    return Verdict::Duplicate;
                }
                match event {
                    OrderEvent::Placed(placed) => self.place(placed, decisions),
                    OrderEvent::Cancelled(_) => self.cancel(event.key(), version, decisions),
                    OrderEvent::Completed(_) => self.complete(event.key(), version, decisions),
                    _ => Verdict::Undecidable,
                }
            }
            _ => Verdict::Undecidable,
        }
    }

    fn receive(&mut self, receive: &ReceiveStock, decisions: &mut Decisions) -> Verdict {
        let receipt = (receive.product_id.clone(), receive.quantity);
        match self.receipts.get(&receive.receipt_id) {
            Some(known) if *known == receipt => return Verdict::Duplicate,
            Some(_) => return Verdict::Conflict,
            None if !receive.validate().is_empty() => return Verdict::Undecidable,
            None => {}
        }
        self.receipts.insert(receive.receipt_id.clone(), receipt);
        self.received.push(receive.receipt_id.clone());
        let stock = self
            .stock
            .entry(ProductId::from(&receive.product_id))
            .or_default();
        stock.on_hand += i64::from(receive.quantity);
        stock.version += 1;
        let (key, version) = (&receive.product_id, stock.version);
        decisions.say(topics::INVENTORY_STOCK, key, version, StockReceived::TYPE);
        Verdict::Applied
    }

    fn place(&mut self, placed: &OrderPlaced, decisions: &mut Decisions) -> Verdict {
        let Some(lines) = lines(placed) else {
            return Verdict::Undecidable;
        };
        if self.reservations.contains_key(&placed.order_id) {
            return Verdict::Undecidable;
        }
        let is_known = lines.keys().all(|product| self.stock.contains_key(product));
        let short: BTreeSet<_> = lines
            .iter()
            .filter(|(product, quantity)| {
                self.available(product) < i64::from(**quantity)
                    || self.waiters(product).next().is_some()
            })
            .map(|(product, _)| product.clone())
            .collect();
        let waits = placed.on_shortage == OnShortage::Backorder;
        let reserve_by = placed.reserve_by.map(Timestamp);
        let late = decisions.is_late(reserve_by);
        let (status, event) = match (is_known && !late, short.is_empty(), waits) {
            (true, true, _) => (Status::Held, StockReserved::TYPE),
            (true, false, true) => (Status::Waiting, StockBackordered::TYPE),
            _ => (Status::Refused, StockRefused::TYPE),
        };
        if status == Status::Held {
            self.hold(&lines);
        }
        let queued = status == Status::Waiting;
        if queued {
            self.queued.push(placed.order_id.clone());
        }
        let held = Held {
            order_version: placed.version,
            version: 1,
            status,
            position: queued.then_some(NEW_PLACE),
            fulfilment: None,
            lines,
            short: if queued { short } else { BTreeSet::new() },
            reserve_by,
        };
        self.reservations.insert(placed.order_id.clone(), held);
        decisions.say(topics::INVENTORY_EVENTS, &placed.order_id, 1, event);
        Verdict::Applied
    }

    fn cancel(&mut self, id: &str, version: i64, decisions: &mut Decisions) -> Verdict {
        let Some(held) = self.reservations.get_mut(id) else {
            return Verdict::Applied;
        };
        let gives_back = match held.status {
            Status::Held => held.lines.clone(),
            Status::Waiting => Lines::new(),
            Status::Refused | Status::Released => {
                held.order_version = version;
                return Verdict::Applied;
            }
            Status::Shipped => return Verdict::Undecidable,
        };
        held.end(version, Status::Released);
        let event = StockReleased::TYPE;
        decisions.say(topics::INVENTORY_EVENTS, id, held.version, event);
        for (product, quantity) in &gives_back {
            self.stock.entry(product.clone()).or_default().reserved -= i64::from(*quantity);
        }
        Verdict::Applied
    }

    fn complete(&mut self, id: &str, version: i64, decisions: &mut Decisions) -> Verdict {
        let Some(held) = self.reservations.get_mut(id) else {
            return Verdict::Applied;
        };
        match held.status {
            Status::Held => {}
            Status::Shipped => {
                held.order_version = version;
                return Verdict::Applied;
            }
            Status::Waiting | Status::Refused | Status::Released => return Verdict::Undecidable,
        }
        held.end(version, Status::Shipped);
        decisions.say(
            topics::INVENTORY_EVENTS,
            id,
            held.version,
            StockShipped::TYPE,
        );
        for (product, quantity) in held.lines.clone() {
            let stock = self.stock.entry(product).or_default();
            stock.on_hand -= i64::from(quantity);
            stock.reserved -= i64::from(quantity);
        }
        Verdict::Applied
    }

    pub(super) fn available(&self, product: &ProductId) -> i64 {
        self.stock.get(product).map_or(0, Stock::available)
    }

    /// Who stands in the queue of `product`, in no order.
    pub(super) fn waiters(&self, product: &ProductId) -> impl Iterator<Item = (&String, &Held)> {
        let all = self.reservations.iter();
        all.filter(move |(_, held)| held.short.contains(product))
    }

    pub(super) fn hold(&mut self, lines: &Lines) {
        for (product, quantity) in lines {
            self.stock.entry(product.clone()).or_default().reserved += i64::from(*quantity);
        }
    }

    /// The rows that a commit has written are those that its records and the queues make.
    pub(crate) fn compare(&mut self, changes: &[Change], decisions: &mut Decisions) -> Checked {
        stock_adds_up(changes, decisions)?;
        let written = self.written(changes);
        for change in changes {
            once(change, decisions)?;
        }
        self.all_written(&written, changes, decisions)?;
        queues::marks(self, changes);
        queues::take_places(self, &written)?;
        queues::follow_up(self, &written, decisions)?;
        self.compare_reservations(&written, decisions)?;
        self.compare_stock(changes, decisions)?;
        self.compare_receipts(changes, decisions)?;
        queues::places(self, &written)?;
        queues::nobody_waits_in_vain(self)
    }

    /// The reservations that a commit has written, each with the queues that it stands in now:
    /// those are rows of their own.
    fn written(&mut self, changes: &[Change]) -> BTreeMap<String, Held> {
        let mut ids = BTreeSet::new();
        for change in changes {
            if let Some(Row::Waiter(product, place, _)) = &change.before {
                self.places.remove(&(ProductId::from(product), *place));
            }
            if let Some(Row::Waiter(product, place, order)) = &change.after {
                let place = (ProductId::from(product), *place);
                self.places.insert(place, order.to_string());
            }
            for row in [&change.before, &change.after].into_iter().flatten() {
                match row {
                    Row::Waiter(_, _, order) => ids.insert(order.to_string()),
                    Row::Reservation(_) => ids.insert(change.key.clone()),
                    _ => false,
                };
            }
            if let Some(Row::Reservation(row)) = &change.after {
                self.rows.insert(change.key.clone(), Held::from(&**row));
            }
        }
        let in_queues = |id: String| {
            let row = self.rows.get(&id)?;
            let stands = self
                .places
                .iter()
                .filter(|((_, place), order)| **order == id && Some(*place) == row.position);
            let short = stands.map(|((product, _), _)| product.clone()).collect();
            let held = Held {
                short,
                ..row.clone()
            };
            Some((id, held))
        };
        ids.into_iter().filter_map(in_queues).collect()
    }

    /// S6: what the records change is written.
    fn all_written(
        &mut self,
        written: &BTreeMap<String, Held>,
        changes: &[Change],
        decisions: &Decisions,
    ) -> Checked {
        for (id, before) in decisions.all_before() {
            let must = self.reservations.get(id);
            let same = *before == format!("{must:?}");
            require(same || written.contains_key(id), "S6", || {
                format!("the reservation of {id} must become {must:?}, but was not written")
            })?;
        }
        for id in std::mem::take(&mut self.received) {
            let mut rows = changes.iter().filter_map(|change| change.after.as_ref());
            let is_written = rows.any(|row| match row {
                Row::Receipt(receipt) => receipt.receipt_id.as_str() == id,
                _ => false,
            });
            require(is_written, "S6", || format!("receipt {id} was not written"))?;
        }
        Ok(())
    }

    /// What a commit has written is as the rules make it.
    fn compare_reservations(
        &self,
        written: &BTreeMap<String, Held>,
        decisions: &Decisions,
    ) -> Checked {
        for (id, is) in written {
            let must = self.reservations.get(id);
            require(
                must == Some(is),
                decisions.blame(id, queues::blame(must, is)),
                || format!("the reservation of {id} is {is:?}, the rules make {must:?}"),
            )?;
        }
        Ok(())
    }

    fn compare_stock(&self, changes: &[Change], decisions: &Decisions) -> Checked {
        for change in changes {
            let Some(Row::Stock(is)) = &change.after else {
                continue;
            };
            let must = self.stock.get(&ProductId::from(&change.key));
            require(must == Some(is), decisions.blame(&change.key, "S2"), || {
                format!("stock of {} is {is:?}, the rules make {must:?}", change.key)
            })?;
        }
        Ok(())
    }

    fn compare_receipts(&self, changes: &[Change], decisions: &Decisions) -> Checked {
        for change in changes {
            let Some(Row::Receipt(is)) = &change.after else {
                continue;
            };
            let must = self.receipts.get(is.receipt_id.as_str());
            let holds = must.is_some_and(|(product, quantity)| {
                product == is.product_id.as_str() && *quantity == is.quantity
            });
            let blame = decisions.blame(is.product_id.as_str(), "S6");
            require(holds && change.before.is_none(), blame, || {
                format!("receipt {change:?}, the first one was {must:?}")
            })?;
        }
        Ok(())
    }

    /// F6b, and F6c: whose deadline passed a while before `now` does not wait.
    pub(crate) fn settled(&self, now: Timestamp) -> Checked {
        let passed = now.minus(TIMEOUT_WITHIN);
        for (id, held) in &self.reservations {
            let waits = held.status == Status::Waiting;
            let due = held.reserve_by.is_some_and(|deadline| deadline <= passed);
            require(!(waits && due), "F6c", || {
                format!("order {id} waits at {now}, past its deadline: {held:?}")
            })?;
        }
        require(self.marks.is_empty(), "F6b", || {
            format!("queues are still to be looked at: {:?}", self.marks)
        })
    }
}

impl Held {
    fn end(&mut self, order_version: i64, status: Status) {
        self.order_version = order_version;
        self.version += 1;
        self.status = status;
        self.short.clear();
    }
}

/// S1 and S2 of the rows alone, whatever the rules say: pieces are promised at most once, and the
/// sum of what is held is what is reserved.
fn stock_adds_up(changes: &[Change], decisions: &Decisions) -> Checked {
    let mut moved: BTreeMap<ProductId, (i64, i64)> = BTreeMap::new();
    for change in changes {
        match (&change.before, &change.after) {
            (before, Some(Row::Reservation(after))) => {
                let was = match before {
                    Some(Row::Reservation(before)) => Some(before.status),
                    _ => None,
                };
                let holds = |status| i64::from(status == Some(Status::Held));
                let ships = i64::from(was != Some(after.status) && after.status == Status::Shipped);
                for (product, quantity) in &after.lines {
                    let moved = moved.entry(product.clone()).or_default();
                    moved.0 -= ships * i64::from(*quantity);
                    let change = holds(Some(after.status)) - holds(was);
                    moved.1 += change * i64::from(*quantity);
                }
            }
            (None, Some(Row::Receipt(receipt))) => {
                let moved = moved.entry(receipt.product_id.clone()).or_default();
                moved.0 += i64::from(receipt.quantity);
            }
            _ => {}
        }
    }
    for change in changes {
        let Some(Row::Stock(after)) = &change.after else {
            continue;
        };
        let product = ProductId::from(&change.key);
        let holds = 0 <= after.reserved && after.reserved <= after.on_hand;
        require(holds, "S1", || format!("stock of {product} is {after:?}"))?;
        let before = match &change.before {
            Some(Row::Stock(before)) => *before,
            _ => Stock::default(),
        };
        let (on_hand, reserved) = moved.remove(&product).unwrap_or_default();
        let sums = (before.on_hand + on_hand, before.reserved + reserved);
        let blame = decisions.blame(&change.key, "S2");
        require(sums == (after.on_hand, after.reserved), blame, || {
            format!(
                "stock of {product} goes from {before:?} to {after:?}; the rows sum up to {sums:?}"
            )
        })?;
    }
    moved.retain(|_, moved| *moved != (0, 0));
    require(moved.is_empty(), "S2", || {
        format!("reservations and receipts move {moved:?}, the stock does not")
    })
}

/// S3: an order has one reservation, and its lines never change.
fn once(change: &Change, decisions: &Decisions) -> Checked {
    let (Some(Row::Reservation(before)), Some(Row::Reservation(after))) =
        (&change.before, &change.after)
    else {
        let gone = matches!(change.before, Some(Row::Reservation(_)));
        return require(!gone, "S3", || {
            format!("reservation of {} is gone", change.key)
        });
    };
    let holds = before.lines == after.lines && before.order_id == after.order_id;
    require(holds, decisions.blame(&change.key, "S3"), || {
        format!(
            "reservation of {} goes from {before:?} to {after:?}",
            change.key
        )
    })
}

/// An order's lines, if they can be decided on.
fn lines(placed: &OrderPlaced) -> Option<Lines> {
    let lines: Lines = placed
        .lines
        .iter()
        .map(|line| (ProductId::from(&line.product_id), line.quantity))
        .collect();
    let twice = lines.len() != placed.lines.len();
    let within = lines
        .values()
        .all(|quantity| limits::QUANTITY.contains(quantity));
    let counted = (1..=limits::LINES_MAX).contains(&lines.len());
    (!twice && within && counted).then_some(lines)
}
