//! The library's and a context's migrations as one list.

use std::fmt::Display;

use sqlx::migrate::{MigrateError, Migration, Migrator};

/// Where a context's versions begin; those below are the library's.
const CONTEXT_VERSION_MIN: i64 = 1_000;

/// Both in one list: two migrators in one database would each miss the other's.
///
/// # Errors
/// In words, when the context uses the library's versions.
pub(crate) fn merged(library: &Migrator, context: &Migrator) -> Result<Vec<Migration>, String> {
    match context.iter().find(|m| m.version < CONTEXT_VERSION_MIN) {
        Some(stray) => Err(format!(
            "context migration {} lies in the library's range; number it from \
             {CONTEXT_VERSION_MIN} up",
            stray.version
        )),
        None => Ok(library.iter().chain(context.iter()).cloned().collect()),
    }
}

/// What a person is told when the migrations of the database are not this program's.
pub(crate) fn foreign(source: &MigrateError) -> String {
    match source {
        MigrateError::VersionMissing(version) => newer(version),
        MigrateError::VersionMismatch(version) => changed(version),
        other => other.to_string(),
    }
}

/// The database has a migration that this program does not know.
pub(crate) fn newer(version: impl Display) -> String {
    format!(
        "it was written by a newer version of this program (migration {version}); run that version"
    )
}

/// The database has another migration of that version.
pub(crate) fn changed(version: impl Display) -> String {
    format!(
        "its migration {version} is not this program's; it belongs to another service or version"
    )
}
