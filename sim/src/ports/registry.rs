//! A registry that is down, slow, behind, or of another opinion.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use messaging::codec::{Schema, SchemaId};
use messaging::limits::{REGISTRY_CALL_TIMEOUT, REGISTRY_NOT_FOUND_TRIES};
use messaging::registry::{Error, ErrorKind, SchemaRegistry};

use crate::process::Process;

/// The registry, as its process sees it.
pub(crate) struct SimRegistry {
    process: Arc<Process>,
    /// How often each id was said to be unknown; what was answered once is answered for ever.
    unknown: Mutex<BTreeMap<u32, u32>>,
    seen: Mutex<BTreeMap<u32, Schema>>,
}

impl SimRegistry {
    pub(crate) fn new(process: &Arc<Process>) -> Self {
        Self {
            process: Arc::clone(process),
            unknown: Mutex::default(),
            seen: Mutex::default(),
        }
    }

    async fn reached(&self, subject: &str) -> Result<(), Error> {
        self.process.step("registry").await;
        let weather = self.process.world.weather();
        if self.process.dice(|dice| dice.chance(weather.registry_slow)) {
            let slow = self.process.dice(|dice| dice.millis(100..=1_900));
            tokio::time::sleep(slow).await;
        }
        if self.process.dice(|dice| dice.chance(weather.registry_down)) {
            self.process
                .note(format_args!("registry is down for {subject}"));
            self.process.meets(format_args!("registry: down"));
            if self.process.dice(|dice| dice.chance(100)) {
                tokio::time::sleep(REGISTRY_CALL_TIMEOUT).await;
            }
            return Err(failed(ErrorKind::Retry, subject));
        }
        Ok(())
    }

    /// A registry that lags behind its writers, by less than a reader waits.
    fn lags(&self, id: SchemaId) -> bool {
        let weather = self.process.world.weather();
        let mut unknown = self.unknown.lock().unwrap();
        let times = unknown.entry(id.0).or_default();
        let lags = *times + 1 < REGISTRY_NOT_FOUND_TRIES
            && self.process.dice(|dice| dice.chance(weather.registry_lags));
        *times += u32::from(lags);
        lags
    }
}

#[async_trait]
impl SchemaRegistry for SimRegistry {
    async fn schema(&self, id: SchemaId) -> Result<Schema, Error> {
        if let Some(schema) = self.seen.lock().unwrap().get(&id.0) {
            return Ok(*schema);
        }
        let subject = format!("schema id {id}");
        self.reached(&subject).await?;
        if self.lags(id) {
            self.process.note(format_args!("registry lags for {id}"));
            self.process.meets(format_args!("registry: lags"));
            return Err(failed(ErrorKind::NotFound, &subject));
        }
        let schema = self.process.world.registry.schema(id).await?;
        self.seen.lock().unwrap().insert(id.0, schema);
        Ok(schema)
    }

    async fn lookup(&self, subject: &str, schema: &str) -> Result<SchemaId, Error> {
        self.reached(subject).await?;
        self.process.world.registry.lookup(subject, schema).await
    }

    async fn register(&self, subject: &str, schema: &str) -> Result<SchemaId, Error> {
        self.reached(subject).await?;
        let weather = self.process.world.weather();
        let refused = self
            .process
            .dice(|dice| dice.chance(weather.registry_incompatible));
        if refused {
            self.process
                .note(format_args!("registry refuses {subject}"));
            self.process.meets(format_args!("registry: incompatible"));
            tokio::time::sleep(Duration::from_millis(1)).await;
            return Err(failed(ErrorKind::Incompatible, subject));
        }
        // Every subject has one schema here.
        let world = &self.process.world;
        let known = world.registered.lock().unwrap().get(subject).copied();
        if let Some(id) = known {
            return Ok(id);
        }
        let id = world.registry.register(subject, schema).await?;
        let mut registered = world.registered.lock().unwrap();
        registered.insert(subject.to_owned(), id);
        Ok(id)
    }
}

fn failed(kind: ErrorKind, subject: &str) -> Error {
    Error {
        kind,
        subject: subject.to_owned(),
        detail: "an injected fault".to_owned(),
    }
}
