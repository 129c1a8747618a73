//! The schema registry over Confluent's REST API.
//!
//! Only the single calls of schema_registry_converter are used: its encoder and decoder remember
//! failures such as 404 and 500 for ever and know one schema per subject.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::sync::{PoisonError, RwLock};

use async_trait::async_trait;
use evolution::Level;
use metrics::{Counter, counter};
use schema_registry_converter::async_impl::schema_registry::{SrSettings, perform_sr_call};
use schema_registry_converter::error::SRCError;
use schema_registry_converter::schema_registry_common::{RawError, RawRegisteredSchema, SrCall};
use tokio::time::Instant;

use super::access::Access;
use super::subjects::Subjects;
use super::{Error, ErrorKind, SchemaId, SchemaRegistry, one_line, words};
use crate::codec::Schema;
use crate::limits;

/// A registry that speaks Confluent's REST API: Confluent's, Redpanda's, or the embedded one.
#[derive(Debug)]
pub struct ConfluentRegistry {
    settings: SrSettings,
    subjects: Subjects,
    schemas: RwLock<HashMap<SchemaId, Schema>>,
    /// Ids that the registry did not know, and when it was asked: a flood of them must not become
    /// a flood of requests.
    unknown: RwLock<HashMap<SchemaId, Instant>>,
    lookups: Lookups,
}

/// How often a schema was known already. Looked up once: it is asked for with every record.
#[derive(Debug)]
struct Lookups {
    hit: Counter,
    miss: Counter,
}

impl Lookups {
    fn new() -> Self {
        let of = |outcome| counter!("registry_lookups_total", "outcome" => outcome);
        Self {
            hit: of("hit"),
            miss: of("miss"),
        }
    }
}

fn errors(kind: ErrorKind) -> Counter {
    counter!("registry_errors_total", "kind" => kind.label())
}

impl ConfluentRegistry {
    /// A registry at `url` (`http://host:port`) that lets everybody in; nothing is sent yet.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when this is no `http` URL.
    pub fn new(url: &str) -> Result<Self, Error> {
        Self::secured(url, &Access::default())
    }

    /// As [`ConfluentRegistry::new`], at a `url` that is `https://` if `access` has TLS.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when this is no such URL.
    pub fn secured(url: &str, access: &Access) -> Result<Self, Error> {
        let invalid = |detail: String| Error {
            kind: ErrorKind::Invalid,
            subject: url.to_owned(),
            detail,
        };
        // Says what is wrong with a URL, so it comes first.
        let subjects = Subjects::secured(url, access)?;
        let mut builder = SrSettings::new_builder(url.trim_end_matches('/').to_owned());
        builder.set_timeout(limits::REGISTRY_CALL_TIMEOUT);
        if let Some((user, password)) = access.login() {
            builder.set_basic_authorization(user, Some(password));
        }
        for kind in ErrorKind::ALL {
            // There before the first error: a rise from nothing would be no rise.
            errors(kind).increment(0);
        }
        let settings = builder.build_with(access.client());
        let settings = settings.map_err(|error| invalid(describe(&error)))?;
        Ok(Self {
            settings,
            subjects,
            schemas: RwLock::default(),
            unknown: RwLock::default(),
            lookups: Lookups::new(),
        })
    }

    async fn call(&self, subject: &str, call: SrCall<'_>) -> Result<RawRegisteredSchema, Error> {
        perform_sr_call(&self.settings, call)
            .await
            .map_err(|error| {
                let kind = kind_of(&error);
                errors(kind).increment(1);
                Error {
                    kind,
                    subject: subject.to_owned(),
                    detail: describe(&error),
                }
            })
    }

    fn remembered(&self, id: SchemaId) -> Option<Schema> {
        let schemas = self.schemas.read().unwrap_or_else(PoisonError::into_inner);
        schemas.get(&id).copied()
    }

    fn is_unknown(&self, id: SchemaId) -> bool {
        let unknown = self.unknown.read().unwrap_or_else(PoisonError::into_inner);
        unknown.get(&id).is_some_and(still_believed)
    }

    fn remember_unknown(&self, id: SchemaId) {
        let mut unknown = self.unknown.write().unwrap_or_else(PoisonError::into_inner);
        unknown.retain(|_, asked| still_believed(asked));
        unknown.insert(id, Instant::now());
    }
}

fn still_believed(asked: &Instant) -> bool {
    asked.elapsed() < limits::REGISTRY_NOT_FOUND_TTL
}

#[async_trait]
impl SchemaRegistry for ConfluentRegistry {
    async fn schema(&self, id: SchemaId) -> Result<Schema, Error> {
        if let Some(schema) = self.remembered(id) {
            self.lookups.hit.increment(1);
            return Ok(schema);
        }
        self.lookups.miss.increment(1);
        let subject = format!("schema id {id}");
        // Registries number with positive 32-bit integers. Beyond them they answer as to a wrong
        // path, which would be taken for a failure that passes, and wait for ever.
        if i32::try_from(id.0).is_err() {
            return Err(Error {
                kind: ErrorKind::NotFound,
                subject,
                detail: "no registry gives numbers as high".to_owned(),
            });
        }
        if self.is_unknown(id) {
            return Err(Error {
                kind: ErrorKind::NotFound,
                subject,
                detail: "not known to the registry a moment ago".to_owned(),
            });
        }
        let answer = self
            .call(&subject, SrCall::GetById(id.0))
            .await
            .inspect_err(|error| {
                if error.kind == ErrorKind::NotFound {
                    self.remember_unknown(id);
                }
            })?;
        let schema = parse(answer).map_err(|detail| Error {
            kind: ErrorKind::Invalid,
            subject,
            detail,
        })?;
        let mut schemas = self.schemas.write().unwrap_or_else(PoisonError::into_inner);
        Ok(*schemas.entry(id).or_insert(schema))
    }

    async fn lookup(&self, subject: &str, schema: &str) -> Result<SchemaId, Error> {
        let call = SrCall::PostForVersion(subject, &body(schema));
        id_of(subject, self.call(subject, call).await?)
    }

    async fn register(&self, subject: &str, schema: &str) -> Result<SchemaId, Error> {
        match self.lookup(subject, schema).await {
            Err(error) if error.kind == ErrorKind::NotFound => {}
            known => return known,
        }
        if self.subjects.own_level(subject).await?.is_none() {
            let level = Level::FullTransitive;
            self.subjects.set_level(subject, level).await?;
        }
        let call = SrCall::PostNew(subject, &body(schema));
        id_of(subject, self.call(subject, call).await?)
    }
}

/// The request: the literal text, as a JSON string.
fn body(schema: &str) -> String {
    serde_json::json!({ "schema": schema, "schemaType": "AVRO" }).to_string()
}

fn id_of(subject: &str, answer: RawRegisteredSchema) -> Result<SchemaId, Error> {
    answer.id.map(SchemaId).ok_or_else(|| Error {
        kind: ErrorKind::Retry,
        subject: subject.to_owned(),
        detail: "the registry's answer carries no id".to_owned(),
    })
}

fn parse(answer: RawRegisteredSchema) -> Result<Schema, String> {
    if let Some(kind) = answer.schema_type.filter(|kind| kind != "AVRO") {
        return Err(one_line(&format!("a schema of type {kind}, not AVRO")));
    }
    if answer
        .references
        .is_some_and(|references| !references.is_empty())
    {
        return Err("a schema with references to others; put it in one piece".to_owned());
    }
    let text = answer
        .schema
        .ok_or_else(|| "the registry's answer carries no schema".to_owned())?;
    Schema::parse(&text).map_err(|error| one_line(&error.to_string()))
}

/// By the registry's own error codes, which only a registry gives: a bare 404 of a proxy or a
/// wrong path says nothing about a schema.
fn kind_of(error: &SRCError) -> ErrorKind {
    match answered(error).map(|answer| answer.error_code) {
        Some(40401..=40403) => ErrorKind::NotFound,
        Some(409 | 40901..=40999) => ErrorKind::Incompatible,
        Some(422 | 42201 | 42208) => ErrorKind::Invalid,
        _ => ErrorKind::Retry,
    }
}

/// The registry's own words, where it has answered, or what happened on the way; one line.
fn describe(error: &SRCError) -> String {
    let text = match answered(error) {
        Some(answer) => format!("{} (error {})", answer.message, answer.error_code),
        None => match error.source() {
            Some(cause) => format!("{}: {}", error.error, words(cause)),
            None => error.error.clone(),
        },
    };
    one_line(&text)
}

/// What the registry has answered. The client gives 0 for the code of an answer that is none of a
/// registry's.
fn answered(error: &SRCError) -> Option<&RawError> {
    let answer = error.source()?.downcast_ref::<RawError>()?;
    (answer.error_code != 0).then_some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_number_that_no_registry_gives_is_unknown_without_asking() {
        let nowhere = ConfluentRegistry::new("http://127.0.0.1:1").unwrap();
        let error = nowhere.schema(SchemaId(u32::MAX)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotFound);
    }
}
