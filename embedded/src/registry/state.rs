//! What the registry knows, and how a journal entry changes it. No IO.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::failure::Failure;
use evolution::Level;
use evolution::schema::{self, Schema};

/// The level without any setting, as at Confluent.
pub(super) const LEVEL: Level = Level::Backward;

/// Everything in the journal, indexed.
#[derive(Debug, Default)]
pub(super) struct State {
    schemas: BTreeMap<u32, Known>,
    /// Bytes of the schemas' texts.
    bytes: usize,
    by_canonical: HashMap<String, u32>,
    /// The schema id of each version; version n is at n - 1.
    subjects: BTreeMap<String, Vec<u32>>,
    levels: BTreeMap<Option<String>, Level>,
    modes: BTreeMap<Option<String>, Mode>,
}

#[derive(Debug)]
struct Known {
    text: String,
    schema: Schema,
}

/// Whether schemas may be registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Mode {
    /// They may.
    ReadWrite,
    /// They may not.
    ReadOnly,
}

/// A change, as it stands in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "entry")]
pub(super) enum Entry {
    /// A subject has a new version. `schema` is given with the first use of the id.
    Registered {
        subject: String,
        version: u32,
        id: u32,
        schema: Option<String>,
    },
    /// The level of a subject (or of all) was set, or with None removed.
    Level {
        subject: Option<String>,
        level: Option<Level>,
    },
    /// The mode of a subject (or of all) was set, or with None removed.
    Mode {
        subject: Option<String>,
        mode: Option<Mode>,
    },
}

/// One version of a subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Version {
    pub(super) subject: String,
    pub(super) version: u32,
    pub(super) id: u32,
    pub(super) schema: String,
}

impl State {
    /// Applies a journal entry; false if it does not fit what is known.
    pub(super) fn apply(&mut self, entry: Entry) -> bool {
        match entry {
            Entry::Registered {
                subject,
                version,
                id,
                schema,
            } => {
                if let Some(text) = schema
                    && !self.learn(id, text)
                {
                    return false;
                }
                let versions = self.subjects.entry(subject).or_default();
                versions.push(id);
                versions.len() == version as usize && self.schemas.contains_key(&id)
            }
            Entry::Level { subject, level } => {
                set(&mut self.levels, subject, level);
                true
            }
            Entry::Mode { subject, mode } => {
                set(&mut self.modes, subject, mode);
                true
            }
        }
    }

    fn learn(&mut self, id: u32, text: String) -> bool {
        let (Ok(schema), Some(canonical)) = (schema::parse(&text), schema::canonical(&text)) else {
            return false;
        };
        self.by_canonical.insert(canonical, id);
        self.bytes += text.len();
        self.schemas.insert(id, Known { text, schema }).is_none()
    }

    /// The id of a schema in its canonical form.
    pub(super) fn id_of(&self, canonical: &str) -> Option<u32> {
        self.by_canonical.get(canonical).copied()
    }

    /// The id the next new schema gets.
    pub(super) fn next_id(&self) -> u32 {
        self.schemas.last_key_value().map_or(1, |(id, _)| id + 1)
    }

    /// The text of a schema.
    pub(super) fn text(&self, id: u32) -> Result<&str, Failure> {
        self.schemas
            .get(&id)
            .map(|known| known.text.as_str())
            .ok_or(Failure::SchemaNotFound)
    }

    /// A parsed schema.
    pub(super) fn schema(&self, id: u32) -> Option<&Schema> {
        self.schemas.get(&id).map(|known| &known.schema)
    }

    /// How many schemas there are.
    pub(super) fn schemas(&self) -> usize {
        self.schemas.len()
    }

    /// How many bytes their texts have.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many subjects there are.
    pub(super) fn subjects(&self) -> usize {
        self.subjects.len()
    }

    /// How many levels are set.
    pub(super) fn levels(&self) -> usize {
        self.levels.len()
    }

    /// How many modes are set.
    pub(super) fn modes(&self) -> usize {
        self.modes.len()
    }

    /// The subjects whose names begin like this.
    pub(super) fn subjects_with(&self, prefix: &str) -> impl Iterator<Item = &str> {
        let names = self.subjects.keys().map(String::as_str);
        names.filter(move |name| name.starts_with(prefix))
    }

    /// The schema ids of a subject's versions, in order.
    pub(super) fn ids(&self, subject: &str) -> Result<&[u32], Failure> {
        let ids = self.subjects.get(subject).map(Vec::as_slice);
        ids.ok_or_else(|| Failure::SubjectNotFound(subject.to_owned()))
    }

    /// A version of a subject; None is the latest.
    pub(super) fn version(&self, subject: &str, version: Option<u32>) -> Result<Version, Failure> {
        let ids = self.ids(subject)?;
        let version = version.unwrap_or(ids.len() as u32);
        let at = version
            .checked_sub(1)
            .ok_or(Failure::VersionNotFound(version))?;
        let id = *ids
            .get(at as usize)
            .ok_or(Failure::VersionNotFound(version))?;
        let schema = self.text(id)?.to_owned();
        Ok(Version {
            subject: subject.to_owned(),
            version,
            id,
            schema,
        })
    }

    /// Where a schema is used, as subject and version.
    pub(super) fn uses(&self, id: u32) -> Vec<(String, u32)> {
        let mut uses = Vec::new();
        for (subject, ids) in &self.subjects {
            let versions = (1..).zip(ids).filter(|(_, used)| **used == id);
            uses.extend(versions.map(|(version, _)| (subject.clone(), version)));
        }
        uses
    }

    /// The level set for a subject itself, or with None for all.
    pub(super) fn own_level(&self, subject: Option<&str>) -> Option<Level> {
        self.levels.get(&subject.map(str::to_owned)).copied()
    }

    /// The level that holds for a subject.
    pub(super) fn level(&self, subject: Option<&str>) -> Level {
        self.own_level(subject)
            .or_else(|| self.own_level(None))
            .unwrap_or(LEVEL)
    }

    /// The mode set for a subject itself, or with None for all.
    pub(super) fn own_mode(&self, subject: Option<&str>) -> Option<Mode> {
        self.modes.get(&subject.map(str::to_owned)).copied()
    }

    /// The mode that holds for a subject.
    pub(super) fn mode(&self, subject: Option<&str>) -> Mode {
        self.own_mode(subject)
            .or_else(|| self.own_mode(None))
            .unwrap_or(Mode::ReadWrite)
    }
}

fn set<T>(map: &mut BTreeMap<Option<String>, T>, key: Option<String>, value: Option<T>) {
    match value {
        Some(value) => drop(map.insert(key, value)),
        None => drop(map.remove(&key)),
    }
}
