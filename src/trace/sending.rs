//! The span of a message on its way into the log.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::{Kind, Recorder, Span, SpanContext, Tracer};

/// A message that is being sent; what became of it is recorded when this is dropped, so that a caller
/// that gives up is told of as well.
pub struct Sending {
    recorder: Arc<Recorder>,
    parent: SpanContext,
    context: SpanContext,
    began: Duration,
    topic: &'static str,
    partition: i32,
    message_id: String,
    key: String,
    /// The offset it got, or what kept it from one.
    outcome: Result<i64, Cow<'static, str>>,
}

impl Sending {
    /// Begins to send a message below the span `traceparent`, if that is recorded. Its own place is the
    /// message's creation context: it belongs into the message.
    #[must_use]
    pub fn begin(
        tracer: &Tracer,
        traceparent: Option<&str>,
        (topic, partition): (&'static str, i32),
        message_id: &str,
        key: &str,
    ) -> Option<Self> {
        let recorder = tracer.recorder()?;
        let parent: SpanContext = traceparent?.parse().ok()?;
        parent.is_sampled().then(|| Self {
            recorder: Arc::clone(recorder),
            parent,
            context: parent.child(recorder.span_id()),
            began: recorder.now(),
            topic,
            partition,
            message_id: message_id.to_owned(),
            key: key.to_owned(),
            outcome: Err(Cow::Borrowed("timeout")),
        })
    }

    /// The message's creation context.
    #[must_use]
    pub fn context(&self) -> SpanContext {
        self.context
    }

    /// The log has acknowledged the message, at this offset.
    pub fn acknowledged(&mut self, offset: i64) {
        self.outcome = Ok(offset);
    }

    /// The message was not acknowledged, for this kind of reason; it may be tried again.
    pub fn failed(&mut self, kind: &'static str) {
        self.outcome = Err(Cow::Borrowed(kind));
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let times = (self.began, self.recorder.now());
        let name = format!("send {}", self.topic);
        let mut span = Span::below(self.parent, self.context, name, Kind::Producer, times);
        span.about("send", self.topic, self.partition);
        span.attributes.extend([
            ("messaging.message.id", self.message_id.clone().into()),
            ("messaging.kafka.message.key", self.key.clone().into()),
        ]);
        match &self.outcome {
            Ok(offset) => span
                .attributes
                .push(("messaging.kafka.offset", (*offset).into())),
            Err(kind) => span.error = Some(kind.clone()),
        }
        self.recorder.record(span);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::ids::SystemIds;

    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn begin(tracer: &Tracer, traceparent: &str) -> Option<Sending> {
        Sending::begin(tracer, Some(traceparent), ("orders", 3), "message 1", "O1")
    }

    #[test]
    fn a_message_is_told_of_once_whatever_becomes_of_it() {
        let (tracer, mut queue) =
            Tracer::into_queue(Arc::new(SystemClock), Arc::new(SystemIds), 1.0);
        let mut sent = begin(&tracer, TRACE).unwrap();
        sent.failed("retry");
        sent.acknowledged(17);
        let context = sent.context();
        drop(sent);
        drop(begin(&tracer, TRACE));
        let sent = queue.try_recv().unwrap();
        assert_eq!(sent.context, context);
        assert_eq!(sent.parent, Some(0x00f0_67aa_0ba9_02b7));
        assert_eq!(
            (sent.name.as_str(), sent.kind),
            ("send orders", Kind::Producer)
        );
        assert!(
            sent.attributes
                .contains(&("messaging.kafka.offset", 17.into()))
        );
        assert_eq!(sent.error, None);
        let given_up = queue.try_recv().unwrap();
        assert_eq!(given_up.error.as_deref(), Some("timeout"));
        assert!(queue.try_recv().is_err());
    }

    #[test]
    fn what_is_not_sampled_or_not_traced_leaves_no_span() {
        let (on, mut queue) = Tracer::into_queue(Arc::new(SystemClock), Arc::new(SystemIds), 1.0);
        assert!(begin(&on, &TRACE.replace("-01", "-00")).is_none());
        assert!(begin(&on, "nothing").is_none());
        assert!(begin(&Tracer::off(), TRACE).is_none());
        assert!(queue.try_recv().is_err());
    }
}
