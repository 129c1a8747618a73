//! Avro datums in Confluent's frame: byte 0, schema id (4 bytes, big endian), datum.

use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_avro_fast::de::DeserializerState;
use serde_avro_fast::ser::SerializerConfig;

use crate::registry::SchemaId;

/// Confluent's magic byte.
const MAGIC: u8 = 0;
/// Magic byte and schema id.
const FRAME_LEN: usize = 5;

/// A parsed Avro record schema.
#[derive(Debug)]
pub struct Schema {
    name: String,
    parsed: serde_avro_fast::Schema,
}

impl Schema {
    /// Parses a schema's literal text.
    ///
    /// # Errors
    /// When it is not an Avro schema, or not a record with a name.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let invalid = |detail: String| Error::Schema { detail };
        let json: serde_json::Value =
            serde_json::from_str(text).map_err(|error| invalid(error.to_string()))?;
        let name = full_name(&json).ok_or_else(|| invalid("not a named record".to_owned()))?;
        let parsed = text
            .parse()
            .map_err(|error: serde_avro_fast::schema::SchemaError| invalid(error.to_string()))?;
        Ok(Self { name, parsed })
    }

    /// The record's full name, `namespace.Name`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// The full name by the Avro specification's rules: a name with dots carries its namespace.
fn full_name(schema: &serde_json::Value) -> Option<String> {
    if schema.get("type")?.as_str()? != "record" {
        return None;
    }
    let name = schema.get("name")?.as_str()?;
    match schema.get("namespace").and_then(serde_json::Value::as_str) {
        Some(namespace) if !name.contains('.') && !namespace.is_empty() => {
            Some(format!("{namespace}.{name}"))
        }
        _ => Some(name.to_owned()),
    }
}

/// Encodes `value` by `schema`, framed with `id`.
///
/// # Errors
/// When the value does not fit the schema.
pub fn encode<T: Serialize>(id: SchemaId, schema: &Schema, value: &T) -> Result<Bytes, Error> {
    let mut frame = Vec::with_capacity(128);
    frame.put_u8(MAGIC);
    frame.put_u32(id.0);
    serde_avro_fast::to_datum(value, frame, &mut SerializerConfig::new(&schema.parsed))
        .map(Bytes::from)
        .map_err(|error| Error::Encode {
            schema: schema.name.clone(),
            detail: error.to_string(),
        })
}

/// Splits a frame into schema id and datum.
///
/// # Errors
/// [`Error::Frame`] when the bytes are not a Confluent frame.
pub fn unframe(bytes: &[u8]) -> Result<(SchemaId, &[u8]), Error> {
    match bytes {
        [MAGIC, a, b, c, d, datum @ ..] => {
            Ok((SchemaId(u32::from_be_bytes([*a, *b, *c, *d])), datum))
        }
        [first, ..] if bytes.len() >= FRAME_LEN => Err(Error::Frame {
            len: bytes.len(),
            first: *first,
        }),
        _ => Err(Error::Frame {
            len: bytes.len(),
            first: bytes.first().copied().unwrap_or(0),
        }),
    }
}

/// Frames an encoded datum.
#[must_use]
pub fn frame(id: SchemaId, datum: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(FRAME_LEN + datum.len());
    frame.put_u8(MAGIC);
    frame.put_u32(id.0);
    frame.extend_from_slice(datum);
    frame.freeze()
}

/// Decodes a whole datum that was written with `schema`.
///
/// Fields that `T` does not know are skipped; fields that the writer did not know take `T`'s
/// serde defaults, so a reader copes with older and newer compatible writers.
///
/// # Errors
/// When the bytes are not a datum of the schema, do not fit `T`, or are followed by more bytes.
pub fn decode<T: DeserializeOwned>(schema: &Schema, datum: &[u8]) -> Result<T, Error> {
    let failed = |detail: String| Error::Decode {
        schema: schema.name.clone(),
        detail,
    };
    let mut state = DeserializerState::from_slice(datum, &schema.parsed);
    let value = T::deserialize(state.deserializer()).map_err(|error| failed(error.to_string()))?;
    let mut rest = state.into_reader();
    let mut left = Vec::new();
    std::io::Read::read_to_end(&mut rest, &mut left).map_err(|error| failed(error.to_string()))?;
    match left.len() {
        0 => Ok(value),
        extra => Err(failed(format!("{extra} bytes follow the datum"))),
    }
}

/// Why bytes and values do not go together.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a Confluent frame.
    #[error("not a framed datum: {len} bytes, the first is {first}")]
    Frame {
        /// Length of the bytes.
        len: usize,
        /// The byte where 0 was expected.
        first: u8,
    },
    /// Not a usable schema.
    #[error("unusable schema: {detail}")]
    Schema {
        /// What is wrong with it.
        detail: String,
    },
    /// The value does not fit the schema.
    #[error("cannot write {schema}: {detail}")]
    Encode {
        /// The schema's full name.
        schema: String,
        /// What does not fit.
        detail: String,
    },
    /// The datum does not fit the schema or the type.
    #[error("cannot read {schema}: {detail}")]
    Decode {
        /// The schema's full name.
        schema: String,
        /// What does not fit.
        detail: String,
    },
    /// The message type is not among those bound at start.
    #[error("message type {message_type} is not bound; add it to the service's registrations")]
    Unbound {
        /// The message type.
        message_type: String,
    },
}
