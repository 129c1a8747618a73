//! A store whose files are not what they were: it says so on one line, and changes nothing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

mod support;

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use support::{Up, order};

/// A store that has stopped, with an order in it.
fn stopped_store(folder: &Path) {
    let store = Up::start(&["--data-dir", folder.to_str().unwrap(), "--seed"]);
    let placed = store.place(&order("A", &[("PRODUCT_001", 2)]), &["--wait", "RESERVED"]);
    assert_eq!(placed.status, 0, "{placed:?}");
    assert_eq!(store.stop(), 0);
}

/// The start fails on one line with all of `words`; what `damage` did is then undone by `repair`,
/// and the store is as it was.
fn is_told(folder: &Path, damage: impl FnOnce(), words: &[&str], repair: impl FnOnce()) {
    let data_dir = folder.to_str().unwrap();
    damage();
    let (status, err) = Up::spawn(&["--data-dir", data_dir]).fails();
    assert_eq!(status, 5, "{err}");
    let told: Vec<_> = err
        .lines()
        .filter(|line| line.starts_with("error: "))
        .collect();
    assert_eq!(told.len(), 1, "{err}");
    for word in words {
        assert!(told[0].contains(word), "no {word:?} in {err}");
    }
    repair();
    let store = Up::start(&["--data-dir", data_dir]);
    assert_eq!(store.order("A")["status"], "RESERVED");
    assert_eq!(store.stock("PRODUCT_001"), (10, 2));
    assert_eq!(store.stop(), 0);
}

/// Moves everything whose name starts with `name` out of the way, and back in place of whatever has
/// come there since: a database is more than one file.
fn move_away(folder: &Path, name: &'static str) -> impl FnOnce() + use<> {
    let folder = folder.to_owned();
    let away = tempfile::tempdir_in(&folder).unwrap();
    let move_all = move |from: &Path, to: &Path| {
        for entry in fs::read_dir(from).unwrap() {
            let file = entry.unwrap().file_name();
            if file.to_str().unwrap().starts_with(name) {
                fs::rename(from.join(&file), to.join(&file)).unwrap();
            }
        }
    };
    move_all(&folder, away.path());
    move || {
        let rubbish = tempfile::tempdir().unwrap();
        move_all(&folder, rubbish.path());
        move_all(away.path(), &folder);
    }
}

#[test]
fn a_log_behind_the_database_is_told() {
    let folder = tempfile::tempdir().unwrap();
    stopped_store(folder.path());
    let restore = RefCell::new(None);
    is_told(
        folder.path(),
        || *restore.borrow_mut() = Some(move_away(folder.path(), "log")),
        &["log has lost records"],
        || restore.take().unwrap()(),
    );
}

#[test]
fn a_database_behind_its_own_events_is_told() {
    let folder = tempfile::tempdir().unwrap();
    stopped_store(folder.path());
    let restore = RefCell::new(None);
    is_told(
        folder.path(),
        || *restore.borrow_mut() = Some(move_away(folder.path(), "order.db")),
        &["database is behind"],
        || restore.take().unwrap()(),
    );
}

#[test]
fn a_corrupt_database_is_told() {
    let folder = tempfile::tempdir().unwrap();
    stopped_store(folder.path());
    let database = folder.path().join("inventory.db");
    let good = fs::read(&database).unwrap();
    is_told(
        folder.path(),
        || fs::write(&database, vec![0x55; good.len()]).unwrap(),
        &["--data-dir", "inventory"],
        || {
            assert!(
                fs::read(&database)
                    .unwrap()
                    .iter()
                    .all(|byte| *byte == 0x55),
                "it was changed"
            );
            fs::write(&database, &good).unwrap();
        },
    );
}

#[test]
fn a_corrupt_log_is_told() {
    let folder = tempfile::tempdir().unwrap();
    stopped_store(folder.path());
    let segment = largest_file(&folder.path().join("log"));
    let good = fs::read(&segment).unwrap();
    let mut bad = good.clone();
    // In the middle of the first batch, so that it is no torn tail.
    bad[30] ^= 0xff;
    bad.extend_from_slice(&good);
    is_told(
        folder.path(),
        || fs::write(&segment, &bad).unwrap(),
        &["--data-dir", "log", "corrupt"],
        || {
            assert_eq!(fs::read(&segment).unwrap(), bad, "it was changed");
            fs::write(&segment, &good).unwrap();
        },
    );
}

/// The largest file below `folder`: a segment with records.
fn largest_file(folder: &Path) -> PathBuf {
    let mut folders = vec![folder.to_owned()];
    let mut largest = (0, PathBuf::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                largest = largest.max((fs::metadata(&path).unwrap().len(), path));
            }
        }
    }
    largest.1
}
