//! Schemas, parsed once per process.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, Once, PoisonError, RwLock};

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::util::max_allocation_bytes;
use apache_avro::writer::datum::GenericDatumWriter;
use evolution::schema::{Kind, Type};
use serde_json::Value;

use super::Error;
use super::resolution::Resolution;
use crate::limits::DATUM_ALLOCATION_MAX;

/// The members of a schema that its layout hangs on.
const LAID_OUT: [&str; 10] = [
    "fields",
    "items",
    "name",
    "namespace",
    "precision",
    "scale",
    "size",
    "symbols",
    "type",
    "values",
];

/// A parsed Avro record schema; a handle, cheap to clone.
///
/// What is parsed stays for as long as the process: a service knows the schemas that its registry
/// knows, and remembers them anyway.
#[derive(Clone, Copy)]
pub struct Schema(&'static Compiled<'static>);

/// A schema with all that is made from it once.
pub(super) struct Compiled<'s> {
    pub(super) name: String,
    pub(super) text: String,
    /// As compatibility looks at it.
    pub(super) shape: evolution::Schema,
    /// Two schemas that share it write the same bytes.
    pub(super) layout: String,
    pub(super) avro: &'s apache_avro::Schema,
    pub(super) writer: GenericDatumWriter<'s>,
    pub(super) reader: GenericDatumReader<'s>,
    /// How those who read it do, each by the literal text of its own schema.
    pub(super) readers: RwLock<Vec<(&'static str, Arc<Resolution<'s>>)>>,
}

impl Schema {
    /// Parses a schema's literal text; the second time it is only looked up.
    ///
    /// # Errors
    /// When it is not an Avro schema, or not a record with a name.
    pub fn parse(text: &str) -> Result<Self, Error> {
        static KNOWN: Mutex<BTreeMap<&str, Schema>> = Mutex::new(BTreeMap::new());
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(schema) = known.get(text) {
            return Ok(*schema);
        }
        let (shape, avro) = read(text)?;
        let avro = Box::leak(Box::new(avro));
        let compiled: &'static Compiled<'static> = Box::leak(Box::new(compile(text, shape, avro)?));
        known.insert(&compiled.text, Self(compiled));
        Ok(Self(compiled))
    }

    /// The record's full name, `namespace.Name`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What does not fit between this version and an earlier one; nothing if they are compatible.
    pub(crate) fn clashes(&self, level: evolution::Level, earlier: Self) -> Vec<String> {
        evolution::check(level, &self.0.shape, &earlier.0.shape)
    }

    pub(super) fn compiled(&self) -> &'static Compiled<'static> {
        self.0
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Schema").field(&self.0.text).finish()
    }
}

/// A schema as compatibility looks at it, and as Avro's own code does.
pub(super) fn read(text: &str) -> Result<(evolution::Schema, apache_avro::Schema), Error> {
    bound_allocations();
    let shape = evolution::schema::parse(text).map_err(invalid)?;
    let avro = apache_avro::Schema::parse_str(text).map_err(|error| invalid(error.to_string()))?;
    Ok((shape, avro))
}

/// All that is made from the schema `text`, which is `shape` and `avro`.
pub(super) fn compile<'s>(
    text: &str,
    shape: evolution::Schema,
    avro: &'s apache_avro::Schema,
) -> Result<Compiled<'s>, Error> {
    let name = record_name(&shape).ok_or_else(|| invalid("not a named record".to_owned()))?;
    let failed = |error: apache_avro::Error| invalid(error.to_string());
    Ok(Compiled {
        name,
        text: text.to_owned(),
        layout: layout(avro)?,
        shape,
        avro,
        writer: GenericDatumWriter::builder(avro).build().map_err(failed)?,
        reader: GenericDatumReader::builder(avro).build().map_err(failed)?,
        readers: RwLock::default(),
    })
}

/// What a schema lays out, as text: what is left of it in Avro's Parsing Canonical Form. apache-avro's own
/// panics at attributes that it has no use for (`"scale": "large"`), which anybody may register.
fn layout(avro: &apache_avro::Schema) -> Result<String, Error> {
    let schema = serde_json::to_value(avro).map_err(|error| invalid(error.to_string()))?;
    Ok(laid_out(schema).to_string())
}

fn laid_out(part: Value) -> Value {
    match part {
        Value::Array(parts) => parts.into_iter().map(laid_out).collect(),
        Value::Object(members) => {
            let kept = members
                .into_iter()
                .filter(|(name, _)| LAID_OUT.contains(&name.as_str()));
            Value::Object(kept.map(|(name, part)| (name, laid_out(part))).collect())
        }
        other => other,
    }
}

fn invalid(detail: String) -> Error {
    Error::Schema { detail }
}

/// The full name of the record that a schema is.
fn record_name(shape: &evolution::Schema) -> Option<String> {
    let Type::Named(name) = &shape.root else {
        return None;
    };
    let is_record = matches!(shape.names.get(name)?.kind, Kind::Record(_));
    is_record.then(|| name.clone())
}

/// Garbage may announce lengths of any size; a datum is never longer than a record.
fn bound_allocations() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        max_allocation_bytes(DATUM_ALLOCATION_MAX);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

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

    const LINE: &str = r#"{"type":"record","name":"Line","namespace":"shop","fields":[
        {"name":"how","type":{"type":"enum","name":"How","symbols":["A","B"]}},
        {"name":"next","type":["null","Line"]},
        {"name":"at","type":{"type":"array","items":{"type":"map","values":"long"}}},
        {"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
        {"name":"hash","type":{"type":"fixed","name":"Hash","size":4}}]}"#;

    /// The layout of the line with one piece of its text replaced.
    fn replaced(old: &str, new: &str) -> String {
        assert!(LINE.contains(old), "{old}");
        let schema = Schema::parse(&LINE.replace(old, new)).unwrap();
        schema.compiled().layout.clone()
    }

    #[test]
    fn what_changes_no_byte_changes_no_layout() {
        for (old, new) in [
            (
                r#""name":"Line","namespace":"shop""#,
                r#""doc":"D","name":"shop.Line""#,
            ),
            (r#"["A","B"]"#, r#"["A","B"],"default":"A""#),
            (
                r#"["null","Line"]"#,
                r#"["null","shop.Line"],"aliases":["n"],"default":null"#,
            ),
            (r#""size":4"#, r#""size":4,"unit":"bytes""#),
        ] {
            assert_eq!(replaced(old, new), replaced("shop", "shop"), "{new}");
        }
    }

    #[test]
    fn what_changes_a_value_changes_the_layout() {
        for (old, new) in [
            ("shop", "store"),
            (r#"["A","B"]"#, r#"["B","A"]"#),
            (r#"["null","Line"]"#, r#"["Line","null"]"#),
            (r#""values":"long""#, r#""values":"int""#),
            (r#""scale":2"#, r#""scale":3"#),
            (r#""size":4"#, r#""size":5"#),
            (r#""name":"at""#, r#""name":"when""#),
        ] {
            assert_ne!(replaced(old, new), replaced("shop", "shop"), "{new}");
        }
    }

    #[test]
    fn attributes_that_mean_nothing_are_no_trouble() {
        for odd in [
            r#""scale":"large""#,
            r#""size":{}"#,
            r#""items":7"#,
            r#""symbols":null"#,
        ] {
            let text = format!(r#"{{"type":"record","name":"Odd","fields":[],{odd}}}"#);
            assert_eq!(Schema::parse(&text).unwrap().name(), "Odd", "{odd}");
        }
    }
}
