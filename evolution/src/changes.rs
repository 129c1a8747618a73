//! What changed between two versions of a schema, for people.

use serde_json::{Map, Value};

use crate::outline::{What, parts, words};

/// The changes, one a line: `+` came, `-` went, `~` differs.
///
/// # Errors
/// In words, when one of the texts is no JSON.
pub fn changes(old: &str, new: &str) -> Result<Vec<String>, String> {
    let parse = |text| serde_json::from_str::<Value>(text).map_err(|error| error.to_string());
    let (old, new) = (parse(old)?, parse(new)?);
    let (old, new) = (lines(&old), lines(&new));
    let mut told = Vec::new();
    for (place, before) in &old {
        match find(&new, place) {
            None => told.push(format!("- {place}: {}", before.join("; "))),
            Some(now) => {
                let pairs = before.iter().zip(now).filter(|(before, now)| before != now);
                told.extend(pairs.map(|(before, now)| format!("~ {place}: {before} -> {now}")));
            }
        }
    }
    let came = new.iter().filter(|(place, _)| find(&old, place).is_none());
    told.extend(came.map(|(place, now)| format!("+ {place}: {}", now.join("; "))));
    Ok(told)
}

/// A field or definition, by its place, in words that can be compared one by one.
type Line = (String, Vec<String>);

fn find<'a>(lines: &'a [Line], place: &str) -> Option<&'a Vec<String>> {
    let found = lines.iter().find(|(at, _)| at == place);
    found.map(|(_, words)| words)
}

fn lines(schema: &Value) -> Vec<Line> {
    let parts = parts(schema).into_iter();
    let lines = parts.filter_map(|part| match part.what {
        What::Field(field) => Some((part.place, field_words(field))),
        What::Definition(name, definition) => Some((
            format!("{} (type)", part.place).trim_start().to_owned(),
            vec![
                name,
                attribute("default", definition),
                attribute("doc", definition),
            ],
        )),
        What::Reference(_) | What::Primitive(..) => None,
    });
    lines.collect()
}

fn field_words(field: &Map<String, Value>) -> Vec<String> {
    let of = words(field.get("type").unwrap_or(&Value::Null));
    vec![of, attribute("default", field), attribute("doc", field)]
}

fn attribute(name: &str, part: &Map<String, Value>) -> String {
    match part.get(name) {
        Some(value) => format!("{name} {value}"),
        None => format!("no {name}"),
    }
}
