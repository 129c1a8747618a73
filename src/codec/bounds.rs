//! Proves that bytes are a datum of a schema, and a bearable one, before Avro's decoder sees them.
//!
//! Schemas come from whoever may register one. A record that names itself nests as deep as a datum
//! has bytes, records of records of nulls unfold from none at all, and where a datum ends too early
//! the decoder goes on with nulls. Source: <https://avro.apache.org/docs/1.12.0/specification/#binary-encoding>.

use std::collections::HashMap;

use evolution::schema::{Kind, Named, Primitive, Type};

use crate::limits::{DATUM_DEPTH_MAX, DATUM_MEMORY_MAX};

/// What a value takes in memory beside its text: about the size of the decoder's own.
const VALUE_BYTES: usize = 64;

/// Why a datum is not decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unsound {
    /// It is not a datum of the schema.
    #[error("it ends in the middle of a value")]
    Short,
    /// A number is too long, or a length, an index or a count is negative or too high.
    #[error("a length, an index or a count is out of range")]
    Number,
    /// See [`DATUM_DEPTH_MAX`].
    #[error("its values are nested deeper than {DATUM_DEPTH_MAX}")]
    Deep,
    /// See [`DATUM_MEMORY_MAX`].
    #[error("decoded it would take more than {DATUM_MEMORY_MAX} bytes")]
    Large,
    /// The schema refers to a name that it does not define.
    #[error("its schema does not define a name that it uses")]
    Name,
    /// Bytes follow the datum.
    #[error("{0} bytes follow the datum")]
    Behind(usize),
}

/// Walks over a whole datum of `schema`.
pub(super) fn check(schema: &evolution::Schema, datum: &[u8]) -> Result<(), Unsound> {
    let mut walk = Walk {
        names: &schema.names,
        rest: datum,
        memory: DATUM_MEMORY_MAX,
    };
    walk.value(&schema.root, 0)?;
    match walk.rest.len() {
        0 => Ok(()),
        extra => Err(Unsound::Behind(extra)),
    }
}

struct Walk<'a> {
    names: &'a HashMap<String, Named>,
    rest: &'a [u8],
    /// What may still be taken.
    memory: usize,
}

impl<'a> Walk<'a> {
    fn value(&mut self, of: &'a Type, depth: usize) -> Result<(), Unsound> {
        if depth == DATUM_DEPTH_MAX {
            return Err(Unsound::Deep);
        }
        self.charge(VALUE_BYTES)?;
        match of {
            Type::Primitive(primitive) => self.primitive(*primitive),
            Type::Array(items) => self.blocks(|walk| walk.value(items, depth + 1)),
            Type::Map(values) => self.blocks(|walk| {
                walk.text()?;
                walk.value(values, depth + 1)
            }),
            Type::Union(branches) => {
                let index = self.length()?;
                self.value(branches.get(index).ok_or(Unsound::Number)?, depth + 1)
            }
            Type::Named(name) => {
                let named = self.names.get(name).ok_or(Unsound::Name)?;
                self.named(&named.kind, depth)
            }
        }
    }

    fn primitive(&mut self, primitive: Primitive) -> Result<(), Unsound> {
        match primitive {
            Primitive::Null => Ok(()),
            Primitive::Boolean => self.skip(1),
            Primitive::Int | Primitive::Long => self.number().map(drop),
            Primitive::Float => self.skip(4),
            Primitive::Double => self.skip(8),
            Primitive::Bytes | Primitive::String => self.text(),
        }
    }

    fn named(&mut self, kind: &'a Kind, depth: usize) -> Result<(), Unsound> {
        match kind {
            Kind::Record(fields) => fields.iter().try_for_each(|field| {
                self.charge(field.name.len())?;
                self.value(&field.of, depth + 1)
            }),
            Kind::Enum { symbols, .. } => {
                let index = self.length()?;
                self.charge(symbols.get(index).ok_or(Unsound::Number)?.len())
            }
            Kind::Fixed { size } => {
                let size = usize::try_from(*size).map_err(|_| Unsound::Number)?;
                self.skip(size)?;
                self.charge(size)
            }
        }
    }

    /// The blocks of an array or a map; a negative count has the block's length in bytes behind it.
    fn blocks(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<(), Unsound>,
    ) -> Result<(), Unsound> {
        loop {
            let mut count = self.number()?;
            if count == 0 {
                return Ok(());
            }
            if count < 0 {
                count = count.checked_neg().ok_or(Unsound::Number)?;
                self.number()?;
            }
            // However high the count is: each item takes some of the memory.
            for _ in 0..count {
                item(self)?;
            }
        }
    }

    /// Bytes or text behind their length.
    fn text(&mut self) -> Result<(), Unsound> {
        let length = self.length()?;
        self.skip(length)?;
        self.charge(length)
    }

    fn length(&mut self) -> Result<usize, Unsound> {
        usize::try_from(self.number()?).map_err(|_| Unsound::Number)
    }

    /// A zigzag variable-length integer of up to 64 bits.
    fn number(&mut self) -> Result<i64, Unsound> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first().ok_or(Unsound::Short)?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
            }
        }
        Err(Unsound::Number)
    }

    fn skip(&mut self, bytes: usize) -> Result<(), Unsound> {
        self.rest = self.rest.get(bytes..).ok_or(Unsound::Short)?;
        Ok(())
    }

    fn charge(&mut self, bytes: usize) -> Result<(), Unsound> {
        self.memory = self.memory.checked_sub(bytes).ok_or(Unsound::Large)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(fields: &str, datum: &[u8]) -> Result<(), Unsound> {
        let text = format!(r#"{{"type": "record", "name": "R", "fields": [{fields}]}}"#);
        check(&evolution::schema::parse(&text).unwrap(), datum)
    }

    #[test]
    fn a_record_that_names_itself_nests_as_deep_as_it_may() {
        let list = r#"{"name": "next", "type": ["null", "R"]}"#;
        assert_eq!(checked(list, &[2, 2, 2, 0]), Ok(()));
        assert_eq!(checked(list, &[2; 1_000_000]), Err(Unsound::Deep));
        // A record without an end takes no bytes.
        assert_eq!(
            checked(r#"{"name": "r", "type": "R"}"#, &[]),
            Err(Unsound::Deep)
        );
    }

    #[test]
    fn values_that_take_no_bytes_are_counted() {
        let nulls = r#"{"name": "n", "type": {"type": "array", "items": "null"}}"#;
        assert_eq!(checked(nulls, &[4, 0]), Ok(()));
        let many = [
            0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0,
        ];
        assert_eq!(checked(nulls, &many), Err(Unsound::Large));

        // Each record holds the one before twice: 2^40 nulls.
        let mut fields =
            r#"{"name": "f0", "type": {"type": "record", "name": "R0", "fields": []}}"#.to_owned();
        for n in 1..40 {
            let before = n - 1;
            fields += &format!(
                r#",{{"name": "f{n}", "type": {{"type": "record", "name": "R{n}", "fields": [
                    {{"name": "a", "type": "R{before}"}}, {{"name": "b", "type": "R{before}"}}]}}}}"#
            );
        }
        assert_eq!(checked(&fields, &[]), Err(Unsound::Large));
    }

    #[test]
    fn a_datum_is_read_to_its_end_and_not_beyond() {
        let fields = r#"{"name": "a", "type": "string"}, {"name": "b", "type": ["null", "long"]},
            {"name": "c", "type": {"type": "map", "values": {"type": "enum", "name": "E",
                "symbols": ["X", "Y"]}}},
            {"name": "d", "type": {"type": "fixed", "name": "F", "size": 2}}"#;
        let datum = [2, b'x', 2, 7, 1, 6, 2, b'k', 2, 0, 1, 2];
        assert_eq!(checked(fields, &datum), Ok(()));
        for cut in 0..datum.len() {
            assert_eq!(checked(fields, &datum[..cut]), Err(Unsound::Short), "{cut}");
        }
        let longer = [&datum[..], &[0]].concat();
        assert_eq!(checked(fields, &longer), Err(Unsound::Behind(1)));
    }

    #[test]
    fn what_points_outside_is_refused() {
        let union = r#"{"name": "u", "type": ["null", "int"]}"#;
        let text = r#"{"name": "t", "type": "bytes"}"#;
        for (field, datum) in [(union, [4]), (union, [1]), (text, [1])] {
            assert_eq!(
                checked(field, &datum),
                Err(Unsound::Number),
                "{field} {datum:?}"
            );
        }
    }
}
