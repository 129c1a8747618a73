//! A schema as the list of its parts, each at its place: what house rules and differences look at.

use serde_json::{Map, Value};

use crate::schema::{full_name, primitive};

/// One part of a schema.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Part<'a> {
    /// As people write it: `lines[].quantity`; empty for the schema as a whole.
    pub(crate) place: String,
    /// What stands there.
    pub(crate) what: What<'a>,
}

/// What stands at a place. A field and its type are two parts at one place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum What<'a> {
    /// A field of a record.
    Field(&'a Map<String, Value>),
    /// The definition of a named type, with its full name.
    Definition(String, &'a Map<String, Value>),
    /// The full name of a type that is defined elsewhere.
    Reference(String),
    /// A primitive type, with its logical type.
    Primitive(&'a str, Option<String>),
}

/// The parts of a schema, outer before inner, in the order of the text.
pub(crate) fn parts(schema: &Value) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    Walk { parts: &mut parts }.types(schema, "", "");
    parts
}

struct Walk<'w, 'a> {
    parts: &'w mut Vec<Part<'a>>,
}

impl<'a> Walk<'_, 'a> {
    fn types(&mut self, json: &'a Value, place: &str, namespace: &str) {
        match json {
            Value::String(name) => self.named(name, None, place, namespace),
            Value::Array(branches) => self.branches(branches, place, namespace),
            Value::Object(map) => match map.get("type") {
                Some(Value::String(kind)) => self.object(kind, map, place, namespace),
                Some(nested) => self.types(nested, place, namespace),
                None => {}
            },
            _ => {}
        }
    }

    /// An optional type is at the place of the union; of several, each has a place of its own.
    fn branches(&mut self, branches: &'a [Value], place: &str, namespace: &str) {
        let several = branches.iter().filter(|branch| *branch != "null").count() > 1;
        for branch in branches {
            let place = match several {
                true => format!("{place}|{}", label(branch)),
                false => place.to_owned(),
            };
            self.types(branch, &place, namespace);
        }
    }

    fn object(&mut self, kind: &'a str, map: &'a Map<String, Value>, place: &str, outer: &str) {
        let part = |name: &str| map.get(name).unwrap_or(&Value::Null);
        match kind {
            "array" => self.types(part("items"), &format!("{place}[]"), outer),
            "map" => self.types(part("values"), &format!("{place}{{}}"), outer),
            "record" | "error" | "enum" | "fixed" => self.define(map, place, outer),
            name => {
                self.named(name, logical(map), place, outer);
            }
        }
    }

    fn named(&mut self, name: &'a str, logical: Option<String>, place: &str, namespace: &str) {
        let what = match primitive(name) {
            Some(_) => What::Primitive(name, logical),
            None => What::Reference(full_name(name, namespace)),
        };
        self.push(place, what);
    }

    fn define(&mut self, map: &'a Map<String, Value>, place: &str, outer: &str) {
        let text = |name: &str| map.get(name).and_then(Value::as_str);
        let name = full_name(
            text("name").unwrap_or_default(),
            text("namespace").unwrap_or(outer),
        );
        let namespace = name.rsplit_once('.').map_or("", |(namespace, _)| namespace);
        self.push(place, What::Definition(name.clone(), map));
        let fields = map.get("fields").and_then(Value::as_array);
        for field in fields.into_iter().flatten().filter_map(Value::as_object) {
            let name = field.get("name").and_then(Value::as_str);
            let dot = if place.is_empty() { "" } else { "." };
            let place = format!("{place}{dot}{}", name.unwrap_or_default());
            self.push(&place, What::Field(field));
            let of = field.get("type").unwrap_or(&Value::Null);
            self.types(of, &place, namespace);
        }
    }

    fn push(&mut self, place: &str, what: What<'a>) {
        self.parts.push(Part {
            place: place.to_owned(),
            what,
        });
    }
}

/// The logical type of a type, with its attributes: `timestamp-millis`, `decimal(9, 2)`.
pub(crate) fn logical(map: &Map<String, Value>) -> Option<String> {
    let name = map.get("logicalType")?.as_str()?;
    let number = |attribute: &str| map.get(attribute).and_then(Value::as_u64);
    Some(match number("precision") {
        Some(precision) => format!("{name}({precision}, {})", number("scale").unwrap_or(0)),
        None => name.to_owned(),
    })
}

/// What a branch of a union is called: its name, or its type's.
fn label(branch: &Value) -> &str {
    let named = branch.get("name").or_else(|| branch.get("type"));
    named.unwrap_or(branch).as_str().unwrap_or("union")
}

/// A type in a few words: `long`, `array of record Line`, `null or string`.
pub(crate) fn words(json: &Value) -> String {
    let part = |name: &str| json.get(name).unwrap_or(&Value::Null);
    match json {
        Value::String(name) => name.clone(),
        Value::Array(branches) => {
            let branches: Vec<_> = branches.iter().map(words).collect();
            branches.join(" or ")
        }
        Value::Object(map) => match map.get("type").and_then(Value::as_str) {
            Some("array") => format!("array of {}", words(part("items"))),
            Some("map") => format!("map of {}", words(part("values"))),
            Some(kind @ ("record" | "error" | "fixed")) => {
                format!("{kind} {}", part("name").as_str().unwrap_or_default())
            }
            Some("enum") => format!(
                "enum {} {}",
                part("name").as_str().unwrap_or_default(),
                part("symbols")
            ),
            Some(kind) => match logical(map) {
                Some(logical) => format!("{kind} ({logical})"),
                None => kind.to_owned(),
            },
            None => words(part("type")),
        },
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parts_are_where_people_look_for_them() {
        let schema = json!({"type": "record", "name": "R", "namespace": "n", "fields": [
            {"name": "lines", "type": {"type": "array", "items":
                {"type": "record", "name": "L", "fields": [{"name": "q", "type": "int"}]}}},
            {"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}]},
            {"name": "who", "type": ["n.L", {"type": "map", "values": "L"}]}]});
        let found: Vec<_> = parts(&schema)
            .into_iter()
            .map(|part| match part.what {
                What::Field(_) => format!("{} field", part.place),
                What::Definition(name, _) => format!("{} defines {name}", part.place),
                What::Reference(name) => format!("{} refers {name}", part.place),
                What::Primitive(name, logical) => format!("{} {name} {logical:?}", part.place),
            })
            .collect();
        assert_eq!(
            found,
            [
                " defines n.R",
                "lines field",
                "lines[] defines n.L",
                "lines[].q field",
                "lines[].q int None",
                "at field",
                "at null None",
                r#"at long Some("timestamp-millis")"#,
                "who field",
                "who|n.L refers n.L",
                "who|map{} refers n.L",
            ]
        );
    }

    #[test]
    fn types_are_told_in_words() {
        for (of, told) in [
            (json!("int"), "int"),
            (json!(["null", {"type": "string"}]), "null or string"),
            (
                json!({"type": "map", "values": {"type": "fixed", "name": "F", "size": 2}}),
                "map of fixed F",
            ),
            (
                json!({"type": "long", "logicalType": "timestamp-millis"}),
                "long (timestamp-millis)",
            ),
            (
                json!({"type": {"type": "enum", "name": "E", "symbols": ["A", "B"]}}),
                r#"enum E ["A","B"]"#,
            ),
        ] {
            assert_eq!(words(&of), told);
        }
    }
}
