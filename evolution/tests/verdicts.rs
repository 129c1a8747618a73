//! Every pair of `pairs.json` against the verdicts of Avro's Java implementation, which
//! `tests/verdicts` has written there.

#![allow(clippy::unwrap_used, reason = "a failed test is the report")]

use std::collections::BTreeSet;

use evolution::{can_read, schema};
use serde::Deserialize;

#[derive(Deserialize)]
struct Pair {
    what: String,
    old: serde_json::Value,
    new: serde_json::Value,
    /// What keeps the new schema from reading what the old one wrote.
    backward: BTreeSet<String>,
    /// The reverse.
    forward: BTreeSet<String>,
}

fn pairs() -> Vec<Pair> {
    serde_json::from_str(include_str!("pairs.json")).unwrap()
}

fn parse(schema: &serde_json::Value) -> evolution::Schema {
    schema::parse(&schema.to_string()).unwrap()
}

fn findings(reader: &serde_json::Value, writer: &serde_json::Value) -> BTreeSet<String> {
    let found = can_read(&parse(reader), &parse(writer)).into_iter();
    found
        .map(|found| format!("{} {}", found.kind, found.location()))
        .collect()
}

#[test]
fn the_verdicts_are_those_of_java_with_the_same_reasons_at_the_same_places() {
    for pair in pairs() {
        let Pair { what, old, new, .. } = &pair;
        assert_eq!(
            findings(new, old),
            pair.backward,
            "{what}: {new} reads {old}"
        );
        assert_eq!(
            findings(old, new),
            pair.forward,
            "{what}: {old} reads {new}"
        );
    }
}

#[test]
fn every_schema_reads_itself() {
    for Pair { what, old, new, .. } in pairs() {
        for schema in [old, new] {
            assert!(findings(&schema, &schema).is_empty(), "{what}: {schema}");
        }
    }
}

#[test]
fn the_table_is_large_enough_to_mean_something() {
    let pairs = pairs();
    let refused = |pair: &&Pair| !(pair.backward.is_empty() && pair.forward.is_empty());
    assert!(pairs.len() >= 60, "{} pairs", pairs.len());
    let refused = pairs.iter().filter(refused).count();
    assert!(refused >= 25, "{refused} of them incompatible");
}
