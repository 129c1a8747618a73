//! A message's metadata: CloudEvents attributes as Kafka headers.
//!
//! Binary mode of the CloudEvents Kafka protocol binding (v1.0.2, section 3.2): attributes are
//! headers with the prefix `ce_`, `datacontenttype` is the header `content-type`. The causation
//! and correlation ids are extension attributes; W3C trace context travels under its own names.

use std::str;

use bytes::Bytes;
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::log::HeaderName;
use crate::trace::{TRACEPARENT, TRACESTATE};

/// The only CloudEvents version in use.
const SPEC_VERSION_1: &str = "1.0";
/// The content type of every message.
const AVRO: &str = "application/avro";

const CAUSATION_ID: &str = "ce_causationid";
const CORRELATION_ID: &str = "ce_correlationid";
pub(crate) const ID: &str = "ce_id";
const SOURCE: &str = "ce_source";
const SPEC_VERSION: &str = "ce_specversion";
const SUBJECT: &str = "ce_subject";
const TIME: &str = "ce_time";
const TYPE: &str = "ce_type";
const CONTENT_TYPE: &str = "content-type";

/// All of them, sorted.
const NAMES: [&str; 11] = [
    CAUSATION_ID,
    CORRELATION_ID,
    ID,
    SOURCE,
    SPEC_VERSION,
    SUBJECT,
    TIME,
    TYPE,
    CONTENT_TYPE,
    TRACEPARENT,
    TRACESTATE,
];

/// A header's name, as the constant that it is in every envelope, or else as its own text.
#[must_use]
pub fn header_name(name: impl AsRef<str> + Into<String>) -> HeaderName {
    match NAMES.binary_search(&name.as_ref()) {
        Ok(known) => HeaderName::Borrowed(NAMES[known]),
        Err(_) => HeaderName::Owned(name.into()),
    }
}

/// Metadata of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Unique per message; the same whenever the same message is published again.
    pub id: String,
    /// The message type, `namespace.Name`.
    pub message_type: String,
    /// The context that wrote it, for example `/order`.
    pub source: String,
    /// The record's key.
    pub subject: String,
    /// When the command was accepted or the change was made.
    pub time: Timestamp,
    /// Id of the message that caused this one.
    pub causation_id: Option<String>,
    /// Id of the first command of the flow; absent on that command itself.
    pub correlation_id: Option<String>,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// W3C trace context, vendor part.
    pub tracestate: Option<String>,
}

/// The message type that a record's headers tell.
pub(crate) fn type_of(headers: &[(HeaderName, Bytes)]) -> Option<&[u8]> {
    let named = headers.iter().find(|(name, _)| name == TYPE)?;
    Some(&named.1)
}

/// A header's value, if it is there and text.
pub(crate) fn text_of<'h>(headers: &'h [(HeaderName, Bytes)], name: &str) -> Option<&'h str> {
    let mut latest_first = headers.iter().rev();
    let (_, value) = latest_first.find(|(found, _)| found == name)?;
    str::from_utf8(value).ok()
}

impl Envelope {
    /// Metadata of a command: the first message of its flow.
    #[must_use]
    pub fn command(
        id: String,
        message_type: &str,
        source: &str,
        subject: &str,
        time: Timestamp,
    ) -> Self {
        Self {
            id,
            message_type: message_type.to_owned(),
            source: source.to_owned(),
            subject: subject.to_owned(),
            time,
            causation_id: None,
            correlation_id: None,
            traceparent: None,
            tracestate: None,
        }
    }

    /// Id of the first command of the flow: this message's own if it is the first.
    #[must_use]
    pub fn correlation(&self) -> &str {
        self.correlation_id.as_deref().unwrap_or(&self.id)
    }

    /// The headers that carry this metadata, sorted by name.
    #[must_use]
    pub fn to_headers(&self) -> Vec<(HeaderName, Bytes)> {
        let time = self.time.to_string();
        let attributes = [
            (CAUSATION_ID, self.causation_id.as_deref()),
            (CORRELATION_ID, self.correlation_id.as_deref()),
            (ID, Some(self.id.as_str())),
            (SOURCE, Some(&self.source)),
            (SPEC_VERSION, Some(SPEC_VERSION_1)),
            (SUBJECT, Some(&self.subject)),
            (TIME, Some(&time)),
            (TYPE, Some(&self.message_type)),
            (CONTENT_TYPE, Some(AVRO)),
            (TRACEPARENT, self.traceparent.as_deref()),
            (TRACESTATE, self.tracestate.as_deref()),
        ];
        let attributes = attributes
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        // One piece of memory for all values of a record, where each would have its own.
        let values: Vec<&str> = attributes.clone().map(|(_, value)| value).collect();
        let mut values = Bytes::from(values.concat());
        attributes
            .map(|(name, value)| (HeaderName::Borrowed(name), values.split_to(value.len())))
            .collect()
    }

    /// Reads the metadata from a record's headers.
    ///
    /// # Errors
    /// When a required attribute is missing or malformed.
    pub fn from_headers(headers: &[(HeaderName, Bytes)]) -> Result<Self, Error> {
        let optional = |name: &'static str| {
            let mut latest_first = headers.iter().rev();
            match latest_first.find(|(found, _)| found == name) {
                None => Ok(None),
                Some((_, value)) => str::from_utf8(value)
                    .map(|text| Some(text.to_owned()))
                    .map_err(|_| Error::Malformed { header: name }),
            }
        };
        let required = |name| optional(name)?.ok_or(Error::Missing { header: name });
        if required(SPEC_VERSION)? != SPEC_VERSION_1 {
            return Err(Error::Malformed {
                header: SPEC_VERSION,
            });
        }
        Ok(Self {
            id: required(ID)?,
            message_type: required(TYPE)?,
            source: required(SOURCE)?,
            subject: required(SUBJECT)?,
            time: required(TIME)?
                .parse()
                .map_err(|_| Error::Malformed { header: TIME })?,
            causation_id: optional(CAUSATION_ID)?,
            correlation_id: optional(CORRELATION_ID)?,
            traceparent: optional(TRACEPARENT)?,
            tracestate: optional(TRACESTATE)?,
        })
    }
}

/// The id of an event: the same for the same (source, aggregate, version), whoever derives it
/// and however often (UUIDv5, RFC 9562 section 5.5).
#[must_use]
pub fn event_id(source: &str, aggregate: &str, aggregate_id: &str, version: i64) -> Uuid {
    let name = format!("{source}\n{aggregate}\n{aggregate_id}\n{version}");
    Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes())
}

/// Why headers are no metadata.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A required header is not there.
    #[error("header {header} is missing")]
    Missing {
        /// The header.
        header: &'static str,
    },
    /// A header's value cannot be read.
    #[error("header {header} cannot be read")]
    Malformed {
        /// The header.
        header: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_metadata_are_known_and_others_are_kept() {
        assert!(NAMES.is_sorted());
        for name in NAMES {
            assert!(
                matches!(header_name(name.to_owned()), HeaderName::Borrowed(known) if known == name)
            );
        }
        for name in ["", "ce_", "zz", "Ce_id"] {
            assert!(matches!(header_name(name), HeaderName::Owned(kept) if kept == name));
        }
    }

    proptest! {
        #[test]
        fn metadata_survives_its_headers(
            id in "[a-z0-9-]{1,36}",
            subject in "[A-Za-z0-9._-]{1,64}",
            time in 0_i64..4_102_444_800_000,
            causation_id in proptest::option::of("[a-z0-9-]{1,36}"),
            correlation_id in proptest::option::of("[a-z0-9-]{1,36}"),
            traceparent in proptest::option::of("[0-9a-f-]{55}"),
        ) {
            let envelope = Envelope {
                causation_id,
                correlation_id,
                traceparent,
                ..Envelope::command(id, "shop.order.OrderPlaced", "/order", &subject, Timestamp(time))
            };
            prop_assert_eq!(Envelope::from_headers(&envelope.to_headers()).unwrap(), envelope);
        }
    }

    #[test]
    fn a_foreign_record_names_the_header_it_lacks() {
        assert_eq!(
            Envelope::from_headers(&[]),
            Err(Error::Missing {
                header: "ce_specversion"
            })
        );
    }

    #[test]
    fn an_events_id_depends_on_every_part() {
        let id = event_id("/order", "order", "O1", 1);
        assert_eq!(id, event_id("/order", "order", "O1", 1));
        for other in [
            event_id("/inventory", "order", "O1", 1),
            event_id("/order", "reservation", "O1", 1),
            event_id("/order", "order", "O2", 1),
            event_id("/order", "order", "O1", 2),
        ] {
            assert_ne!(id, other);
        }
    }
}
