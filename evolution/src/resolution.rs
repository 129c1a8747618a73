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

/// Types inside one another, by nesting or by name, up to which a pair of schemas is compared: each takes
/// some of the stack. What people write has about ten.
const DEPTH_MAX: usize = 256;
/// Work that one comparison may cost, in types compared and in bytes of places and names written, 64 of
/// which count as one. The store's own schemas cost some hundred.
const COST_MAX: usize = 200_000;

/// A reason why a reader cannot read, and where in its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The reason, by its name in Java's `SchemaIncompatibilityType`; `TOO_COMPLEX` where the schemas
    /// cost too much to compare, which is a reason of this side.
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

/// Why `reader` cannot read what `writer` wrote; nothing if it can. Schemas that are nested too deeply, or
/// cost too much to compare, count as unreadable: a comparison always ends, whatever it is given.
#[must_use]
pub fn can_read(reader: &Schema, writer: &Schema) -> Vec<Finding> {
    let mut pair = Pair {
        reader,
        writer,
        assumed: HashSet::new(),
        trail: Vec::new(),
        refuted: HashSet::new(),
        trying: 0,
        depth: 0,
        cost: 0,
    };
    let findings = pair.types(&reader.root, &writer.root, &Place::root());
    if pair.is_over() {
        return vec![too_complex()];
    }
    findings
}

struct Pair<'a> {
    reader: &'a Schema,
    writer: &'a Schema,
    /// Pairs of named types that are being compared, or were: recursion ends here.
    assumed: HashSet<(&'a str, &'a str)>,
    /// They in their order, so that what a failed branch assumed can be taken back.
    trail: Vec<(&'a str, &'a str)>,
    /// Pairs that cannot be read, whatever is assumed: a union asks for each of them once.
    refuted: HashSet<(&'a str, &'a str)>,
    /// Unions whose branches are being tried: there it counts only whether one can be read.
    trying: usize,
    /// Types around this one.
    depth: usize,
    /// What it has cost so far.
    cost: usize,
}

impl<'a> Pair<'a> {
    fn types(&mut self, reader: &'a Type, writer: &'a Type, place: &Place) -> Vec<Finding> {
        self.charge(place.pointer().len());
        self.depth += 1;
        if self.is_over() {
            return vec![too_complex()];
        }
        let findings = self.shapes(reader, writer, place);
        if !self.is_over() {
            self.depth -= 1;
        }
        findings
    }

    fn shapes(&mut self, reader: &'a Type, writer: &'a Type, place: &Place) -> Vec<Finding> {
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

    /// Counts one comparison, and what it writes.
    fn charge(&mut self, bytes: usize) {
        self.cost = self.cost.saturating_add(1 + bytes / 64);
    }

    fn is_over(&self) -> bool {
        self.cost > COST_MAX || self.depth > DEPTH_MAX
    }

    fn finding(&mut self, place: &Place, kind: &'static str, what: String) -> Finding {
        self.charge(place.pointer().len() + what.len());
        Finding {
            place: place.clone(),
            kind,
            what,
        }
    }

    fn any_branch(
        &mut self,
        branches: &'a [Type],
        writer: &'a Type,
        place: &Place,
    ) -> Vec<Finding> {
        for branch in branches {
            let before = self.trail.len();
            self.trying += 1;
            let is_readable = self.types(branch, writer, place).is_empty();
            self.trying -= 1;
            if is_readable {
                return vec![];
            }
            // What a failed branch assumed on its way may rest on that branch.
            for pair in self.trail.drain(before..) {
                self.assumed.remove(&pair);
            }
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
        self.charge(reader.len() + writer.len() + 64 * r.aliases.len());
        if !answers_to(reader, r, writer) {
            let what = format!("expected {writer}");
            return vec![self.finding(&place.part("name"), "NAME_MISMATCH", what)];
        }
        if self.trying > 0 && self.refuted.contains(&(reader, writer)) {
            return vec![self.finding(place, "TYPE_MISMATCH", String::new())];
        }
        if !self.assumed.insert((reader, writer)) {
            return vec![];
        }
        self.trail.push((reader, writer));
        let findings = self.definitions(r, w, place);
        if !findings.is_empty() {
            // Found although more is assumed readable than may be.
            self.refuted.insert((reader, writer));
        }
        findings
    }

    /// Compares what two names stand for.
    fn definitions(&mut self, r: &'a Named, w: &'a Named, place: &Place) -> Vec<Finding> {
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
                self.charge(64 * (symbols.len() + written.len()));
                let known: HashSet<_> = symbols.iter().map(String::as_str).collect();
                let missing: Vec<&str> = written
                    .iter()
                    .map(String::as_str)
                    .filter(|symbol| !known.contains(symbol))
                    .collect();
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
        self.charge(64 * writer.len());
        let by_name: HashMap<_, _> = writer
            .iter()
            .enumerate()
            .rev()
            .map(|(at, field)| (field.name.as_str(), at))
            .collect();
        let at = |name: &String| by_name.get(name.as_str()).copied();
        let mut findings = Vec::new();
        for (number, field) in reader.iter().enumerate() {
            self.charge(place.pointer().len() + field.name.len() + 64 * field.aliases.len());
            if self.is_over() {
                return vec![too_complex()];
            }
            let by_alias = || field.aliases.iter().filter_map(at).min();
            let written = at(&field.name).or_else(by_alias).map(|at| &writer[at]);
            let place = place.of_field(number, &field.name);
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
}

fn too_complex() -> Finding {
    Finding {
        place: Place::root(),
        kind: "TOO_COMPLEX",
        what: "the schemas are too large or too deeply nested to be compared".to_owned(),
    }
}

/// Whether a named type of the reader stands for one of the writer.
fn answers_to(reader: &str, definition: &Named, writer: &str) -> bool {
    fn simple(name: &str) -> Option<&str> {
        name.rsplit('.').next()
    }
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
