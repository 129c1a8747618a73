//! The rules of the house, beyond what Avro's resolution asks.
//!
//! Implementations differ in aliases, in references, in logical types that change; bytes are not
//! always a string; and a default that changes makes one record mean two things to readers of
//! different ages. What they agree on is what is left when these are left out.

use std::path::Path;

use serde_json::Value;

use crate::complaint::{Complaint, Rule};
use crate::default;
use crate::outline::{Part, What, logical, parts, words};

/// What stands against one version by itself. `name` is the full name that its record must have.
pub(crate) fn of_version(file: &Path, name: &str, schema: &Value) -> Vec<Complaint> {
    let parts = parts(schema);
    let complain = |place: &str, (rule, what, fix): Breach| complaint(file, place, rule, what, fix);
    let mut complaints = Vec::new();
    if let Some(breach) = misnamed(name, parts.first()) {
        complaints.push(complain("", breach));
    }
    for part in &parts {
        let breaches = match &part.what {
            What::Field(field) => [aliased(field), undocumented(field), misfit(field)],
            What::Definition(_, definition) => [aliased(definition), None, None],
            What::Reference(name) => [Some(referred(name)), None, None],
            What::Primitive(..) => [None, None, None],
        };
        let breaches = breaches.into_iter().flatten();
        complaints.extend(breaches.map(|breach| complain(&part.place, breach)));
    }
    complaints
}

/// What stands against a version beside an earlier one, which Avro's resolution would let pass.
pub(crate) fn of_change(file: &Path, new: &Value, number: u32, old: &Value) -> Vec<Complaint> {
    let (new, old) = (parts(new), parts(old));
    let mut complaints = Vec::new();
    for part in &new {
        for before in old.iter().filter(|before| before.place == part.place) {
            if let Some((rule, what, fix)) = changed(&part.what, &before.what, number) {
                complaints.push(complaint(file, &part.place, rule, what, fix));
            }
        }
    }
    complaints
}

/// Rule, what was found, what to do.
type Breach = (Rule, String, String);

fn complaint(file: &Path, place: &str, rule: Rule, what: String, fix: String) -> Complaint {
    Complaint {
        file: file.to_owned(),
        field: place.to_owned(),
        rule,
        what,
        fix,
    }
}

fn misnamed(expected: &str, root: Option<&Part<'_>>) -> Option<Breach> {
    let found = match root.map(|part| &part.what) {
        Some(What::Definition(name, definition)) if definition.contains_key("fields") => name,
        _ => "not a record",
    };
    (found != expected).then(|| {
        (
            Rule::Name,
            format!("the directory is called {expected}, its schema {found}"),
            format!(
                "name the record {expected}: its subject and its CloudEvents type are that name"
            ),
        )
    })
}

fn aliased(part: &serde_json::Map<String, Value>) -> Option<Breach> {
    part.contains_key("aliases").then(|| {
        (
            Rule::NoAliases,
            format!("aliases {}", part["aliases"]),
            "leave the alias out and keep the name; for another name add a field with a default \
             beside the old one"
                .to_owned(),
        )
    })
}

fn undocumented(field: &serde_json::Map<String, Value>) -> Option<Breach> {
    let doc = field.get("doc").and_then(Value::as_str).unwrap_or_default();
    doc.trim().is_empty().then(|| {
        (
            Rule::Doc,
            "the field says nothing of what it holds".to_owned(),
            "give it a \"doc\": meaning, unit, limits".to_owned(),
        )
    })
}

fn misfit(field: &serde_json::Map<String, Value>) -> Option<Breach> {
    let (default, of) = (field.get("default")?, field.get("type")?);
    (!default::fits(default, of)).then(|| {
        (
            Rule::Default,
            format!("the default {default} is no {}", words(of)),
            "give a default of the field's type; of a union, of its first branch".to_owned(),
        )
    })
}

fn referred(name: &str) -> Breach {
    (
        Rule::UsedOnce,
        format!("{name} is defined elsewhere"),
        "define a type of its own here, under a name of its own".to_owned(),
    )
}

fn changed(new: &What<'_>, old: &What<'_>, number: u32) -> Option<Breach> {
    match (new, old) {
        (What::Primitive(new, now), What::Primitive(old, before)) => {
            if now != before && new == old {
                return Some(relabelled(now.clone(), before.clone(), number));
            }
            let both = [*new, *old];
            (both.contains(&"string") && both.contains(&"bytes")).then(|| {
                (
                    Rule::StringOrBytes,
                    format!("{old} in version {number}, {new} now: not all bytes are a string"),
                    format!("keep the type {old}; add a field with a default beside it"),
                )
            })
        }
        (What::Definition(new, _), What::Definition(old, _)) if new != old => Some((
            Rule::FullName,
            format!("{old} in version {number}, {new} now"),
            format!("keep the name {old}, namespace included"),
        )),
        (What::Definition(_, new), What::Definition(_, old)) => {
            let (now, before) = (logical(new), logical(old));
            let relabelled = (now != before).then(|| relabelled(now, before, number));
            relabelled.or_else(|| revalued(new, old, number))
        }
        (What::Field(new), What::Field(old)) => revalued(new, old, number),
        _ => None,
    }
}

/// A default is part of what a record without the field says, to a reader of any age.
fn revalued(
    new: &serde_json::Map<String, Value>,
    old: &serde_json::Map<String, Value>,
    number: u32,
) -> Option<Breach> {
    let (now, before) = (new.get("default")?, old.get("default")?);
    (now != before).then(|| {
        (
            Rule::Default,
            format!("{before} in version {number}, {now} now: one record would mean two things"),
            format!("keep the default {before}"),
        )
    })
}

fn relabelled(new: Option<String>, old: Option<String>, number: u32) -> Breach {
    let told = |logical: Option<String>| logical.unwrap_or_else(|| "no logical type".to_owned());
    (
        Rule::LogicalType,
        format!("{} in version {number}, {} now", told(old), told(new)),
        "keep the logical type: readers would take the same number for another; add a field with a \
         default beside it"
            .to_owned(),
    )
}
