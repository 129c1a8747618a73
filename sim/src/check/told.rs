//! What a record says.

use contracts::inventory::{InventoryCommand, ReservationEvent, StockEvent};
use contracts::order::{OrderCommand, OrderEvent};
use futures::FutureExt;
use messaging::codec::{self, Schema};
use messaging::envelope::Envelope;
use messaging::log::Record;
use messaging::partitioner::partition_of;
use messaging::registry::SchemaRegistry;

/// A message of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Order(OrderCommand),
    Inventory(InventoryCommand),
    OrderEvent(OrderEvent),
    Reservation(ReservationEvent),
    Stock(StockEvent),
}

/// What a record says, to anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// It has no key, another partition's key, or its payload has another key.
    Misrouted(String),
    /// It cannot be read; its key is known.
    Unreadable {
        key: String,
        /// The type that its headers name, if they are whole.
        message_type: Option<String>,
        why: String,
    },
    /// A message.
    Message { envelope: Box<Envelope>, body: Body },
}

impl Body {
    pub(crate) fn key(&self) -> &str {
        match self {
            Self::Order(command) => command.key(),
            Self::Inventory(command) => command.key(),
            Self::OrderEvent(event) => event.key(),
            Self::Reservation(event) => event.key(),
            Self::Stock(event) => event.key(),
        }
    }

    /// An event's version; `None` for a command.
    pub(crate) fn version(&self) -> Option<i64> {
        match self {
            Self::Order(_) | Self::Inventory(_) => None,
            Self::OrderEvent(event) => Some(event.version()),
            Self::Reservation(event) => Some(event.version()),
            Self::Stock(event) => Some(event.version()),
        }
    }

    fn decode(message_type: &str, schema: &Schema, datum: &[u8]) -> Result<Self, String> {
        let bodies = [
            OrderCommand::decode(message_type, schema, datum).map(|body| body.map(Self::Order)),
            InventoryCommand::decode(message_type, schema, datum)
                .map(|body| body.map(Self::Inventory)),
            OrderEvent::decode(message_type, schema, datum).map(|body| body.map(Self::OrderEvent)),
            ReservationEvent::decode(message_type, schema, datum)
                .map(|body| body.map(Self::Reservation)),
            StockEvent::decode(message_type, schema, datum).map(|body| body.map(Self::Stock)),
        ];
        match bodies.into_iter().flatten().next() {
            Some(body) => body.map_err(|error| error.to_string()),
            None => Err(format!("message type {message_type} is not the store's")),
        }
    }
}

impl Told {
    /// Reads `record`, which stands in `partition` of `partitions`.
    pub(crate) fn by(
        record: &Record,
        registry: &dyn SchemaRegistry,
        partition: i32,
        partitions: i32,
    ) -> Self {
        let Some(bytes) = &record.key else {
            return Self::Misrouted("it has no key".to_owned());
        };
        let Ok(key) = String::from_utf8(bytes.to_vec()) else {
            return Self::Misrouted("its key is no text".to_owned());
        };
        if partition_of(bytes, partitions) != partition {
            return Self::Misrouted(format!("key {key} belongs elsewhere"));
        }
        let envelope = Envelope::from_headers(&record.headers);
        let message_type = envelope
            .as_ref()
            .ok()
            .map(|found| found.message_type.clone());
        let read = envelope
            .map_err(|error| error.to_string())
            .and_then(|envelope| Ok((body(record, registry, &envelope)?, envelope)));
        match read {
            Err(why) => Self::Unreadable {
                key,
                message_type,
                why,
            },
            Ok((body, _)) if body.key() != key => {
                Self::Misrouted(format!("key {key}, payload of {}", body.key()))
            }
            Ok((body, envelope)) => Self::Message {
                envelope: Box::new(envelope),
                body,
            },
        }
    }
}

fn body(
    record: &Record,
    registry: &dyn SchemaRegistry,
    envelope: &Envelope,
) -> Result<Body, String> {
    let (id, datum) = codec::unframe(record.value.as_deref().unwrap_or_default())
        .map_err(|error| error.to_string())?;
    let schema = registry
        .schema(id)
        .now_or_never()
        .ok_or("the checker's registry made it wait")?
        .map_err(|error| error.to_string())?;
    if schema.name() != envelope.message_type {
        return Err(format!(
            "headers say {}, the schema is {}",
            envelope.message_type,
            schema.name()
        ));
    }
    Body::decode(&envelope.message_type, &schema, datum)
}
