//! Schemas that somebody has made to keep a registry busy: each comparison ends, and says why.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

use std::sync::mpsc;
use std::time::Duration;

use evolution::{Finding, can_read, schema};

/// Far above what the largest comparison may cost.
const PATIENCE: Duration = Duration::from_secs(20);
/// The stack of a thread that serves requests.
const STACK_BYTES: usize = 2 << 20;

/// What stands between two schemas, found on a thread like those of a server.
fn compared(reader: String, writer: String) -> Vec<Finding> {
    let (tell, told) = mpsc::channel();
    std::thread::Builder::new()
        .stack_size(STACK_BYTES)
        .spawn(move || {
            let parse = |text: &str| schema::parse(text).unwrap();
            tell.send(can_read(&parse(&reader), &parse(&writer)))
        })
        .unwrap();
    told.recv_timeout(PATIENCE).expect("an end")
}

fn kinds(findings: &[Finding]) -> Vec<&str> {
    findings.iter().map(|finding| finding.kind).collect()
}

/// A field.
fn field(name: &str, of: &str) -> String {
    format!(r#"{{"name":"{name}","type":{of}}}"#)
}

fn record(name: &str, fields: &[String]) -> String {
    let fields = fields.join(",");
    format!(r#"{{"type":"record","name":"{name}","fields":[{fields}]}}"#)
}

/// Records of which each holds the one before it, `in_between` around the inner one; the writer's root
/// defines them one beside the other, the reader's where nothing is compared, and both then refer to the last.
fn chain(length: usize, in_between: impl Fn(&str) -> String) -> (String, String) {
    let links: Vec<_> = (0..length)
        .map(|at| {
            let of = match at {
                0 => r#""int""#.to_owned(),
                _ => in_between(&format!(r#""R{}""#, at - 1)),
            };
            record(&format!("R{at}"), &[field("of", &of)])
        })
        .collect();
    let last = field("last", &format!(r#""R{}""#, length - 1));
    let beside = |(at, link): (usize, &String)| field(&format!("link{at}"), link);
    let mut writer: Vec<_> = links.iter().enumerate().map(beside).collect();
    let hidden = record("Hidden", &writer);
    writer.push(last.clone());
    let hidden = format!(r#"{{"name":"hidden","type":["null",{hidden}],"default":null}}"#);
    (record("Root", &[hidden, last]), record("Root", &writer))
}

#[test]
fn a_long_chain_of_names_does_not_exhaust_the_stack() {
    let plain = str::to_owned;
    let (reader, writer) = chain(100, plain);
    assert_eq!(kinds(&compared(reader, writer)), [""; 0]);
    let (reader, writer) = chain(1_500, plain);
    assert_eq!(kinds(&compared(reader, writer)), ["TOO_COMPLEX"]);
    let nested = |name: &str| {
        let open = r#"{"type":"array","items":"#.repeat(50);
        format!("{open}{name}{}", "}".repeat(50))
    };
    let (reader, writer) = chain(60, nested);
    assert_eq!(kinds(&compared(reader, writer)), ["TOO_COMPLEX"]);
}

/// Each pair of records is asked for by two branches of a union, and none can be read.
#[test]
fn unions_do_not_double_the_work_at_every_level() {
    let levels = 60;
    let mut writer = vec![field("f0", &record("w.R0", &[field("of", r#""string""#)]))];
    let mut reader = Vec::new();
    for space in ["a", "b"] {
        let first = record(&format!("{space}.R0"), &[field("of", r#""int""#)]);
        reader.push(format!(
            r#"{{"name":"{space}0","type":["null",{first}],"default":null}}"#
        ));
    }
    for level in 1..levels {
        let inner = level - 1;
        let of = field("of", &format!(r#""w.R{inner}""#));
        writer.push(field(
            &format!("f{level}"),
            &record(&format!("w.R{level}"), &[of]),
        ));
        for space in ["a", "b"] {
            let of = field("of", &format!(r#"["a.R{inner}","b.R{inner}"]"#));
            let next = record(&format!("{space}.R{level}"), &[of]);
            reader.push(format!(
                r#"{{"name":"{space}{level}","type":["null",{next}],"default":null}}"#
            ));
        }
    }
    let last = levels - 1;
    writer.push(field("last", &format!(r#""w.R{last}""#)));
    reader.push(field("last", &format!(r#"["a.R{last}","b.R{last}"]"#)));
    let found = compared(record("Root", &reader), record("Root", &writer));
    assert_eq!(kinds(&found), ["MISSING_UNION_BRANCH"]);
}

#[test]
fn large_schemas_end_too() {
    let many = |count: usize, of: &dyn Fn(usize) -> String| -> String {
        (0..count).map(of).collect::<Vec<_>>().join(",")
    };
    let symbols = |first: char| many(20_000, &|at| format!(r#""{first}{at}""#));
    let enumeration = |first| {
        let symbols = symbols(first);
        format!(r#"{{"type":"enum","name":"E","symbols":[{symbols}]}}"#)
    };
    let union = |first: char| {
        let of = |at| format!(r#"{{"type":"fixed","name":"{first}{at}","size":1}}"#);
        format!("[{}]", many(4_000, &of))
    };
    let fields = |first: char| {
        let fields = (0..7_000).map(|at| field(&format!("{first}{at}"), r#""int""#));
        record("R", &fields.collect::<Vec<_>>())
    };
    // The names of twenty fields around one another are long, and so is each place inside them.
    let deep = |first: char| {
        let many: Vec<_> = (0..3_000)
            .map(|at| field(&format!("{first}{at}"), r#""int""#))
            .collect();
        let inner = record("R0", &many);
        (1..20).fold(inner, |inner, level| {
            record(&format!("R{level}"), &[field(&"x".repeat(6_000), &inner)])
        })
    };
    for (what, reader, writer) in [
        ("symbols", enumeration('a'), enumeration('b')),
        ("branches", union('a'), union('b')),
        ("fields", fields('a'), fields('b')),
        ("places", deep('a'), deep('b')),
    ] {
        let found = compared(reader, writer);
        assert!(!found.is_empty(), "{what}");
        let said: usize = found.iter().map(|finding| finding.to_string().len()).sum();
        assert!(said < 32 << 20, "{what}: {said} bytes");
    }
}
