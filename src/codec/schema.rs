//! Schemas, parsed once per process.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, Once, PoisonError, RwLock};

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::util::max_allocation_bytes;
use apache_avro::writer::datum::GenericDatumWriter;
use evolution::schema::{Kind, Type};

use super::Error;
use super::resolution::Resolution;
use crate::limits::DATUM_ALLOCATION_MAX;

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
    // The bounds of `evolution` come first: nothing has bounded the text yet.
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
        layout: evolution::layout(&shape),
        shape,
        avro,
        writer: GenericDatumWriter::builder(avro).build().map_err(failed)?,
        reader: GenericDatumReader::builder(avro).build().map_err(failed)?,
        readers: RwLock::default(),
    })
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
}
