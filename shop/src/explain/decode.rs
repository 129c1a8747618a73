//! Records as messages.

use bytes::Bytes;
use contracts::inventory::{InventoryCommand, ReservationEvent};
use contracts::order::{OrderCommand, OrderEvent};
use messaging::codec;
use messaging::context::ContentHash;
use messaging::envelope::Envelope;
use messaging::registry::SchemaRegistry;

use super::facts::{Message, Place, Said};
use crate::tail::reader;

/// Reads a record by the schema that it was written with; what cannot be read says why.
pub(super) async fn decode(registry: &dyn SchemaRegistry, read: &reader::Message) -> Message {
    let record = &read.consumed.record;
    let envelope = Envelope::from_headers(&record.headers);
    let said = match &envelope {
        Ok(envelope) => said(registry, envelope, record.value.as_ref()).await,
        Err(error) => Err(error.to_string()),
    };
    let envelope = envelope.ok();
    let said = said.and_then(|said| routed(said, record.key.as_ref()));
    Message {
        place: Place {
            topic: read.topic.to_string(),
            partition: read.partition,
            offset: read.consumed.offset,
        },
        time: envelope
            .as_ref()
            .map_or(record.timestamp, |known| known.time),
        name: envelope.as_ref().map(|known| known.message_type.clone()),
        id: envelope.as_ref().map(|known| known.id.clone()),
        cause: envelope.and_then(|known| known.causation_id),
        bytes: ContentHash::of(record.value.as_deref().unwrap_or_default()),
        said: said.unwrap_or_else(Said::Unreadable),
    }
}

async fn said(
    registry: &dyn SchemaRegistry,
    envelope: &Envelope,
    value: Option<&Bytes>,
) -> Result<Said, String> {
    let value = value.ok_or_else(|| "it has no value".to_owned())?;
    let (id, datum) = codec::unframe(value).map_err(|error| error.to_string())?;
    let schema = registry.schema(id).await;
    let schema = schema.map_err(|error| error.to_string())?;
    let name = envelope.message_type.as_str();
    if schema.name() != name {
        return Err(format!(
            "header ce_type says {name}, the schema is {}",
            schema.name()
        ));
    }
    let decoded = OrderCommand::decode(name, &schema, datum)
        .map(|command| command.map(Said::Command))
        .or_else(|| OrderEvent::decode(name, &schema, datum).map(|event| event.map(Said::Order)))
        .or_else(|| {
            ReservationEvent::decode(name, &schema, datum).map(|event| event.map(Said::Reservation))
        })
        .or_else(|| {
            let decoded = InventoryCommand::decode(name, &schema, datum);
            decoded.map(|decoded| {
                decoded.map(|InventoryCommand::Receive(receipt)| Said::Receipt(receipt))
            })
        });
    match decoded {
        Some(decoded) => decoded.map_err(|error| error.to_string()),
        None => Err(format!("message type {name} is not known")),
    }
}

/// A payload belongs to the record's key, or the services park it.
fn routed(said: Said, key: Option<&Bytes>) -> Result<Said, String> {
    let named = match &said {
        Said::Command(command) => command.key(),
        Said::Order(event) => event.key(),
        Said::Reservation(event) => event.key(),
        Said::Receipt(receipt) => &receipt.product_id,
        Said::Unreadable(_) => return Ok(said),
    };
    if key.is_some_and(|key| key.as_ref() == named.as_bytes()) {
        return Ok(said);
    }
    Err(format!("its payload is about {named}"))
}
