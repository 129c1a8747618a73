//! Avro datums in Confluent's frame: byte 0, schema id (4 bytes, big endian), datum.

use std::fmt;
use std::sync::Once;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::util::max_allocation_bytes;
use apache_avro::writer::datum::GenericDatumWriter;
use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::limits::DATUM_ALLOCATION_MAX;

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

/// A parsed Avro record schema.
#[derive(Debug)]
pub struct Schema {
    name: String,
    parsed: apache_avro::Schema,
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
        let parsed =
            apache_avro::Schema::parse_str(text).map_err(|error| invalid(error.to_string()))?;
        bound_allocations();
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
    let failed = |error: apache_avro::Error| Error::Encode {
        schema: schema.name.clone(),
        detail: error.to_string(),
    };
    let mut frame = Vec::with_capacity(128);
    frame.put_u8(MAGIC);
    frame.put_u32(id.0);
    GenericDatumWriter::builder(&schema.parsed)
        .build()
        .and_then(|writer| writer.write_ser(&mut frame, value))
        .map_err(failed)?;
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

/// Decodes a whole datum that was written with `schema`.
///
/// Fields that `T` does not know are skipped; fields that the writer did not know take `T`'s serde
/// defaults, so a reader copes with older and newer compatible writers. Quickest where the record's
/// name is `T`'s name in serde's eyes (`#[serde(rename)]`).
///
/// # Errors
/// When the bytes are not a datum of the schema, do not fit `T`, or are followed by more bytes.
pub fn decode<T: DeserializeOwned>(schema: &Schema, datum: &[u8]) -> Result<T, Error> {
    let failed = |detail: String| Error::Decode {
        schema: schema.name.clone(),
        detail,
    };
    let mut rest = datum;
    let value = GenericDatumReader::builder(&schema.parsed)
        .build()
        .and_then(|reader| {
            reader.read_deser(&mut rest).or_else(|_| {
                // The direct way cannot skip an enum that `T` does not know, and insists on the
                // names of records; the way through a value, at several times the cost, can.
                rest = datum;
                apache_avro::from_value(&reader.read_value(&mut rest)?)
            })
        })
        .map_err(|error| failed(error.to_string()))?;
    match rest.len() {
        0 => Ok(value),
        extra => Err(failed(format!("{extra} bytes follow the datum"))),
    }
}

/// Garbage may announce lengths of any size; a datum is never longer than a record.
fn bound_allocations() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        max_allocation_bytes(DATUM_ALLOCATION_MAX);
    });
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    const PARCEL: &str = r#"{"type": "record", "namespace": "shop", "name": "Parcel", "fields": [
        {"name": "id", "type": "string"},
        {"name": "weight_g", "type": "long"},
        {"name": "urgency", "type":
            {"type": "enum", "name": "Urgency", "symbols": ["LOW", "HIGH"]}},
        {"name": "items", "type": {"type": "array", "items":
            {"type": "record", "name": "ParcelItem", "fields": [
                {"name": "product", "type": "string"},
                {"name": "quantity", "type": "int"}]}}}]}"#;

    #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "UPPERCASE")]
    enum Urgency {
        Low,
        High,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct ParcelItem {
        product: String,
        quantity: i32,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Parcel {
        id: String,
        weight_g: i64,
        urgency: Urgency,
        items: Vec<ParcelItem>,
    }

    fn schema() -> Schema {
        Schema::parse(PARCEL).unwrap()
    }

    prop_compose! {
        fn item()(product in ".{0,20}", quantity: i32) -> ParcelItem {
            ParcelItem { product, quantity }
        }
    }

    prop_compose! {
        fn parcel()(
            id in ".{0,64}",
            weight_g: i64,
            urgency in prop_oneof![Just(Urgency::Low), Just(Urgency::High)],
            items in prop::collection::vec(item(), 0..8),
        ) -> Parcel {
            Parcel { id, weight_g, urgency, items }
        }
    }

    proptest! {
        #[test]
        fn a_frame_gives_back_what_was_framed(id: u32, datum: Vec<u8>) {
            let framed = frame(SchemaId(id), &datum);
            prop_assert_eq!(framed.len(), FRAME_LEN + datum.len());
            prop_assert_eq!(unframe(&framed).unwrap(), (SchemaId(id), datum.as_slice()));
        }

        #[test]
        fn only_five_bytes_that_start_with_zero_are_a_frame(bytes: Vec<u8>) {
            let is_frame = bytes.len() >= FRAME_LEN && bytes[0] == MAGIC;
            prop_assert_eq!(unframe(&bytes).is_ok(), is_frame);
        }

        #[test]
        fn a_value_survives_its_encoding(id: u32, parcel in parcel()) {
            let encoded = encode(SchemaId(id), &schema(), &parcel).unwrap();
            let (found, datum) = unframe(&encoded).unwrap();
            prop_assert_eq!(found, SchemaId(id));
            prop_assert_eq!(decode::<Parcel>(&schema(), datum).unwrap(), parcel);
        }

        #[test]
        fn bytes_after_the_datum_are_refused(
            parcel in parcel(),
            extra in prop::collection::vec(any::<u8>(), 1..20),
        ) {
            let mut bytes = encode(SchemaId(1), &schema(), &parcel).unwrap().to_vec();
            bytes.extend(extra);
            prop_assert!(decode::<Parcel>(&schema(), &bytes[FRAME_LEN..]).is_err());
        }

        #[test]
        fn a_datum_cut_short_is_refused(parcel in parcel(), cut: prop::sample::Index) {
            let bytes = encode(SchemaId(1), &schema(), &parcel).unwrap();
            let datum = &bytes[FRAME_LEN..];
            let cut = cut.index(datum.len());
            prop_assert!(decode::<Parcel>(&schema(), &datum[..cut]).is_err());
        }

        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            if let Ok(parcel) = decode::<Parcel>(&schema(), &bytes) {
                // What happens to decode is a value like any other.
                prop_assert!(encode(SchemaId(1), &schema(), &parcel).is_ok());
            }
        }
    }

    #[test]
    fn the_frame_is_confluents() {
        assert_eq!(
            frame(SchemaId(0x0102_0304), b"datum").as_ref(),
            b"\0\x01\x02\x03\x04datum"
        );
    }

    #[test]
    fn a_huge_length_in_garbage_allocates_nothing() {
        // A string of i64::MAX bytes, by the specification's zigzag varint.
        let bytes = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert!(decode::<Parcel>(&schema(), &bytes).is_err());
        // An array of as many items, after a valid id, weight and urgency.
        let bytes = [&[0, 0, 0][..], &bytes].concat();
        assert!(decode::<Parcel>(&schema(), &bytes).is_err());
    }

    #[test]
    fn a_reader_skips_new_fields_and_defaults_missing_ones() {
        #[derive(Debug, PartialEq, Deserialize)]
        #[serde(rename = "Parcel")]
        struct Reader {
            id: String,
            #[serde(default)]
            note: String,
        }
        let parcel = Parcel {
            id: "P1".to_owned(),
            weight_g: 900,
            urgency: Urgency::High,
            items: vec![],
        };
        let bytes = encode(SchemaId(1), &schema(), &parcel).unwrap();
        let read: Reader = decode(&schema(), &bytes[FRAME_LEN..]).unwrap();
        assert_eq!(
            read,
            Reader {
                id: "P1".to_owned(),
                note: String::new()
            }
        );
    }

    #[test]
    fn names_follow_the_specification() {
        for (text, name) in [
            (r#"{"type": "record", "name": "A", "fields": []}"#, "A"),
            (
                r#"{"type": "record", "namespace": "n.s", "name": "A", "fields": []}"#,
                "n.s.A",
            ),
            (
                r#"{"type": "record", "namespace": "n.s", "name": "o.A", "fields": []}"#,
                "o.A",
            ),
            (
                r#"{"type": "record", "namespace": "", "name": "A", "fields": []}"#,
                "A",
            ),
        ] {
            assert_eq!(Schema::parse(text).unwrap().name(), name);
        }
    }

    #[test]
    fn only_records_are_messages() {
        for text in [
            "",
            "{",
            r#""string""#,
            r#"{"type": "array", "items": "int"}"#,
        ] {
            assert!(
                matches!(Schema::parse(text), Err(Error::Schema { .. })),
                "{text}"
            );
        }
    }
}
