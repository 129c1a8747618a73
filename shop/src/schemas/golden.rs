//! The golden bytes and the Rust types against the files: every version still reads as the value it
//! was written from, and the newest one is what this program writes.

use std::path::Path;

use contracts::examples::{self, Examples};
use evolution::files::{History, Version};
use evolution::{Complaint, Rule};
use messaging::codec::{self, Schema};
use serde_json::Value;

use super::examples_of;

/// What stands against the versions of one schema.
pub(super) fn check(history: &History) -> Vec<Complaint> {
    let Some(newest) = history.versions.last() else {
        return vec![];
    };
    let Some(examples) = examples_of(history) else {
        return vec![rust_type(
            newest,
            "",
            "no Rust type has this schema".to_owned(),
            "add the type to contracts/src and its examples to contracts/src/examples.rs"
                .to_owned(),
        )];
    };
    let versions = history.versions.iter();
    let golden = versions.flat_map(|version| of_version(version, examples));
    golden.chain(of_newest(newest, examples)).collect()
}

/// Message types whose schemas are not there.
pub(super) fn missing(directory: &Path, histories: &[History]) -> Vec<Complaint> {
    let names: Vec<&str> = histories.iter().map(|history| &*history.name).collect();
    let types = examples::ALL.iter().map(|examples| &examples.registration);
    let missing = types.filter(|registration| !names.contains(&registration.message_type));
    let complaints = missing.map(|registration| Complaint {
        file: directory.join(registration.message_type),
        field: String::new(),
        rule: Rule::RustType,
        what: "this program writes such messages, and there is no schema of them".to_owned(),
        fix: "bring the directory back, or remove the type from contracts/src".to_owned(),
    });
    complaints.collect()
}

/// A version reads as the value that it was written from.
fn of_version(version: &Version, examples: &Examples) -> Option<Complaint> {
    let complain = |what: String, fix: &str| Complaint {
        file: version.golden_file.clone(),
        field: String::new(),
        rule: Rule::GoldenBytes,
        what,
        fix: fix.to_owned(),
    };
    let Some(expected) = (examples.value)(version.number as usize) else {
        return Some(complain(
            format!("version {} has no example", version.number),
            "append one to contracts/src/examples.rs, with the new fields set",
        ));
    };
    let Some(golden) = &version.golden else {
        let fix = "write it from the example: shop schemas golden";
        return Some(complain("it is missing".to_owned(), fix));
    };
    // A text that is no schema is the history's complaint.
    let schema = Schema::parse(&version.text).ok()?;
    let fix = "golden bytes never change: bring them back, or make the Rust type read them";
    match (examples.read)(&schema, golden) {
        Ok(found) if found == expected => None,
        Ok(found) => Some(complain(
            format!("it reads as {found}, and was written from {expected}"),
            fix,
        )),
        Err(error) => Some(complain(error.to_string(), fix)),
    }
}

/// The newest version is what this program writes, field by field and byte by byte.
fn of_newest(newest: &Version, examples: &Examples) -> Vec<Complaint> {
    if newest.text != examples.registration.schema {
        return vec![rust_type(
            newest,
            "",
            "this program was built with another text".to_owned(),
            "build it again: cargo shop schemas check".to_owned(),
        )];
    }
    let number = newest.number as usize;
    let schema = Schema::parse(&newest.text).ok();
    let written = schema.and_then(|schema| Some((schema, (examples.datum)(number, &schema)?)));
    let fix = "give type and schema the same fields, and the newest version its own example";
    match written {
        None => vec![],
        Some((_, Err(error))) => vec![rust_type(newest, "", error.to_string(), fix.to_owned())],
        Some((schema, Ok(datum))) => {
            let same_bytes = newest.golden.as_ref().is_none_or(|golden| *golden == datum);
            let bytes = (!same_bytes).then(|| {
                let what = "this program writes other bytes than the golden ones".to_owned();
                rust_type(newest, "", what, fix.to_owned())
            });
            let fields = unlike(&schema, &datum, (examples.value)(number));
            let fields = fields
                .into_iter()
                .map(|(field, what)| rust_type(newest, &field, what, fix.to_owned()));
            bytes.into_iter().chain(fields).collect()
        }
    }
}

/// The fields that the schema has and the type does not.
fn unlike(schema: &Schema, datum: &[u8], value: Option<Value>) -> Vec<(String, String)> {
    let by_schema = codec::decode::<Value>(schema, datum).unwrap_or_default();
    let by_type = value.unwrap_or_default();
    let mut found = Vec::new();
    differences("", &by_schema, &by_type, &mut found);
    found
}

fn differences(place: &str, schema: &Value, own: &Value, found: &mut Vec<(String, String)>) {
    match (schema, own) {
        (Value::Object(schema), Value::Object(own)) => {
            for (name, value) in schema {
                let dot = if place.is_empty() { "" } else { "." };
                let place = format!("{place}{dot}{name}");
                match own.get(name) {
                    Some(own) => differences(&place, value, own, found),
                    None => found.push((place, "the Rust type has no such field".to_owned())),
                }
            }
        }
        (Value::Array(schema), Value::Array(own)) => {
            for (schema, own) in schema.iter().zip(own) {
                differences(&format!("{place}[]"), schema, own, found);
            }
        }
        (schema, own) if schema != own => {
            found.push((place.to_owned(), format!("{own} is written as {schema}")));
        }
        _ => {}
    }
}

fn rust_type(version: &Version, field: &str, what: String, fix: String) -> Complaint {
    Complaint {
        file: version.file.clone(),
        field: field.to_owned(),
        rule: Rule::RustType,
        what,
        fix,
    }
}

#[cfg(test)]
mod tests {
    use messaging::registry::SchemaId;
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_that_the_type_lacks_or_writes_otherwise_are_told() {
        // given a schema with a field, in a line too, that the type leaves to its default
        let field = r#"{"name": "gift", "type": "boolean", "default": false}"#;
        let text = format!(
            r#"{{"type": "record", "name": "R", "fields": [{field}, {{"name": "lines", "type":
                {{"type": "array", "items": {{"type": "record", "name": "L", "fields": [{field},
                    {{"name": "quantity", "type": "int"}}]}}}}}}]}}"#
        );
        let schema = Schema::parse(&text).unwrap();
        #[derive(serde::Serialize)]
        struct R {
            lines: Vec<L>,
        }
        #[derive(serde::Serialize)]
        struct L {
            quantity: i32,
        }
        let lines = vec![L { quantity: 1 }];
        let frame = codec::encode(SchemaId(1), &schema, &R { lines }).unwrap();
        let (_, datum) = codec::unframe(&frame).unwrap();
        let value = json!({"lines": [{"quantity": 2}]});
        let missing = "the Rust type has no such field";
        assert_eq!(
            unlike(&schema, datum, Some(value)),
            [
                ("gift".to_owned(), missing.to_owned()),
                ("lines[].gift".to_owned(), missing.to_owned()),
                (
                    "lines[].quantity".to_owned(),
                    "2 is written as 1".to_owned()
                ),
            ]
        );
    }
}
