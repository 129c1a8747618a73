//! A message's metadata: CloudEvents attributes as Kafka headers.
//!
//! Binary mode of the CloudEvents Kafka protocol binding (v1.0.2, section 3.2): attributes are
//! headers with the prefix `ce_`, `datacontenttype` is the header `content-type`. The causation
//! and correlation ids are extension attributes; W3C trace context travels under its own names.

use std::collections::BTreeMap;
use std::str;

use bytes::Bytes;
use uuid::Uuid;

use crate::clock::Timestamp;

/// The only CloudEvents version in use.
const SPEC_VERSION: &str = "1.0";
/// The content type of every message.
const CONTENT_TYPE: &str = "application/avro";

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
    pub fn to_headers(&self) -> Vec<(String, Bytes)> {
        let time = self.time.to_string();
        let attributes = [
            ("ce_causationid", self.causation_id.as_deref()),
            ("ce_correlationid", self.correlation_id.as_deref()),
            ("ce_id", Some(self.id.as_str())),
            ("ce_source", Some(&self.source)),
            ("ce_specversion", Some(SPEC_VERSION)),
            ("ce_subject", Some(&self.subject)),
            ("ce_time", Some(&time)),
            ("ce_type", Some(&self.message_type)),
            ("content-type", Some(CONTENT_TYPE)),
            ("traceparent", self.traceparent.as_deref()),
            ("tracestate", self.tracestate.as_deref()),
        ];
        attributes
            .into_iter()
            .filter_map(|(name, value)| {
                Some((name.to_owned(), Bytes::copy_from_slice(value?.as_bytes())))
            })
            .collect()
    }

    /// Reads the metadata from a record's headers.
    ///
    /// # Errors
    /// When a required attribute is missing or malformed.
    pub fn from_headers(headers: &[(String, Bytes)]) -> Result<Self, Error> {
        let by_name: BTreeMap<&str, &Bytes> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value))
            .collect();
        let optional = |name: &'static str| match by_name.get(name) {
            None => Ok(None),
            Some(value) => str::from_utf8(value)
                .map(|text| Some(text.to_owned()))
                .map_err(|_| Error::Malformed { header: name }),
        };
        let required = |name| optional(name)?.ok_or(Error::Missing { header: name });
        if required("ce_specversion")? != SPEC_VERSION {
            return Err(Error::Malformed {
                header: "ce_specversion",
            });
        }
        Ok(Self {
            id: required("ce_id")?,
            message_type: required("ce_type")?,
            source: required("ce_source")?,
            subject: required("ce_subject")?,
            time: required("ce_time")?
                .parse()
                .map_err(|_| Error::Malformed { header: "ce_time" })?,
            causation_id: optional("ce_causationid")?,
            correlation_id: optional("ce_correlationid")?,
            traceparent: optional("traceparent")?,
            tracestate: optional("tracestate")?,
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
