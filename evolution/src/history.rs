//! Every version of a schema against the rules, and against every earlier version.

use std::path::Path;

use serde_json::Value;

use crate::complaint::{Complaint, Rule};
use crate::files::{History, Version};
use crate::house;
use crate::resolution::{Finding, can_read};
use crate::schema::{self, Schema};

/// A version that could be parsed.
struct Parsed<'a> {
    version: &'a Version,
    json: Value,
    schema: Schema,
}

/// What stands against the versions of one schema, judged by their texts alone.
#[must_use]
pub fn check(history: &History) -> Vec<Complaint> {
    let mut complaints = numbering(history);
    let mut earlier: Vec<Parsed<'_>> = Vec::new();
    for version in &history.versions {
        match parse(&history.name, version) {
            Ok((parsed, house)) => {
                complaints.extend(house);
                for old in &earlier {
                    complaints.extend(between(&parsed, old));
                    complaints.extend(repeated(&parsed, old));
                }
                earlier.push(parsed);
            }
            Err(found) => complaints.extend(found),
        }
    }
    complaints
}

fn numbering(history: &History) -> Vec<Complaint> {
    let numbered = (1..).zip(&history.versions);
    let misplaced = numbered.filter(|(expected, version)| *expected != version.number);
    let complaint = misplaced.take(1).map(|(expected, version)| Complaint {
        file: version.file.clone(),
        field: String::new(),
        rule: Rule::Numbering,
        what: format!("there is no version {expected} before it"),
        fix: format!("call it v{expected}.avsc, or bring the missing version back"),
    });
    complaint.collect()
}

/// A version with what the rules of the house say to it; or why it is none.
fn parse<'a>(
    name: &str,
    version: &'a Version,
) -> Result<(Parsed<'a>, Vec<Complaint>), Vec<Complaint>> {
    let file = &version.file;
    let json = serde_json::from_str(&version.text)
        .map_err(|error| vec![unparsable(file, error.to_string())])?;
    let house = house::of_version(file, name, &json);
    match schema::parse(&version.text) {
        Ok(schema) => {
            let parsed = Parsed {
                version,
                json,
                schema,
            };
            Ok((parsed, house))
        }
        // The parser names no place: where the house sees the same it says it better.
        Err(_) if house.iter().any(|found| found.rule == Rule::Default) => Err(house),
        Err(what) => Err(vec![unparsable(file, what)]),
    }
}

fn unparsable(file: &Path, what: String) -> Complaint {
    Complaint {
        file: file.to_owned(),
        field: String::new(),
        rule: Rule::Avro,
        what,
        fix: "make it an Avro schema: https://avro.apache.org/docs/1.12.0/specification/"
            .to_owned(),
    }
}

/// What stands between a version and an earlier one.
fn between(new: &Parsed<'_>, old: &Parsed<'_>) -> Vec<Complaint> {
    let (file, number) = (&new.version.file, old.version.number);
    let backward = can_read(&new.schema, &old.schema).into_iter();
    let backward = backward.map(|found| unreadable(file, number, Way::Backward, &found));
    let forward = can_read(&old.schema, &new.schema).into_iter();
    let forward = forward.map(|found| unreadable(file, number, Way::Forward, &found));
    let house = house::of_change(file, &new.json, number, &old.json);
    backward.chain(forward).chain(house).collect()
}

/// A version that says what an earlier one says: a registry would give both one id.
fn repeated(new: &Parsed<'_>, old: &Parsed<'_>) -> Option<Complaint> {
    (new.json == old.json).then(|| Complaint {
        file: new.version.file.clone(),
        field: String::new(),
        rule: Rule::Numbering,
        what: format!("it says what version {} says", old.version.number),
        fix: "change it, or remove it".to_owned(),
    })
}

/// Who cannot read whom.
#[derive(Clone, Copy)]
enum Way {
    /// The new version reads what the old one wrote.
    Backward,
    /// The old version reads what the new one wrote.
    Forward,
}

fn unreadable(file: &Path, number: u32, way: Way, found: &Finding) -> Complaint {
    let who = match way {
        Way::Backward => format!("this version cannot read what version {number} wrote"),
        Way::Forward => format!("version {number} cannot read what this version writes"),
    };
    Complaint {
        file: file.to_owned(),
        field: found.field().to_owned(),
        rule: Rule::FullTransitive,
        what: format!("{who}: {} ({})", found.what, found.kind),
        fix: remedy(number, way, found.kind),
    }
}

fn remedy(number: u32, way: Way, kind: &str) -> String {
    let beside = "add a field with a default beside it";
    match (kind, way) {
        ("READER_FIELD_MISSING_DEFAULT_VALUE", Way::Backward) => format!(
            "give the field a default; if it is version {number}'s field under another name, keep \
             the old name"
        ),
        ("READER_FIELD_MISSING_DEFAULT_VALUE", Way::Forward) => {
            format!("keep the field: readers with version {number} have no default for it")
        }
        ("MISSING_ENUM_SYMBOLS", Way::Backward) => {
            format!("keep every symbol of version {number}: records with them stay in the log")
        }
        ("MISSING_ENUM_SYMBOLS", Way::Forward) => format!(
            "leave the symbol out: the enum of version {number} has no default symbol to read it \
             as; {beside}"
        ),
        ("NAME_MISMATCH", _) => format!("keep the name of version {number}"),
        _ => format!("keep the type of version {number}; {beside}"),
    }
}
