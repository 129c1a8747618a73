//! Records of the topics, decoded as far as they can be.

use std::fmt;

use contracts::inventory::{InventoryCommand, ReceiveStock, ReservationEvent, StockEvent};
use contracts::order::{OrderCommand, OrderEvent};
use contracts::topics;
use messaging::codec::{self, Schema};
use messaging::envelope::Envelope;
use messaging::log::{self, Consumed};
use messaging::partitioner::partition_of;
use messaging::registry::{self, SchemaId, SchemaRegistry};

use crate::digest::{self, Digest};

/// A topic of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Commands to Order.
    OrderCommands,
    /// Order's events.
    OrderEvents,
    /// Commands to Inventory.
    InventoryCommands,
    /// Inventory's events of reservations.
    InventoryEvents,
    /// Inventory's events of stock.
    InventoryStock,
}

impl Topic {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::OrderCommands,
        Self::OrderEvents,
        Self::InventoryCommands,
        Self::InventoryEvents,
        Self::InventoryStock,
    ];

    /// Its name in the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OrderCommands => topics::ORDER_COMMANDS,
            Self::OrderEvents => topics::ORDER_EVENTS,
            Self::InventoryCommands => topics::INVENTORY_COMMANDS,
            Self::InventoryEvents => topics::INVENTORY_EVENTS,
            Self::InventoryStock => topics::INVENTORY_STOCK,
        }
    }

    /// The topic with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.name() == name)
    }
}

/// A place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The topic.
    pub topic: Topic,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{}@{}",
            self.topic.name(),
            self.partition,
            self.offset
        )
    }
}

/// A message of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Order is asked.
    Order(OrderCommand),
    /// Order tells.
    OrderEvent(OrderEvent),
    /// Inventory is asked.
    Receive(ReceiveStock),
    /// Inventory tells of a reservation.
    Reservation(ReservationEvent),
    /// Inventory tells of stock.
    Stock(StockEvent),
}

impl Message {
    fn decode(
        topic: Topic,
        message_type: &str,
        schema: &Schema,
        datum: &[u8],
    ) -> Option<Result<Self, codec::Error>> {
        match topic {
            Topic::OrderCommands => OrderCommand::decode(message_type, schema, datum)
                .map(|decoded| decoded.map(Self::Order)),
            Topic::OrderEvents => OrderEvent::decode(message_type, schema, datum)
                .map(|decoded| decoded.map(Self::OrderEvent)),
            Topic::InventoryCommands => {
                InventoryCommand::decode(message_type, schema, datum).map(|decoded| {
                    decoded.map(|InventoryCommand::Receive(receive)| Self::Receive(receive))
                })
            }
            Topic::InventoryEvents => ReservationEvent::decode(message_type, schema, datum)
                .map(|decoded| decoded.map(Self::Reservation)),
            Topic::InventoryStock => StockEvent::decode(message_type, schema, datum)
                .map(|decoded| decoded.map(Self::Stock)),
        }
    }

    /// The id that is the record's key.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Order(command) => command.key(),
            Self::OrderEvent(event) => event.key(),
            Self::Receive(receive) => &receive.product_id,
            Self::Reservation(event) => event.key(),
            Self::Stock(event) => event.key(),
        }
    }
}

/// What a record holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A message.
    Message {
        /// Its metadata.
        envelope: Box<Envelope>,
        /// Its payload.
        message: Message,
    },
    /// What no consumer can read, or what stands in the wrong place: to be parked.
    Unreadable {
        /// The aggregate that it holds up; `None` if it is parked alone.
        key: Option<String>,
        /// Why.
        detail: String,
    },
}

/// A record of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it stands.
    pub place: Place,
    /// Stands for its bytes: key, value and headers.
    pub bytes: Digest,
    /// What it holds.
    pub body: Body,
}

impl Record {
    /// Reads a record; what cannot be read is [`Body::Unreadable`], as a consumer would find it.
    ///
    /// # Errors
    /// When the registry cannot be asked.
    pub async fn read(
        place: Place,
        partitions: i32,
        consumed: &log::Record,
        registry: &dyn SchemaRegistry,
    ) -> Result<Self, registry::Error> {
        let body = match open(place, partitions, consumed) {
            Err((key, detail)) => unreadable(key, detail),
            Ok((key, envelope, id)) => match registry.schema(id).await {
                Ok(schema) => decode(place.topic, key, envelope, consumed, &schema),
                Err(error) if error.kind == registry::ErrorKind::Retry => return Err(error),
                Err(error) => unreadable(Some(key), error.to_string()),
            },
        };
        Ok(Self {
            place,
            bytes: digest::record(consumed),
            body,
        })
    }

    /// As [`Record::read`], for a record as the log gives it.
    ///
    /// # Errors
    /// When the registry cannot be asked.
    pub async fn of(
        topic: Topic,
        (partition, partitions): (i32, i32),
        consumed: &Consumed,
        registry: &dyn SchemaRegistry,
    ) -> Result<Self, registry::Error> {
        let place = Place {
            topic,
            partition,
            offset: consumed.offset,
        };
        Self::read(place, partitions, &consumed.record, registry).await
    }
}

fn unreadable(key: Option<String>, detail: String) -> Body {
    Body::Unreadable { key, detail }
}

/// Reads as far as the schema is not needed: key, metadata, schema id. What cannot be read is told as
/// [`unreadable`] takes it.
fn open(
    place: Place,
    partitions: i32,
    record: &log::Record,
) -> Result<(String, Envelope, SchemaId), (Option<String>, String)> {
    let Some(key) = &record.key else {
        return Err((None, "the record has no key".to_owned()));
    };
    let home = partition_of(key, partitions);
    if home != place.partition {
        let detail = format!("the key belongs to partition {home}");
        return Err((None, detail));
    }
    let Ok(key) = String::from_utf8(key.to_vec()) else {
        return Err((None, "the key is not UTF-8".to_owned()));
    };
    let envelope = match Envelope::from_headers(&record.headers) {
        Ok(envelope) => envelope,
        Err(error) => return Err((Some(key), error.to_string())),
    };
    match codec::unframe(record.value.as_deref().unwrap_or_default()) {
        Ok((schema, _)) => Ok((key, envelope, schema)),
        Err(error) => Err((Some(key), error.to_string())),
    }
}

fn decode(
    topic: Topic,
    key: String,
    envelope: Envelope,
    record: &log::Record,
    schema: &Schema,
) -> Body {
    if schema.name() != envelope.message_type {
        let detail = format!(
            "header ce_type says {}, the schema is {}",
            envelope.message_type,
            schema.name()
        );
        return unreadable(Some(key), detail);
    }
    let value = record.value.as_deref().unwrap_or_default();
    let decoded = match codec::unframe(value) {
        Ok((_, datum)) => Message::decode(topic, &envelope.message_type, schema, datum),
        Err(error) => return unreadable(Some(key), error.to_string()),
    };
    match decoded {
        None => {
            let detail = format!(
                "message type {} does not belong here",
                envelope.message_type
            );
            unreadable(Some(key), detail)
        }
        Some(Err(error)) => unreadable(Some(key), error.to_string()),
        Some(Ok(message)) if message.key() != key => {
            let detail = format!("the key is {key}, the payload says {}", message.key());
            unreadable(None, detail)
        }
        Some(Ok(message)) => Body::Message {
            envelope: Box::new(envelope),
            message,
        },
    }
}
