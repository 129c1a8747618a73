//! Words for histories made by hand: what stands in the log, what a turn commits.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use contracts::inventory::{
    InventoryCommand, Line, ReceiveStock, ReservationEvent, StockEvent, StockReceived,
};
use contracts::order::{
    CancelOrder, CompleteOrder, OnShortage, OrderCommand, OrderEvent, OrderPlaced, PlaceOrder,
    PlaceOrderLine,
};
use contracts::topics;
use futures::FutureExt;
use inventory::domain::ids::{OrderId, ProductId, ReceiptId};
use inventory::domain::receive::Receipt;
use inventory::domain::reservation::{Flow, Reservation, Status as Hold};
use inventory::domain::stock::Stock;
use messaging::clock::Timestamp;
use messaging::envelope::{Envelope, event_id};
use messaging::log::{Consumed, Record};
use messaging::message::{Binding, Event, Message, Writer};
use messaging::registry::memory::MemoryRegistry;
use messaging::shard::{Epoch, ShardId};
use messaging::store::{
    Action, ActionKind, AggregateKey, Conflict, CursorMove, Effects, InboxEntry, InboxKey,
    OutboxBatch, OutboxRow, ParkReason, Parked, RecordHash, Sequence, Target,
};
use order::domain::{Order, Status};

use crate::check::{Change, Checker, Committed, Row, Side, Tolerance, Violation};

/// The only shard of these histories.
pub(super) const SHARD: ShardId = ShardId(0);

/// A history: one partition, both services owned under epoch 1.
pub(super) struct History {
    pub(super) checker: Arc<Checker>,
    writer: Writer,
    ends: BTreeMap<String, i64>,
    log: BTreeMap<(String, i64), Record>,
    sequences: BTreeMap<Side, i64>,
}

impl History {
    pub(super) fn begin() -> Self {
        Self::tolerating(Tolerance::default())
    }

    pub(super) fn tolerating(tolerance: Tolerance) -> Self {
        let registry = Arc::new(MemoryRegistry::new());
        let all: Vec<_> = [
            OrderCommand::REGISTRATIONS,
            OrderEvent::REGISTRATIONS,
            InventoryCommand::REGISTRATIONS,
            ReservationEvent::REGISTRATIONS,
            StockEvent::REGISTRATIONS,
        ]
        .concat();
        let bound = Writer::bind(&*registry, &all, Binding::Register).now_or_never();
        let history = Self {
            checker: Checker::new(registry, 1, tolerance),
            writer: bound.unwrap().unwrap(),
            ends: BTreeMap::new(),
            log: BTreeMap::new(),
            sequences: BTreeMap::new(),
        };
        for side in [Side::Order, Side::Inventory] {
            history.checker.claimed(side, SHARD, Epoch(1));
        }
        history
    }

    /// The name of the invariant that was found broken.
    pub(super) fn broken(&self) -> Option<&'static str> {
        self.violation().map(|violation| violation.invariant)
    }

    pub(super) fn violation(&self) -> Option<Violation> {
        self.checker.violation()
    }

    pub(super) fn record<M: Message>(&self, message: &M, id: &str) -> Record {
        let envelope = Envelope::command(
            id.to_owned(),
            M::TYPE,
            "/test",
            message.key(),
            Timestamp(1_000),
        );
        Record {
            key: Some(Bytes::copy_from_slice(message.key().as_bytes())),
            value: Some(self.writer.encode(message).unwrap()),
            headers: envelope.to_headers(),
            timestamp: Timestamp(1_000),
        }
    }

    /// An event's record, under the id that it always has.
    pub(super) fn event<E: Event>(&self, event: &E) -> Record {
        let id = event_id("/test", E::AGGREGATE, event.key(), event.version());
        self.record(event, &id.to_string())
    }

    /// Appends to the log as a program of the store; returns the offset.
    pub(super) fn append(&mut self, topic: &str, record: Record) -> i64 {
        let consumed = self.next(topic, record);
        self.checker
            .appended(topic, 0, std::slice::from_ref(&consumed));
        consumed.offset
    }

    /// Appends as a foreign program.
    pub(super) fn inject(&mut self, topic: &str, record: Record) -> i64 {
        let consumed = self.next(topic, record);
        self.checker
            .injected(topic, 0, std::slice::from_ref(&consumed));
        consumed.offset
    }

    fn next(&mut self, topic: &str, record: Record) -> Consumed {
        let end = self.ends.entry(topic.to_owned()).or_default();
        let offset = *end;
        *end += 1;
        self.log.insert((topic.to_owned(), offset), record.clone());
        Consumed { offset, record }
    }

    /// The log loses what stands from `offset` on.
    pub(super) fn lose(&mut self, topic: &str, offset: i64) {
        self.ends.insert(topic.to_owned(), offset);
        self.checker.lost(topic, 0, offset);
    }

    pub(super) fn command<M: Message>(&mut self, message: &M, id: &str) -> i64 {
        let record = self.record(message, id);
        self.append(M::TOPIC, record)
    }

    pub(super) fn publish<E: Event>(&mut self, event: &E) -> i64 {
        let record = self.event(event);
        self.append(E::TOPIC, record)
    }

    /// An operator asks Order for an action.
    pub(super) fn asks(&mut self, id: &str, kind: ActionKind, target: Target) {
        let action = Action {
            id: id.to_owned(),
            shard: SHARD,
            kind,
            target,
            operator: "ada".to_owned(),
            reason: "by hand".to_owned(),
            at: Timestamp(0),
        };
        self.checker.asked(Side::Order, &action);
    }

    /// The outbox of a service is numbered from the start again.
    pub(super) fn restart(&mut self, side: Side) {
        self.sequences.remove(&side);
    }

    pub(super) fn turn(&mut self, side: Side) -> TurnOf<'_> {
        TurnOf {
            history: self,
            side,
            epoch: Epoch(1),
            effects: Effects::default(),
            changes: Vec::new(),
        }
    }

    /// Order O1 is placed, committed and published.
    pub(super) fn placed(&mut self) {
        self.command(&place("O1"), "c1");
        let event = self.event(&order_placed("O1", 2));
        let turn = self.turn(Side::Order).reads(topics::ORDER_COMMANDS, 0..1);
        turn.order("O1", None, Some((Status::Pending, 1, 0)))
            .says(topics::ORDER_EVENTS, event)
            .commit();
        self.publish(&order_placed("O1", 2));
    }

    /// `quantity` pieces of A arrive at Inventory as its receipt number `version`.
    pub(super) fn received(&mut self, version: i64, before: Option<Stock>, quantity: i32) -> Stock {
        let (receipt, end) = (format!("R{version}"), version - 1);
        self.command(&receive(&receipt, quantity), &format!("r{version}"));
        let event = self.event(&stock_received(version, quantity));
        let after = before.unwrap_or_default().receive(quantity);
        self.turn(Side::Inventory)
            .reads(topics::INVENTORY_COMMANDS, end..end + 1)
            .stock(before, after)
            .receipt(&receipt, quantity)
            .says(topics::INVENTORY_STOCK, event)
            .commit();
        after
    }
}

/// A turn about to be committed.
pub(super) struct TurnOf<'h> {
    history: &'h mut History,
    side: Side,
    epoch: Epoch,
    pub(super) effects: Effects,
    changes: Vec<Change>,
}

impl TurnOf<'_> {
    pub(super) fn under(mut self, epoch: i64) -> Self {
        self.epoch = Epoch(epoch);
        self
    }

    pub(super) fn reads(mut self, topic: &str, offsets: Range<i64>) -> Self {
        self.effects.cursors.push(CursorMove {
            topic: topic.to_owned(),
            from: offsets.start,
            to: offsets.end,
            last_hash: RecordHash([0; 16]),
        });
        self
    }

    pub(super) fn with(mut self, change: impl FnOnce(&mut Effects)) -> Self {
        change(&mut self.effects);
        self
    }

    /// The message at this place is set aside.
    pub(super) fn parks(self, topic: &str, offset: i64, held_up: Option<(&str, &str)>) -> Self {
        let record = self.record_at(topic, offset);
        let parked = Parked {
            topic: topic.to_owned(),
            offset,
            aggregate: held_up.map(|(kind, id)| AggregateKey {
                kind: kind.to_owned(),
                id: id.to_owned(),
            }),
            reason: ParkReason::Failed,
            detail: "by hand".to_owned(),
            record,
            at: Timestamp(0),
        };
        self.with(|effects| effects.parked.push(parked))
    }

    /// What stands at a place of the log.
    pub(super) fn record_at(&self, topic: &str, offset: i64) -> Record {
        self.history.log[&(topic.to_owned(), offset)].clone()
    }

    /// The message at this place is recorded as a conflict.
    pub(super) fn conflict(self, topic: &str, offset: i64) -> Self {
        let record = self.record_at(topic, offset);
        let conflict = Conflict {
            topic: topic.to_owned(),
            offset,
            key: InboxKey {
                message_type: String::new(),
                key: String::new(),
                id: String::new(),
            },
            record,
            at: Timestamp(0),
        };
        self.with(|effects| effects.conflicts.push(conflict))
    }

    /// The cancellation with this id is remembered, as applied at a time.
    pub(super) fn remembers(self, cancel: &CancelOrder, id: &str, at: i64) -> Self {
        let entry = InboxEntry {
            key: InboxKey {
                message_type: CancelOrder::TYPE.to_owned(),
                key: cancel.order_id.clone(),
                id: id.to_owned(),
            },
            content: cancel.content(),
            at: Timestamp(at),
            lasting: false,
        };
        self.with(|effects| effects.inbox.push(entry))
    }

    pub(super) fn says(self, topic: &str, record: Record) -> Self {
        let batch = OutboxBatch {
            topic: topic.to_owned(),
            partition: 0,
            records: vec![record],
        };
        self.with(|effects| effects.outbox.push(batch))
    }

    pub(super) fn change(mut self, key: &str, before: Option<Row>, after: Option<Row>) -> Self {
        self.changes.push(Change {
            key: key.to_owned(),
            before,
            after,
        });
        self
    }

    /// An order's row: status, version, version of its reservation.
    pub(super) fn order(
        self,
        id: &str,
        before: Option<(Status, i64, i64)>,
        after: Option<(Status, i64, i64)>,
    ) -> Self {
        let row = |known| Row::Order(Box::new(order(id, known)));
        self.change(id, before.map(row), after.map(row))
    }

    /// Product A's stock.
    pub(super) fn stock(self, before: Option<Stock>, after: Stock) -> Self {
        self.change("A", before.map(Row::Stock), Some(Row::Stock(after)))
    }

    pub(super) fn receipt(self, id: &str, quantity: i32) -> Self {
        let receipt = Receipt {
            receipt_id: ReceiptId::from(id),
            product_id: ProductId::from("A"),
            quantity,
        };
        self.change(id, None, Some(Row::Receipt(receipt)))
    }

    pub(super) fn reservation(self, before: Option<&Reservation>, after: &Reservation) -> Self {
        let row = |of: &Reservation| Row::Reservation(Box::new(of.clone()));
        self.change(after.order_id.as_str(), before.map(row), Some(row(after)))
    }

    /// Whether `of` stands in the queue of A, before and after.
    pub(super) fn queue(self, of: &Reservation, before: bool, after: bool) -> Self {
        let row = || Row::Waiter("A".to_owned(), of.position.unwrap(), of.order_id.clone());
        self.change("", before.then(row), after.then(row))
    }

    pub(super) fn commit(self) {
        let Self {
            history,
            side,
            epoch,
            effects,
            changes,
        } = self;
        let sequence = history.sequences.entry(side).or_default();
        let rows: Vec<_> = effects
            .outbox
            .iter()
            .map(|batch| {
                *sequence += 1;
                OutboxRow {
                    sequence: Sequence(*sequence),
                    batch: batch.clone(),
                }
            })
            .collect();
        let commit = Committed {
            shard: SHARD,
            epoch,
            effects: &effects,
            rows: &rows,
            changes: &changes,
        };
        history.checker.committed(side, &commit);
    }
}

/// Two pieces of A.
pub(super) fn place(id: &str) -> PlaceOrder {
    PlaceOrder {
        order_id: id.to_owned(),
        customer_id: "C1".to_owned(),
        currency: "GBP".to_owned(),
        lines: vec![PlaceOrderLine {
            product_id: "A".to_owned(),
            quantity: 2,
            unit_price_minor: 100,
        }],
        on_shortage: OnShortage::Backorder,
        reserve_by: None,
    }
}

pub(super) fn cancel(id: &str) -> CancelOrder {
    CancelOrder {
        order_id: id.to_owned(),
        reason: "by hand".to_owned(),
        customer_id: None,
    }
}

pub(super) fn complete(id: &str) -> CompleteOrder {
    CompleteOrder {
        order_id: id.to_owned(),
    }
}

pub(super) fn receive(receipt: &str, quantity: i32) -> ReceiveStock {
    ReceiveStock {
        receipt_id: receipt.to_owned(),
        product_id: "A".to_owned(),
        quantity,
    }
}

pub(super) fn line(quantity: i32) -> Line {
    Line {
        product_id: "A".to_owned(),
        quantity,
    }
}

pub(super) fn order_placed(id: &str, quantity: i32) -> OrderPlaced {
    OrderPlaced {
        order_id: id.to_owned(),
        version: 1,
        lines: vec![line(quantity)],
        on_shortage: OnShortage::Backorder,
        reserve_by: None,
    }
}

pub(super) fn stock_received(version: i64, quantity: i32) -> StockReceived {
    StockReceived {
        product_id: "A".to_owned(),
        version,
        receipt_id: format!("R{version}"),
        quantity,
    }
}

fn order(id: &str, (status, version, reservation_version): (Status, i64, i64)) -> Order {
    Order {
        placed: place(id),
        status,
        version,
        reservation_version,
        reason: String::new(),
        placed_at: Timestamp(0),
        updated_at: Timestamp(0),
        deadline: None,
    }
}

/// A reservation of `quantity` pieces of A, as it stands after its order's first version.
pub(super) fn reservation(id: &str, status: Hold, quantity: i32) -> Reservation {
    Reservation {
        order_id: OrderId::from(id),
        order_version: 1,
        version: 1,
        status,
        position: None,
        fulfilment: None,
        lines: [(ProductId::from("A"), quantity)].into(),
        short: Default::default(),
        flow: Flow {
            correlation_id: String::new(),
            traceparent: None,
        },
        reserve_by: None,
    }
}

/// One that waits for A at a place.
pub(super) fn waiting(id: &str, quantity: i32, place: i64) -> Reservation {
    Reservation {
        position: Some(place),
        short: [ProductId::from("A")].into(),
        ..reservation(id, Hold::Waiting, quantity)
    }
}

/// A waiter, served as number `number`.
pub(super) fn served(waiter: &Reservation, number: i64) -> Reservation {
    Reservation {
        version: waiter.version + 1,
        status: Hold::Held,
        fulfilment: Some(number),
        short: Default::default(),
        ..waiter.clone()
    }
}
