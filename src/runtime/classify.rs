//! What a record of an input topic is to the context: the pure steps of `item`, with the registry's
//! answer between them.

use std::sync::Arc;

use crate::codec::Schema;
use crate::context::Context;
use crate::limits::{REGISTRY_NOT_FOUND_TRIES, REGISTRY_NOT_FOUND_TTL};
use crate::log::Consumed;
use crate::registry::{self, ErrorKind, SchemaId};
use crate::runtime::Ports;
use crate::runtime::item::{self, Kind, Opened, Origin, Unreadable};
use crate::runtime::service::Service;
use crate::store::ParkReason;

/// Classifies one record.
///
/// # Errors
/// Of kind [`ErrorKind::Retry`]: the registry cannot be asked now. Any other answer of the registry
/// is its last word on the record.
pub(crate) async fn classify<C: Context, S>(
    service: &Service<C, S>,
    origin: Origin,
    consumed: &Consumed,
    topic: &Arc<str>,
) -> Result<Kind<C::Message>, registry::Error> {
    let context = &*service.context;
    let (key, envelope, schema) = match item::open(context, origin, &consumed.record) {
        Opened::Ignored => return Ok(Kind::Ignored),
        Opened::Unreadable(unreadable) => return Ok(Kind::Unreadable(unreadable)),
        Opened::Framed {
            key,
            envelope,
            schema,
        } => (key, envelope, schema),
    };
    match schema_of(&service.ports, schema).await {
        Ok(schema) => {
            let opened = (key, envelope);
            Ok(item::decode(
                context, origin, consumed, topic, opened, &schema,
            ))
        }
        Err(error) if error.kind == ErrorKind::Retry => Err(error),
        Err(error) => Ok(Kind::Unreadable(Unreadable {
            aggregate: Some(item::aggregate(origin.input, &key)),
            reason: ParkReason::Undecodable,
            detail: error.to_string(),
        })),
    }
}

/// The schema; one that the registry does not know is asked for a few times.
async fn schema_of(ports: &Ports, id: SchemaId) -> Result<Schema, registry::Error> {
    let mut unknown = 0;
    loop {
        match ports.registry.schema(id).await {
            Err(error) if error.kind == ErrorKind::NotFound => {
                unknown += 1;
                if unknown >= REGISTRY_NOT_FOUND_TRIES {
                    return Err(error);
                }
                // Sooner the adapter would only repeat what it remembers.
                ports.clock.sleep(REGISTRY_NOT_FOUND_TTL).await;
            }
            answer => return answer,
        }
    }
}
