//! The rules of schema resolution, pair by pair.

use super::*;
use crate::registry::schema::parse;

fn record(fields: &str) -> String {
    format!(r#"{{"type":"record","name":"R","namespace":"shop","fields":[{fields}]}}"#)
}

fn field(of: &str) -> String {
    record(&format!(r#"{{"name":"f","type":{of}}}"#))
}

fn reads(reader: &str, writer: &str) -> bool {
    can_read(&parse(reader).unwrap(), &parse(writer).unwrap()).is_empty()
}

/// (what, reader, writer, whether the reader can read)
#[expect(clippy::too_many_lines, reason = "a table")]
fn table() -> Vec<(&'static str, String, String, bool)> {
    let f = |of: &str| field(of);
    let inner = r#"{"type":"record","name":"I","fields":[{"name":"x","type":"int"}]}"#;
    let inner_long = r#"{"type":"record","name":"I","fields":[{"name":"x","type":"long"}]}"#;
    let twice = |first: &str, second: &str| {
        record(&format!(
            r#"{{"name":"a","type":{first}}},{{"name":"b","type":{second}}}"#
        ))
    };
    let list = |of: &str, default: &str| {
        format!(
            r#"{{"type":"record","name":"Node","fields":[{{"name":"v","type":{of}}},{{"name":"next","type":["null","Node"]{default}}}]}}"#
        )
    };
    let enum_of = |symbols: &str, rest: &str| {
        f(&format!(
            r#"{{"type":"enum","name":"E","symbols":[{symbols}]{rest}}}"#
        ))
    };
    let fixed = |name: &str, size: u32, rest: &str| {
        f(&format!(
            r#"{{"type":"fixed","name":"{name}","size":{size}{rest}}}"#
        ))
    };
    let logical = |of: &str, kind: &str, rest: &str| {
        f(&format!(
            r#"{{"type":"{of}","logicalType":"{kind}"{rest}}}"#
        ))
    };
    vec![
        ("the same", f(r#""int""#), f(r#""int""#), true),
        ("int to long", f(r#""long""#), f(r#""int""#), true),
        ("int to double", f(r#""double""#), f(r#""int""#), true),
        ("long to float", f(r#""float""#), f(r#""long""#), true),
        ("long to int", f(r#""int""#), f(r#""long""#), false),
        ("double to float", f(r#""float""#), f(r#""double""#), false),
        ("string to bytes", f(r#""bytes""#), f(r#""string""#), true),
        ("bytes to string", f(r#""string""#), f(r#""bytes""#), true),
        ("string to int", f(r#""int""#), f(r#""string""#), false),
        (
            "a new field without default",
            twice(r#""int""#, r#""int""#),
            record(r#"{"name":"a","type":"int"}"#),
            false,
        ),
        (
            "a new field with default",
            record(r#"{"name":"a","type":"int"},{"name":"b","type":"int","default":0}"#),
            record(r#"{"name":"a","type":"int"}"#),
            true,
        ),
        (
            "a new field whose default is null",
            record(r#"{"name":"b","type":["null","int"],"default":null}"#),
            record(""),
            true,
        ),
        ("a field left out", record(""), f(r#""int""#), true),
        (
            "fields in another order",
            record(r#"{"name":"b","type":"int"},{"name":"a","type":"string"}"#),
            twice(r#""string""#, r#""int""#),
            true,
        ),
        (
            "a field renamed with an alias",
            record(r#"{"name":"g","type":"int","aliases":["f"]}"#),
            f(r#""int""#),
            true,
        ),
        (
            "a field renamed without",
            record(r#"{"name":"g","type":"int"}"#),
            f(r#""int""#),
            false,
        ),
        (
            "a record renamed with an alias",
            record("").replace(r#""R""#, r#""S","aliases":["R"]"#),
            record(""),
            true,
        ),
        (
            "a record renamed without",
            record("").replace(r#""R""#, r#""S""#),
            record(""),
            false,
        ),
        (
            "another namespace",
            record("").replace("shop", "store"),
            record(""),
            true,
        ),
        ("made nullable", f(r#"["null","int"]"#), f(r#""int""#), true),
        (
            "nullable to plain",
            f(r#""int""#),
            f(r#"["null","int"]"#),
            false,
        ),
        (
            "a union branch added",
            f(r#"["null","int","string"]"#),
            f(r#"["null","int"]"#),
            true,
        ),
        (
            "a union branch removed",
            f(r#"["null","int"]"#),
            f(r#"["null","int","string"]"#),
            false,
        ),
        (
            "union branches promoted",
            f(r#"["null","long"]"#),
            f(r#"["null","int"]"#),
            true,
        ),
        (
            "every branch readable",
            f(r#""double""#),
            f(r#"["int","long"]"#),
            true,
        ),
        (
            "an enum symbol added by the writer",
            enum_of(r#""A""#, ""),
            enum_of(r#""A","B""#, ""),
            false,
        ),
        (
            "an enum symbol added by the reader",
            enum_of(r#""A","B""#, ""),
            enum_of(r#""A""#, ""),
            true,
        ),
        (
            "an unknown symbol has a default",
            enum_of(r#""A""#, r#","default":"A""#),
            enum_of(r#""A","B""#, ""),
            true,
        ),
        (
            "an enum renamed",
            enum_of(r#""A""#, "").replace(r#""E""#, r#""F""#),
            enum_of(r#""A""#, ""),
            false,
        ),
        (
            "a fixed of another size",
            fixed("X", 8, ""),
            fixed("X", 16, ""),
            false,
        ),
        (
            "a fixed of the same size",
            fixed("X", 16, ""),
            fixed("X", 16, ""),
            true,
        ),
        (
            "a fixed renamed with an alias",
            fixed("Y", 16, r#","aliases":["shop.X"]"#),
            fixed("X", 16, ""),
            true,
        ),
        (
            "array items promoted",
            f(r#"{"type":"array","items":"long"}"#),
            f(r#"{"type":"array","items":"int"}"#),
            true,
        ),
        (
            "array items demoted",
            f(r#"{"type":"array","items":"int"}"#),
            f(r#"{"type":"array","items":"long"}"#),
            false,
        ),
        (
            "map values changed",
            f(r#"{"type":"map","values":"int"}"#),
            f(r#"{"type":"map","values":"string"}"#),
            false,
        ),
        (
            "an array for a map",
            f(r#"{"type":"array","items":"int"}"#),
            f(r#"{"type":"map","values":"int"}"#),
            false,
        ),
        // Where apache-avro's own checker answers wrongly.
        (
            "the first use of a type moved",
            twice(inner, r#""I""#),
            record(&format!(
                r#"{{"name":"b","type":{inner}}},{{"name":"a","type":"I"}}"#
            )),
            true,
        ),
        (
            "a type behind a reference promoted",
            twice(inner_long, r#""I""#),
            twice(inner, r#""I""#),
            true,
        ),
        (
            "a type behind a reference demoted",
            twice(inner, r#""I""#),
            twice(inner_long, r#""I""#),
            false,
        ),
        (
            "decimal of another scale",
            logical("bytes", "decimal", r#","precision":9,"scale":2"#),
            logical("bytes", "decimal", r#","precision":9,"scale":4"#),
            true,
        ),
        (
            "a logical type added",
            logical("long", "timestamp-millis", ""),
            f(r#""long""#),
            true,
        ),
        (
            "uuid to string",
            f(r#""string""#),
            logical("string", "uuid", ""),
            true,
        ),
        // Recursion.
        (
            "a list of the same",
            list(r#""int""#, ""),
            list(r#""int""#, ""),
            true,
        ),
        (
            "a list promoted",
            list(r#""long""#, ""),
            list(r#""int""#, ""),
            true,
        ),
        (
            "a list demoted",
            list(r#""int""#, ""),
            list(r#""long""#, ""),
            false,
        ),
    ]
}

#[test]
fn a_reader_reads_what_the_rules_of_resolution_allow() {
    for (what, reader, writer, expected) in table() {
        assert_eq!(
            reads(&reader, &writer),
            expected,
            "{what}: {reader} reads {writer}"
        );
    }
}

#[test]
fn every_schema_reads_itself() {
    for (what, reader, writer, _) in table() {
        assert!(reads(&reader, &reader), "{what}: {reader}");
        assert!(reads(&writer, &writer), "{what}: {writer}");
    }
}

#[test]
fn levels_ask_in_the_right_direction() {
    // given a new version that adds a field without default: the old can read it, not reverse
    let old = parse(&record("")).unwrap();
    let new = parse(&field(r#""int""#)).unwrap();
    let fits = |level| check(level, &new, &old).is_empty();
    assert!(fits(Level::None) && fits(Level::Forward) && fits(Level::ForwardTransitive));
    assert!(!fits(Level::Backward) && !fits(Level::Full) && !fits(Level::FullTransitive));
}

#[test]
fn a_finding_says_what_and_where() {
    let findings = check(
        Level::Backward,
        &parse(&field(r#""int""#)).unwrap(),
        &parse(&record("")).unwrap(),
    );
    let expected =
        "the new schema cannot read the old: READER_FIELD_MISSING_DEFAULT_VALUE at /fields/0: f";
    assert_eq!(findings, [expected]);
}

#[test]
fn levels_are_named_as_at_confluent() {
    assert_eq!("FULL_TRANSITIVE".parse(), Ok(Level::FullTransitive));
    assert_eq!("backward".parse(), Ok(Level::Backward));
    assert_eq!("SIDEWAYS".parse::<Level>(), Err(()));
}
