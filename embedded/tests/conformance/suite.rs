//! The cases of `cases.json`, one after the other: some change what holds for all subjects.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::{Answer, CONTENT_TYPE, Registry};
use crate::deviations::{Deviation, Deviations};
use crate::pattern::Names;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Suite {
    schemas: BTreeMap<String, Value>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    case: String,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    /// Method and path.
    ask: String,
    /// The body; a string is sent as it is.
    with: Option<Value>,
    status: u16,
    body: Value,
}

/// A part of names that no other run has.
pub(crate) fn unique() -> String {
    format!("{:016x}", RandomState::new().hash_one(0))
}

fn read() -> Suite {
    serde_json::from_str(include_str!("cases.json")).unwrap()
}

/// Runs all cases and returns what went wrong: an answer that was not expected stands there as the
/// row that would list it as a deviation.
pub(crate) async fn run(registry: &Registry, deviations: &Deviations) -> Vec<String> {
    let suite = read();
    let unique = unique();
    let mut failures = stray_rows(&suite, deviations);
    for (number, case) in suite.cases.iter().enumerate() {
        let mut names = Names::default();
        names.set("subject", format!("conformance-{unique}-{number}"));
        names.set("namespace", format!("conformance{unique}.case{number}"));
        for (name, schema) in &suite.schemas {
            names.set_schema(name, names.fill(schema));
        }
        for (step, number) in case.steps.iter().zip(1..) {
            let row = row_of(deviations, case, number);
            failures.extend(take(registry, deviations, step, row, &mut names).await.map(
                |(answer, why)| {
                    let row = json!({"case": case.case, "step": number, "ask": step.ask,
                        "status": answer.status, "body": answer.body, "why": why});
                    row.to_string()
                },
            ));
        }
    }
    failures
}

fn row_of<'a>(deviations: &'a Deviations, case: &Case, step: usize) -> Option<&'a Deviation> {
    let mut rows = deviations.answers.iter();
    rows.find(|row| row.case == case.case && row.step == step)
}

/// Takes one step; returns the answer and what is wrong with it, if something is.
async fn take(
    registry: &Registry,
    deviations: &Deviations,
    step: &Step,
    row: Option<&Deviation>,
    names: &mut Names,
) -> Option<(Answer, &'static str)> {
    let (method, path) = step.ask.split_once(' ').expect("method and path");
    let body = match step.with.as_ref().map(|with| names.fill(with)) {
        None => String::new(),
        Some(Value::String(raw)) => raw,
        Some(json) => json.to_string(),
    };
    let answer = registry.call(method, &names.fill_text(path), &body).await;
    let listed = row.and_then(|row| row.content_type.as_ref());
    let content_type = match listed {
        Some(listed) => listed,
        None if answer.status < 400 => CONTENT_TYPE,
        None => &deviations.refusal_content_type,
    };
    let is = |status, body, names: &mut Names| {
        answer.status == status && names.accept(body, &answer.body)
    };
    let wrong = match row {
        Some(row) if is(step.status, &step.body, &mut names.clone()) && row.ask == step.ask => {
            Some("it is as documented: the row is out of date")
        }
        Some(row) if !is(row.status, &row.body, names) => Some("neither documented nor listed"),
        None if !is(step.status, &step.body, names) => Some("not as documented"),
        _ if answer.body != Value::Null && answer.content_type != content_type => {
            Some("content type")
        }
        _ => None,
    };
    wrong.map(|wrong| (answer, wrong))
}

/// Rows that belong to no step, or to another request.
fn stray_rows(suite: &Suite, deviations: &Deviations) -> Vec<String> {
    let fits = |row: &Deviation| {
        let case = suite.cases.iter().find(|case| case.case == row.case);
        let step = case.and_then(|case| case.steps.get(row.step.checked_sub(1)?));
        step.is_some_and(|step| step.ask == row.ask)
    };
    let stray = deviations.answers.iter().filter(|row| !fits(row));
    stray
        .map(|row| format!("no such step: {} {} {}", row.case, row.step, row.ask))
        .collect()
}

#[test]
fn the_suite_is_large_enough_to_mean_something() {
    let suite = read();
    let steps = suite.cases.iter().flat_map(|case| &case.steps);
    let refused = steps.clone().filter(|step| step.status >= 400).count();
    let steps = steps.count();
    assert!(steps >= 100, "{steps} steps");
    assert!(refused >= 40, "{refused} of them refused");
}
