//! What is recorded of a piece of work.

use std::borrow::Cow;
use std::time::Duration;

use super::SpanContext;

/// A piece of work that has ended, built after the fact.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Its place; only sampled ones are recorded.
    pub context: SpanContext,
    /// The span above it in the same trace.
    pub parent: Option<u64>,
    /// What was done, in few different words.
    pub name: String,
    /// Its role.
    pub kind: Kind,
    /// When it began, since the Unix epoch.
    pub began: Duration,
    /// When it ended, since the Unix epoch.
    pub ended: Duration,
    /// What it was about, by the names of OpenTelemetry's semantic conventions.
    pub attributes: Vec<(&'static str, Value)>,
    /// Spans of other traces, or elsewhere in this one, that it has to do with.
    pub links: Vec<SpanContext>,
    /// What kind of failure it ended with: becomes the attribute `error.type`, and the status ERROR.
    pub error: Option<Cow<'static, str>>,
}

/// The role of a span (OpenTelemetry's `SpanKind`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Work inside of one program.
    Internal,
    /// A call, from the side that answers.
    Server,
    /// A call, from the side that asks.
    Client,
    /// Making or sending a message that others will handle.
    Producer,
    /// Handling a message.
    Consumer,
}

/// An attribute's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(Cow<'static, str>),
    /// A number.
    Number(i64),
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl Span {
    /// A span below `parent` that began and ended then, and has nothing to tell yet.
    #[must_use]
    pub fn below(
        parent: SpanContext,
        context: SpanContext,
        name: String,
        kind: Kind,
        (began, ended): (Duration, Duration),
    ) -> Self {
        Self {
            context,
            parent: Some(parent.span_id),
            name,
            kind,
            began,
            // The clock may have been set back meanwhile.
            ended: ended.max(began),
            attributes: Vec::new(),
            links: Vec::new(),
            error: None,
        }
    }

    /// The attributes of every span about a message of the log (semantic conventions for messaging and
    /// for Kafka). `action` is what is done to it: its type and its name.
    pub fn about(&mut self, action: &'static str, topic: &str, partition: i32) {
        self.attributes.extend([
            ("messaging.system", Value::from("kafka")),
            ("messaging.operation.type", action.into()),
            ("messaging.operation.name", action.into()),
            ("messaging.destination.name", topic.to_owned().into()),
            (
                "messaging.destination.partition.id",
                partition.to_string().into(),
            ),
        ]);
    }
}
