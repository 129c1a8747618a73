//! The next version of a schema, and the golden bytes of the newest.

use std::fs;
use std::path::{Path, PathBuf};

use evolution::files::{History, Version};
use messaging::codec::Schema;

use super::examples_of;
use crate::exit::{Exit, Failure};

/// The schema called `name`, in full or without its namespace.
pub(crate) fn find<'h>(histories: &'h [History], name: &str) -> Result<&'h History, Failure> {
    let is_called =
        |history: &&History| history.name == name || history.name.rsplit('.').next() == Some(name);
    let mut found = histories.iter().filter(is_called);
    match (found.next(), found.next()) {
        (Some(history), None) => Ok(history),
        (None, _) => {
            let names: Vec<_> = histories.iter().map(|history| &*history.name).collect();
            let message = format!("there is no schema {name}; there are {}", names.join(", "));
            Err(Failure::new(Exit::Usage, message))
        }
        (Some(one), Some(other)) => {
            let message = format!("{name} is {} or {}: say which", one.name, other.name);
            Err(Failure::new(Exit::Usage, message))
        }
    }
}

/// Copies the newest version of a schema to the next one; returns the file.
pub(crate) fn copy(directory: &Path, history: &History) -> Result<PathBuf, Failure> {
    let Some(newest) = history.versions.last() else {
        let message = format!("{} has no version to copy", history.name);
        return Err(Failure::new(Exit::Refused, message));
    };
    let next = format!("v{}.avsc", newest.number + 1);
    let file = directory.join(&history.name).join(next);
    write(&file, newest.text.as_bytes())?;
    Ok(file)
}

/// Writes the golden bytes of a schema's newest version from its example, if they are missing;
/// returns the file.
pub(crate) fn write_golden(history: &History) -> Result<Option<PathBuf>, Failure> {
    let missing = |version: &&Version| version.golden.is_none();
    let (Some(newest), Some(examples)) = (
        history.versions.last().filter(missing),
        examples_of(history),
    ) else {
        return Ok(None);
    };
    let refused = |what: String| {
        let file = newest.golden_file.display();
        Failure::new(Exit::Refused, format!("{file}: {what}"))
    };
    if newest.text != examples.registration.schema {
        let what = "this program was built with another text: cargo shop schemas golden";
        return Err(refused(what.to_owned()));
    }
    let schema = Schema::parse(&newest.text).map_err(|error| refused(error.to_string()))?;
    let Some(datum) = (examples.datum)(newest.number as usize, &schema) else {
        let what = "append an example of this version to contracts/src/examples.rs first";
        return Err(refused(what.to_owned()));
    };
    let datum = datum.map_err(|error| refused(error.to_string()))?;
    write(&newest.golden_file, &datum)?;
    Ok(Some(newest.golden_file.clone()))
}

fn write(file: &Path, content: &[u8]) -> Result<(), Failure> {
    fs::write(file, content).map_err(|error| {
        let message = format!("cannot write {}: {error}", file.display());
        Failure::new(Exit::Refused, message)
    })
}
