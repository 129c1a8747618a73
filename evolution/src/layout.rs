//! What two schemas share that lay out the same bytes: what is left in Avro's Parsing Canonical Form.
//!
//! Source: <https://avro.apache.org/docs/1.12.0/specification/#parsing-canonical-form-for-schemas>.
//! Not apache-avro's own, which panics at attributes that it has no use for (`"scale": "large"`).

use std::collections::HashSet;

use crate::schema::{Kind, Schema, Type};

/// Names, fields, symbols and sizes of `schema` in their order, each named type where it is first used;
/// the same text for two schemas exactly if what one writes the other reads as its own.
#[must_use]
pub fn layout(schema: &Schema) -> String {
    let mut writer = Writer {
        schema,
        text: String::new(),
        known: HashSet::new(),
    };
    writer.of(&schema.root);
    writer.text
}

struct Writer<'a> {
    schema: &'a Schema,
    text: String,
    known: HashSet<&'a str>,
}

impl<'a> Writer<'a> {
    fn of(&mut self, of: &'a Type) {
        match of {
            Type::Primitive(primitive) => self.text += &format!("{primitive:?}"),
            Type::Array(items) => self.between("[", "]", [&**items]),
            Type::Map(values) => self.between("<", ">", [&**values]),
            Type::Union(branches) => self.between("(", ")", branches),
            Type::Named(name) => {
                self.text += &format!("{name:?}");
                if self.known.insert(name) {
                    self.define(name);
                }
            }
        }
    }

    fn define(&mut self, name: &str) {
        let Some(named) = self.schema.names.get(name) else {
            return;
        };
        match &named.kind {
            Kind::Record(fields) => {
                self.text += "{";
                for field in fields {
                    self.text += &format!("{:?}:", field.name);
                    self.of(&field.of);
                    self.text += ",";
                }
                self.text += "}";
            }
            Kind::Enum { symbols, .. } => self.text += &format!("{symbols:?}"),
            Kind::Fixed { size } => self.text += &format!("#{size}"),
        }
    }

    fn between(&mut self, open: &str, close: &str, types: impl IntoIterator<Item = &'a Type>) {
        self.text += open;
        for of in types {
            self.of(of);
            self.text += ",";
        }
        self.text += close;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::parse;

    fn of(text: &str) -> String {
        layout(&parse(text).unwrap())
    }

    const LINE: &str = r#"{"type":"record","name":"Line","namespace":"shop","fields":[
        {"name":"how","type":{"type":"enum","name":"How","symbols":["A","B"]}},
        {"name":"next","type":["null","Line"]},
        {"name":"at","type":{"type":"array","items":{"type":"map","values":"long"}}},
        {"name":"hash","type":{"type":"fixed","name":"Hash","size":4}}]}"#;

    #[test]
    fn what_changes_no_byte_changes_no_layout() {
        for (old, new) in [
            (
                r#""name":"Line","namespace":"shop""#,
                r#""doc":"D","name":"shop.Line""#,
            ),
            (r#"["A","B"]"#, r#"["A","B"],"default":"A""#),
            (
                r#""values":"long""#,
                r#""values":{"type":"long","logicalType":"timestamp-millis"}"#,
            ),
            (
                r#"["null","Line"]"#,
                r#"["null","shop.Line"],"aliases":["n"],"default":null"#,
            ),
            // Attributes that mean nothing here.
            (r#""size":4"#, r#""size":4,"scale":"large","items":7"#),
        ] {
            assert!(LINE.contains(old), "{old}");
            assert_eq!(of(&LINE.replace(old, new)), of(LINE), "{new}");
        }
    }

    #[test]
    fn what_changes_a_byte_or_a_name_changes_the_layout() {
        for (old, new) in [
            ("shop", "store"),
            (r#"["A","B"]"#, r#"["B","A"]"#),
            (r#"["null","Line"]"#, r#"["Line","null"]"#),
            (r#""values":"long""#, r#""values":"int""#),
            (r#""size":4"#, r#""size":5"#),
            (r#""name":"at""#, r#""name":"when""#),
        ] {
            assert!(LINE.contains(old), "{old}");
            assert_ne!(of(&LINE.replace(old, new)), of(LINE), "{new}");
        }
    }
}
