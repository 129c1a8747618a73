//! An Avro schema as compatibility looks at it: names resolved, logical types and docs left out.
//!
//! Source: <https://avro.apache.org/docs/1.11.1/specification/#names>.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

/// A parsed schema.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    /// The schema itself.
    pub root: Type,
    /// Every named type in it, by full name.
    pub names: HashMap<String, Named>,
}

/// A type; a named one is looked up in [`Schema::names`].
#[derive(Debug, Clone, PartialEq)]
pub enum Type {
    /// `null`, `boolean`, `int`, `long`, `float`, `double`, `bytes` or `string`.
    Primitive(Primitive),
    /// The type of the items.
    Array(Box<Type>),
    /// The type of the values.
    Map(Box<Type>),
    /// The branches.
    Union(Vec<Type>),
    /// The full name of a record, enum or fixed.
    Named(String),
}

/// A primitive type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Primitive {
    /// No value.
    Null,
    /// True or false.
    Boolean,
    /// 32 bits.
    Int,
    /// 64 bits.
    Long,
    /// IEEE 754, 32 bits.
    Float,
    /// IEEE 754, 64 bits.
    Double,
    /// Any bytes.
    Bytes,
    /// Unicode.
    String,
}

/// A named type.
#[derive(Debug, Clone, PartialEq)]
pub struct Named {
    /// Full names it also goes by, when it reads.
    pub aliases: Vec<String>,
    /// What it is.
    pub kind: Kind,
}

/// What a named type is.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A record.
    Record(Vec<Field>),
    /// An enum.
    Enum {
        /// Its symbols.
        symbols: Vec<String>,
        /// Whether it has a symbol that stands for unknown ones.
        has_default: bool,
    },
    /// A fixed.
    Fixed {
        /// Bytes.
        size: u64,
    },
}

/// A field of a record.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Names it also goes by, when it reads.
    pub aliases: Vec<String>,
    /// Whether a reader can do without it.
    pub has_default: bool,
    /// Its type.
    pub of: Type,
}

/// Parses a schema.
///
/// # Errors
/// In words, when it is not an Avro schema.
pub fn parse(text: &str) -> Result<Schema, String> {
    apache_avro::Schema::parse_str(text).map_err(|error| error.to_string())?;
    let json: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut names = HashMap::new();
    let root = Reader { names: &mut names }
        .read(&json, "")
        .ok_or("this is not an Avro schema")?;
    Ok(Schema { root, names })
}

/// The text that two schemas share if they differ only in white space and the order of keys; `None`
/// if it is no JSON.
#[must_use]
pub fn canonical(text: &str) -> Option<String> {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Array(items) => items.iter().map(sorted).collect(),
            Value::Object(map) => {
                let by_key: BTreeMap<_, _> =
                    map.iter().map(|(k, v)| (k.clone(), sorted(v))).collect();
                Value::Object(by_key.into_iter().collect())
            }
            other => other.clone(),
        }
    }
    Some(sorted(&serde_json::from_str(text).ok()?).to_string())
}

struct Reader<'a> {
    names: &'a mut HashMap<String, Named>,
}

impl Reader<'_> {
    fn read(&mut self, json: &Value, namespace: &str) -> Option<Type> {
        match json {
            Value::String(name) => Some(named(name, namespace)),
            Value::Array(branches) => {
                let branches = branches.iter().map(|branch| self.read(branch, namespace));
                Some(Type::Union(branches.collect::<Option<_>>()?))
            }
            Value::Object(map) => match map.get("type")? {
                Value::String(kind) => self.read_kind(kind, map, namespace),
                nested => self.read(nested, namespace),
            },
            _ => None,
        }
    }

    fn read_kind(&mut self, kind: &str, map: &Map<String, Value>, namespace: &str) -> Option<Type> {
        match kind {
            "array" => Some(Type::Array(Box::new(
                self.read(map.get("items")?, namespace)?,
            ))),
            "map" => Some(Type::Map(Box::new(
                self.read(map.get("values")?, namespace)?,
            ))),
            "record" | "error" | "enum" | "fixed" => self.define(kind, map, namespace),
            name => Some(named(name, namespace)),
        }
    }

    fn define(&mut self, kind: &str, map: &Map<String, Value>, namespace: &str) -> Option<Type> {
        let name = map.get("name")?.as_str()?;
        let namespace = map
            .get("namespace")
            .and_then(Value::as_str)
            .unwrap_or(namespace);
        let name = full_name(name, namespace);
        let namespace = name.rsplit_once('.').map_or("", |(namespace, _)| namespace);
        let aliases = strings(map.get("aliases"))
            .iter()
            .map(|alias| full_name(alias, namespace))
            .collect();
        let kind = match kind {
            "enum" => Kind::Enum {
                symbols: strings(map.get("symbols")),
                has_default: map.contains_key("default"),
            },
            "fixed" => Kind::Fixed {
                size: map.get("size")?.as_u64()?,
            },
            _ => {
                let fields = map.get("fields")?.as_array()?.iter();
                let fields = fields.map(|field| self.read_field(field, namespace));
                Kind::Record(fields.collect::<Option<_>>()?)
            }
        };
        self.names.insert(name.clone(), Named { aliases, kind });
        Some(Type::Named(name))
    }

    fn read_field(&mut self, json: &Value, namespace: &str) -> Option<Field> {
        Some(Field {
            name: json.get("name")?.as_str()?.to_owned(),
            aliases: strings(json.get("aliases")),
            has_default: json.get("default").is_some(),
            of: self.read(json.get("type")?, namespace)?,
        })
    }
}

fn strings(json: Option<&Value>) -> Vec<String> {
    let items = json.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The full name of a name in a namespace, by the specification's rules.
pub(crate) fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() {
        name.trim_start_matches('.').to_owned()
    } else {
        format!("{namespace}.{name}")
    }
}

fn named(name: &str, namespace: &str) -> Type {
    match primitive(name) {
        Some(primitive) => Type::Primitive(primitive),
        None => Type::Named(full_name(name, namespace)),
    }
}

/// The primitive type of this name.
pub(crate) fn primitive(name: &str) -> Option<Primitive> {
    Some(match name {
        "null" => Primitive::Null,
        "boolean" => Primitive::Boolean,
        "int" => Primitive::Int,
        "long" => Primitive::Long,
        "float" => Primitive::Float,
        "double" => Primitive::Double,
        "bytes" => Primitive::Bytes,
        "string" => Primitive::String,
        _ => return None,
    })
}
