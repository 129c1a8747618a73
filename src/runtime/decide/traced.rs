//! Events in the traces of what caused them: which span each is told by, so that its place can stand in
//! the outbox and a repeated publication carries the same one.

use uuid::Uuid;

use crate::context::Cause;
use crate::message::Encoded;
use crate::trace::SpanContext;

/// An event that a turn writes, in a trace that is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Created {
    /// The span above: that of the message it belongs to, which need not be of this turn.
    pub(crate) parent: SpanContext,
    /// Its own: what its record carries.
    pub(crate) context: SpanContext,
    /// Where it goes to.
    pub(crate) topic: &'static str,
    /// The partition there.
    pub(crate) partition: i32,
    /// The event's id.
    pub(crate) id: Uuid,
    /// The record's key.
    pub(crate) key: String,
    /// Id of the message that caused it.
    pub(crate) causation_id: String,
}

impl Created {
    /// The span of an event, if its flow is recorded. Its id is that of the event: half of a hash, unique
    /// in a trace, and the same whenever the same event is decided again.
    pub(crate) fn of(cause: &Cause, encoded: &Encoded, partition: i32, id: Uuid) -> Option<Self> {
        let parent: SpanContext = cause.traceparent.as_deref()?.parse().ok()?;
        parent.is_sampled().then(|| Self {
            parent,
            context: parent.child(id.as_u64_pair().1),
            topic: encoded.topic,
            partition,
            id,
            key: encoded.key.clone(),
            causation_id: cause.causation_id.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::envelope::event_id;

    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn created(traceparent: Option<&str>, version: i64) -> Option<Created> {
        let cause = Cause {
            causation_id: "m1".to_owned(),
            correlation_id: "c1".to_owned(),
            traceparent: traceparent.map(str::to_owned),
        };
        let encoded = Encoded {
            topic: "out",
            key: "O1".to_owned(),
            message_type: "test.Counted",
            aggregate: "counter",
            version,
            value: Bytes::new(),
        };
        let id = event_id("/counters", encoded.aggregate, &encoded.key, version);
        Created::of(&cause, &encoded, 3, id)
    }

    #[test]
    fn an_event_decided_again_has_the_same_span_and_another_one_another() {
        let first = created(Some(TRACE), 1).unwrap();
        assert_eq!(Some(&first), created(Some(TRACE), 1).as_ref());
        assert_eq!(first.parent.to_string(), TRACE);
        assert_eq!(first.context.trace_id, first.parent.trace_id);
        let second = created(Some(TRACE), 2).unwrap();
        assert_ne!(first.context.span_id, second.context.span_id);
    }

    #[test]
    fn what_is_not_recorded_has_no_span() {
        for traceparent in [None, Some("nothing"), Some(&*TRACE.replace("-01", "-00"))] {
            assert_eq!(created(traceparent, 1), None, "{traceparent:?}");
        }
    }
}
