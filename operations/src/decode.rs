//! A parked record as far as it can be read.

use messaging::clock::Clock;
use messaging::codec;
use messaging::limits::REGISTRY_NOT_FOUND_TTL;
use messaging::log::Record;
use messaging::registry::{ErrorKind, SchemaRegistry};
use serde_json::Value;

/// What a record's value says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Payload {
    /// As JSON; empty where it cannot be decoded.
    pub(crate) json: String,
    /// The writer's schema id; 0 where there is no frame.
    pub(crate) schema_id: i32,
    /// Why it cannot be decoded; empty where it can.
    pub(crate) undecoded: String,
}

/// Reads a record's value by its writer's schema.
pub(crate) async fn payload(
    registry: &dyn SchemaRegistry,
    clock: &dyn Clock,
    record: &Record,
) -> Payload {
    let mut payload = Payload::default();
    match read(registry, clock, record, &mut payload.schema_id).await {
        Ok(value) => payload.json = value.to_string(),
        Err(why) => payload.undecoded = why,
    }
    payload
}

async fn read(
    registry: &dyn SchemaRegistry,
    clock: &dyn Clock,
    record: &Record,
    schema_id: &mut i32,
) -> Result<Value, String> {
    let value = record.value.as_deref();
    let value = value.ok_or_else(|| "the record has no value".to_owned())?;
    let (id, datum) = codec::unframe(value).map_err(|error| error.to_string())?;
    *schema_id = i32::try_from(id.0).unwrap_or(i32::MAX);
    let mut schema = registry.schema(id).await;
    if matches!(&schema, Err(error) if error.kind == ErrorKind::NotFound) {
        // That may be what it remembers: whoever looks wants to know of now.
        clock.sleep(REGISTRY_NOT_FOUND_TTL).await;
        schema = registry.schema(id).await;
    }
    let schema = schema.map_err(|error| error.to_string())?;
    codec::decode(&schema, datum).map_err(|error| error.to_string())
}
