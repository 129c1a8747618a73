//! The directory of schemas: `<namespace.Name>/v<N>.avsc`, every version ever released, and beside
//! each its golden bytes `v<N>.bin`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Every version of one schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// The directory's name: the record's full name.
    pub name: String,
    /// Its versions, by number.
    pub versions: Vec<Version>,
}

/// One version of a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// 1, 2, 3, ...
    pub number: u32,
    /// Where its text stands.
    pub file: PathBuf,
    /// Its literal text.
    pub text: String,
    /// Where its golden bytes belong.
    pub golden_file: PathBuf,
    /// Its golden bytes, a bare datum, if they are there.
    pub golden: Option<Vec<u8>>,
}

/// The directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file has no business there.
    #[error("{}: expected v<N>.avsc and v<N>.bin only, N from 1: rename or remove it", path.display())]
    Stray {
        /// Which.
        path: PathBuf,
    },
}

/// Reads every schema in `directory`, by name.
///
/// # Errors
/// When something cannot be read, or a file is named otherwise.
pub fn read(directory: &Path) -> Result<Vec<History>, Error> {
    let mut histories = Vec::new();
    for path in entries(directory)? {
        if path.is_dir() {
            let name = name_of(&path)?.to_owned();
            let versions = versions(&path)?;
            histories.push(History { name, versions });
        }
    }
    Ok(histories)
}

fn versions(directory: &Path) -> Result<Vec<Version>, Error> {
    let mut numbers = BTreeSet::new();
    for path in entries(directory)? {
        numbers.insert(number_of(&path)?);
    }
    let version = |number: u32| {
        let file = directory.join(format!("v{number}.avsc"));
        let golden_file = directory.join(format!("v{number}.bin"));
        let text = fs::read_to_string(&file).map_err(failed(&file))?;
        let golden = match fs::read(&golden_file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            read => Some(read.map_err(failed(&golden_file))?),
        };
        Ok(Version {
            number,
            file,
            text,
            golden_file,
            golden,
        })
    };
    numbers.into_iter().map(version).collect()
}

/// What is in a directory, by name.
fn entries(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed(directory))? {
        paths.push(entry.map_err(failed(directory))?.path());
    }
    paths.sort();
    Ok(paths)
}

fn number_of(path: &Path) -> Result<u32, Error> {
    let (stem, extension) = name_of(path)?.split_once('.').unwrap_or_default();
    let number = stem
        .strip_prefix('v')
        .and_then(|number| number.parse().ok());
    match (number, extension) {
        (Some(number), "avsc" | "bin") if number > 0 => Ok(number),
        _ => Err(Error::Stray {
            path: path.to_owned(),
        }),
    }
}

fn name_of(path: &Path) -> Result<&str, Error> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.ok_or_else(|| Error::Stray {
        path: path.to_owned(),
    })
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    |source| Error::Io { path, source }
}
