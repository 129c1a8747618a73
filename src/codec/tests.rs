//! Values, datums and frames.

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

#[test]
fn optional_fields_that_are_cut_off_are_not_null() {
    const NOTED: &str = r#"{"type": "record", "name": "Noted", "fields": [
        {"name": "id", "type": "string"},
        {"name": "note", "type": ["null", "string"], "default": null}]}"#;
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Noted {
        id: String,
        note: Option<String>,
    }
    let noted = Noted {
        id: "P1".to_owned(),
        note: Some("by hand".to_owned()),
    };
    let datum = datum(NOTED, &noted);
    let writer = Schema::parse(NOTED).unwrap();
    let read = |datum: &[u8]| decode_as::<Noted>(&writer, NOTED, datum);
    assert_eq!(read(&datum).unwrap(), noted);
    for cut in 0..datum.len() {
        assert!(read(&datum[..cut]).is_err(), "{cut} bytes are left");
    }
}
