//! What was found out about an order.

use std::collections::BTreeMap;
use std::fmt;

use contracts::inventory::{ReceiveStock, ReservationEvent};
use contracts::order::{OrderCommand, OrderEvent};
use contracts::proto::{
    ConflictingMessage, Order, ParkedMessage, ReservationRow, ShardCheckpoint, StockLevel,
};
use contracts::topics;
use messaging::clock::Timestamp;
use messaging::context::ContentHash;
use serde::Serialize;

use crate::services::Service;

/// The topics that tell of an order, in the sequence of its way.
pub const TOPICS: [&str; 3] = [
    topics::ORDER_COMMANDS,
    topics::ORDER_EVENTS,
    topics::INVENTORY_EVENTS,
];

/// The service that consumes a topic; `None` for one that nobody consumes.
#[must_use]
pub fn reader_of(topic: &str) -> Option<Service> {
    match topic {
        topics::ORDER_COMMANDS | topics::INVENTORY_EVENTS => Some(Service::Order),
        topics::ORDER_EVENTS | topics::INVENTORY_COMMANDS => Some(Service::Inventory),
        _ => None,
    }
}

/// Where a message stands. Shown as `shop tail` shows it: `topic/partition@offset`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Place {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.topic, self.partition, self.offset)
    }
}

impl From<contracts::proto::Place> for Place {
    fn from(place: contracts::proto::Place) -> Self {
        Self {
            topic: place.topic,
            partition: place.partition,
            offset: place.offset,
        }
    }
}

impl Place {
    /// Whether the contracts' place is this one.
    #[must_use]
    pub fn is(&self, place: Option<&contracts::proto::Place>) -> bool {
        place.is_some_and(|place| {
            place.topic == self.topic
                && place.partition == self.partition
                && place.offset == self.offset
        })
    }
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// What a client asked of Order.
    Command(OrderCommand),
    /// What Order told.
    Order(OrderEvent),
    /// What Inventory told.
    Reservation(ReservationEvent),
    /// A delivery, which other orders and this one may have waited for.
    Receipt(ReceiveStock),
    /// It cannot be read.
    Unreadable(String),
}

/// A message of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where it stands.
    pub place: Place,
    /// When it was accepted or decided; when it was written if that cannot be read.
    pub time: Timestamp,
    /// The message type; `None` if it cannot be read.
    pub name: Option<String>,
    /// Its id; `None` if it cannot be read.
    pub id: Option<String>,
    /// Id of the message that caused it; `None` for the first of a flow.
    pub cause: Option<String>,
    /// Hash of the value as it stands in the log.
    pub bytes: ContentHash,
    /// What it says.
    pub said: Said,
}

/// What a question was answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told<T> {
    /// The thing asked for.
    Is(T),
    /// It does not exist.
    Nothing,
    /// No answer, and why.
    Unknown(String),
}

impl<T> Told<T> {
    /// The thing asked for, if there is one.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Is(thing) => Some(thing),
            Self::Nothing | Self::Unknown(_) => None,
        }
    }

    /// Why there is no answer, if there is none.
    pub fn unknown(&self) -> Option<&str> {
        match self {
            Self::Unknown(why) => Some(why),
            Self::Is(_) | Self::Nothing => None,
        }
    }
}

/// How far a topic was read, in the order's partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Its records from `first` to below `next`.
    Read {
        /// The earliest offset that retention has kept.
        first: i64,
        /// The offset that the next record will get.
        next: i64,
    },
    /// The log has no such topic.
    NoTopic,
    /// It could not be read, and why.
    Unread(String),
}

/// What an operator's action did with a message that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handled {
    /// The message.
    pub place: Place,
    /// Who asked; empty if nobody said.
    pub operator: String,
    /// Why; empty if nobody said.
    pub reason: String,
    /// `discarded`, or what a replay came to: `applied`, `duplicate`, `conflict`, `ignored`,
    /// `parked`.
    pub outcome: String,
}

/// What a service says of the order's shard.
#[derive(Clone, Debug, PartialEq)]
pub struct Shard {
    /// The service.
    pub service: Service,
    /// Where it was asked.
    pub url: String,
    /// Whether somebody listens there.
    pub answers: bool,
    /// Its messages set aside for this order, oldest first.
    pub parked: Told<Vec<ParkedMessage>>,
    /// Its conflicts under this order's id, oldest first.
    pub conflicts: Told<Vec<ConflictingMessage>>,
    /// What operators did with messages of the order's partition, newest first.
    pub handled: Told<Vec<Handled>>,
    /// How far it has come.
    pub checkpoint: Told<ShardCheckpoint>,
}

impl Shard {
    /// The next offset that it will read of `topic`, as committed; 0 before the first record.
    #[must_use]
    pub fn cursor(&self, topic: &str) -> Option<i64> {
        let checkpoint = self.checkpoint.known()?;
        let cursor = checkpoint.cursors.iter().find(|at| at.topic == topic);
        Some(cursor.map_or(0, |at| at.next_offset))
    }
}

/// Everything that was found out about an order.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The order.
    pub order_id: String,
    /// The order's partition; `None` when the log could not be asked.
    pub partition: Option<i32>,
    /// How far each of [`TOPICS`] was read.
    pub extents: BTreeMap<&'static str, Extent>,
    /// The order's messages, each topic's in the sequence of its offsets; and deliveries that
    /// caused some of them.
    pub messages: Vec<Message>,
    /// Messages of the order that were left out, because there are too many.
    pub left_out: usize,
    /// Order's row.
    pub order: Told<Order>,
    /// Inventory's row.
    pub reservation: Told<ReservationRow>,
    /// The stock of the products that the order waits for, by product.
    pub stock: BTreeMap<String, Told<StockLevel>>,
    /// What Order says of the shard.
    pub order_shard: Shard,
    /// What Inventory says of the shard.
    pub inventory_shard: Shard,
}

impl Facts {
    /// What `service` says of the order's shard.
    #[must_use]
    pub fn shard(&self, service: Service) -> &Shard {
        match service {
            Service::Order => &self.order_shard,
            Service::Inventory => &self.inventory_shard,
        }
    }

    /// Both services' words.
    pub fn shards(&self) -> impl Iterator<Item = &Shard> {
        Service::ALL.into_iter().map(|service| self.shard(service))
    }

    /// Whether `topic` was read from its very first record on.
    #[must_use]
    pub fn is_whole(&self, topic: &str) -> bool {
        matches!(self.extents.get(topic), Some(Extent::Read { first: 0, .. }))
    }

    /// Whether anything at all knows the order.
    #[must_use]
    pub fn is_known(&self) -> bool {
        let parked = |shard: &Shard| shard.parked.known().is_some_and(|all| !all.is_empty());
        let conflicts = |shard: &Shard| shard.conflicts.known().is_some_and(|all| !all.is_empty());
        !self.messages.is_empty()
            || self.order.known().is_some()
            || self.reservation.known().is_some()
            || self.shards().any(|shard| parked(shard) || conflicts(shard))
    }
}
