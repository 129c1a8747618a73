//! The ready file: tells scripts that everything serves, and where.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::part::Part;
use super::store::Store;

/// What the ready file holds; parts that run elsewhere are left out.
#[derive(Debug, Serialize)]
struct Ready {
    pid: u32,
    data_dir: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inventory: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    registry: Option<String>,
    http: String,
}

/// Writes `path` in one step: a reader sees all of it or none.
///
/// # Errors
/// When a file cannot be written beside `path`.
pub(super) fn write(path: &Path, store: &Store) -> io::Result<()> {
    let here = |part| {
        let address = store.here(part)?;
        let endpoint = store.plan().endpoint(part);
        // What is not plain says so.
        Some(match endpoint.starts_with("https://") {
            true => endpoint,
            false => address.to_string(),
        })
    };
    let ready = Ready {
        pid: std::process::id(),
        data_dir: std::path::absolute(&store.plan().data_dir)?,
        gateway: here(Part::Gateway),
        order: here(Part::Order),
        inventory: here(Part::Inventory),
        log: here(Part::Log),
        registry: here(Part::Registry),
        http: store.http().to_string(),
    };
    let mut text = serde_json::to_vec(&ready)?;
    text.push(b'\n');
    replace(path, &text)
}

fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let beside = PathBuf::from(beside);
    File::create(&beside)?.write_all(text)?;
    fs::rename(&beside, path)
}

/// Removes what an earlier process, or this one, left at `path`.
///
/// # Errors
/// When something is there that cannot be removed.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ready.json");
        remove(&path).unwrap();
        replace(&path, b"first").unwrap();
        replace(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        remove(&path).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
