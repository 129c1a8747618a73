//! What the check lets pass, the runtime reads: every compatible pair of the table that Avro's Java
//! implementation has judged, in both directions.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

use std::collections::BTreeMap;

use apache_avro::schema::RecordSchema;
use apache_avro::types::Value;
use messaging::codec::{self, Schema};
use serde::Deserialize;
use serde::de::IgnoredAny;

#[derive(Deserialize)]
struct Pair {
    what: String,
    old: serde_json::Value,
    new: serde_json::Value,
    backward: Vec<String>,
    forward: Vec<String>,
}

/// Pairs that are compatible by the rules and that apache-avro does not read all the same: aliases
/// and logical types that change. The rules of the house forbid them.
const NOT_READ: [&str; 6] = [
    "a date to a timestamp",
    "a decimal of another precision",
    "a decimal of another scale",
    "a field renamed with an alias",
    "a logical type added",
    "a uuid to a string",
];

#[test]
fn what_is_compatible_is_read() {
    let pairs: Vec<Pair> =
        serde_json::from_str(include_str!("../evolution/tests/pairs.json")).unwrap();
    let mut read = 0;
    let mut not_read = BTreeMap::new();
    for pair in &pairs {
        for (writer, reader, findings) in [
            (&pair.old, &pair.new, &pair.backward),
            (&pair.new, &pair.old, &pair.forward),
        ] {
            if findings.is_empty() {
                match reads(message(writer), message(reader)) {
                    Ok(values) => read += values,
                    Err(error) => drop(not_read.insert(pair.what.as_str(), error)),
                }
            }
        }
    }
    assert!(read >= 150, "{read} values were read");
    let whats: Vec<_> = not_read.keys().copied().collect();
    assert_eq!(whats, NOT_READ, "{not_read:#?}");
}

/// A record around a schema that is none itself: messages are records.
fn message(schema: &serde_json::Value) -> &'static str {
    let text = match schema.get("type").and_then(serde_json::Value::as_str) {
        Some("record") => schema.to_string(),
        _ => serde_json::json!({"type": "record", "name": "Message", "namespace": "shop",
            "fields": [{"name": "it", "type": schema}]})
        .to_string(),
    };
    text.leak()
}

/// How many values of the writer's schema the reader's can read; fails with the first that it cannot.
fn reads(writer: &'static str, reader: &'static str) -> Result<usize, String> {
    let parsed = apache_avro::Schema::parse_str(writer).unwrap();
    let datums = apache_avro::writer::datum::GenericDatumWriter::builder(&parsed)
        .build()
        .unwrap();
    let schema = Schema::parse(writer).unwrap();
    let values = values(&parsed, &parsed, 3);
    for value in &values {
        let mut datum = Vec::new();
        datums
            .write_value_ref(&mut datum, value)
            .map_err(|e| format!("cannot write {value:?}: {e}"))?;
        let read = codec::decode_as::<IgnoredAny>(&schema, reader, &datum);
        read.map_err(|error| format!("{value:?}: {error}"))?;
    }
    Ok(values.len())
}

/// Values of a schema: every symbol, every branch, empty and full collections.
fn values(schema: &apache_avro::Schema, root: &apache_avro::Schema, depth: u32) -> Vec<Value> {
    use apache_avro::Schema as S;
    match schema {
        S::Null => vec![Value::Null],
        S::Boolean => vec![Value::Boolean(false), Value::Boolean(true)],
        S::Int => vec![Value::Int(0), Value::Int(i32::MIN)],
        S::Long => vec![Value::Long(0), Value::Long(i64::MAX)],
        S::Float => vec![Value::Float(0.5)],
        S::Double => vec![Value::Double(0.5)],
        S::Bytes => vec![Value::Bytes(vec![]), Value::Bytes(b"bytes".to_vec())],
        S::String => vec![
            Value::String(String::new()),
            Value::String("text".to_owned()),
        ],
        S::Array(array) => {
            let full = values(&array.items, root, depth);
            vec![Value::Array(vec![]), Value::Array(full)]
        }
        S::Map(map) => {
            let full = values(&map.types, root, depth);
            let full = full.into_iter().enumerate();
            let full = full.map(|(at, value)| (at.to_string(), value)).collect();
            vec![Value::Map(Default::default()), Value::Map(full)]
        }
        S::Union(union) => {
            let branches = (0..).zip(union.variants());
            let values = branches.flat_map(|(at, branch)| {
                let values = values(branch, root, depth).into_iter();
                values.map(move |value| Value::Union(at, Box::new(value)))
            });
            values.collect()
        }
        S::Record(record) => records(record, root, depth),
        S::Enum(symbols) => {
            let symbols = (0..).zip(&symbols.symbols);
            symbols
                .map(|(at, symbol)| Value::Enum(at, symbol.clone()))
                .collect()
        }
        S::Fixed(fixed) => vec![Value::Fixed(fixed.size, vec![7; fixed.size])],
        S::TimestampMillis => vec![Value::TimestampMillis(1)],
        S::TimestampMicros => vec![Value::TimestampMicros(1)],
        S::Date => vec![Value::Date(1)],
        S::Uuid(_) => vec![Value::Uuid(Default::default())],
        S::Decimal(_) => vec![Value::Decimal(vec![1].into())],
        S::Ref { name } => named(root, name).map_or_else(Vec::new, |found| match depth {
            0 => vec![],
            _ => values(found, root, depth - 1),
        }),
        other => panic!("no values of {other:?}"),
    }
}

/// One value per value of each field, the other fields at their first.
fn records(record: &RecordSchema, root: &apache_avro::Schema, depth: u32) -> Vec<Value> {
    let fields: Vec<_> = record
        .fields
        .iter()
        .map(|field| (field.name.clone(), values(&field.schema, root, depth)))
        .collect();
    if fields.iter().any(|(_, values)| values.is_empty()) {
        return vec![];
    }
    let most = fields
        .iter()
        .map(|(_, values)| values.len())
        .max()
        .unwrap_or(1);
    let record = |at: usize| {
        let values = fields.iter();
        let values = values.map(|(name, values)| (name.clone(), values[at % values.len()].clone()));
        Value::Record(values.collect())
    };
    (0..most).map(record).collect()
}

/// The definition of a named type somewhere in a schema.
fn named<'a>(
    schema: &'a apache_avro::Schema,
    name: &apache_avro::schema::Name,
) -> Option<&'a apache_avro::Schema> {
    use apache_avro::Schema as S;
    if !matches!(schema, S::Ref { .. }) && schema.name() == Some(name) {
        return Some(schema);
    }
    match schema {
        S::Array(array) => named(&array.items, name),
        S::Map(map) => named(&map.types, name),
        S::Union(union) => union
            .variants()
            .iter()
            .find_map(|branch| named(branch, name)),
        S::Record(record) => record
            .fields
            .iter()
            .find_map(|field| named(&field.schema, name)),
        _ => None,
    }
}
