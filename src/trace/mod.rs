//! Traces: what happened to one order, as spans of every program that it went through.
//!
//! Spans follow OpenTelemetry's semantic conventions for messaging, Kafka and RPC, and leave as OTLP
//! over gRPC. They are built after the fact, with times from the Clock port, and put into a bounded
//! queue: a collector that is slow or away costs spans, which are counted, and never a turn. A
//! [`Tracer`] that is off holds nothing, reads no clock and draws no ids.
//!
//! | room | what is there |
//! |---|---|
//! | `context` | W3C trace context: parsed, written, sampled (pure) |
//! | `span` | what is recorded of a piece of work (pure) |
//! | `sending` | the span of a message on its way into the log |
//! | `otlp` | spans as OTLP's messages (pure) |
//! | `export` | the queue to the collector, and its end |

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::ids::Ids;
use crate::limits::TRACE_QUEUE_SPANS;

mod context;
mod export;
mod otlp;
mod sending;
mod span;

pub use context::{Malformed, SpanContext, TRACEPARENT, TRACESTATE};
pub(crate) use export::Collector;
pub use export::{Error, Tracing};
pub use sending::Sending;
pub use span::{Kind, Span, Value};

/// Records spans, or nothing if it is off. Clones share one queue.
#[derive(Clone, Default)]
pub struct Tracer(Option<Arc<Recorder>>);

/// A tracer that is on.
pub struct Recorder {
    queue: mpsc::Sender<Span>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    ratio: f64,
    dropped: metrics::Counter,
}

impl Tracer {
    /// Records nothing.
    #[must_use]
    pub fn off() -> Self {
        Self(None)
    }

    /// Records into the queue that is returned, [`TRACE_QUEUE_SPANS`] of them at most; of the traces
    /// begun here the share `ratio`.
    #[must_use]
    pub fn into_queue(
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
        ratio: f64,
    ) -> (Self, mpsc::Receiver<Span>) {
        let (queue, spans) = mpsc::channel(TRACE_QUEUE_SPANS);
        let recorder = Recorder {
            queue,
            clock,
            ids,
            ratio,
            dropped: export::dropped("queue_full"),
        };
        (Self(Some(Arc::new(recorder))), spans)
    }

    /// The recorder, if this is on.
    #[must_use]
    pub fn recorder(&self) -> Option<&Arc<Recorder>> {
        self.0.as_ref()
    }
}

impl std::fmt::Debug for Tracer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = if self.0.is_some() { "on" } else { "off" };
        write!(f, "Tracer({state})")
    }
}

impl Recorder {
    /// The time, for a span's beginning or end.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.clock.since_epoch()
    }

    /// A fresh span id.
    #[must_use]
    pub fn span_id(&self) -> u64 {
        self.ids.random()
    }

    /// The first span of a fresh trace, recorded with the chance that was set.
    #[must_use]
    pub fn root(&self) -> SpanContext {
        SpanContext::root(self.trace_id(), self.span_id(), self.ratio)
    }

    /// The first span of a fresh trace that is recorded in any case.
    #[must_use]
    pub fn sampled_root(&self) -> SpanContext {
        SpanContext::root(self.trace_id(), self.span_id(), 1.0)
    }

    fn trace_id(&self) -> u128 {
        (u128::from(self.ids.random()) << 64) | u128::from(self.ids.random())
    }

    /// Puts a span into the queue; one that finds no room is dropped and counted.
    pub fn record(&self, span: Span) {
        if self.queue.try_send(span).is_err() {
            self.dropped.increment(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::ids::SystemIds;

    fn tracer(ratio: f64) -> (Tracer, mpsc::Receiver<Span>) {
        Tracer::into_queue(Arc::new(SystemClock), Arc::new(SystemIds), ratio)
    }

    #[test]
    fn a_full_queue_costs_the_span_and_nobody_waits() {
        let (tracer, mut queue) = tracer(1.0);
        let recorder = tracer.recorder().unwrap();
        let root = recorder.root();
        let times = (recorder.now(), recorder.now());
        let span = Span::below(
            root,
            root.child(1),
            "work".to_owned(),
            Kind::Internal,
            times,
        );
        for _ in 0..TRACE_QUEUE_SPANS + 10 {
            recorder.record(span.clone());
        }
        let mut kept = 0;
        while queue.try_recv().is_ok() {
            kept += 1;
        }
        assert_eq!(kept, TRACE_QUEUE_SPANS);
    }

    #[test]
    fn ids_are_fresh_and_the_chance_is_the_one_that_was_set() {
        let (all, _queue) = tracer(1.0);
        let all = all.recorder().unwrap();
        let (one, other) = (all.root(), all.root());
        assert!(one.is_sampled() && other.is_sampled());
        assert_ne!(one.trace_id, other.trace_id);
        assert_ne!(one.span_id, other.span_id);
        let (none, _queue) = tracer(0.0);
        let none = none.recorder().unwrap();
        assert!(!none.root().is_sampled());
        assert!(none.sampled_root().is_sampled());
    }

    #[test]
    fn a_span_never_ends_before_it_begins() {
        let root = SpanContext::root(1, 1, 1.0);
        let times = (Duration::from_secs(5), Duration::from_secs(4));
        let span = Span::below(root, root.child(2), String::new(), Kind::Client, times);
        assert_eq!(span.ended, span.began);
    }
}
