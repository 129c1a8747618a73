//! The pairs of `evolution/tests/pairs.json` under every level, asked in every way: may the new
//! schema follow the old one?

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::Registry;
use crate::deviations::Deviations;
use crate::suite::unique;

#[derive(Deserialize)]
struct Pair {
    what: String,
    old: Value,
    new: Value,
    /// What keeps the new schema from reading what the old one wrote.
    backward: BTreeSet<String>,
    /// The reverse.
    forward: BTreeSet<String>,
}

impl Pair {
    /// What stands against the new schema under a level, as Avro's Java implementation sees it.
    fn complaints(&self, level: &str) -> BTreeSet<String> {
        match level {
            "BACKWARD" => self.backward.clone(),
            "FORWARD" => self.forward.clone(),
            _ => self.backward.union(&self.forward).cloned().collect(),
        }
    }
}

fn read() -> Vec<Pair> {
    serde_json::from_str(include_str!("../../../evolution/tests/pairs.json")).unwrap()
}

/// Asks for all pairs and returns where a registry disagrees with Java, or with itself.
pub(crate) async fn run(registry: &Registry, deviations: &Deviations) -> Vec<String> {
    let unique = unique();
    let mut failures = Vec::new();
    for (number, pair) in read().iter().enumerate() {
        for level in ["BACKWARD", "FORWARD", "FULL"] {
            let subject = format!("conformance-{unique}-{number}-{level}");
            let says = ask(registry, &subject, level, pair, deviations).await;
            let complaints = pair.complaints(level);
            let java = if complaints.is_empty() {
                "compatible"
            } else {
                "incompatible"
            };
            if says != java {
                failures.push(format!(
                    "{}, {level}: {says}; Java: {complaints:?}",
                    pair.what
                ));
            }
        }
    }
    failures
}

/// What a registry says of a pair under a level: `compatible`, `incompatible`, or what it answered
/// if its answers contradict each other.
async fn ask(
    registry: &Registry,
    subject: &str,
    level: &str,
    pair: &Pair,
    deviations: &Deviations,
) -> String {
    let schema = |schema: &Value| json!({"schema": schema.to_string()}).to_string();
    let new = schema(&pair.new);
    let versions = format!("/subjects/{subject}/versions");
    let check = format!("/compatibility{versions}");
    let level_body = json!({"compatibility": level}).to_string();

    let first = registry.call("POST", &versions, &schema(&pair.old)).await;
    let set = registry
        .call("PUT", &format!("/config/{subject}"), &level_body)
        .await;
    let all = registry.call("POST", &check, &new).await;
    let latest = format!("{check}/latest?verbose=true");
    let latest = registry.call("POST", &latest, &new).await;
    let second = registry.call("POST", &versions, &new).await;

    let complaints = pair.complaints(level);
    let told = match &deviations.no_messages {
        Some(_) => latest.body.get("messages").is_none(),
        None => explains(&latest.body["messages"], &complaints),
    };
    let answers = (
        [first.status, set.status, second.status],
        all.body["is_compatible"].as_bool(),
        latest.body["is_compatible"].as_bool(),
        told,
    );
    match answers {
        ([200, 200, 200], Some(true), Some(true), true) => "compatible".to_owned(),
        ([200, 200, 409], Some(false), Some(false), true) => "incompatible".to_owned(),
        _ => format!(
            "registered {} then {}; compatible: {} with all, {} with the latest; messages: {told}",
            first.status, second.status, all.body["is_compatible"], latest.body["is_compatible"],
        ),
    }
}

/// Whether messages name every complaint of Java's with its place, and nothing without one.
fn explains(messages: &Value, complaints: &BTreeSet<String>) -> bool {
    let messages = messages.as_array().into_iter().flatten();
    let messages: Vec<_> = messages.filter_map(Value::as_str).collect();
    let named = |complaint: &String| {
        let (kind, place) = complaint.split_once(' ').expect("kind and place");
        let names = |message: &&str| message.contains(kind) && message.contains(place);
        messages.iter().any(names)
    };
    messages.is_empty() == complaints.is_empty() && complaints.iter().all(named)
}
