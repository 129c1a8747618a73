//! The registry's state in a journal: a change is durable before it is seen.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use super::failure::Failure;
use super::state::{Entry, Mode, State, Version};
use crate::Error;
use crate::files::Files;
use crate::files::journal::Journal;
use evolution::Level;
use evolution::schema::{self, Schema};

/// Most schemas; they are kept in memory.
const SCHEMAS_MAX: usize = 10_000;
/// Most bytes of the texts of all schemas; parsed they take some ten times as much.
const SCHEMAS_BYTES_MAX: usize = 32 << 20;
/// Most subjects that have a version, a level or a mode of their own, each.
const SUBJECTS_MAX: usize = 10_000;
/// Longest name of a subject, in bytes.
const SUBJECT_BYTES_MAX: usize = 1024;

/// The registry's memory and disk.
#[derive(Debug)]
pub(super) struct Store {
    /// Held by whoever changes something, across check, append and apply.
    journal: Mutex<Journal>,
    state: RwLock<State>,
}

impl Store {
    /// Recovers what is kept in `dir`. Blocks.
    pub(super) fn open(files: Arc<dyn Files>, dir: &Path) -> Result<Self, Error> {
        let path = dir.join("registry.journal");
        let (journal, entries) = Journal::open(files, &path)?;
        let mut state = State::default();
        for entry in entries {
            let fits = serde_json::from_slice(&entry).is_ok_and(|entry| state.apply(entry));
            if !fits {
                return Err(Error::corrupt(
                    &path,
                    0,
                    "an entry contradicts those before it",
                ));
            }
        }
        Ok(Self {
            journal: Mutex::new(journal),
            state: RwLock::new(state),
        })
    }

    /// What is known.
    pub(super) fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a schema as the next version of a subject, unless the subject has it already,
    /// and returns its id. Durable when it returns. Blocks.
    pub(super) fn register(
        &self,
        subject: &str,
        text: &str,
        wanted_id: Option<i64>,
    ) -> Result<u32, Failure> {
        valid(subject)?;
        let (new, canonical) = read(text)?;
        let mut journal = self.lock();
        let (id, entry) = {
            let state = self.state();
            let known = state.id_of(&canonical);
            let ids = state.ids(subject).unwrap_or_default();
            let is_wanted = |id: u32| wanted_id.is_none_or(|wanted| wanted == i64::from(id));
            if let Some(id) = known.filter(|id| ids.contains(id) && is_wanted(*id)) {
                return Ok(id);
            }
            if wanted_id.is_some() {
                return Err(Failure::NotImporting(subject.to_owned()));
            }
            if state.mode(Some(subject)) == Mode::ReadOnly {
                return Err(Failure::ReadOnly(subject.to_owned()));
            }
            let findings = findings(&state, subject, &new);
            if !findings.is_empty() {
                let details = findings.join("; ");
                return Err(Failure::Incompatible {
                    subject: subject.to_owned(),
                    details,
                });
            }
            if known.is_none() && state.schemas() >= SCHEMAS_MAX {
                return Err(Failure::Storage(format!(
                    "there are {SCHEMAS_MAX} schemas already"
                )));
            }
            if known.is_none() && state.bytes() + text.len() > SCHEMAS_BYTES_MAX {
                return Err(Failure::Storage(format!(
                    "the schemas would have more than {SCHEMAS_BYTES_MAX} bytes"
                )));
            }
            if ids.is_empty() && state.subjects() >= SUBJECTS_MAX {
                return Err(too_many_subjects());
            }
            let id = known.unwrap_or_else(|| state.next_id());
            let version = ids.len() as u32 + 1;
            let schema = known.is_none().then(|| text.to_owned());
            (
                id,
                Entry::Registered {
                    subject: subject.to_owned(),
                    version,
                    id,
                    schema,
                },
            )
        };
        self.record(&mut journal, entry)?;
        Ok(id)
    }

    /// The version under which a subject has this schema.
    pub(super) fn look_up(&self, subject: &str, text: &str) -> Result<Version, Failure> {
        let state = self.state();
        let ids = state.ids(subject)?;
        let (_, canonical) = read(text)?;
        let id = state.id_of(&canonical).ok_or(Failure::SchemaNotFound)?;
        let at = ids
            .iter()
            .position(|known| *known == id)
            .ok_or(Failure::SchemaNotFound)?;
        state.version(subject, Some(at as u32 + 1))
    }

    /// What stands against a schema as the next version of a subject, by the subject's level.
    pub(super) fn check_next(&self, subject: &str, text: &str) -> Result<Vec<String>, Failure> {
        let (new, _) = read(text)?;
        Ok(findings(&self.state(), subject, &new))
    }

    /// What stands between a schema and one version of a subject, by the subject's level.
    pub(super) fn check_against(
        &self,
        subject: &str,
        version: Option<u32>,
        text: &str,
    ) -> Result<Vec<String>, Failure> {
        let (new, _) = read(text)?;
        let state = self.state();
        let old = state.version(subject, version)?.id;
        let old = state.schema(old).ok_or(Failure::SchemaNotFound)?;
        Ok(evolution::check(state.level(Some(subject)), &new, old))
    }

    /// Sets the level of a subject or of all, or with None removes it, and returns what was set
    /// before. Durable when it returns. Blocks.
    pub(super) fn set_level(
        &self,
        subject: Option<String>,
        level: Option<Level>,
    ) -> Result<Option<Level>, Failure> {
        subject.as_deref().map_or(Ok(()), valid)?;
        let mut journal = self.lock();
        let before = self.state().own_level(subject.as_deref());
        if before.is_none() && self.state().levels() >= SUBJECTS_MAX {
            return Err(too_many_subjects());
        }
        self.record(&mut journal, Entry::Level { subject, level })?;
        Ok(before)
    }

    /// Sets the mode of a subject or of all, or with None removes it, and returns what was set
    /// before. Durable when it returns. Blocks.
    pub(super) fn set_mode(
        &self,
        subject: Option<String>,
        mode: Option<Mode>,
    ) -> Result<Option<Mode>, Failure> {
        subject.as_deref().map_or(Ok(()), valid)?;
        let mut journal = self.lock();
        let before = self.state().own_mode(subject.as_deref());
        if before.is_none() && self.state().modes() >= SUBJECTS_MAX {
            return Err(too_many_subjects());
        }
        self.record(&mut journal, Entry::Mode { subject, mode })?;
        Ok(before)
    }

    fn record(&self, journal: &mut Journal, entry: Entry) -> Result<(), Failure> {
        let storage = |error: std::io::Error| Failure::Storage(error.to_string());
        let bytes = serde_json::to_vec(&entry).map_err(|error| storage(error.into()))?;
        journal.append(&bytes).map_err(storage)?;
        self.state
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .apply(entry);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn too_many_subjects() -> Failure {
    Failure::Storage(format!("there are {SUBJECTS_MAX} subjects already"))
}

/// Whether a subject may be called this.
fn valid(subject: &str) -> Result<(), Failure> {
    let fits = (1..=SUBJECT_BYTES_MAX).contains(&subject.len());
    if fits && !subject.contains(char::is_control) {
        return Ok(());
    }
    Err(Failure::InvalidSubject(subject.to_owned()))
}

fn read(text: &str) -> Result<(Schema, String), Failure> {
    let schema = schema::parse(text).map_err(Failure::InvalidSchema)?;
    let canonical = schema::canonical(text)
        .ok_or_else(|| Failure::InvalidSchema("this is not JSON".to_owned()))?;
    Ok((schema, canonical))
}

/// What stands against a schema as the next version of a subject.
fn findings(state: &State, subject: &str, new: &Schema) -> Vec<String> {
    let level = state.level(Some(subject));
    let ids = state.ids(subject).unwrap_or_default();
    let skipped = if level.is_transitive() {
        0
    } else {
        ids.len().saturating_sub(1)
    };
    let versions = (1..).zip(ids).skip(skipped);
    let mut findings = Vec::new();
    for (version, id) in versions {
        let Some(old) = state.schema(*id) else {
            continue;
        };
        let found = evolution::check(level, new, old).into_iter();
        findings.extend(found.map(|finding| format!("version {version}: {finding}")));
    }
    findings
}
