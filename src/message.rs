//! Message types and the schemas they are written with.

use std::collections::HashMap;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{self, Schema};
use crate::registry::{self, ErrorKind, SchemaId, SchemaRegistry};

/// A type of message: one Avro record in one topic.
pub trait Message: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The record's full name, `namespace.Name`; also CloudEvents' `type`.
    const TYPE: &'static str;
    /// The topic it is written to.
    const TOPIC: &'static str;
    /// The newest schema's literal text.
    const SCHEMA: &'static str;

    /// The id that is the record's key.
    fn key(&self) -> &str;
}

/// A message that tells of a change to an aggregate.
pub trait Event: Message {
    /// The kind of the aggregate that changed.
    const AGGREGATE: &'static str;

    /// The aggregate's version after the change; rises by one per event.
    fn version(&self) -> i64;
}

/// A message type that a service writes, as data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registration {
    /// [`Message::TYPE`].
    pub message_type: &'static str,
    /// [`Message::TOPIC`].
    pub topic: &'static str,
    /// [`Message::SCHEMA`].
    pub schema: &'static str,
}

impl Registration {
    /// The registration of message type `M`.
    #[must_use]
    pub const fn of<M: Message>() -> Self {
        Self {
            message_type: M::TYPE,
            topic: M::TOPIC,
            schema: M::SCHEMA,
        }
    }

    /// Confluent's TopicRecordNameStrategy: `<topic>-<namespace.Name>`.
    #[must_use]
    pub fn subject(&self) -> String {
        format!("{}-{}", self.topic, self.message_type)
    }
}

/// Whether start-up registers schemas or only looks them up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// Register what is missing.
    Register,
    /// Refuse what is missing.
    Lookup,
}

/// An event, encoded, with what the runtime needs to address it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The topic to append to.
    pub topic: &'static str,
    /// The record's key.
    pub key: String,
    /// The message type.
    pub message_type: &'static str,
    /// The kind of the aggregate that changed.
    pub aggregate: &'static str,
    /// The aggregate's version after the change.
    pub version: i64,
    /// The framed datum.
    pub value: Bytes,
}

/// The schemas that a service writes with, bound to the registry's ids at start.
#[derive(Debug, Default)]
pub struct Writer {
    bound: HashMap<&'static str, (SchemaId, Schema)>,
}

impl Writer {
    /// Binds every schema of `registrations`.
    ///
    /// # Errors
    /// [`ErrorKind::Retry`] when the registry cannot be asked; any other kind means that this
    /// program must not write.
    pub async fn bind(
        registry: &dyn SchemaRegistry,
        registrations: &[Registration],
        binding: Binding,
    ) -> Result<Self, registry::Error> {
        let mut bound = HashMap::new();
        for registration in registrations {
            let subject = registration.subject();
            let id = match binding {
                Binding::Register => registry.register(&subject, registration.schema).await?,
                Binding::Lookup => registry.lookup(&subject, registration.schema).await?,
            };
            let schema = Schema::parse(registration.schema).map_err(|error| registry::Error {
                kind: ErrorKind::Invalid,
                subject,
                detail: error.to_string(),
            })?;
            bound.insert(registration.message_type, (id, schema));
        }
        Ok(Self { bound })
    }

    /// Encodes and frames a message.
    ///
    /// # Errors
    /// When `M` was not bound, or the value does not fit its schema.
    pub fn encode<M: Message>(&self, message: &M) -> Result<Bytes, codec::Error> {
        let (id, schema) = self
            .bound
            .get(M::TYPE)
            .ok_or_else(|| codec::Error::Unbound {
                message_type: M::TYPE.to_owned(),
            })?;
        codec::encode(*id, schema, message)
    }

    /// Encodes an event, with its address.
    ///
    /// # Errors
    /// As [`Writer::encode`].
    pub fn event<E: Event>(&self, event: &E) -> Result<Encoded, codec::Error> {
        Ok(Encoded {
            topic: E::TOPIC,
            key: event.key().to_owned(),
            message_type: E::TYPE,
            aggregate: E::AGGREGATE,
            version: event.version(),
            value: self.encode(event)?,
        })
    }
}

/// Decodes a whole datum that was written with `writer`, any version of `M`'s schema: a reader copes
/// with older and newer compatible writers.
///
/// # Errors
/// As [`codec::decode_as`].
pub fn decode<M: Message>(writer: &Schema, datum: &[u8]) -> Result<M, codec::Error> {
    codec::decode_as(writer, M::SCHEMA, datum)
}
