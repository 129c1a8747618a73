//! Commands into the log: encoded, appended, and accepted once the log has acknowledged them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use contracts::topics;
use messaging::clock::{Clock, Timestamp};
use messaging::crash::{self, Point};
use messaging::envelope::{self, Envelope};
use messaging::ids::Ids;
use messaging::limits;
use messaging::log::appender::Appender;
use messaging::log::{self, ErrorKind, Record};
use messaging::message::Message;
use messaging::status;
use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::request;
use crate::visitor::Visitor;
use crate::writable::Writable;

/// Longest `tracestate` that is passed on (W3C Trace Context, section 3.3.1.5).
const TRACESTATE_LEN_MAX: usize = 512;

/// The way of commands into the log.
#[derive(Clone)]
pub(crate) struct Commands {
    /// By topic.
    appenders: Arc<HashMap<&'static str, Appender>>,
    writable: Writable,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
}

/// Who asked: what a command carries beside its content.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origin {
    /// The client's, or empty.
    pub(crate) request_id: String,
    pub(crate) visitor: Visitor,
    traceparent: Option<String>,
    tracestate: Option<String>,
}

/// What is known of a command that was not acknowledged.
enum Known {
    /// It was not tried: topics or schemas are missing.
    NotWritable,
    /// An append is under way, whose outcome nobody knows.
    UnderWay,
    /// The last append failed like this; the outcome of an earlier one may be unknown.
    Failed(Arc<log::Error>),
}

impl Known {
    fn told(&self) -> Status {
        match self {
            Self::NotWritable => status::not_writable(),
            Self::UnderWay => status::outcome_unknown(),
            Self::Failed(error) => status::of_log(error),
        }
    }
}

impl Commands {
    /// Commands go through `appenders` (by topic) once `writable` holds the bound schemas: it is
    /// empty while topics or schemas are not as this program needs them.
    pub(crate) fn new(
        appenders: HashMap<&'static str, Appender>,
        writable: Writable,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
    ) -> Self {
        Self {
            appenders: Arc::new(appenders),
            writable,
            clock,
            ids,
        }
    }

    /// The id that the command's message will have. A request of a customer gets its id here if it has
    /// none, so that the answer shows one that can be repeated.
    pub(crate) fn name(&self, origin: &mut Origin) -> String {
        let subject = origin.visitor.subject();
        if subject.is_some() && origin.request_id.is_empty() {
            origin.request_id = self.ids.fresh().hyphenated().to_string();
        }
        request::message_id(subject, &origin.request_id, || self.ids.fresh())
    }

    /// Appends `command` under `message_id`; returns once the log has acknowledged it.
    ///
    /// Failures that may pass are retried until `budget` is used up. A retry after an unknown
    /// outcome may append the command twice: it has the same id, and consumers deduplicate.
    ///
    /// # Errors
    /// UNAVAILABLE with RetryInfo when the log did not acknowledge in time; the command may
    /// still be, or come to be, in the log.
    pub(crate) async fn submit<M: Message>(
        &self,
        command: &M,
        message_id: &str,
        origin: &Origin,
        budget: Duration,
    ) -> Result<(), Status> {
        let mut known = Known::NotWritable;
        let appended = self.append(command, message_id, origin, &mut known);
        tokio::time::timeout(budget, appended)
            .await
            .unwrap_or_else(|_| Err(about(command, message_id, origin).in_scope(|| known.told())))
    }

    /// Tries until the log acknowledges or a failure is final. `known` is what a caller who gives
    /// up can be told.
    async fn append<M: Message>(
        &self,
        command: &M,
        message_id: &str,
        origin: &Origin,
        known: &mut Known,
    ) -> Result<(), Status> {
        let appender = self.appenders.get(M::TOPIC).ok_or_else(status::internal)?;
        let writer = self.writable.writer().await;
        let value = writer.encode(command).map_err(|error| {
            about(command, message_id, origin).in_scope(|| status::of_codec(&error))
        })?;
        let record = record(command, message_id, origin, value, self.clock.now());
        let mut backoff = limits::BACKOFF.start();
        let mut ambiguous = None;
        loop {
            *known = Known::UnderWay;
            crash::here(Point::BeforeSubmit);
            let error = match appender.append(record.clone()).await {
                Ok(_) => {
                    crash::here(Point::AfterSubmit);
                    if tracing::enabled!(tracing::Level::DEBUG) {
                        about(command, message_id, origin)
                            .in_scope(|| tracing::debug!(topic = M::TOPIC, "command accepted"));
                    }
                    return Ok(());
                }
                Err(error) => error,
            };
            match error.kind {
                // One unknown outcome stays, whatever later tries tell.
                ErrorKind::Ambiguous => ambiguous = Some(error),
                ErrorKind::Retry | ErrorKind::UnknownTopic => *known = Known::Failed(error),
                ErrorKind::OutOfRange | ErrorKind::Fatal => {
                    let about = about(command, message_id, origin);
                    return Err(about.in_scope(|| status::of_log(&error)));
                }
            }
            if let Some(error) = &ambiguous {
                *known = Known::Failed(Arc::clone(error));
            }
            self.clock.sleep(backoff.next(self.ids.random())).await;
        }
    }
}

impl Origin {
    /// The request id as given, of whoever calls, with the trace context of the call's metadata.
    pub(crate) fn new(request_id: &str, visitor: Visitor, metadata: &MetadataMap) -> Self {
        let text = |name| {
            let value = metadata.get(name)?.to_str().ok()?;
            Some(value.to_owned())
        };
        let traceparent = text("traceparent").filter(|value| is_traceparent(value));
        let tracestate = text("tracestate")
            .filter(|value| traceparent.is_some() && value.len() <= TRACESTATE_LEN_MAX);
        Self {
            request_id: request_id.to_owned(),
            visitor,
            traceparent,
            tracestate,
        }
    }

    /// The same call's origin of another request.
    pub(crate) fn of(&self, request_id: &str) -> Self {
        Self {
            request_id: request_id.to_owned(),
            ..self.clone()
        }
    }
}

/// What lines about a command tell beside their own words: made only where one is written.
fn about<M: Message>(command: &M, message_id: &str, origin: &Origin) -> tracing::Span {
    let by_order = M::TOPIC == topics::ORDER_COMMANDS;
    let order_id = by_order.then(|| command.key());
    let key = (!by_order).then(|| command.key());
    let trace_id = origin.traceparent.as_deref();
    let trace_id = trace_id.and_then(envelope::trace_id);
    let message_type = M::TYPE;
    tracing::error_span!("command", order_id, key, trace_id, message_id, message_type)
}

fn record<M: Message>(
    command: &M,
    message_id: &str,
    origin: &Origin,
    value: Bytes,
    now: Timestamp,
) -> Record {
    let envelope = Envelope {
        traceparent: origin.traceparent.clone(),
        tracestate: origin.tracestate.clone(),
        ..Envelope::command(
            message_id.to_owned(),
            M::TYPE,
            contracts::source::GATEWAY,
            command.key(),
            now,
        )
    };
    Record {
        key: Some(Bytes::copy_from_slice(command.key().as_bytes())),
        value: Some(value),
        headers: envelope.to_headers(),
        timestamp: now,
    }
}

/// `version-traceid-parentid-flags` in hexadecimal (W3C Trace Context, section 3.2.2).
fn is_traceparent(text: &str) -> bool {
    let is_hex = |part: &str, len| {
        part.len() == len
            && part
                .bytes()
                .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let mut parts = text.split('-');
    [2, 32, 16, 2]
        .into_iter()
        .all(|len| parts.next().is_some_and(|part| is_hex(part, len)))
        && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_trace_context_is_passed_on_if_it_is_one() {
        let mut metadata = MetadataMap::new();
        metadata.insert("traceparent", TRACE.parse().unwrap());
        metadata.insert("tracestate", "vendor=1".parse().unwrap());
        let origin = Origin::new("", Visitor::default(), &metadata);
        assert_eq!(origin.traceparent.as_deref(), Some(TRACE));
        assert_eq!(origin.tracestate.as_deref(), Some("vendor=1"));

        metadata.insert("traceparent", "00-nothing".parse().unwrap());
        let origin = Origin::new("", Visitor::default(), &metadata);
        assert_eq!(origin.traceparent, None);
        assert_eq!(origin.tracestate, None);
    }

    #[test]
    fn trace_parents_are_recognised() {
        assert!(is_traceparent(TRACE));
        for bad in ["", "00", &TRACE.to_uppercase(), &format!("{TRACE}-00")] {
            assert!(!is_traceparent(bad), "{bad}");
        }
    }
}
