//! What the fuzzers began with and what they found, again: each file of `fuzz/corpus/` and
//! `fuzz/regressions/` through the target that its folder names.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

#[path = "../fuzz/src/lib.rs"]
mod targets;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz")
        .join(name)
}

/// The files of a folder, sorted.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let files: BTreeSet<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.into_iter().collect()
}

fn replay(target: &str) {
    let corpus = files(&folder("corpus").join(target));
    assert!(!corpus.is_empty(), "{target} has no corpus");
    for file in corpus
        .into_iter()
        .chain(files(&folder("regressions").join(target)))
    {
        println!("{}", file.display());
        targets::run(target, &fs::read(&file).unwrap());
    }
}

/// One test for each target.
macro_rules! replays {
    ($($target:ident),+ $(,)?) => {
        $(
            #[test]
            fn $target() {
                replay(stringify!($target));
            }
        )+

        #[test]
        fn every_target_is_replayed_and_built() {
            let replayed: BTreeSet<_> = [$(stringify!($target)),+].into();
            let known: BTreeSet<_> = targets::ALL.iter().map(|(name, ..)| *name).collect();
            assert_eq!(replayed, known);
            let manifest = fs::read_to_string(folder("Cargo.toml")).unwrap();
            for target in known {
                let program = folder("fuzz_targets").join(format!("{target}.rs"));
                let program = fs::read_to_string(program).unwrap();
                assert!(program.contains(&format!("run(\"{target}\"")), "{target}");
                assert!(manifest.contains(&format!("fuzz_targets/{target}.rs")), "{target}");
            }
        }
    };
}

replays!(
    avro_datum,
    evolution,
    grpc_request,
    headers,
    jwt,
    log_batches,
    log_frames,
    registry_answers,
    registry_json,
);

#[test]
fn the_seeds_are_in_the_corpus() {
    let write = std::env::var_os("FUZZ_SEEDS_WRITE").is_some();
    for (target, name, bytes) in targets::seeds::all() {
        let file = folder("corpus").join(target).join(format!("seed-{name}"));
        if write {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, &bytes).unwrap();
        }
        let kept = fs::read(&file).unwrap_or_default();
        assert!(
            kept == bytes,
            "{} is not what `seeds.rs` makes; FUZZ_SEEDS_WRITE=1 writes it",
            file.display()
        );
    }
}

/// The fuzzers have a `Cargo.lock` of their own: what both have must be the same.
#[test]
fn what_is_fuzzed_is_what_is_shipped() {
    let shipped = locked(&folder("../Cargo.lock"));
    let mut shared = 0;
    for (name, versions) in locked(&folder("Cargo.lock")) {
        if let Some(known) = shipped.get(&name) {
            assert!(
                versions.is_subset(known),
                "{name}: {versions:?}, the store has {known:?}"
            );
            shared += 1;
        }
    }
    assert!(shared > 200, "the lists are read: {shared}");
}

/// Each package of a `Cargo.lock` with its versions.
fn locked(file: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(file).unwrap();
    let mut packages: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut name = String::new();
    for line in text.lines() {
        if let Some(given) = line.strip_prefix("name = ") {
            name = given.trim_matches('"').to_owned();
        } else if let Some(version) = line.strip_prefix("version = ") {
            packages
                .entry(name.clone())
                .or_default()
                .insert(version.to_owned());
        }
    }
    packages
}
