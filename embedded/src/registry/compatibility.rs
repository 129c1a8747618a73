//! Can a reader with one schema read what a writer with another one wrote? By Avro's rules of
//! schema resolution, as Java's `SchemaCompatibility` applies them (the registry that others run
//! uses it): names are compared without namespace or by the reader's aliases, logical types do not
//! matter.
//!
//! Source: <https://avro.apache.org/docs/1.11.1/specification/#schema-resolution>.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::schema::{Field, Kind, Named, Primitive, Schema, Type};

/// What a new version of a schema must be able to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Level {
    /// Anything.
    None,
    /// Read what the latest version wrote.
    Backward,
    /// Read what every version wrote.
    BackwardTransitive,
    /// Write what the latest version reads.
    Forward,
    /// Write what every version reads.
    ForwardTransitive,
    /// Both, for the latest version.
    Full,
    /// Both, for every version.
    FullTransitive,
}

impl Level {
    /// Whether all versions count, not only the latest.
    pub(super) fn is_transitive(self) -> bool {
        matches!(
            self,
            Self::BackwardTransitive | Self::ForwardTransitive | Self::FullTransitive
        )
    }
}

impl FromStr for Level {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        serde_json::from_value(name.to_uppercase().into()).map_err(drop)
    }
}

/// What does not fit between a new schema and an old one, by level; nothing if they are
/// compatible.
pub(super) fn check(level: Level, new: &Schema, old: &Schema) -> Vec<String> {
    let mut findings = Vec::new();
    if matches!(
        level,
        Level::Backward | Level::BackwardTransitive | Level::Full | Level::FullTransitive
    ) {
        let found = can_read(new, old).into_iter();
        findings
            .extend(found.map(|finding| format!("the new schema cannot read the old: {finding}")));
    }
    if matches!(
        level,
        Level::Forward | Level::ForwardTransitive | Level::Full | Level::FullTransitive
    ) {
        let found = can_read(old, new).into_iter();
        findings
            .extend(found.map(|finding| format!("the old schema cannot read the new: {finding}")));
    }
    findings
}

/// A reason why a reader cannot read, and where in its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    path: String,
    kind: &'static str,
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() {
            "/"
        } else {
            &self.path
        };
        write!(f, "{} at {path}: {}", self.kind, self.what)
    }
}

/// Why `reader` cannot read what `writer` wrote; nothing if it can.
pub(super) fn can_read(reader: &Schema, writer: &Schema) -> Vec<Finding> {
    let mut pair = Pair {
        reader,
        writer,
        assumed: HashSet::new(),
    };
    pair.types(&reader.root, &writer.root, "")
}

struct Pair<'a> {
    reader: &'a Schema,
    writer: &'a Schema,
    /// Pairs of named types that are being compared, or were: recursion ends here.
    assumed: HashSet<(&'a str, &'a str)>,
}

impl<'a> Pair<'a> {
    fn types(&mut self, reader: &'a Type, writer: &'a Type, path: &str) -> Vec<Finding> {
        match (reader, writer) {
            (_, Type::Union(branches)) => branches
                .iter()
                .flat_map(|branch| self.types(reader, branch, path))
                .collect(),
            (Type::Union(branches), _) => self.any_branch(branches, writer, path),
            (Type::Array(reader), Type::Array(writer)) => {
                self.types(reader, writer, &format!("{path}/items"))
            }
            (Type::Map(reader), Type::Map(writer)) => {
                self.types(reader, writer, &format!("{path}/values"))
            }
            (Type::Named(reader), Type::Named(writer)) => self.named(reader, writer, path),
            (Type::Primitive(reader), Type::Primitive(writer)) if promotes(*writer, *reader) => {
                vec![]
            }
            _ => {
                let what = format!("{} cannot read {}", name(reader), name(writer));
                vec![finding(path, "TYPE_MISMATCH", what)]
            }
        }
    }

    fn any_branch(&mut self, branches: &'a [Type], writer: &'a Type, path: &str) -> Vec<Finding> {
        for branch in branches {
            // What a failed branch assumed on its way may rest on that branch.
            let assumed = self.assumed.clone();
            if self.types(branch, writer, path).is_empty() {
                return vec![];
            }
            self.assumed = assumed;
        }
        let what = format!("no branch of the union reads {}", name(writer));
        vec![finding(path, "MISSING_UNION_BRANCH", what)]
    }

    fn named(&mut self, reader: &'a str, writer: &'a str, path: &str) -> Vec<Finding> {
        let (Some(r), Some(w)) = (self.reader.names.get(reader), self.writer.names.get(writer))
        else {
            return vec![finding(
                path,
                "TYPE_MISMATCH",
                format!("{reader} is not defined"),
            )];
        };
        if std::mem::discriminant(&r.kind) != std::mem::discriminant(&w.kind) {
            let what = format!("{reader} cannot read {writer}");
            return vec![finding(path, "TYPE_MISMATCH", what)];
        }
        if !answers_to(reader, r, writer) {
            let what = format!("expected {writer}");
            return vec![finding(&format!("{path}/name"), "NAME_MISMATCH", what)];
        }
        if !self.assumed.insert((reader, writer)) {
            return vec![];
        }
        match (&r.kind, &w.kind) {
            (Kind::Record(reader), Kind::Record(writer)) => self.fields(reader, writer, path),
            (
                Kind::Enum {
                    symbols,
                    has_default,
                },
                Kind::Enum {
                    symbols: written, ..
                },
            ) => {
                let missing: Vec<&str> = written
                    .iter()
                    .filter(|s| !symbols.contains(s))
                    .map(String::as_str)
                    .collect();
                if missing.is_empty() || *has_default {
                    return vec![];
                }
                let path = format!("{path}/symbols");
                vec![finding(
                    &path,
                    "MISSING_ENUM_SYMBOLS",
                    format!("[{}]", missing.join(", ")),
                )]
            }
            (Kind::Fixed { size }, Kind::Fixed { size: written }) if size != written => {
                let what = format!("expected {written}, found {size}");
                vec![finding(
                    &format!("{path}/size"),
                    "FIXED_SIZE_MISMATCH",
                    what,
                )]
            }
            _ => vec![],
        }
    }

    fn fields(&mut self, reader: &'a [Field], writer: &'a [Field], path: &str) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (at, field) in reader.iter().enumerate() {
            let written = writer
                .iter()
                .find(|written| written.name == field.name)
                .or_else(|| {
                    writer
                        .iter()
                        .find(|written| field.aliases.contains(&written.name))
                });
            let path = format!("{path}/fields/{at}");
            match written {
                Some(written) => {
                    findings.extend(self.types(&field.of, &written.of, &format!("{path}/type")));
                }
                None if field.has_default => {}
                None => findings.push(finding(
                    &path,
                    "READER_FIELD_MISSING_DEFAULT_VALUE",
                    field.name.clone(),
                )),
            }
        }
        findings
    }
}

fn finding(path: &str, kind: &'static str, what: String) -> Finding {
    Finding {
        path: path.to_owned(),
        kind,
        what,
    }
}

/// Whether a named type of the reader stands for one of the writer.
fn answers_to(reader: &str, definition: &Named, writer: &str) -> bool {
    let simple = |name: &'_ str| name.rsplit('.').next().map(str::to_owned);
    simple(reader) == simple(writer) || definition.aliases.iter().any(|alias| alias == writer)
}

/// Whether a value written as one primitive can be read as another.
fn promotes(writer: Primitive, reader: Primitive) -> bool {
    use Primitive::{Bytes, Double, Float, Int, Long, String};
    writer == reader
        || matches!(
            (writer, reader),
            (Int, Long | Float | Double)
                | (Long, Float | Double)
                | (Float, Double)
                | (String, Bytes)
                | (Bytes, String)
        )
}

fn name(of: &Type) -> String {
    match of {
        Type::Primitive(primitive) => format!("{primitive:?}").to_lowercase(),
        Type::Array(_) => "an array".to_owned(),
        Type::Map(_) => "a map".to_owned(),
        Type::Union(_) => "a union".to_owned(),
        Type::Named(name) => name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::schema::parse;

    fn record(fields: &str) -> String {
        format!(r#"{{"type":"record","name":"R","namespace":"shop","fields":[{fields}]}}"#)
    }

    fn field(of: &str) -> String {
        record(&format!(r#"{{"name":"f","type":{of}}}"#))
    }

    fn reads(reader: &str, writer: &str) -> bool {
        can_read(&parse(reader).unwrap(), &parse(writer).unwrap()).is_empty()
    }

    /// (what, reader, writer, whether the reader can read)
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn table() -> Vec<(&'static str, String, String, bool)> {
        let f = |of: &str| field(of);
        let inner = r#"{"type":"record","name":"I","fields":[{"name":"x","type":"int"}]}"#;
        let inner_long = r#"{"type":"record","name":"I","fields":[{"name":"x","type":"long"}]}"#;
        let twice = |first: &str, second: &str| {
            record(&format!(
                r#"{{"name":"a","type":{first}}},{{"name":"b","type":{second}}}"#
            ))
        };
        let list = |of: &str, default: &str| {
            format!(
                r#"{{"type":"record","name":"Node","fields":[{{"name":"v","type":{of}}},{{"name":"next","type":["null","Node"]{default}}}]}}"#
            )
        };
        let enum_of = |symbols: &str, rest: &str| {
            f(&format!(
                r#"{{"type":"enum","name":"E","symbols":[{symbols}]{rest}}}"#
            ))
        };
        let fixed = |name: &str, size: u32, rest: &str| {
            f(&format!(
                r#"{{"type":"fixed","name":"{name}","size":{size}{rest}}}"#
            ))
        };
        let logical = |of: &str, kind: &str, rest: &str| {
            f(&format!(
                r#"{{"type":"{of}","logicalType":"{kind}"{rest}}}"#
            ))
        };
        vec![
            ("the same", f(r#""int""#), f(r#""int""#), true),
            ("int to long", f(r#""long""#), f(r#""int""#), true),
            ("int to double", f(r#""double""#), f(r#""int""#), true),
            ("long to float", f(r#""float""#), f(r#""long""#), true),
            ("long to int", f(r#""int""#), f(r#""long""#), false),
            ("double to float", f(r#""float""#), f(r#""double""#), false),
            ("string to bytes", f(r#""bytes""#), f(r#""string""#), true),
            ("bytes to string", f(r#""string""#), f(r#""bytes""#), true),
            ("string to int", f(r#""int""#), f(r#""string""#), false),
            (
                "a new field without default",
                twice(r#""int""#, r#""int""#),
                record(r#"{"name":"a","type":"int"}"#),
                false,
            ),
            (
                "a new field with default",
                record(r#"{"name":"a","type":"int"},{"name":"b","type":"int","default":0}"#),
                record(r#"{"name":"a","type":"int"}"#),
                true,
            ),
            (
                "a new field whose default is null",
                record(r#"{"name":"b","type":["null","int"],"default":null}"#),
                record(""),
                true,
            ),
            ("a field left out", record(""), f(r#""int""#), true),
            (
                "fields in another order",
                record(r#"{"name":"b","type":"int"},{"name":"a","type":"string"}"#),
                twice(r#""string""#, r#""int""#),
                true,
            ),
            (
                "a field renamed with an alias",
                record(r#"{"name":"g","type":"int","aliases":["f"]}"#),
                f(r#""int""#),
                true,
            ),
            (
                "a field renamed without",
                record(r#"{"name":"g","type":"int"}"#),
                f(r#""int""#),
                false,
            ),
            (
                "a record renamed with an alias",
                record("").replace(r#""R""#, r#""S","aliases":["R"]"#),
                record(""),
                true,
            ),
            (
                "a record renamed without",
                record("").replace(r#""R""#, r#""S""#),
                record(""),
                false,
            ),
            (
                "another namespace",
                record("").replace("shop", "store"),
                record(""),
                true,
            ),
            ("made nullable", f(r#"["null","int"]"#), f(r#""int""#), true),
            (
                "nullable to plain",
                f(r#""int""#),
                f(r#"["null","int"]"#),
                false,
            ),
            (
                "a union branch added",
                f(r#"["null","int","string"]"#),
                f(r#"["null","int"]"#),
                true,
            ),
            (
                "a union branch removed",
                f(r#"["null","int"]"#),
                f(r#"["null","int","string"]"#),
                false,
            ),
            (
                "union branches promoted",
                f(r#"["null","long"]"#),
                f(r#"["null","int"]"#),
                true,
            ),
            (
                "every branch readable",
                f(r#""double""#),
                f(r#"["int","long"]"#),
                true,
            ),
            (
                "an enum symbol added by the writer",
                enum_of(r#""A""#, ""),
                enum_of(r#""A","B""#, ""),
                false,
            ),
            (
                "an enum symbol added by the reader",
                enum_of(r#""A","B""#, ""),
                enum_of(r#""A""#, ""),
                true,
            ),
            (
                "an unknown symbol has a default",
                enum_of(r#""A""#, r#","default":"A""#),
                enum_of(r#""A","B""#, ""),
                true,
            ),
            (
                "an enum renamed",
                enum_of(r#""A""#, "").replace(r#""E""#, r#""F""#),
                enum_of(r#""A""#, ""),
                false,
            ),
            (
                "a fixed of another size",
                fixed("X", 8, ""),
                fixed("X", 16, ""),
                false,
            ),
            (
                "a fixed of the same size",
                fixed("X", 16, ""),
                fixed("X", 16, ""),
                true,
            ),
            (
                "a fixed renamed with an alias",
                fixed("Y", 16, r#","aliases":["shop.X"]"#),
                fixed("X", 16, ""),
                true,
            ),
            (
                "array items promoted",
                f(r#"{"type":"array","items":"long"}"#),
                f(r#"{"type":"array","items":"int"}"#),
                true,
            ),
            (
                "array items demoted",
                f(r#"{"type":"array","items":"int"}"#),
                f(r#"{"type":"array","items":"long"}"#),
                false,
            ),
            (
                "map values changed",
                f(r#"{"type":"map","values":"int"}"#),
                f(r#"{"type":"map","values":"string"}"#),
                false,
            ),
            (
                "an array for a map",
                f(r#"{"type":"array","items":"int"}"#),
                f(r#"{"type":"map","values":"int"}"#),
                false,
            ),
            // Where apache-avro's own checker answers wrongly.
            (
                "the first use of a type moved",
                twice(inner, r#""I""#),
                record(&format!(
                    r#"{{"name":"b","type":{inner}}},{{"name":"a","type":"I"}}"#
                )),
                true,
            ),
            (
                "a type behind a reference promoted",
                twice(inner_long, r#""I""#),
                twice(inner, r#""I""#),
                true,
            ),
            (
                "a type behind a reference demoted",
                twice(inner, r#""I""#),
                twice(inner_long, r#""I""#),
                false,
            ),
            (
                "decimal of another scale",
                logical("bytes", "decimal", r#","precision":9,"scale":2"#),
                logical("bytes", "decimal", r#","precision":9,"scale":4"#),
                true,
            ),
            (
                "a logical type added",
                logical("long", "timestamp-millis", ""),
                f(r#""long""#),
                true,
            ),
            (
                "uuid to string",
                f(r#""string""#),
                logical("string", "uuid", ""),
                true,
            ),
            // Recursion.
            (
                "a list of the same",
                list(r#""int""#, ""),
                list(r#""int""#, ""),
                true,
            ),
            (
                "a list promoted",
                list(r#""long""#, ""),
                list(r#""int""#, ""),
                true,
            ),
            (
                "a list demoted",
                list(r#""int""#, ""),
                list(r#""long""#, ""),
                false,
            ),
        ]
    }

    #[test]
    fn a_reader_reads_what_the_rules_of_resolution_allow() {
        for (what, reader, writer, expected) in table() {
            assert_eq!(
                reads(&reader, &writer),
                expected,
                "{what}: {reader} reads {writer}"
            );
        }
    }

    #[test]
    fn every_schema_reads_itself() {
        for (what, reader, writer, _) in table() {
            assert!(reads(&reader, &reader), "{what}: {reader}");
            assert!(reads(&writer, &writer), "{what}: {writer}");
        }
    }

    #[test]
    fn levels_ask_in_the_right_direction() {
        // given a new version that adds a field without default: the old can read it, not reverse
        let old = parse(&record("")).unwrap();
        let new = parse(&field(r#""int""#)).unwrap();
        let fits = |level| check(level, &new, &old).is_empty();
        assert!(fits(Level::None) && fits(Level::Forward) && fits(Level::ForwardTransitive));
        assert!(!fits(Level::Backward) && !fits(Level::Full) && !fits(Level::FullTransitive));
    }

    #[test]
    fn a_finding_says_what_and_where() {
        let findings = check(
            Level::Backward,
            &parse(&field(r#""int""#)).unwrap(),
            &parse(&record("")).unwrap(),
        );
        let expected = "the new schema cannot read the old: READER_FIELD_MISSING_DEFAULT_VALUE at /fields/0: f";
        assert_eq!(findings, [expected]);
    }

    #[test]
    fn levels_are_named_as_at_confluent() {
        assert_eq!("FULL_TRANSITIVE".parse(), Ok(Level::FullTransitive));
        assert_eq!("backward".parse(), Ok(Level::Backward));
        assert_eq!("SIDEWAYS".parse::<Level>(), Err(()));
    }
}
