//! Avro datums in Confluent's frame: byte 0, schema id (4 bytes, big endian), datum.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;

mod resolution;
mod schema;

use resolution::Resolution;
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
/// When the bytes are not a datum of the schema, do not fit `T`, or are followed by more bytes.
pub fn decode<T: DeserializeOwned>(schema: &Schema, datum: &[u8]) -> Result<T, Error> {
    let compiled = schema.compiled();
    whole(&compiled.name, datum, |rest| {
        let reader = &compiled.reader;
        reader.read_deser(rest).or_else(|_| {
            // The direct way cannot skip an enum that `T` does not know, and insists on the names
            // of records; the way through a value, at several times the cost, can.
            *rest = datum;
            apache_avro::from_value(&reader.read_value(rest)?)
        })
    })
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
    let name = writer.name();
    match &*resolution::resolve(writer.compiled(), reader)? {
        Resolution::Same => decode(writer, datum),
        Resolution::By(resolving) => whole(name, datum, |rest| {
            apache_avro::from_value(&resolving.read_value(rest)?)
        }),
        Resolution::None(findings) => Err(Error::Decode {
            schema: name.to_owned(),
            detail: format!("its writer's schema cannot be read here: {findings}"),
        }),
    }
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

    /// The parcel as an older or newer program knows it: no weight, a note, an urgency more.
    const OTHER_PARCEL: &str = r#"{"type": "record", "namespace": "shop", "name": "Parcel", "fields": [
        {"name": "note", "type": "string", "default": "by hand"},
        {"name": "urgency", "type": {"type": "enum", "name": "Urgency",
            "symbols": ["HIGH", "LOW", "NOW"], "default": "LOW"}},
        {"name": "id", "type": "string"}]}"#;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "UPPERCASE")]
    enum OtherUrgency {
        High,
        Low,
        Now,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct OtherParcel {
        note: String,
        urgency: OtherUrgency,
        id: String,
    }

    /// As [`PARCEL`], with what [`OTHER_PARCEL`] needs to be compatible with it.
    fn lenient() -> &'static str {
        PARCEL
            .replace(
                r#""weight_g", "type": "long""#,
                r#""weight_g", "type": "long", "default": 0"#,
            )
            .replace(r#""HIGH"]"#, r#""HIGH"], "default": "HIGH""#)
            .replace(r#"]}}}]}"#, r#"]}}, "default": []}]}"#)
            .leak()
    }

    fn datum<T: Serialize>(schema: &str, value: &T) -> Vec<u8> {
        let schema = Schema::parse(schema).unwrap();
        encode(SchemaId(1), &schema, value).unwrap()[FRAME_LEN..].to_vec()
    }

    #[test]
    fn a_reader_takes_the_defaults_of_its_own_schema() {
        let parcel = Parcel {
            id: "P1".to_owned(),
            weight_g: 900,
            urgency: Urgency::High,
            items: vec![],
        };
        let writer = Schema::parse(PARCEL).unwrap();
        let read: OtherParcel = decode_as(&writer, OTHER_PARCEL, &datum(PARCEL, &parcel)).unwrap();
        let expected = OtherParcel {
            note: "by hand".to_owned(),
            urgency: OtherUrgency::High,
            id: "P1".to_owned(),
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn a_symbol_that_the_reader_does_not_know_becomes_its_default() {
        let parcel = OtherParcel {
            note: String::new(),
            urgency: OtherUrgency::Now,
            id: "P1".to_owned(),
        };
        let writer = Schema::parse(OTHER_PARCEL).unwrap();
        let read: Parcel = decode_as(&writer, lenient(), &datum(OTHER_PARCEL, &parcel)).unwrap();
        let expected = Parcel {
            id: "P1".to_owned(),
            weight_g: 0,
            urgency: Urgency::High,
            items: vec![],
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn a_schema_that_is_not_compatible_is_not_read_whatever_its_bytes() {
        let parcel = OtherParcel {
            note: String::new(),
            urgency: OtherUrgency::Low,
            id: "P1".to_owned(),
        };
        let writer = Schema::parse(OTHER_PARCEL).unwrap();
        let read = decode_as::<Parcel>(&writer, PARCEL, &datum(OTHER_PARCEL, &parcel));
        let told = read.unwrap_err().to_string();
        assert!(
            told.contains("READER_FIELD_MISSING_DEFAULT_VALUE at /fields/1: weight_g"),
            "{told}"
        );
    }

    #[test]
    fn bytes_after_a_datum_of_another_version_are_refused() {
        let parcel = OtherParcel {
            note: String::new(),
            urgency: OtherUrgency::Low,
            id: "P1".to_owned(),
        };
        let writer = Schema::parse(OTHER_PARCEL).unwrap();
        let mut datum = datum(OTHER_PARCEL, &parcel);
        datum.push(0);
        assert!(decode_as::<Parcel>(&writer, lenient(), &datum).is_err());
    }
}
