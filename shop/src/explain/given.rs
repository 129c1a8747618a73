//! Facts for tests, told as a story.

use std::collections::BTreeMap;

use contracts::inventory::{Line, ReservationEvent, StockBackordered, StockReserved};
use contracts::order::{
    CancelOrder, OnShortage, OrderBackordered, OrderCommand, OrderEvent, OrderPlaced,
    OrderReserved, PlaceOrder, PlaceOrderLine,
};
use contracts::proto::order::Status;
use contracts::proto::{
    ConflictingMessage, Order, OrderLine, ParkedMessage, ReservationRow, ShardCheckpoint,
    StockLevel, TopicCursor, reservation_row,
};
use messaging::clock::Timestamp;
use messaging::context::ContentHash;

use super::facts::{Extent, Facts, Handled, Message, Place, Said, Shard, TOPICS, Told};
use crate::services::Service;

/// The partition of every order here.
pub(super) const PARTITION: i32 = 3;

/// Facts about one order.
pub(super) struct Given(Facts);

pub(super) fn place(topic: &str, offset: i64) -> Place {
    Place {
        topic: topic.to_owned(),
        partition: PARTITION,
        offset,
    }
}

fn wire(topic: &str, offset: i64) -> Option<contracts::proto::Place> {
    Some(contracts::proto::Place {
        topic: topic.to_owned(),
        partition: PARTITION,
        offset,
    })
}

pub(super) fn place_order(order_id: &str, lines: &[(&str, i32)]) -> OrderCommand {
    OrderCommand::Place(PlaceOrder {
        order_id: order_id.to_owned(),
        customer_id: "CUSTOMER_001".to_owned(),
        currency: "GBP".to_owned(),
        lines: lines
            .iter()
            .map(|(product, quantity)| PlaceOrderLine {
                product_id: (*product).to_owned(),
                quantity: *quantity,
                unit_price_minor: 100,
            })
            .collect(),
        on_shortage: OnShortage::Backorder,
        reserve_by: None,
    })
}

pub(super) fn cancel(order_id: &str, reason: &str) -> OrderCommand {
    OrderCommand::Cancel(CancelOrder {
        order_id: order_id.to_owned(),
        reason: reason.to_owned(),
        customer_id: None,
    })
}

/// A command at `offset`, accepted a second per offset after the start of time.
pub(super) fn command(offset: i64, id: &str, command: OrderCommand) -> Message {
    let name = match &command {
        OrderCommand::Place(_) => "shop.order.PlaceOrder",
        OrderCommand::Cancel(_) => "shop.order.CancelOrder",
        OrderCommand::Complete(_) => "shop.order.CompleteOrder",
    };
    let bytes = ContentHash::of(format!("{command:?}").as_bytes());
    Message {
        place: place("order.commands", offset),
        time: Timestamp(offset * 1_000),
        name: Some(name.to_owned()),
        id: Some(id.to_owned()),
        cause: None,
        bytes,
        said: Said::Command(command),
    }
}

fn event(topic: &str, offset: i64, at: i64, id: &str, cause: &str, said: Said) -> Message {
    let debug = format!("{said:?}");
    let name = match &said {
        Said::Order(OrderEvent::Placed(_)) => "shop.order.OrderPlaced",
        Said::Order(OrderEvent::Reserved(_)) => "shop.order.OrderReserved",
        Said::Order(OrderEvent::Backordered(_)) => "shop.order.OrderBackordered",
        Said::Reservation(ReservationEvent::Reserved(_)) => "shop.inventory.StockReserved",
        _ => "shop.inventory.StockBackordered",
    };
    Message {
        place: place(topic, offset),
        time: Timestamp(at),
        name: Some(name.to_owned()),
        id: Some(id.to_owned()),
        cause: Some(cause.to_owned()),
        bytes: ContentHash::of(debug.as_bytes()),
        said,
    }
}

fn placed_event(order_id: &str) -> Message {
    let said = OrderEvent::Placed(OrderPlaced {
        order_id: order_id.to_owned(),
        version: 1,
        lines: vec![line()],
        on_shortage: OnShortage::Backorder,
        reserve_by: None,
    });
    event("order.events", 0, 10, "e1", "c1", Said::Order(said))
}

fn line() -> Line {
    Line {
        product_id: "A".to_owned(),
        quantity: 3,
    }
}

impl Given {
    /// Nothing but two services that answer and know nothing of it.
    pub(super) fn new(order_id: &str) -> Self {
        let shard = |service: Service, url: &str| Shard {
            service,
            url: url.to_owned(),
            answers: true,
            parked: Told::Is(Vec::new()),
            conflicts: Told::Is(Vec::new()),
            handled: Told::Is(Vec::new()),
            checkpoint: Told::Is(ShardCheckpoint::default()),
        };
        let unread = |topic| (topic, Extent::Read { first: 0, next: 0 });
        let given = Self(Facts {
            order_id: order_id.to_owned(),
            partition: Some(PARTITION),
            extents: TOPICS.map(unread).into(),
            messages: Vec::new(),
            left_out: 0,
            order: Told::Nothing,
            reservation: Told::Nothing,
            stock: BTreeMap::new(),
            order_shard: shard(Service::Order, "http://order.test:8902"),
            inventory_shard: shard(Service::Inventory, "http://inventory.test:8901"),
        });
        given
            .read_by(Service::Order, 100)
            .read_by(Service::Inventory, 100)
    }

    /// Placed with 3 A; Order has decided and published, nothing else.
    pub(super) fn placed(order_id: &str) -> Self {
        Self::new(order_id)
            .said(command(0, "c1", place_order(order_id, &[("A", 3)])))
            .said(placed_event(order_id))
            .order(Status::Pending, 1, "")
    }

    /// Placed and reserved, with nothing left to do.
    pub(super) fn reserved(order_id: &str) -> Self {
        Self::placed(order_id)
            .answered(ReservationEvent::Reserved(StockReserved {
                order_id: order_id.to_owned(),
                version: 1,
                lines: vec![line()],
            }))
            .said(event(
                "order.events",
                1,
                35,
                "e2",
                "r1",
                Said::Order(OrderEvent::Reserved(OrderReserved {
                    order_id: order_id.to_owned(),
                    version: 2,
                })),
            ))
            .order(Status::Reserved, 2, "")
            .reservation("HELD", &[], &[])
    }

    /// Placed and waiting for A, of which there are `available`, at `place` in the queue.
    pub(super) fn backordered(order_id: &str, available: i64, place: i64) -> Self {
        let short = vec!["A".to_owned()];
        Self::placed(order_id)
            .answered(ReservationEvent::Backordered(StockBackordered {
                order_id: order_id.to_owned(),
                version: 1,
                short: short.clone(),
            }))
            .said(event(
                "order.events",
                1,
                35,
                "e2",
                "r1",
                Said::Order(OrderEvent::Backordered(OrderBackordered {
                    order_id: order_id.to_owned(),
                    version: 2,
                    short,
                })),
            ))
            .order(Status::Backordered, 2, "waiting for A")
            .reservation("WAITING", &["A"], &[place])
            .stock("A", available)
    }

    /// Inventory's first word about the order.
    pub(super) fn answered(self, answer: ReservationEvent) -> Self {
        let said = Said::Reservation(answer);
        self.said(event("inventory.events", 0, 30, "r1", "e1", said))
    }

    pub(super) fn said(mut self, message: Message) -> Self {
        self.0.messages.push(message);
        self
    }

    /// Order's row: 3 A under the id, as [`Given::placed`] placed it.
    pub(super) fn order(mut self, status: Status, version: i64, reason: &str) -> Self {
        self.0.order = Told::Is(Order {
            order_id: self.0.order_id.clone(),
            customer_id: "CUSTOMER_001".to_owned(),
            currency: "GBP".to_owned(),
            lines: vec![OrderLine {
                product_id: "A".to_owned(),
                quantity: 3,
                unit_price_minor: 100,
            }],
            status: status.into(),
            version,
            reason: reason.to_owned(),
            ..Order::default()
        });
        self
    }

    /// Inventory's row; it has applied the order's first version.
    pub(super) fn reservation(mut self, status: &str, short: &[&str], places: &[i64]) -> Self {
        self.0.reservation = Told::Is(ReservationRow {
            order_id: self.0.order_id.clone(),
            order_version: 1,
            version: 1,
            status: status.to_owned(),
            lines: vec![reservation_row::Line {
                product_id: "A".to_owned(),
                quantity: 3,
            }],
            short: short.iter().map(|&product| product.to_owned()).collect(),
            places: places.to_vec(),
            ..ReservationRow::default()
        });
        self
    }

    pub(super) fn stock(mut self, product: &str, available: i64) -> Self {
        let level = StockLevel {
            product_id: product.to_owned(),
            on_hand: available,
            available,
            ..StockLevel::default()
        };
        self.0.stock.insert(product.to_owned(), Told::Is(level));
        self
    }

    /// The service's cursors stand at `next` in every topic.
    pub(super) fn read_by(mut self, service: Service, next: i64) -> Self {
        let cursors = TOPICS.map(|topic| TopicCursor {
            topic: topic.to_owned(),
            next_offset: next,
        });
        self.shard(service).checkpoint = Told::Is(ShardCheckpoint {
            shard: PARTITION,
            cursors: cursors.into(),
            outbox_rows: 2,
            ..ShardCheckpoint::default()
        });
        self
    }

    /// Nobody listens where the service should be.
    pub(super) fn silent(mut self, service: Service) -> Self {
        let nobody = || "nobody answers".to_owned();
        match service {
            Service::Order => self.0.order = Told::Unknown(nobody()),
            Service::Inventory => {
                self.0.reservation = Told::Unknown(nobody());
                self.0.stock.clear();
            }
        }
        let shard = self.shard(service);
        shard.answers = false;
        shard.parked = Told::Unknown(nobody());
        shard.conflicts = Told::Unknown(nobody());
        shard.handled = Told::Unknown(nobody());
        shard.checkpoint = Told::Unknown(nobody());
        self
    }

    /// The service has set these offsets of `topic` aside.
    pub(super) fn parked(mut self, service: Service, topic: &str, offsets: &[i64]) -> Self {
        let parked = offsets
            .iter()
            .enumerate()
            .map(|(index, offset)| ParkedMessage {
                place: wire(topic, *offset),
                reason: if index == 0 { "failed" } else { "behind" }.to_owned(),
                detail: "a constraint refused it".to_owned(),
                ..ParkedMessage::default()
            });
        self.shard(service).parked = Told::Is(parked.collect());
        self
    }

    /// Order has recorded a conflict at this offset of its commands.
    pub(super) fn conflict(mut self, offset: i64) -> Self {
        self.shard(Service::Order).conflicts = Told::Is(vec![ConflictingMessage {
            place: wire("order.commands", offset),
            ..ConflictingMessage::default()
        }]);
        self
    }

    /// An operator of Order handled this offset of its commands.
    pub(super) fn handled(mut self, offset: i64, outcome: &str) -> Self {
        self.shard(Service::Order).handled = Told::Is(vec![Handled {
            place: place("order.commands", offset),
            operator: "anna".to_owned(),
            reason: "asked by the customer".to_owned(),
            outcome: outcome.to_owned(),
        }]);
        self
    }

    /// Retention has deleted what stood below `first`.
    pub(super) fn kept_from(mut self, topic: &'static str, first: i64) -> Self {
        self.0
            .extents
            .insert(topic, Extent::Read { first, next: 100 });
        self.0
            .messages
            .retain(|message| message.place.topic != topic || message.place.offset >= first);
        self
    }

    pub(super) fn facts(self) -> Facts {
        self.0
    }

    fn shard(&mut self, service: Service) -> &mut Shard {
        match service {
            Service::Order => &mut self.0.order_shard,
            Service::Inventory => &mut self.0.inventory_shard,
        }
    }
}
