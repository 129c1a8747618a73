//! The schema registry in memory.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use evolution::Level;
use serde_json::Value;

use super::{Error, ErrorKind, SchemaId, SchemaRegistry};
use crate::codec::Schema;

/// What a new version must be able to do.
const LEVEL: Level = Level::FullTransitive;

/// A registry that lives as long as its process.
///
/// Its compatibility level is FULL_TRANSITIVE.
#[derive(Debug, Default)]
pub struct MemoryRegistry {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Schema number `id` stands at index `id - 1`.
    schemas: Vec<Entry>,
    subjects: HashMap<String, Vec<SchemaId>>,
    /// Ids that were asked for while the registry was there: they need it no more.
    seen: HashSet<SchemaId>,
    down: bool,
}

#[derive(Debug)]
struct Entry {
    json: Value,
    schema: Schema,
}

impl MemoryRegistry {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// While `down`, every call fails with [`ErrorKind::Retry`], except for schemas seen before.
    #[cfg(feature = "test-util")]
    pub fn set_down(&self, down: bool) {
        self.lock().down = down;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn reachable(&self, subject: &str) -> Result<(), Error> {
        match self.down {
            true => Err(failed(ErrorKind::Retry, subject, "the registry is down")),
            false => Ok(()),
        }
    }

    fn entry(&self, id: SchemaId) -> Option<&Entry> {
        let index = usize::try_from(id.0).ok()?.checked_sub(1)?;
        self.schemas.get(index)
    }

    fn versions(&self, subject: &str) -> &[SchemaId] {
        self.subjects.get(subject).map_or(&[], Vec::as_slice)
    }

    fn registered(&self, subject: &str, json: &Value) -> Option<SchemaId> {
        let versions = self.versions(subject).iter().copied();
        versions
            .into_iter()
            .find(|id| self.entry(*id).is_some_and(|entry| entry.json == *json))
    }

    /// The id of this schema, wherever it is registered, or a new one.
    fn id_of(&mut self, json: Value, schema: Schema) -> SchemaId {
        let known = self.schemas.iter().position(|entry| entry.json == json);
        let index = known.unwrap_or_else(|| {
            self.schemas.push(Entry { json, schema });
            self.schemas.len() - 1
        });
        SchemaId(u32::try_from(index + 1).unwrap_or(u32::MAX))
    }
}

#[async_trait]
impl SchemaRegistry for MemoryRegistry {
    async fn schema(&self, id: SchemaId) -> Result<Schema, Error> {
        let mut state = self.lock();
        if !state.seen.contains(&id) {
            state.reachable(&format!("schema id {id}"))?;
        }
        let schema = state.entry(id).map(|entry| entry.schema).ok_or_else(|| {
            failed(
                ErrorKind::NotFound,
                &format!("schema id {id}"),
                "not registered",
            )
        })?;
        state.seen.insert(id);
        Ok(schema)
    }

    async fn lookup(&self, subject: &str, schema: &str) -> Result<SchemaId, Error> {
        let (json, _) = parse(subject, schema)?;
        let state = self.lock();
        state.reachable(subject)?;
        state
            .registered(subject, &json)
            .ok_or_else(|| failed(ErrorKind::NotFound, subject, "not registered"))
    }

    async fn register(&self, subject: &str, schema: &str) -> Result<SchemaId, Error> {
        let (json, schema) = parse(subject, schema)?;
        let mut state = self.lock();
        state.reachable(subject)?;
        if let Some(id) = state.registered(subject, &json) {
            return Ok(id);
        }
        for version in state.versions(subject) {
            let earlier = state.entry(*version).map(|earlier| earlier.schema);
            let findings = earlier.map_or_else(Vec::new, |earlier| schema.clashes(LEVEL, earlier));
            if !findings.is_empty() {
                return Err(failed(
                    ErrorKind::Incompatible,
                    subject,
                    &findings.join("; "),
                ));
            }
        }
        let id = state.id_of(json, schema);
        state
            .subjects
            .entry(subject.to_owned())
            .or_default()
            .push(id);
        Ok(id)
    }
}

fn parse(subject: &str, text: &str) -> Result<(Value, Schema), Error> {
    let invalid = |detail: String| failed(ErrorKind::Invalid, subject, &detail);
    let json = serde_json::from_str(text).map_err(|error| invalid(error.to_string()))?;
    let schema = Schema::parse(text).map_err(|error| invalid(error.to_string()))?;
    Ok((json, schema))
}

fn failed(kind: ErrorKind, subject: &str, detail: &str) -> Error {
    Error {
        kind,
        subject: subject.to_owned(),
        detail: detail.to_owned(),
    }
}
