//! Does a field's default have the field's type? Source:
//! <https://avro.apache.org/docs/1.12.0/specification/#schema-record>; of a union the first branch
//! counts, which every implementation takes.

use serde_json::Value;

/// Whether `default` is a value of the type `of`. A reference to a named type is not followed.
pub(crate) fn fits(default: &Value, of: &Value) -> bool {
    match of {
        Value::String(name) => fits_primitive(default, name),
        Value::Array(branches) => branches.first().is_some_and(|first| fits(default, first)),
        Value::Object(map) => match map.get("type") {
            Some(Value::String(kind)) => fits_kind(default, kind, of),
            Some(nested) => fits(default, nested),
            None => false,
        },
        _ => false,
    }
}

fn fits_primitive(default: &Value, name: &str) -> bool {
    let whole = default.as_i64();
    match name {
        "null" => default.is_null(),
        "boolean" => default.is_boolean(),
        "int" => whole.is_some_and(|whole| i32::try_from(whole).is_ok()),
        "long" => whole.is_some(),
        "float" | "double" => default.is_number(),
        "bytes" => default.as_str().is_some_and(is_bytes),
        "string" => default.is_string(),
        _ => true,
    }
}

fn fits_kind(default: &Value, kind: &str, of: &Value) -> bool {
    let part = |name: &str| of.get(name).unwrap_or(&Value::Null);
    match kind {
        "array" => default
            .as_array()
            .is_some_and(|items| items.iter().all(|item| fits(item, part("items")))),
        "map" => default
            .as_object()
            .is_some_and(|map| map.values().all(|value| fits(value, part("values")))),
        "enum" => part("symbols")
            .as_array()
            .is_some_and(|symbols| symbols.contains(default)),
        "fixed" => default.as_str().is_some_and(|text| {
            is_bytes(text) && Some(text.chars().count() as u64) == part("size").as_u64()
        }),
        "record" | "error" => default.is_object() && fits_fields(default, part("fields")),
        primitive => fits_primitive(default, primitive),
    }
}

fn fits_fields(default: &Value, fields: &Value) -> bool {
    let mut fields = fields.as_array().into_iter().flatten();
    fields.all(|field| {
        let name = field.get("name").and_then(Value::as_str);
        let value = name.and_then(|name| default.get(name));
        match (value, field.get("type")) {
            (Some(value), Some(of)) => fits(value, of),
            _ => field.get("default").is_some(),
        }
    })
}

/// Bytes are written as the code points 0 to 255.
fn is_bytes(text: &str) -> bool {
    text.chars().all(|letter| u32::from(letter) <= 0xff)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_default_is_a_value_of_its_type() {
        let record = json!({"type": "record", "name": "R", "fields": [
            {"name": "a", "type": "int"}, {"name": "b", "type": "int", "default": 0}]});
        for (of, good, bad) in [
            (json!("null"), json!(null), json!("null")),
            (json!("boolean"), json!(false), json!(0)),
            (json!("int"), json!(1), json!(3_000_000_000_u32)),
            (json!("long"), json!(3_000_000_000_u32), json!("0")),
            (json!("double"), json!(1.5), json!("1.5")),
            (json!("bytes"), json!("\u{ff}"), json!("\u{100}")),
            (json!("string"), json!(""), json!(null)),
            (json!(["null", "int"]), json!(null), json!(1)),
            (
                json!({"type": "array", "items": "int"}),
                json!([1]),
                json!(["1"]),
            ),
            (
                json!({"type": "map", "values": "int"}),
                json!({"a": 1}),
                json!([]),
            ),
            (
                json!({"type": "enum", "name": "E", "symbols": ["A"]}),
                json!("A"),
                json!("B"),
            ),
            (
                json!({"type": "fixed", "name": "F", "size": 2}),
                json!("ab"),
                json!("abc"),
            ),
            (
                json!({"type": "long", "logicalType": "timestamp-millis"}),
                json!(0),
                json!("now"),
            ),
            (record, json!({"a": 1}), json!({"b": 1})),
        ] {
            assert!(fits(&good, &of), "{good} is a {of}");
            assert!(!fits(&bad, &of), "{bad} is no {of}");
        }
    }
}
