//! The schema registry in memory.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde_json::Value;

use super::{Error, ErrorKind, SchemaId, SchemaRegistry};
use crate::codec::Schema;

/// A registry that lives as long as its process.
///
/// Its compatibility level is a plain FULL_TRANSITIVE: fields keep their types, and fields that
/// come or go have defaults.
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
    schema: Arc<Schema>,
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
            self.schemas.push(Entry {
                json,
                schema: Arc::new(schema),
            });
            self.schemas.len() - 1
        });
        SchemaId(u32::try_from(index + 1).unwrap_or(u32::MAX))
    }
}

#[async_trait]
impl SchemaRegistry for MemoryRegistry {
    async fn schema(&self, id: SchemaId) -> Result<Arc<Schema>, Error> {
        let mut state = self.lock();
        if !state.seen.contains(&id) {
            state.reachable(&format!("schema id {id}"))?;
        }
        let entry = state.entry(id);
        let schema = entry
            .map(|entry| Arc::clone(&entry.schema))
            .ok_or_else(|| {
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
            let earlier = state.entry(*version);
            if let Some(reason) = earlier.and_then(|earlier| clash(&earlier.json, &json)) {
                return Err(failed(ErrorKind::Incompatible, subject, &reason));
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

/// Why two versions of a record cannot both read each other's data.
fn clash(earlier: &Value, later: &Value) -> Option<String> {
    let (earlier, later) = (fields(earlier), fields(later));
    for (name, field) in &later {
        match earlier.get(name) {
            Some(before) if before.get("type") != field.get("type") => {
                return Some(format!("field {name} changes its type"));
            }
            None if field.get("default").is_none() => {
                return Some(format!("new field {name} has no default"));
            }
            _ => {}
        }
    }
    earlier
        .iter()
        .find(|(name, field)| !later.contains_key(*name) && field.get("default").is_none())
        .map(|(name, _)| format!("field {name} goes and had no default"))
}

fn fields(schema: &Value) -> HashMap<&str, &Value> {
    let fields = schema.get("fields").and_then(Value::as_array);
    fields
        .into_iter()
        .flatten()
        .filter_map(|field| Some((field.get("name")?.as_str()?, field)))
        .collect()
}

fn failed(kind: ErrorKind, subject: &str, detail: &str) -> Error {
    Error {
        kind,
        subject: subject.to_owned(),
        detail: detail.to_owned(),
    }
}
