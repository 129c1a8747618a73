//! A store in memory that keeps its promises: the contexts' own rules over vectors, every
//! interleaving drawn from a seed. Tests break one thing of it at a time.

use std::collections::hash_map;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use contracts::inventory::ReceiveStock;
use contracts::order::{
    CancelOrder, CompleteOrder, OnShortage, OrderCommand, OrderEvent, PlaceOrder, PlaceOrderLine,
};
use contracts::source;
use inventory::context::{InventoryContext, Message as ToInventory};
use inventory::domain::book::{Book, Counters};
use inventory::domain::ids::{OrderId, ProductId, ReceiptId};
use messaging::clock::Timestamp;
use messaging::context::{ContentHash, Context, Incoming, Outgoing, Recognised};
use messaging::envelope::{Envelope, event_id};
use messaging::log::Bounds;
use messaging::partitioner::partition_of;
use order::domain::{Defaults, Entry, Message as ToOrder, Seen, apply};

use crate::checkpoint::Checkpoint;
use crate::digest;
use crate::record::{Body, Message, Place, Record, Topic};
use crate::report::Report;
use crate::snapshot::{Partition, Snapshot};

mod tell;

/// Partitions of every topic.
pub(crate) const PARTITIONS: i32 = 2;

/// Random numbers from a seed (SplitMix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % end as u64).unwrap()
    }
}

/// The store.
pub(crate) struct World {
    pub(crate) dice: Dice,
    log: BTreeMap<(Topic, i32), Vec<Record>>,
    cursors: BTreeMap<(Topic, i32), usize>,
    orders: BTreeMap<String, Entry>,
    inbox: HashMap<(&'static str, String), ContentHash>,
    book: Book,
    products: BTreeSet<String>,
    order_ids: BTreeSet<String>,
    conflicts: BTreeMap<Place, String>,
    time: i64,
    ids: u64,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            dice: Dice(seed),
            log: BTreeMap::new(),
            cursors: BTreeMap::new(),
            orders: BTreeMap::new(),
            inbox: HashMap::new(),
            book: Book::new(Counters::default()),
            products: BTreeSet::new(),
            order_ids: BTreeSet::new(),
            conflicts: BTreeMap::new(),
            time: 1_000,
            ids: 0,
        }
    }

    /// A small store after traffic of all kinds, at rest.
    pub(crate) fn busy(seed: u64, orders: usize) -> Self {
        let mut world = Self::new(seed);
        let id = |number| format!("O{number}");
        world.receive("R-first", "A", 5);
        for number in 0..orders {
            match world.dice.below(10) {
                0 => world.receive(&format!("R{number}"), "A", 4),
                1 => world.receive(&format!("R{number}"), "B", 3),
                2 => {
                    let product = ["A", "B"][world.dice.below(2)];
                    world.receive("R-first", product, 5);
                }
                3 | 4 => {
                    let of = world.dice.below(number + 1);
                    // Everybody's, the owner's and another customer's.
                    let customer = [None, Some("C1"), Some("C2")][world.dice.below(3)];
                    world.command(cancellation(&id(of), "changed my mind", customer).into());
                }
                5 | 6 => {
                    let of = world.dice.below(number + 1);
                    world.complete(&id(of));
                }
                _ => {}
            }
            let lines = [
                &[("A", 2)][..],
                &[("B", 1)],
                &[("A", 1), ("B", 2)],
                &[("C", 1)],
            ];
            let lines = lines[world.dice.below(lines.len())];
            let shortage = [OnShortage::Backorder, OnShortage::Reject];
            let shortage = shortage[world.dice.below(3) / 2];
            world.place(&id(number), lines, shortage);
            if world.dice.below(5) == 0 {
                let of = world.dice.below(number + 1);
                world.place(&id(of), &[("A", 2)], OnShortage::Backorder);
            }
            for _ in 0..world.dice.below(8) {
                world.step();
            }
        }
        world.rest();
        world
    }

    pub(crate) fn place(&mut self, order_id: &str, lines: &[(&str, i32)], on_shortage: OnShortage) {
        self.place_by(order_id, lines, on_shortage, None);
    }

    /// An order with a deadline, which this world's Inventory does not keep to.
    pub(crate) fn place_by(
        &mut self,
        order_id: &str,
        lines: &[(&str, i32)],
        on_shortage: OnShortage,
        reserve_by: Option<i64>,
    ) {
        let line = |(product_id, quantity): &(&str, i32)| PlaceOrderLine {
            product_id: (*product_id).to_owned(),
            quantity: *quantity,
            unit_price_minor: 100,
        };
        let place = PlaceOrder {
            order_id: order_id.to_owned(),
            customer_id: "C1".to_owned(),
            currency: "GBP".to_owned(),
            lines: lines.iter().map(line).collect(),
            on_shortage,
            reserve_by,
        };
        self.command(place.into());
    }

    pub(crate) fn cancel(&mut self, order_id: &str, reason: &str) {
        self.command(cancellation(order_id, reason, None).into());
    }

    pub(crate) fn complete(&mut self, order_id: &str) {
        let order_id = order_id.to_owned();
        self.command(CompleteOrder { order_id }.into());
    }

    pub(crate) fn receive(&mut self, receipt_id: &str, product_id: &str, quantity: i32) {
        let receive = ReceiveStock {
            receipt_id: receipt_id.to_owned(),
            product_id: product_id.to_owned(),
            quantity,
        };
        let (id, key) = (self.id(), product_id.to_owned());
        self.append_command(
            Topic::InventoryCommands,
            id,
            &key,
            Message::Receive(receive),
        );
    }

    fn command(&mut self, command: OrderCommand) {
        let (id, key) = (self.id(), command.key().to_owned());
        self.append_command(Topic::OrderCommands, id, &key, Message::Order(command));
    }

    fn id(&mut self) -> String {
        self.ids += 1;
        format!("request-{}", self.ids)
    }

    /// Appends a command, now and then twice.
    fn append_command(&mut self, topic: Topic, id: String, key: &str, message: Message) {
        self.time += 1;
        let envelope = Envelope::command(id, "command", source::GATEWAY, key, Timestamp(self.time));
        for _ in 0..1 + usize::from(self.dice.below(4) == 0) {
            self.append(topic, key, envelope.clone(), message.clone());
        }
    }

    pub(crate) fn append(&mut self, topic: Topic, key: &str, envelope: Envelope, message: Message) {
        let partition = partition_of(key.as_bytes(), PARTITIONS);
        let records = self.log.entry((topic, partition)).or_default();
        let place = Place {
            topic,
            partition,
            offset: i64::try_from(records.len()).unwrap(),
        };
        let bytes = digest::text(&format!("{envelope:?}{message:?}"));
        records.push(Record {
            place,
            bytes,
            body: Body::Message {
                envelope: Box::new(envelope),
                message,
            },
        });
    }

    fn event(
        &mut self,
        topic: Topic,
        from: (&str, &str),
        key: &str,
        version: i64,
        cause: &str,
        message: Message,
    ) {
        self.time += 1;
        let (source, aggregate) = from;
        let id = event_id(source, aggregate, key, version).to_string();
        let envelope = Envelope {
            causation_id: Some(cause.to_owned()),
            ..Envelope::command(id, "event", source, key, Timestamp(self.time))
        };
        for _ in 0..1 + usize::from(self.dice.below(6) == 0) {
            self.append(topic, key, envelope.clone(), message.clone());
        }
    }

    /// Consumes one record of one partition; `false` if there is none.
    pub(crate) fn step(&mut self) -> bool {
        let ahead: Vec<_> = self
            .log
            .iter()
            .filter(|((topic, _), _)| *topic != Topic::InventoryStock)
            .filter(|(partition, records)| {
                self.cursors.get(partition).copied().unwrap_or(0) < records.len()
            })
            .map(|(partition, _)| *partition)
            .collect();
        if ahead.is_empty() {
            return false;
        }
        let partition = ahead[self.dice.below(ahead.len())];
        let cursor = self.cursors.entry(partition).or_default();
        let record = self.log[&partition][*cursor].clone();
        *cursor += 1;
        let Body::Message { envelope, message } = record.body else {
            return true;
        };
        let envelope = *envelope;
        match message {
            Message::Order(command) => {
                self.order(record.place, envelope, ToOrder::Command(command))
            }
            Message::Reservation(event) => {
                self.order(record.place, envelope, ToOrder::Reservation(event))
            }
            Message::OrderEvent(OrderEvent::Placed(event)) => {
                self.inventory(record.place, envelope, ToInventory::Placed(event))
            }
            Message::OrderEvent(OrderEvent::Cancelled(event)) => {
                self.inventory(record.place, envelope, ToInventory::Cancelled(event))
            }
            Message::OrderEvent(OrderEvent::Completed(event)) => {
                self.inventory(record.place, envelope, ToInventory::Completed(event))
            }
            Message::Receive(receive) => {
                self.inventory(record.place, envelope, ToInventory::Receive(receive))
            }
            Message::OrderEvent(_) | Message::Stock(_) => {}
        }
        true
    }

    /// Consumes everything.
    pub(crate) fn rest(&mut self) {
        while self.step() {}
    }

    fn order(&mut self, place: Place, envelope: Envelope, message: ToOrder) {
        let order_id = match &message {
            ToOrder::Command(command) => command.key().to_owned(),
            ToOrder::Reservation(event) => event.key().to_owned(),
        };
        let inbox = match &message {
            ToOrder::Command(OrderCommand::Cancel(cancel)) => Some(("cancel", cancel.content())),
            ToOrder::Command(OrderCommand::Complete(complete)) => {
                Some(("complete", complete.content()))
            }
            _ => None,
        };
        if let Some((kind, content)) = inbox {
            let known = self.inbox.entry((kind, envelope.id.clone()));
            if let hash_map::Entry::Occupied(known) = known {
                if *known.get() != content {
                    self.conflicts.insert(place, order_id);
                }
                return;
            }
            known.or_insert(content);
        }
        let entry = self.orders.remove(&order_id).unwrap_or_default();
        let seen = entry.recognise(&message);
        if seen != Seen::New {
            if seen == Seen::Otherwise {
                self.conflicts.insert(place, order_id.clone());
            }
            self.orders.insert(order_id, entry);
            return;
        }
        let (entry, event) = apply(entry, &message, envelope.time, Defaults::default()).unwrap();
        self.orders.insert(order_id.clone(), entry);
        if let Some(event) = event {
            let from = (source::ORDER, contracts::order::AGGREGATE);
            let version = event.version();
            self.event(
                Topic::OrderEvents,
                from,
                &order_id,
                version,
                &envelope.id,
                Message::OrderEvent(event),
            );
        }
    }

    fn inventory(&mut self, place: Place, envelope: Envelope, message: ToInventory) {
        self.load(&message);
        let context = InventoryContext::default();
        let key = context.key(&message).to_owned();
        let incoming = Incoming {
            message,
            envelope,
            topic: place.topic.name().into(),
            offset: place.offset,
        };
        match context.recognise(&self.book, &incoming) {
            Recognised::Duplicate => return,
            Recognised::Conflict => {
                self.conflicts.insert(place, key);
                return;
            }
            Recognised::New => {}
        }
        let mut outgoing = context.decide(&mut self.book, &incoming).unwrap();
        outgoing.extend(context.follow_up(&mut self.book).outgoing);
        for Outgoing { event, cause } in outgoing {
            self.tell(event, &cause.causation_id);
        }
    }

    fn load(&mut self, message: &ToInventory) {
        let (order_id, products) = match message {
            ToInventory::Placed(placed) => {
                let products = placed
                    .lines
                    .iter()
                    .map(|line| line.product_id.clone())
                    .collect();
                (placed.order_id.clone(), products)
            }
            ToInventory::Cancelled(event) => (event.order_id.clone(), vec![]),
            ToInventory::Completed(event) => (event.order_id.clone(), vec![]),
            ToInventory::Receive(receive) => {
                self.book
                    .load_receipt(ReceiptId::from(&receive.receipt_id), None);
                (String::new(), vec![receive.product_id.clone()])
            }
        };
        self.book.load_reservation(OrderId::from(&order_id), None);
        self.order_ids.insert(order_id);
        for product in products {
            if self.products.insert(product.clone()) {
                self.book.load_stock(ProductId::from(&product), None);
                self.book.load_queue(ProductId::from(&product), [], false);
            }
        }
    }

    /// The store as an audit sees it.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot {
            partitions: PARTITIONS,
            now: Timestamp(self.time),
            ..Snapshot::default()
        };
        for topic in Topic::ALL {
            for partition in 0..PARTITIONS {
                let records = self
                    .log
                    .get(&(topic, partition))
                    .cloned()
                    .unwrap_or_default();
                let next = i64::try_from(records.len()).unwrap();
                snapshot.log.push(Partition {
                    topic,
                    partition,
                    bounds: Bounds { first: 0, next },
                    records,
                });
                let cursor = self.cursors.get(&(topic, partition)).copied().unwrap_or(0);
                let service = match topic {
                    Topic::OrderCommands | Topic::InventoryEvents => {
                        &mut snapshot.checkpoints.order
                    }
                    Topic::OrderEvents | Topic::InventoryCommands => {
                        &mut snapshot.checkpoints.inventory
                    }
                    Topic::InventoryStock => continue,
                };
                cursor_of(service, topic, partition, i64::try_from(cursor).unwrap());
            }
        }
        let known = self.orders.values().filter_map(|entry| match entry {
            Entry::Known(order) => Some(order.clone()),
            Entry::Unknown | Entry::Tombstones(_) => None,
        });
        snapshot.orders = known.collect();
        let ids = self.order_ids.iter().map(OrderId::from);
        snapshot.reservations = ids
            .filter_map(|id| self.book.reservation(&id).unwrap().cloned())
            .collect();
        for product in &self.products {
            let stock = self.book.stock(&ProductId::from(product)).unwrap();
            snapshot
                .stock
                .extend(stock.map(|stock| (product.clone(), stock)));
        }
        snapshot.known.conflicts = self.conflicts.clone();
        snapshot
    }
}

fn cursor_of(service: &mut Checkpoint, topic: Topic, partition: i32, cursor: i64) {
    let shard = service.shards.entry(partition).or_default();
    shard.cursors.insert(topic, cursor);
}

/// Asserts that `report` names exactly the offenders `expected`, each as `invariant what`.
pub(crate) fn assert_names(report: &Report, expected: &[&str]) {
    let mut found: Vec<_> = report
        .offenders
        .iter()
        .map(|offender| format!("{} {}", offender.invariant, offender.what))
        .collect();
    found.sort();
    found.dedup();
    assert_eq!(found, expected, "{report:#?}");
}

/// A cancellation, of a customer's order only if there is one.
pub(crate) fn cancellation(order_id: &str, reason: &str, customer: Option<&str>) -> CancelOrder {
    CancelOrder {
        order_id: order_id.to_owned(),
        reason: reason.to_owned(),
        customer_id: customer.map(str::to_owned),
    }
}
