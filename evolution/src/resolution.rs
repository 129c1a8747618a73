//! Can a reader with one schema read what a writer with another one wrote? By Avro's rules of
//! schema resolution, as Java's `SchemaCompatibility` applies them (the registry that others run
//! uses it): names are compared without namespace or by the reader's aliases, logical types do not
//! matter.
//!
//! Source: <https://avro.apache.org/docs/1.12.0/specification/#schema-resolution>.

use std::collections::{HashMap, HashSet};
use std::fmt;

use crate::place::Place;
use crate::schema::{Field, Kind, Named, Primitive, Schema, Type};

/// A reason why a reader cannot read, and where in its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The reason, by its name in Java's `SchemaIncompatibilityType`.
    pub kind: &'static str,
    /// The reason in words.
    pub what: String,
    place: Place,
}

impl Finding {
    /// Where, as a JSON pointer into the reader's schema with named types in the place of their
    /// names; below a union of the writer with the number of its branch.
    #[must_use]
    pub fn location(&self) -> &str {
        self.place.pointer()
    }

    /// Where, as people write it: `lines[].quantity`; empty for the schema as a whole.
    #[must_use]
    pub fn field(&self) -> &str {
        self.place.field()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}: {}", self.kind, self.location(), self.what)
    }
}

/// How deep types may be nested, through names too: deeper ones are not compared, and so count as
/// incompatible. It is also as deep as values are decoded.
const DEPTH_MAX: usize = 64;
/// Most comparisons of two types: unions whose branches answer to one name can be made to need more
/// than any computer has time for.
const STEPS_MAX: usize = 100_000;
/// Most findings: each says where it is, which may take as long as the whole schema.
const FINDINGS_MAX: usize = 1_000;

/// Why `reader` cannot read what `writer` wrote; nothing if it can. What is too large to be compared
/// is not compatible.
#[must_use]
pub fn can_read(reader: &Schema, writer: &Schema) -> Vec<Finding> {
    let mut pair = Pair {
        reader,
        writer,
        assumed: HashSet::new(),
        trail: Vec::new(),
        depth: 0,
        steps: 0,
        findings: 0,
    };
    pair.types(&reader.root, &writer.root, &Place::root())
}

struct Pair<'a> {
    reader: &'a Schema,
    writer: &'a Schema,
    /// Pairs of named types that are being compared, or were: recursion ends here.
    assumed: HashSet<(&'a str, &'a str)>,
    /// The same in their order.
    trail: Vec<(&'a str, &'a str)>,
    depth: usize,
    steps: usize,
    /// How many findings there are that count.
    findings: usize,
}

impl<'a> Pair<'a> {
    fn types(&mut self, reader: &'a Type, writer: &'a Type, place: &Place) -> Vec<Finding> {
        if self.findings >= FINDINGS_MAX {
            return vec![];
        }
        if self.depth >= DEPTH_MAX || self.steps >= STEPS_MAX {
            let what = "the schemas are too large to be compared".to_owned();
            return vec![self.finding(place, "TYPE_MISMATCH", what)];
        }
        self.steps += 1;
        self.depth += 1;
        let findings = self.pair(reader, writer, place);
        self.depth -= 1;
        findings
    }

    fn pair(&mut self, reader: &'a Type, writer: &'a Type, place: &Place) -> Vec<Finding> {
        match (reader, writer) {
            (_, Type::Union(branches)) => branches
                .iter()
                .enumerate()
                .flat_map(|(at, branch)| self.types(reader, branch, &place.branch(at)))
                .collect(),
            (Type::Union(branches), _) => self.any_branch(branches, writer, place),
            (Type::Array(reader), Type::Array(writer)) => {
                self.types(reader, writer, &place.items())
            }
            (Type::Map(reader), Type::Map(writer)) => self.types(reader, writer, &place.values()),
            (Type::Named(reader), Type::Named(writer)) => self.named(reader, writer, place),
            (Type::Primitive(reader), Type::Primitive(writer)) if promotes(*writer, *reader) => {
                vec![]
            }
            _ => {
                let what = format!("{} cannot read {}", name(reader), name(writer));
                vec![self.finding(place, "TYPE_MISMATCH", what)]
            }
        }
    }

    fn any_branch(
        &mut self,
        branches: &'a [Type],
        writer: &'a Type,
        place: &Place,
    ) -> Vec<Finding> {
        for branch in branches {
            let (assumed, findings) = (self.trail.len(), self.findings);
            if self.types(branch, writer, place).is_empty() {
                return vec![];
            }
            // What a failed branch assumed on its way may rest on that branch.
            for pair in self.trail.drain(assumed..) {
                self.assumed.remove(&pair);
            }
            self.findings = findings;
        }
        let what = format!("no branch of the union reads {}", name(writer));
        vec![self.finding(place, "MISSING_UNION_BRANCH", what)]
    }

    fn named(&mut self, reader: &'a str, writer: &'a str, place: &Place) -> Vec<Finding> {
        let (Some(r), Some(w)) = (self.reader.names.get(reader), self.writer.names.get(writer))
        else {
            return vec![self.finding(place, "TYPE_MISMATCH", format!("{reader} is not defined"))];
        };
        if std::mem::discriminant(&r.kind) != std::mem::discriminant(&w.kind) {
            let what = format!("{reader} cannot read {writer}");
            return vec![self.finding(place, "TYPE_MISMATCH", what)];
        }
        if !answers_to(reader, r, writer) {
            let what = format!("expected {writer}");
            return vec![self.finding(&place.part("name"), "NAME_MISMATCH", what)];
        }
        if !self.assumed.insert((reader, writer)) {
            return vec![];
        }
        self.trail.push((reader, writer));
        match (&r.kind, &w.kind) {
            (Kind::Record(reader), Kind::Record(writer)) => self.fields(reader, writer, place),
            (
                Kind::Enum {
                    symbols,
                    has_default,
                },
                Kind::Enum {
                    symbols: written, ..
                },
            ) => {
                let known: HashSet<&str> = symbols.iter().map(String::as_str).collect();
                let written = written.iter().map(String::as_str);
                let missing: Vec<&str> = written.filter(|symbol| !known.contains(symbol)).collect();
                if missing.is_empty() || *has_default {
                    return vec![];
                }
                vec![self.finding(
                    &place.part("symbols"),
                    "MISSING_ENUM_SYMBOLS",
                    format!("[{}]", missing.join(", ")),
                )]
            }
            (Kind::Fixed { size }, Kind::Fixed { size: written }) if size != written => {
                let what = format!("expected {written}, found {size}");
                vec![self.finding(&place.part("size"), "FIXED_SIZE_MISMATCH", what)]
            }
            _ => vec![],
        }
    }

    fn fields(&mut self, reader: &'a [Field], writer: &'a [Field], place: &Place) -> Vec<Finding> {
        let named = writer.iter().enumerate().rev();
        let by_name: HashMap<&str, usize> =
            named.map(|(at, field)| (field.name.as_str(), at)).collect();
        let mut findings = Vec::new();
        for (at, field) in reader.iter().enumerate() {
            let at_name = |name: &String| by_name.get(name.as_str()).copied();
            let written = at_name(&field.name)
                .or_else(|| field.aliases.iter().filter_map(at_name).min())
                .map(|at| &writer[at]);
            let place = place.of_field(at, &field.name);
            match written {
                Some(written) => {
                    findings.extend(self.types(&field.of, &written.of, &place.part("type")));
                }
                None if field.has_default => {}
                None => findings.push(self.finding(
                    &place,
                    "READER_FIELD_MISSING_DEFAULT_VALUE",
                    field.name.clone(),
                )),
            }
        }
        findings
    }

    fn finding(&mut self, place: &Place, kind: &'static str, what: String) -> Finding {
        self.findings += 1;
        Finding {
            place: place.clone(),
            kind,
            what,
        }
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
