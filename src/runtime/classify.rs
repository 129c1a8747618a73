//! What a record of an input topic is to the context: the pure steps of `item`, with the registry's
//! answer between them.

use std::collections::HashSet;
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

/// The schema ids that the registry did not know at the last of its chances. They hold for records
/// that were in the log by then, whose writers must have registered before: without them a flood of
/// such records would hold up its shard, each for as long as the first.
#[derive(Debug, Default)]
pub(crate) struct GivenUp(HashSet<SchemaId>);

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
    given_up: &mut GivenUp,
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
    match schema_of(&service.ports, schema, given_up).await {
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
async fn schema_of(
    ports: &Ports,
    id: SchemaId,
    given_up: &mut GivenUp,
) -> Result<Schema, registry::Error> {
    let mut unknown = 0;
    loop {
        match ports.registry.schema(id).await {
            Err(error) if error.kind == ErrorKind::NotFound => {
                unknown += 1;
                if unknown >= REGISTRY_NOT_FOUND_TRIES || given_up.0.contains(&id) {
                    given_up.0.insert(id);
                    return Err(error);
                }
                // Sooner the adapter would only repeat what it remembers.
                ports.clock.sleep(REGISTRY_NOT_FOUND_TTL).await;
            }
            answer => return answer,
        }
    }
}
