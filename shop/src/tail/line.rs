//! One message as one line; what cannot be decoded is shown as what it is.

use std::fmt::Write as _;

use bytes::Bytes;
use messaging::codec;
use messaging::envelope::Envelope;
use messaging::registry::SchemaRegistry;
use serde::Serialize;
use serde_json::Value;

use super::reader::Message;

/// Bytes of an undecodable value that are shown.
const SHOWN_BYTES_MAX: usize = 32;

/// What is shown of a message.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    topic: String,
    partition: i32,
    offset: i64,
    key: Option<String>,
    /// The message type; null when the headers do not tell.
    #[serde(rename = "type")]
    message_type: Option<String>,
    id: Option<String>,
    /// Id of the message that caused this one; null for the first of a flow.
    cause: Option<String>,
    time: String,
    /// The decoded body; null when it cannot be decoded.
    body: Option<Value>,
    /// Why the headers or the body cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    undecodable: Option<String>,
}

impl Line {
    /// Reads a message by the schema that it was written with.
    pub(super) async fn of(registry: &dyn SchemaRegistry, message: &Message) -> Self {
        let record = &message.consumed.record;
        let envelope = Envelope::from_headers(&record.headers);
        let body = decode(registry, record.value.as_ref()).await;
        let mut undecodable = body.as_ref().err().cloned();
        if let (None, Err(error)) = (&undecodable, &envelope) {
            undecodable = Some(error.to_string());
        }
        let envelope = envelope.ok();
        Self {
            topic: message.topic.to_string(),
            partition: message.partition,
            offset: message.consumed.offset,
            key: record.key.as_deref().map(text),
            message_type: envelope.as_ref().map(|known| known.message_type.clone()),
            id: envelope.as_ref().map(|known| known.id.clone()),
            time: envelope
                .as_ref()
                .map_or(record.timestamp, |known| known.time)
                .to_string(),
            cause: envelope.and_then(|known| known.causation_id),
            body: body.ok(),
            undecodable,
        }
    }

    /// For programs.
    pub(super) fn to_json(&self) -> String {
        // Strings, numbers and JSON values only: this cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// For people; ids are cut to their last characters, which is where UUIDs of one moment differ.
    pub(super) fn to_text(&self) -> String {
        let place = format!("{}/{}@{}", self.topic, self.partition, self.offset);
        let key = self.key.as_deref().unwrap_or("(no key)");
        let name = self.message_type.as_deref().unwrap_or("(no type)");
        let cause = self.cause.as_deref().map_or("-", |id| tail(id, 8));
        let id = self.id.as_deref().map_or("-", |id| tail(id, 8));
        let mut line = format!("{place:<24} {key:<12} {name:<32} {id:<8} cause {cause:<8} ");
        // Writing to a String cannot fail.
        let _ = match (&self.body, &self.undecodable) {
            (Some(body), None) => write!(line, "{body}"),
            (Some(body), Some(why)) => write!(line, "{body} ({why})"),
            (None, why) => write!(line, "({})", why.as_deref().unwrap_or("no body")),
        };
        line
    }
}

async fn decode(registry: &dyn SchemaRegistry, value: Option<&Bytes>) -> Result<Value, String> {
    let Some(value) = value else {
        return Err("no value".to_owned());
    };
    let described = |error: &dyn std::fmt::Display| format!("{error}; value {}", shown(value));
    let (id, datum) = codec::unframe(value).map_err(|error| described(&error))?;
    let schema = registry
        .schema(id)
        .await
        .map_err(|error| described(&error))?;
    codec::decode(&schema, datum).map_err(|error| described(&error))
}

/// Text if it is text, else the first bytes.
fn shown(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(SHOWN_BYTES_MAX)];
    let more = if cut.len() < bytes.len() { "..." } else { "" };
    format!("\"{}\"{more} of {} bytes", cut.escape_ascii(), bytes.len())
}

fn text(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| bytes.escape_ascii().to_string(), str::to_owned)
}

fn tail(text: &str, length: usize) -> &str {
    let start = text.len().saturating_sub(length);
    text.get(start..).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use messaging::clock::Timestamp;
    use messaging::log::{Consumed, HeaderName, Record};
    use messaging::registry::memory::MemoryRegistry;

    use super::*;

    const SCHEMA: &str = r#"{"type": "record", "namespace": "shop.test", "name": "Counted",
        "fields": [{"name": "product_id", "type": "string"}, {"name": "quantity", "type": "long"}]}"#;

    fn message(value: Option<Bytes>, headers: Vec<(HeaderName, Bytes)>) -> Message {
        Message {
            topic: "test.events".into(),
            partition: 2,
            consumed: Consumed {
                offset: 7,
                record: Record {
                    key: Some("P1".into()),
                    value,
                    headers,
                    timestamp: Timestamp(0),
                },
            },
        }
    }

    fn headers() -> Vec<(HeaderName, Bytes)> {
        let mut envelope = Envelope::command(
            "an-id".into(),
            "shop.test.Counted",
            "/test",
            "P1",
            Timestamp(0),
        );
        envelope.causation_id = Some("7e57-0123456789ab".to_owned());
        envelope.to_headers()
    }

    #[derive(serde::Serialize)]
    struct Counted {
        product_id: &'static str,
        quantity: i64,
    }

    #[tokio::test]
    async fn a_message_is_read_by_its_writers_schema() {
        let registry = MemoryRegistry::new();
        let id = registry.register("s", SCHEMA).await.unwrap();
        let body = Counted {
            product_id: "P1",
            quantity: 3,
        };
        let schema = registry.schema(id).await.unwrap();
        let value = codec::encode(id, &schema, &body).unwrap();
        let line = Line::of(&registry, &message(Some(value), headers())).await;
        assert_eq!(
            line.to_text(),
            "test.events/2@7          P1           shop.test.Counted                an-id    \
             cause 456789ab {\"product_id\":\"P1\",\"quantity\":3}"
        );
        assert!(line.to_json().contains(r#""cause":"7e57-0123456789ab""#));
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_shown_as_it_is() {
        let registry = MemoryRegistry::new();
        let garbage = message(Some("garbage!".into()), Vec::new());
        let text = Line::of(&registry, &garbage).await.to_text();
        assert!(text.contains("(no type)"), "{text}");
        assert!(text.contains("\"garbage!\" of 8 bytes"), "{text}");
        let unknown = message(
            Some(codec::frame(messaging::registry::SchemaId(9), b"x")),
            headers(),
        );
        let text = Line::of(&registry, &unknown).await.to_text();
        assert!(text.contains("shop.test.Counted"), "{text}");
        let none = Line::of(&registry, &message(None, headers())).await;
        assert!(none.to_text().ends_with("(no value)"));
    }
}
