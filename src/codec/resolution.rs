//! How a type with a schema of its own reads what another version of that schema wrote.
//!
//! Source: <https://avro.apache.org/docs/1.12.0/specification/#schema-resolution>.

use std::sync::{Arc, PoisonError};

use apache_avro::reader::datum::GenericDatumReader;

use super::Error;
use super::schema::{Compiled, Schema};

/// What stands between a writer's schema and a reader's.
pub(super) enum Resolution<'s> {
    /// Nothing: both lay out the same bytes.
    Same,
    /// Fields that came or went, symbols that are read as the default one.
    By(Box<GenericDatumReader<'s>>),
    /// They are not compatible, and why.
    None(String),
}

/// How whoever has the schema `reader` (its literal text) reads what `writer` wrote.
///
/// # Errors
/// When `reader` is not a usable schema.
pub(super) fn resolve<'s>(
    writer: &Compiled<'s>,
    reader: &'static str,
) -> Result<Arc<Resolution<'s>>, Error> {
    let known = writer
        .readers
        .read()
        .unwrap_or_else(PoisonError::into_inner);
    let found = known.iter().find(|(text, _)| is_same(text, reader));
    if let Some((_, resolution)) = found {
        return Ok(Arc::clone(resolution));
    }
    drop(known);
    let resolution = Arc::new(compare(writer, Schema::parse(reader)?.compiled())?);
    let mut known = writer
        .readers
        .write()
        .unwrap_or_else(PoisonError::into_inner);
    known.push((reader, Arc::clone(&resolution)));
    Ok(resolution)
}

/// The literal is mostly the very same one; the compiler may also have laid it out twice.
fn is_same(one: &str, other: &str) -> bool {
    std::ptr::eq(one, other) || one == other
}

fn compare<'s>(writer: &Compiled<'s>, reader: &Compiled<'static>) -> Result<Resolution<'s>, Error> {
    if writer.layout == reader.layout {
        return Ok(Resolution::Same);
    }
    let findings = evolution::can_read(&reader.shape, &writer.shape);
    if !findings.is_empty() {
        let told: Vec<_> = findings.iter().map(ToString::to_string).collect();
        return Ok(Resolution::None(told.join("; ")));
    }
    GenericDatumReader::builder(writer.avro)
        .reader_schema(reader.avro)
        .build()
        .map(|resolving| Resolution::By(Box::new(resolving)))
        .map_err(|error| Error::Schema {
            detail: error.to_string(),
        })
}
