//! House law, checked: pure rooms stay pure, rooms stay small, dependencies point inwards.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// Lines that a source file may have.
const FILE_LINES_MAX: usize = 500;

/// What no pure room mentions: IO, clocks, randomness, tasks, databases.
const IMPURE: [&str; 9] = [
    "async fn",
    ".await",
    "tokio",
    "sqlx",
    "SystemTime",
    "Instant",
    "std::fs",
    "std::net",
    "new_v4",
];

/// Adapters that only `wiring.rs` may name in a service.
const ADAPTERS: [&str; 10] = [
    "SqliteStore::open",
    "PostgresStore::open",
    "PostgresLease",
    "KafkaLog",
    "ConfluentRegistry",
    "FileLease",
    "SystemClock",
    "SystemIds",
    "TokioSpawner",
    "MemoryLog",
];

const MEMBERS: [&str; 12] = [
    "audit",
    "benchmarks",
    "contracts",
    "embedded",
    "evolution",
    "gateway",
    "inventory",
    "load",
    "operations",
    "order",
    "shop",
    "sim",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust sources below `folder`, relative to the root.
fn sources(folder: &str) -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(folder), &mut found);
    assert!(
        !found.is_empty(),
        "{folder} has no sources: the check checks nothing"
    );
    found
}

/// The part of a file before its unit tests.
fn product_code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let end = text.find("#[cfg(test)]").unwrap_or(text.len());
    text[..end].to_owned()
}

fn is_test_code(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests")
        || path.file_name().is_some_and(|name| name == "tests.rs")
}

#[test]
fn no_room_is_too_large() {
    let folders = ["src", "tests"].map(str::to_owned);
    let members = MEMBERS.iter().map(|member| format!("{member}/src"));
    let large: Vec<_> = folders
        .into_iter()
        .chain(members)
        .flat_map(|folder| sources(&folder))
        .map(|path| (fs::read_to_string(&path).unwrap().lines().count(), path))
        .filter(|(lines, _)| *lines > FILE_LINES_MAX)
        .collect();
    assert!(
        large.is_empty(),
        "files over {FILE_LINES_MAX} lines: {large:?}"
    );
}

#[test]
fn domain_rooms_do_no_io_and_read_no_clock() {
    let rooms = [
        "order/src/domain",
        "inventory/src/domain",
        "src/runtime/decide",
    ];
    for path in rooms
        .iter()
        .flat_map(|room| sources(room))
        .filter(|path| !is_test_code(path))
    {
        let text = product_code(&path);
        let found: Vec<_> = IMPURE.iter().filter(|word| text.contains(*word)).collect();
        assert!(found.is_empty(), "{} mentions {found:?}", path.display());
    }
    let decide = product_code(&root().join("src/runtime/decide.rs"));
    assert!(
        IMPURE.iter().all(|word| !decide.contains(word)),
        "the decision step is pure"
    );
}

#[test]
fn only_wiring_names_adapters() {
    for service in ["gateway", "inventory", "order"] {
        let mut wired = false;
        for path in sources(&format!("{service}/src")) {
            let text = product_code(&path);
            let named: Vec<_> = ADAPTERS
                .iter()
                .filter(|word| text.contains(*word))
                .collect();
            if path.ends_with("wiring.rs") {
                wired = !named.is_empty();
            } else if !is_test_code(&path) {
                assert!(named.is_empty(), "{} names {named:?}", path.display());
            }
        }
        assert!(
            wired,
            "{service}/src/wiring.rs names no adapter: the list is out of date"
        );
    }
}

#[test]
fn dependencies_point_inwards() {
    let dependencies = |manifest: &str| -> String {
        let text = fs::read_to_string(root().join(manifest)).unwrap();
        let start = text
            .find("\n[dependencies]")
            .expect("a manifest lists its dependencies");
        let rest = &text[start + 1..];
        rest[..rest.find("\n[").unwrap_or(rest.len())].to_owned()
    };
    let names = |manifest: &str, member: &str| {
        dependencies(manifest).lines().any(|line| {
            line.strip_prefix(member)
                .is_some_and(|rest| rest.starts_with(['.', ' ', '=']))
        })
    };
    for member in MEMBERS {
        assert!(
            member == "evolution" || !names("Cargo.toml", member),
            "the library depends on {member}"
        );
        assert!(
            !names("evolution/Cargo.toml", member),
            "evolution stands alone"
        );
    }
    for alone in ["embedded", "evolution"] {
        let manifest = format!("{alone}/Cargo.toml");
        assert!(!names(&manifest, "messaging"), "{alone} stands alone");
    }
    for service in ["gateway", "inventory", "order"] {
        for other in ["embedded", "gateway", "inventory", "order", "shop"] {
            let manifest = format!("{service}/Cargo.toml");
            assert!(!names(&manifest, other), "{service} depends on {other}");
        }
        assert!(
            names(&format!("{service}/Cargo.toml"), "contracts"),
            "the check reads manifests"
        );
    }
}

#[test]
fn every_limit_is_documented_in_the_one_file() {
    let limits = fs::read_to_string(root().join("src/limits.rs")).unwrap();
    let lines: Vec<_> = limits.lines().collect();
    let mut constants = 0;
    for (index, line) in lines.iter().enumerate() {
        if line.starts_with("pub const") {
            constants += 1;
            assert!(lines[index - 1].starts_with("///"), "undocumented: {line}");
        }
    }
    assert!(constants > 20, "the limits are in src/limits.rs");
}
