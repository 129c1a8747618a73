//! The numbers of the last release, in a file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::{Deserialize, Serialize};

/// Numbers by name.
pub type Counts = BTreeMap<String, f64>;

/// What a record was made with: instructions can be compared only where it is the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// The compiler, as it tells its version.
    pub compiler: String,
    /// Processor and operating system.
    pub machine: String,
    /// The level of optimisation, as the compiler knows it.
    pub optimisation: String,
}

impl Made {
    /// With what this program was made.
    #[must_use]
    pub fn here() -> Self {
        Self {
            compiler: env!("RUSTC_VERSION").to_owned(),
            machine: format!("{} {}", std::env::consts::ARCH, std::env::consts::OS),
            optimisation: env!("OPTIMISATION").to_owned(),
        }
    }
}

/// Everything that is counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The version that was counted.
    pub release: String,
    /// What it was made with.
    pub made: Made,
    /// Instructions of the processor for one message (or one key, or one order).
    pub instructions: Counts,
    /// What one order takes of the store: transactions, requests of the log.
    pub per_order: Counts,
}

impl Record {
    /// Reads a record.
    ///
    /// # Errors
    /// When the file cannot be read, or is none.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let unusable = |source| Error::new("read", path, source);
        let text = fs::read(path).map_err(unusable)?;
        serde_json::from_slice(&text).map_err(|source| unusable(source.into()))
    }

    /// Writes the record in place of an earlier one.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let unusable = |source| Error::new("write", path, source);
        let mut text =
            serde_json::to_string_pretty(self).map_err(|source| unusable(source.into()))?;
        text.push('\n');
        fs::write(path, text).map_err(unusable)
    }
}

/// A record that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", path.display())]
pub struct Error {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl Error {
    fn new(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_of_the_last_release_is_read_and_written_as_it_is() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("counts.json");
        let record = Record::read(&path).unwrap();
        assert!(record.instructions.len() > 40 && record.per_order.len() > 3);
        let copy = std::env::temp_dir().join(format!("counts-{}.json", std::process::id()));
        record.write(&copy).unwrap();
        let written = fs::read(&copy).unwrap();
        fs::remove_file(&copy).unwrap();
        assert_eq!(written, fs::read(&path).unwrap());
    }

    #[test]
    fn a_file_that_is_no_record_is_named() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let error = Record::read(&path).unwrap_err().to_string();
        assert!(
            error.starts_with("cannot read") && error.contains("Cargo.toml"),
            "{error}"
        );
    }
}
