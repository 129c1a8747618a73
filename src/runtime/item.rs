//! One record as a turn sees it: decoded, ignored or unreadable.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::codec::{self, Schema};
use crate::context::{Context, Incoming, Input, Interest};
use crate::envelope::Envelope;
use crate::log::{Consumed, Record};
use crate::partitioner::partition_of;
use crate::registry::SchemaId;
use crate::runtime::spans::Traced;
use crate::store::{AggregateKey, ParkReason, Place, RecordHash};

/// A record of an input topic, classified.
#[derive(Debug)]
pub(crate) struct Item<M> {
    /// The input topic.
    pub(crate) topic: Arc<str>,
    /// Its offset in the shard's partition.
    pub(crate) offset: i64,
    /// Its hash, for the cursor.
    pub(crate) hash: RecordHash,
    /// The record itself, for parking.
    pub(crate) record: Record,
    /// What it is to this context.
    pub(crate) kind: Kind<M>,
    /// Its place in its trace, if that is recorded.
    pub(crate) traced: Option<Box<Traced>>,
}

impl<M> Item<M> {
    /// Where it stands in the shard.
    pub(crate) fn place(&self) -> Place {
        Place {
            topic: self.topic.to_string(),
            offset: self.offset,
        }
    }
}

/// What a record is to a context.
#[derive(Debug)]
pub(crate) enum Kind<M> {
    /// A message to decide.
    Message {
        /// The aggregate it concerns.
        aggregate: AggregateKey,
        /// The message.
        incoming: Incoming<M>,
    },
    /// Declared ignored.
    Ignored,
    /// To be parked.
    Unreadable(Unreadable),
}

/// Why a record is parked before any decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable {
    /// The aggregate it holds up; `None` if it is parked alone.
    pub(crate) aggregate: Option<AggregateKey>,
    /// Undecodable or misrouted.
    pub(crate) reason: ParkReason,
    /// In words.
    pub(crate) detail: String,
}

/// What is known of a record before its schema is.
#[derive(Debug)]
pub(crate) enum Opened {
    /// Its schema decides.
    Framed {
        /// Its key as text.
        key: String,
        /// Its metadata.
        envelope: Envelope,
        /// The writer's schema.
        schema: SchemaId,
    },
    /// Declared ignored.
    Ignored,
    /// To be parked.
    Unreadable(Unreadable),
}

/// Where records come from: an input topic and the shard's partition of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    /// The input topic.
    pub(crate) input: Input,
    /// The shard's number.
    pub(crate) partition: i32,
    /// The topics' number of partitions.
    pub(crate) partitions: i32,
}

/// Reads a record as far as its schema is not needed.
pub(crate) fn open<C: Context>(context: &C, origin: Origin, record: &Record) -> Opened {
    let key = match routed_key(origin, record) {
        Ok(key) => key,
        Err(detail) => {
            return Opened::Unreadable(Unreadable {
                aggregate: None,
                reason: ParkReason::Misrouted,
                detail,
            });
        }
    };
    let undecodable = |detail: String| {
        Opened::Unreadable(Unreadable {
            aggregate: Some(aggregate(origin.input, &key)),
            reason: ParkReason::Undecodable,
            detail,
        })
    };
    let envelope = match Envelope::from_headers(&record.headers) {
        Ok(envelope) => envelope,
        Err(error) => return undecodable(error.to_string()),
    };
    match context.interest(&envelope.message_type) {
        Interest::Ignored => return Opened::Ignored,
        Interest::Unknown => {
            return undecodable(format!(
                "message type {} is not known here",
                envelope.message_type
            ));
        }
        Interest::Handled => {}
    }
    match codec::unframe(record.value.as_deref().unwrap_or_default()) {
        Ok((schema, _)) => Opened::Framed {
            key,
            envelope,
            schema,
        },
        Err(error) => undecodable(error.to_string()),
    }
}

/// Decodes an opened record with its writer's schema.
pub(crate) fn decode<C: Context>(
    context: &C,
    origin: Origin,
    consumed: &Consumed,
    topic: &Arc<str>,
    (key, envelope): (String, Envelope),
    schema: &Schema,
) -> Kind<C::Message> {
    let aggregate = aggregate(origin.input, &key);
    let undecodable = |detail: String| {
        Kind::Unreadable(Unreadable {
            aggregate: Some(aggregate.clone()),
            reason: ParkReason::Undecodable,
            detail,
        })
    };
    if schema.name() != envelope.message_type {
        return undecodable(format!(
            "header ce_type says {}, the schema is {}",
            envelope.message_type,
            schema.name()
        ));
    }
    let decoded = codec::unframe(consumed.record.value.as_deref().unwrap_or_default())
        .and_then(|(_, datum)| context.decode(&envelope.message_type, schema, datum));
    let message = match decoded {
        Ok(message) => message,
        Err(error) => return undecodable(error.to_string()),
    };
    if context.key(&message) != key {
        return Kind::Unreadable(Unreadable {
            aggregate: None,
            reason: ParkReason::Misrouted,
            detail: format!(
                "the key is {key}, the payload says {}",
                context.key(&message)
            ),
        });
    }
    let incoming = Incoming {
        message,
        envelope,
        topic: Arc::clone(topic),
        offset: consumed.offset,
    };
    Kind::Message {
        aggregate,
        incoming,
    }
}

/// The key as text, if the record has one that belongs to this partition.
fn routed_key(origin: Origin, record: &Record) -> Result<String, String> {
    let Some(key) = &record.key else {
        return Err("the record has no key".to_owned());
    };
    let home = partition_of(key, origin.partitions);
    if home != origin.partition {
        return Err(format!(
            "the key belongs to partition {home}, not {}",
            origin.partition
        ));
    }
    String::from_utf8(key.to_vec()).map_err(|_| "the key is not UTF-8".to_owned())
}

/// The aggregate that an input's key names.
pub(crate) fn aggregate(input: Input, key: &str) -> AggregateKey {
    AggregateKey {
        kind: input.aggregate.to_owned(),
        id: key.to_owned(),
    }
}

/// Hash of a record as it stands in the log: key, value and headers, each with its length.
pub(crate) fn hash(record: &Record) -> RecordHash {
    let mut hasher = Sha256::new();
    let mut part = |bytes: Option<&[u8]>| {
        // -1 for an absent part, so that absent and empty differ.
        let len = bytes.map_or(-1, |bytes| i64::try_from(bytes.len()).unwrap_or(i64::MAX));
        hasher.update(len.to_be_bytes());
        hasher.update(bytes.unwrap_or_default());
    };
    part(record.key.as_deref());
    part(record.value.as_deref());
    for (name, value) in &record.headers {
        part(Some(name.as_bytes()));
        part(Some(value));
    }
    let digest = hasher.finalize();
    let mut short = [0; 16];
    short.copy_from_slice(&digest[..16]);
    RecordHash(short)
}
