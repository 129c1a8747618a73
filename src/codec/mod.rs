//! Avro datums in Confluent's frame: byte 0, schema id (4 bytes, big endian), datum.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;

mod bounds;
mod resolution;
mod schema;

use resolution::Resolution;
use schema::Compiled;
pub use schema::Schema;

/// Confluent's magic byte.
const MAGIC: u8 = 0;
/// Magic byte and schema id.
const FRAME_LEN: usize = 5;

/// The registry's number of a schema, as it stands in the Confluent frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SchemaId(pub u32);

impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Encodes `value` by `schema`, framed with `id`.
///
/// # Errors
/// When the value does not fit the schema.
pub fn encode<T: Serialize>(id: SchemaId, schema: &Schema, value: &T) -> Result<Bytes, Error> {
    let compiled = schema.compiled();
    let failed = |error: apache_avro::Error| Error::Encode {
        schema: compiled.name.clone(),
        detail: error.to_string(),
    };
    let mut frame = Vec::with_capacity(128);
    frame.put_u8(MAGIC);
    frame.put_u32(id.0);
    let writer = &compiled.writer;
    writer.write_ser(&mut frame, value).map_err(failed)?;
    Ok(Bytes::from(frame))
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

/// Decodes a whole datum that was written with `schema`, as it was written.
///
/// Fields that `T` does not know are skipped; fields that the writer did not know take `T`'s serde
/// defaults. Quickest where the record's name is `T`'s name in serde's eyes (`#[serde(rename)]`).
///
/// # Errors
/// When the bytes are not a datum of the schema, do not fit `T`, or are followed by more bytes; and
/// when the datum is nested deeper than [`DATUM_DEPTH_MAX`](crate::limits::DATUM_DEPTH_MAX) or would take more than
/// [`DATUM_MEMORY_MAX`](crate::limits::DATUM_MEMORY_MAX) in memory.
pub fn decode<T: DeserializeOwned>(schema: &Schema, datum: &[u8]) -> Result<T, Error> {
    by_its_own(schema.compiled(), datum)
}

/// Decodes a whole datum that was written with `writer` for a type whose schema is `reader` (its
/// literal text), by Avro's rules of schema resolution: fields that the writer did not know take the
/// defaults of `reader`, symbols that `reader` does not know become its default symbol. Where both
/// lay out the same bytes it is [`decode`].
///
/// # Errors
/// As [`decode`], and when the schemas are not compatible.
pub fn decode_as<T: DeserializeOwned>(
    writer: &Schema,
    reader: &'static str,
    datum: &[u8],
) -> Result<T, Error> {
    by_another(writer.compiled(), reader, datum)
}

/// As [`decode`], or with a `reader` as [`decode_as`], with a writer's schema that is forgotten
/// afterwards: for trials of many schemas.
///
/// # Errors
/// As [`decode_as`], and when `writer` is not a usable schema.
#[cfg(feature = "test-util")]
pub fn decode_once<T: DeserializeOwned>(
    writer: &str,
    reader: Option<&'static str>,
    datum: &[u8],
) -> Result<T, Error> {
    let (shape, avro) = schema::read(writer)?;
    let writer = schema::compile(writer, shape, &avro)?;
    match reader {
        None => by_its_own(&writer, datum),
        Some(reader) => by_another(&writer, reader, datum),
    }
}

fn by_its_own<T: DeserializeOwned>(schema: &Compiled<'_>, datum: &[u8]) -> Result<T, Error> {
    sound(schema, datum)?;
    direct(schema, datum)
}

fn by_another<T: DeserializeOwned>(
    writer: &Compiled<'_>,
    reader: &'static str,
    datum: &[u8],
) -> Result<T, Error> {
    let name = &writer.name;
    match &*resolution::resolve(writer, reader)? {
        Resolution::Same => direct(writer, datum),
        Resolution::By(resolving) => {
            sound(writer, datum)?;
            whole(name, datum, |rest| {
                apache_avro::from_value(&resolving.read_value(rest)?)
            })
        }
        Resolution::None(findings) => Err(Error::Decode {
            schema: name.clone(),
            detail: format!("its writer's schema cannot be read here: {findings}"),
        }),
    }
}

/// Reads by a schema whose datums are bounded: its own layout is, or [`sound`] has looked.
fn direct<T: DeserializeOwned>(schema: &Compiled<'_>, datum: &[u8]) -> Result<T, Error> {
    let reader = &schema.reader;
    whole(&schema.name, datum, |rest| reader.read_deser(rest)).or_else(|_| {
        // The direct way cannot skip an enum that `T` does not know, and insists on the names
        // of records; the way through a value, at several times the cost, can. It would read
        // nulls behind the end of the datum, so that is looked for before.
        sound(schema, datum)?;
        whole(&schema.name, datum, |rest| {
            apache_avro::from_value(&reader.read_value(rest)?)
        })
    })
}

/// Whether `datum` is one of `schema`, and bearable: Avro's decoder bounds neither depth nor number
/// of values, and takes a datum that is cut short for one that ends in nulls.
fn sound(schema: &Compiled<'_>, datum: &[u8]) -> Result<(), Error> {
    bounds::check(&schema.shape, datum).map_err(|unsound| Error::Decode {
        schema: schema.name.clone(),
        detail: unsound.to_string(),
    })
}

/// What `read` makes of `datum`, if it leaves nothing over.
fn whole<'d, T>(
    schema: &str,
    datum: &'d [u8],
    read: impl FnOnce(&mut &'d [u8]) -> Result<T, apache_avro::Error>,
) -> Result<T, Error> {
    let failed = |detail: String| Error::Decode {
        schema: schema.to_owned(),
        detail,
    };
    let mut rest = datum;
    let value = read(&mut rest).map_err(|error| failed(error.to_string()))?;
    match rest.len() {
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

impl Error {
    /// The error for a log line: what did not fit may quote what a client sent.
    #[must_use]
    pub fn outline(&self) -> String {
        match self {
            Self::Encode { schema, .. } => format!("cannot write {schema}"),
            Self::Decode { schema, .. } => format!("cannot read {schema}"),
            Self::Frame { .. } | Self::Schema { .. } | Self::Unbound { .. } => self.to_string(),
        }
    }
}

#[cfg(test)]
mod tests;
