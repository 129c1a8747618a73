//! Commands into the log: encoded, appended, and accepted once the log has acknowledged them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use messaging::clock::{Clock, Timestamp};
use messaging::crash::{self, Point};
use messaging::envelope::Envelope;
use messaging::ids::Ids;
use messaging::limits;
use messaging::log::appender::Appender;
use messaging::log::{self, ErrorKind, Record};
use messaging::message::Message;
use messaging::status;
use messaging::trace::{Sending, Tracer};
use tonic::Status;

use crate::origin::Origin;
use crate::request;
use crate::writable::Writable;

/// The way of commands into the log.
#[derive(Clone)]
pub(crate) struct Commands {
    /// By topic.
    appenders: Arc<HashMap<&'static str, Appender>>,
    writable: Writable,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    tracer: Tracer,
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
        tracer: Tracer,
    ) -> Self {
        Self {
            appenders: Arc::new(appenders),
            writable,
            clock,
            ids,
            tracer,
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
            .unwrap_or_else(|_| Err(known.told()))
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
        let value = writer
            .encode(command)
            .map_err(|error| status::of_codec(&error))?;
        let key = command.key();
        let place = (M::TOPIC, appender.partition(key.as_bytes()));
        let traceparent = origin.visitor.trace().parent();
        let mut sending = Sending::begin(&self.tracer, traceparent, place, message_id, key);
        let mut envelope = envelope(command, message_id, origin, self.clock.now());
        if let Some(sending) = &sending {
            envelope.traceparent = Some(sending.context().to_string());
        }
        let record = record(command, &envelope, value);
        let mut backoff = limits::BACKOFF.start();
        let mut ambiguous = None;
        loop {
            *known = Known::UnderWay;
            crash::here(Point::BeforeSubmit);
            let error = match appender.append(record.clone()).await {
                Ok(offset) => {
                    if let Some(sending) = &mut sending {
                        sending.acknowledged(offset);
                    }
                    crash::here(Point::AfterSubmit);
                    return Ok(());
                }
                Err(error) => error,
            };
            if let Some(sending) = &mut sending {
                sending.failed(error.kind.label());
            }
            match error.kind {
                // One unknown outcome stays, whatever later tries tell.
                ErrorKind::Ambiguous => ambiguous = Some(error),
                ErrorKind::Retry | ErrorKind::UnknownTopic => *known = Known::Failed(error),
                ErrorKind::OutOfRange | ErrorKind::Fatal => return Err(status::of_log(&error)),
            }
            if let Some(error) = &ambiguous {
                *known = Known::Failed(Arc::clone(error));
            }
            self.clock.sleep(backoff.next(self.ids.random())).await;
        }
    }
}

/// Metadata of a command.
fn envelope<M: Message>(
    command: &M,
    message_id: &str,
    origin: &Origin,
    now: Timestamp,
) -> Envelope {
    let trace = origin.visitor.trace();
    Envelope {
        traceparent: trace.parent().map(str::to_owned),
        tracestate: trace.state().map(str::to_owned),
        ..Envelope::command(
            message_id.to_owned(),
            M::TYPE,
            contracts::source::GATEWAY,
            command.key(),
            now,
        )
    }
}

fn record<M: Message>(command: &M, envelope: &Envelope, value: Bytes) -> Record {
    Record {
        key: Some(Bytes::copy_from_slice(command.key().as_bytes())),
        value: Some(value),
        headers: envelope.to_headers(),
        timestamp: envelope.time,
    }
}
