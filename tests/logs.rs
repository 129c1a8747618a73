//! House law of log lines, checked in the sources: constant sentences, fields of the one table, and a
//! manual that tells of each.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

use std::fs;
use std::path::{Path, PathBuf};

use messaging::telemetry::fields;

/// The levels: a statement is one of these macros, by its full name.
const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];
/// The span that gives its fields to the lines within it, whatever is filtered.
const SPAN: &str = "error_span";
/// A question, and no statement.
const QUESTION: &str = "enabled";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The sources of the product: of the library and of every member, without tests.
fn sources() -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "tests" {
                walk(&path, found);
            } else if name.ends_with(".rs") && name != "tests.rs" {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(root()).unwrap() {
        let folder = entry.unwrap().path();
        if folder.join("Cargo.toml").exists() && folder.join("src").exists() {
            walk(&folder.join("src"), &mut found);
        }
    }
    walk(&root().join("src"), &mut found);
    found
}

/// One use of a macro of `tracing`.
#[derive(Debug)]
struct Statement<'s> {
    name: &'s str,
    arguments: Vec<&'s str>,
}

/// The uses of macros of `tracing` in a source, up to its unit tests.
fn statements(text: &str) -> Vec<Statement<'_>> {
    let text = &text[..text.find("#[cfg(test)]").unwrap_or(text.len())];
    let mut found = Vec::new();
    for (at, _) in text.match_indices("tracing::") {
        let rest = &text[at + "tracing::".len()..];
        let end = rest.find(|c: char| !(c.is_ascii_lowercase() || c == '_'));
        let (name, rest) = rest.split_at(end.unwrap_or(rest.len()));
        if let Some(body) = rest.strip_prefix("!(") {
            found.push(Statement {
                name,
                arguments: arguments(body),
            });
        }
    }
    found
}

/// The arguments of a macro, from behind its bracket; commas in strings and brackets are not between.
fn arguments(body: &str) -> Vec<&str> {
    let (mut found, mut start, mut depth) = (Vec::new(), 0, 0);
    let mut characters = body.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => {
                while let Some((_, c)) = characters.next() {
                    match c {
                        '\\' => _ = characters.next(),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            '(' | '[' | '{' => depth += 1,
            ')' if depth == 0 => {
                found.push(body[start..at].trim());
                found.retain(|argument| !argument.is_empty());
                return found;
            }
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(body[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    panic!("a macro without an end: {body:.80}");
}

/// What is wrong with a statement.
fn faults(statement: &Statement<'_>) -> Vec<String> {
    let mut arguments = statement.arguments.clone();
    let sentence = match statement.name {
        QUESTION => return Vec::new(),
        SPAN if !arguments.is_empty() => Some(arguments.remove(0)),
        name if LEVELS.contains(&name) => arguments.pop(),
        _ => return vec![format!("{}! is no macro for lines", statement.name)],
    };
    let mut faults = Vec::new();
    let constant = |text: &str| text.starts_with('"') && !text.contains(['{', '}']);
    if !sentence.is_some_and(constant) {
        faults.push(format!("no constant sentence: {sentence:?}"));
    }
    let mut names = Vec::new();
    for argument in arguments {
        let (name, value) = argument.split_once('=').unwrap_or((argument, argument));
        let name = name.trim().trim_start_matches(['%', '?']);
        if !fields::known(name) {
            faults.push(format!("{name} is no field of the table"));
        }
        if value.trim().starts_with('?') {
            faults.push(format!(
                "{name} is told as Rust prints it, with whatever is in it"
            ));
        }
        names.push(name);
    }
    let about_an_order = names.contains(&"order_id") && statement.name != SPAN;
    if about_an_order && !names.contains(&"trace_id") {
        faults.push("order_id without trace_id".to_owned());
    }
    faults
}

/// Whether a source imports the macros or writes spans by attribute: what the check would not see.
fn hidden(text: &str) -> bool {
    let imported = LEVELS.iter().any(|level| {
        text.match_indices(&format!("{level}!(")).any(|(at, _)| {
            let before = text[..at].chars().next_back();
            !before.is_some_and(|c| c == ':' || c == '_' || c.is_alphanumeric())
        })
    });
    imported
        || text.contains("instrument]")
        || text.contains("instrument(skip")
        || text.contains("log::log!")
}

#[test]
fn every_line_is_a_constant_sentence_with_fields_of_the_table() {
    let (mut count, mut wrong) = (0, Vec::new());
    for path in sources() {
        let text = fs::read_to_string(&path).unwrap();
        if hidden(&text) {
            wrong.push(format!("{}: write tracing::LEVEL!(...)", path.display()));
        }
        for statement in statements(&text) {
            count += 1;
            for fault in faults(&statement) {
                wrong.push(format!(
                    "{}: {fault}: {:?}",
                    path.display(),
                    statement.arguments
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(
        count > 60,
        "only {count} statements were found: the check checks nothing"
    );
}

#[test]
fn every_field_is_used_and_in_the_manual() {
    let manual = fs::read_to_string(root().join("docs/logs.md")).unwrap();
    let sources: Vec<_> = sources()
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let used = |name: &str| {
        let uses = |argument: &&str| {
            let own = argument.split_once('=').map_or(*argument, |(own, _)| own);
            own.trim().trim_start_matches(['%', '?']) == name
        };
        let mut all = sources.iter().flat_map(|text| statements(text));
        all.any(|statement| statement.arguments.iter().any(uses))
    };
    for field in fields::FIELDS {
        let row = format!("| `{}` | {} |", field.name, field.meaning);
        assert!(manual.contains(&row), "docs/logs.md lacks: {row}");
        // The layer itself adds this one.
        assert!(
            field.name == "suppressed" || used(field.name),
            "{} is used nowhere",
            field.name
        );
    }
    let rows = manual.lines().filter(|line| line.starts_with("| `"));
    let documented = rows.filter(|row| row.contains("` | ")).count();
    assert_eq!(
        documented,
        fields::FIELDS.len() + fields::ALWAYS.len(),
        "a row without a field"
    );
}

#[test]
fn every_sentence_worth_an_alert_is_one_that_the_store_writes() {
    let manual = fs::read_to_string(root().join("docs/logs.md")).unwrap();
    let (_, alerts) = manual.split_once("## Lines worth an alert").unwrap();
    let sources: Vec<_> = sources()
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let written = |level: &str, sentence: &str| {
        let mut all = sources.iter().flat_map(|text| statements(text));
        let sentence = format!("\"{sentence}\"");
        all.any(|one| one.name == level && one.arguments.last() == Some(&sentence.as_str()))
    };
    let mut count = 0;
    for row in alerts.lines().filter(|line| line.starts_with("| ")) {
        let mut cells = row.trim_matches(['|', ' ']).split(" | ");
        let (level, sentence) = (cells.next().unwrap(), cells.next().unwrap());
        if LEVELS.contains(&level) {
            count += 1;
            assert!(written(level, sentence), "nothing writes: {row}");
        }
    }
    assert!(count > 5, "the manual lists the lines");
}

#[test]
fn the_check_finds_what_it_is_for() {
    for (source, expected) in [
        (r#"tracing::warn!(order, "parked");"#, "order is no field"),
        (
            r#"tracing::warn!(topic, "{x} parked");"#,
            "no constant sentence",
        ),
        (
            r#"tracing::warn!(topic, "a{}", x);"#,
            "no constant sentence",
        ),
        (r#"tracing::warn!(topic);"#, "no constant sentence"),
        (
            r#"tracing::warn!(error = ?error, "failed");"#,
            "as Rust prints it",
        ),
        (r#"tracing::warn!(?error, "failed");"#, "as Rust prints it"),
        (
            r#"tracing::warn!(%call.topic, "failed");"#,
            "call.topic is no field",
        ),
        (
            r#"tracing::error!(order_id, "parked");"#,
            "without trace_id",
        ),
        (
            r#"tracing::info_span!("call", topic);"#,
            "no macro for lines",
        ),
        (
            r#"tracing::event!(Level::INFO, "x");"#,
            "no macro for lines",
        ),
    ] {
        let found: Vec<_> = statements(source).iter().flat_map(faults).collect();
        assert!(
            found.iter().any(|fault| fault.contains(expected)),
            "{source}: {found:?}"
        );
    }
    let good =
        r#"tracing::warn!(topic = f(a, "),(\""), order_id, trace_id, %error, "not { done");"#;
    let found = statements(good);
    assert_eq!(found[0].arguments.len(), 5, "{found:?}");
    let good = r#"tracing::warn!(topic = f(a, "),(\""), order_id, trace_id, %error, "not done",);"#;
    assert!(statements(good).iter().flat_map(faults).next().is_none());
    assert!(hidden(r#"warn!("x")"#) && hidden(r#" error!("x")"#));
    assert!(!hidden(r#"tracing::warn!("x")"#) && !hidden("compile_error!(1)"));
    assert!(hidden("#[tracing::instrument]") && !hidden("answer.instrument(span)"));
}
