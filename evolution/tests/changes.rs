//! Changes of a schema, each with what the check says to it: nothing, or the whole message.

#![allow(clippy::unwrap_used, reason = "a failed test is the report")]

use evolution::files::{History, Version};
use evolution::{changes, history};

const FIELDS: [&str; 5] = [
    r#"{"name":"order_id","type":"string","doc":"The order."}"#,
    r#"{"name":"quantity","type":"long","doc":"How many."}"#,
    r#"{"name":"note","type":"string","doc":"For people.","default":""}"#,
    r#"{"name":"how","doc":"How.","type":{"type":"enum","name":"How","symbols":["A","B"]}}"#,
    r#"{"name":"lines","doc":"Lines.","type":{"type":"array","items":{"type":"record","name":"Line","fields":[{"name":"at","doc":"When.","type":{"type":"long","logicalType":"timestamp-millis"}}]}}}"#,
];

/// Version 1.
fn first() -> String {
    record(&FIELDS.join(","))
}

fn record(fields: &str) -> String {
    format!(
        r#"{{"type":"record","name":"Placed","namespace":"shop","doc":"Placed.","fields":[{fields}]}}"#
    )
}

/// Version 1 with a piece of its text replaced.
fn replaced(old: &str, new: &str) -> String {
    let first = first();
    assert!(first.contains(old), "{old} is not in {first}");
    first.replace(old, new)
}

fn with(field: &str) -> String {
    record(&format!("{},{field}", FIELDS.join(",")))
}

fn without(field: usize) -> String {
    let mut fields = FIELDS.to_vec();
    fields.remove(field);
    record(&fields.join(","))
}

/// What the check says of versions 1, 2, ... with these texts.
fn told(versions: &[String]) -> Vec<String> {
    let version = |(number, text): (u32, &String)| Version {
        number,
        file: format!("v{number}.avsc").into(),
        text: text.clone(),
        golden_file: format!("v{number}.bin").into(),
        golden: None,
    };
    let history = History {
        name: "shop.Placed".to_owned(),
        versions: (1..).zip(versions).map(version).collect(),
    };
    let complaints = history::check(&history).into_iter();
    complaints.map(|complaint| complaint.to_string()).collect()
}

fn refused(new: String, expected: &[&str]) {
    assert_eq!(told(&[first(), new]), expected);
}

fn allowed(new: String) {
    assert_eq!(told(&[first(), new]), [""; 0]);
}

#[test]
fn a_version_that_says_nothing_new_is_none() {
    let expected =
        "v2.avsc: numbering: it says what version 1 says\n    fix: change it, or remove it";
    refused(first(), &[expected]);
    refused(first().replace(',', " , "), &[expected]);
}

#[test]
fn a_doc_changes() {
    allowed(replaced("How many.", "How many pieces."));
}

#[test]
fn a_field_with_a_default_comes() {
    allowed(with(
        r#"{"name":"gift","doc":"A gift.","type":"boolean","default":false}"#,
    ));
    allowed(with(
        r#"{"name":"by","doc":"Who.","type":["null","string"],"default":null}"#,
    ));
}

#[test]
fn a_field_with_a_default_goes() {
    allowed(without(2));
}

#[test]
fn fields_change_places() {
    let mut fields = FIELDS.to_vec();
    fields.reverse();
    allowed(record(&fields.join(",")));
}

#[test]
fn symbols_come_and_go_where_the_enum_always_had_a_default() {
    let how = |symbols: &str| {
        record(&format!(
            r#"{{"name":"how","doc":"How.","type":{{"type":"enum","name":"How","symbols":[{symbols}],"default":"A"}}}}"#
        ))
    };
    let versions = [how(r#""A","B""#), how(r#""A","B","C""#), how(r#""A","C""#)];
    assert_eq!(told(&versions), [""; 0]);
}

#[test]
fn a_field_without_a_default_comes() {
    refused(
        with(r#"{"name":"gift","doc":"A gift.","type":"boolean"}"#),
        &[
            "v2.avsc: gift: full-transitive: this version cannot read what version 1 wrote: gift \
             (READER_FIELD_MISSING_DEFAULT_VALUE)\n    fix: give the field a default; if it is \
             version 1's field under another name, keep the old name",
        ],
    );
}

#[test]
fn a_field_without_a_default_goes() {
    refused(
        without(1),
        &[
            "v2.avsc: quantity: full-transitive: version 1 cannot read what this version writes: \
             quantity (READER_FIELD_MISSING_DEFAULT_VALUE)\n    fix: keep the field: readers with \
             version 1 have no default for it",
        ],
    );
}

#[test]
fn a_field_gets_another_name() {
    refused(
        replaced(r#""name":"quantity""#, r#""name":"pieces""#),
        &[
            "v2.avsc: pieces: full-transitive: this version cannot read what version 1 wrote: \
             pieces (READER_FIELD_MISSING_DEFAULT_VALUE)\n    fix: give the field a default; if it \
             is version 1's field under another name, keep the old name",
            "v2.avsc: quantity: full-transitive: version 1 cannot read what this version writes: \
             quantity (READER_FIELD_MISSING_DEFAULT_VALUE)\n    fix: keep the field: readers with \
             version 1 have no default for it",
        ],
    );
}

#[test]
fn a_field_gets_another_name_and_the_old_one_as_its_alias() {
    let new = replaced(
        r#""name":"quantity""#,
        r#""name":"pieces","aliases":["quantity"]"#,
    );
    refused(
        new,
        &[
            "v2.avsc: pieces: no-aliases: aliases [\"quantity\"]\n    fix: leave the alias out and \
             keep the name; for another name add a field with a default beside the old one",
            "v2.avsc: quantity: full-transitive: version 1 cannot read what this version writes: \
             quantity (READER_FIELD_MISSING_DEFAULT_VALUE)\n    fix: keep the field: readers with \
             version 1 have no default for it",
        ],
    );
}

#[test]
fn a_type_gets_narrower() {
    refused(
        replaced(r#""quantity","type":"long""#, r#""quantity","type":"int""#),
        &[
            "v2.avsc: quantity: full-transitive: this version cannot read what version 1 wrote: int \
             cannot read long (TYPE_MISMATCH)\n    fix: keep the type of version 1; add a field \
             with a default beside it",
        ],
    );
}

#[test]
fn a_type_gets_wider() {
    refused(
        replaced(
            r#""quantity","type":"long""#,
            r#""quantity","type":"double""#,
        ),
        &[
            "v2.avsc: quantity: full-transitive: version 1 cannot read what this version writes: \
             long cannot read double (TYPE_MISMATCH)\n    fix: keep the type of version 1; add a \
             field with a default beside it",
        ],
    );
}

#[test]
fn a_field_becomes_optional() {
    refused(
        replaced(
            r#""quantity","type":"long""#,
            r#""quantity","type":["long","null"]"#,
        ),
        &[
            "v2.avsc: quantity: full-transitive: version 1 cannot read what this version writes: \
             long cannot read null (TYPE_MISMATCH)\n    fix: keep the type of version 1; add a \
             field with a default beside it",
        ],
    );
}

#[test]
fn a_string_becomes_bytes() {
    refused(
        replaced(
            r#""order_id","type":"string""#,
            r#""order_id","type":"bytes""#,
        ),
        &[
            "v2.avsc: order_id: string-or-bytes: string in version 1, bytes now: not all bytes are \
             a string\n    fix: keep the type string; add a field with a default beside it",
        ],
    );
}

#[test]
fn an_enum_without_a_default_gets_a_symbol() {
    refused(
        replaced(r#"["A","B"]"#, r#"["A","B","C"]"#),
        &[
            "v2.avsc: how: full-transitive: version 1 cannot read what this version writes: [C] \
             (MISSING_ENUM_SYMBOLS)\n    fix: leave the symbol out: the enum of version 1 has no \
             default symbol to read it as; add a field with a default beside it",
        ],
    );
}

#[test]
fn an_enum_without_a_default_loses_a_symbol() {
    refused(
        replaced(r#"["A","B"]"#, r#"["A"]"#),
        &[
            "v2.avsc: how: full-transitive: this version cannot read what version 1 wrote: [B] \
             (MISSING_ENUM_SYMBOLS)\n    fix: keep every symbol of version 1: records with them \
             stay in the log",
        ],
    );
}

#[test]
fn a_default_gets_another_type() {
    refused(
        replaced(r#""default":"""#, r#""default":0"#),
        &[
            "v2.avsc: note: default: the default 0 is no string\n    fix: give a default of the \
             field's type; of a union, of its first branch",
        ],
    );
}

#[test]
fn a_default_changes_its_value() {
    refused(
        replaced(r#""default":"""#, r#""default":"none""#),
        &[
            "v2.avsc: note: default: \"\" in version 1, \"none\" now: one record would mean two \
             things\n    fix: keep the default \"\"",
        ],
    );
    let how = |default: &str| {
        record(&format!(
            r#"{{"name":"how","doc":"How.","type":{{"type":"enum","name":"How","symbols":["A","B"],"default":"{default}"}}}}"#
        ))
    };
    let expected = "v2.avsc: how: default: \"A\" in version 1, \"B\" now";
    let told = told(&[how("A"), how("B")]);
    assert!(told[0].starts_with(expected), "{told:?}");
}

#[test]
fn a_namespace_moves() {
    refused(
        replaced(r#""namespace":"shop""#, r#""namespace":"store""#),
        &[
            "v2.avsc: name: the directory is called shop.Placed, its schema store.Placed\n    fix: \
             name the record shop.Placed: its subject and its CloudEvents type are that name",
            "v2.avsc: full-name: shop.Placed in version 1, store.Placed now\n    fix: keep the name \
             shop.Placed, namespace included",
            "v2.avsc: how: full-name: shop.How in version 1, store.How now\n    fix: keep the name \
             shop.How, namespace included",
            "v2.avsc: lines[]: full-name: shop.Line in version 1, store.Line now\n    fix: keep the \
             name shop.Line, namespace included",
        ],
    );
}

#[test]
fn a_nested_type_gets_another_name() {
    let told = told(&[first(), replaced(r#""name":"Line""#, r#""name":"Row""#)]);
    assert!(
        told[0].starts_with(
            "v2.avsc: lines[]: full-transitive: this version cannot read what version 1 wrote: \
             expected shop.Line (NAME_MISMATCH)\n    fix: keep the name of version 1"
        ),
        "{told:?}"
    );
}

#[test]
fn a_logical_type_changes_comes_or_goes() {
    let expected = |found: &str| {
        format!(
            "v2.avsc: lines[].at: logical-type: timestamp-millis in version 1, {found} now\n    \
             fix: keep the logical type: readers would take the same number for another; add a \
             field with a default beside it"
        )
    };
    refused(
        replaced("timestamp-millis", "timestamp-micros"),
        &[&expected("timestamp-micros")],
    );
    refused(
        replaced(r#","logicalType":"timestamp-millis""#, ""),
        &[&expected("no logical type")],
    );
}

#[test]
fn a_decimal_gets_another_scale() {
    let price = |of: &str| record(&format!(r#"{{"name":"price","doc":"Price.","type":{of}}}"#));
    for of in [r#""bytes""#, r#""fixed","name":"P","size":8"#] {
        let of = |scale: u32| {
            price(&format!(
                r#"{{"type":{of},"logicalType":"decimal","precision":9,"scale":{scale}}}"#
            ))
        };
        let told = told(&[of(2), of(4)]);
        let expected =
            "v2.avsc: price: logical-type: decimal(9, 2) in version 1, decimal(9, 4) now";
        assert!(told[0].starts_with(expected), "{told:?}");
        assert_eq!(told.len(), 1);
    }
}

#[test]
fn a_named_type_is_used_twice() {
    refused(
        with(r#"{"name":"then","doc":"Then.","type":["null","How"],"default":null}"#),
        &[
            "v2.avsc: then: used-once: shop.How is defined elsewhere\n    fix: define a type of its \
             own here, under a name of its own",
        ],
    );
}

#[test]
fn a_field_has_no_doc() {
    refused(
        with(r#"{"name":"gift","type":"boolean","default":false}"#),
        &[
            "v2.avsc: gift: doc: the field says nothing of what it holds\n    fix: give it a \
             \"doc\": meaning, unit, limits",
        ],
    );
}

#[test]
fn a_field_comes_back_with_another_type() {
    // given a third version that fits the second and not the first
    let third = replaced(
        r#""note","type":"string","doc":"For people.","default":"""#,
        r#""note","type":"int","doc":"For people.","default":0"#,
    );
    let told = told(&[first(), without(2), third]);
    let who = [
        "this version cannot read what version 1 wrote",
        "version 1 cannot read what this",
    ];
    assert_eq!(told.len(), 3, "{told:?}");
    for (told, who) in told.iter().zip(who) {
        assert!(
            told.starts_with(&format!("v3.avsc: note: full-transitive: {who}")),
            "{told}"
        );
    }
}

#[test]
fn a_version_is_missing_or_no_schema() {
    let told = told(&["{".to_owned(), first()]);
    assert!(told[0].starts_with("v1.avsc: avro: "), "{told:?}");
    let history = History {
        name: "shop.Placed".to_owned(),
        versions: vec![Version {
            number: 2,
            file: "v2.avsc".into(),
            text: first(),
            golden_file: "v2.bin".into(),
            golden: None,
        }],
    };
    let complaints = history::check(&history);
    assert_eq!(
        complaints[0].to_string(),
        "v2.avsc: numbering: there is no version 1 before it\n    fix: call it v1.avsc, or bring \
         the missing version back"
    );
}

#[test]
fn changes_are_told_line_by_line() {
    let new = with(r#"{"name":"gift","doc":"A gift.","type":"boolean","default":false}"#)
        .replace(r#""default":"""#, r#""default":"none""#)
        .replace(&format!("{},", FIELDS[1]), "");
    assert_eq!(
        changes::changes(&first(), &new).unwrap(),
        [
            r#"- quantity: long; no default; doc "How many.""#,
            r#"~ note: default "" -> default "none""#,
            r#"+ gift: boolean; default false; doc "A gift.""#,
        ]
    );
}
