//! The spans of a message's way through a context, and of the turns that take it.
//!
//! | span | parent | from, to |
//! |---|---|---|
//! | `process TOPIC` | the message's creation context | its turn's beginning, the commit |
//! | `create TOPIC` | the `process` span of the order's message | the encoding, the commit |
//! | `send TOPIC` | the event's `create` span | an append, its outcome |
//! | `turn SOURCE` | none: a trace of its own, linked to the messages | the turn |
//!
//! A turn may fail and be repeated. Each try has a `turn` span; its messages are told of once they are
//! committed, or may be.

use std::sync::Arc;
use std::time::Duration;

use crate::envelope::{self, ID};
use crate::limits::TRACE_LINKS_MAX;
use crate::log::Record;
use crate::runtime::decide::Created;
use crate::runtime::item::{Item, Kind};
use crate::shard::ShardId;
use crate::trace::{self, Recorder, Span, SpanContext, TRACEPARENT, Tracer};

/// A message whose trace is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Traced {
    /// Where it was created.
    parent: SpanContext,
    /// The span that tells how it was handled here.
    context: SpanContext,
}

/// Takes a message into its trace, if that is recorded: what it causes is below this span.
pub(crate) fn receive<M>(
    tracer: &Tracer,
    record: &Record,
    kind: &mut Kind<M>,
) -> Option<Box<Traced>> {
    let recorder = tracer.recorder()?;
    let parent = context_of(record)?;
    let context = parent.child(recorder.span_id());
    if let Kind::Message { incoming, .. } = kind {
        incoming.envelope.traceparent = Some(context.to_string());
    }
    Some(Box::new(Traced { parent, context }))
}

/// The creation context of a record, if its trace is recorded.
fn context_of(record: &Record) -> Option<SpanContext> {
    let text = envelope::text_of(&record.headers, TRACEPARENT)?;
    let context: SpanContext = text.parse().ok()?;
    context.is_sampled().then_some(context)
}

/// How a turn has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It is committed.
    Committed,
    /// It may be.
    Unknown,
    /// It is not, for this kind of reason.
    Failed(&'static str),
}

/// What one turn will tell.
pub(crate) struct TurnSpans {
    recorder: Arc<Recorder>,
    context: SpanContext,
    began: Duration,
    /// Names of steps, with their beginnings and ends.
    steps: Vec<(&'static str, (Duration, Duration))>,
    /// What became of the first messages, one after the other.
    outcomes: Vec<&'static str>,
    created: Vec<Created>,
}

impl TurnSpans {
    /// A turn begins; nothing if tracing is off.
    pub(crate) fn begin(tracer: &Tracer) -> Option<Box<Self>> {
        let recorder = tracer.recorder()?;
        Some(Box::new(Self {
            recorder: Arc::clone(recorder),
            context: recorder.sampled_root(),
            began: recorder.now(),
            steps: Vec::new(),
            outcomes: Vec::new(),
            created: Vec::new(),
        }))
    }

    /// A step has ended that took so long.
    pub(crate) fn step(&mut self, name: &'static str, took: Duration) {
        let now = self.recorder.now();
        // How long it took was measured by another clock.
        let began = now.saturating_sub(took).max(self.began);
        self.steps.push((name, (began, now)));
    }

    /// What the turn comes to.
    pub(crate) fn decided(&mut self, outcomes: Vec<&'static str>, created: Vec<Created>) {
        self.outcomes = outcomes;
        self.created = created;
    }

    /// The turn has ended. One that had nothing to do with a recorded trace is not told of.
    pub(crate) fn end<M>(self, (source, shard): (&str, ShardId), items: &[Item<M>], ended: Ended) {
        let now = self.recorder.now();
        if items.iter().all(|item| item.traced.is_none()) && self.created.is_empty() {
            return;
        }
        self.tell_turn((source, shard), items, ended, now);
        if let Ended::Failed(_) = ended {
            return;
        }
        for (item, outcome) in items.iter().zip(self.outcomes.iter().copied()) {
            if let Some(traced) = &item.traced {
                self.tell_processed(item, **traced, outcome, (shard, ended), now);
            }
        }
        for created in &self.created {
            self.tell_created(created, items, now);
        }
    }

    fn tell_turn<M>(
        &self,
        (source, shard): (&str, ShardId),
        items: &[Item<M>],
        ended: Ended,
        now: Duration,
    ) {
        let times = (self.began, now);
        let name = format!("turn {source}");
        let mut turn = Span {
            parent: None,
            ..Span::below(
                self.context,
                self.context,
                name,
                trace::Kind::Internal,
                times,
            )
        };
        let count = i64::try_from(items.len()).unwrap_or(i64::MAX);
        turn.attributes.extend([
            ("messaging.batch.message_count", count.into()),
            ("turn.shard", i64::from(shard.0).into()),
        ]);
        let traced = items.iter().filter_map(|item| item.traced.as_deref());
        let links = traced.map(|traced| traced.context);
        turn.links.extend(links.take(TRACE_LINKS_MAX));
        turn.error = error_of(ended);
        self.recorder.record(turn);
        for (name, times) in &self.steps {
            let step = self.context.child(self.recorder.span_id());
            let (name, kind) = ((*name).to_owned(), trace::Kind::Internal);
            self.recorder
                .record(Span::below(self.context, step, name, kind, *times));
        }
    }

    fn tell_processed<M>(
        &self,
        item: &Item<M>,
        traced: Traced,
        outcome: &'static str,
        (shard, ended): (ShardId, Ended),
        now: Duration,
    ) {
        let Traced { parent, context } = traced;
        let name = format!("process {}", item.topic);
        let times = (self.began, now);
        let mut span = Span::below(parent, context, name, trace::Kind::Consumer, times);
        span.about("process", &item.topic, shard.0);
        span.attributes
            .push(("messaging.kafka.offset", item.offset.into()));
        span.attributes.push(("turn.outcome", outcome.into()));
        name_message(&mut span, &item.record);
        span.links.push(self.context);
        span.error = error_of(ended);
        self.recorder.record(span);
    }

    fn tell_created<M>(&self, created: &Created, items: &[Item<M>], now: Duration) {
        let encoding = self.steps.iter().rev().find(|(name, _)| *name == "encode");
        let began = encoding.map_or(self.began, |(_, (began, _))| *began);
        let (parent, context) = (created.parent, created.context);
        let name = format!("create {}", created.topic);
        let mut span = Span::below(parent, context, name, trace::Kind::Producer, (began, now));
        span.about("create", created.topic, created.partition);
        span.attributes.extend([
            ("messaging.message.id", created.id.to_string().into()),
            ("messaging.kafka.message.key", created.key.clone().into()),
        ]);
        span.links.extend(cause_elsewhere(created, items));
        self.recorder.record(span);
    }
}

fn error_of(ended: Ended) -> Option<std::borrow::Cow<'static, str>> {
    match ended {
        Ended::Committed => None,
        Ended::Unknown => Some("unknown".into()),
        Ended::Failed(kind) => Some(kind.into()),
    }
}

/// The span of the message of this turn that caused an event of another message's trace: goods that came
/// for an order that waited.
fn cause_elsewhere<M>(created: &Created, items: &[Item<M>]) -> Option<SpanContext> {
    let mut traced = items
        .iter()
        .filter_map(|item| Some((item, item.traced.as_ref()?.context)));
    if traced.clone().any(|(_, context)| context == created.parent) {
        return None;
    }
    let is_cause = |item: &Item<M>| match &item.kind {
        Kind::Message { incoming, .. } => incoming.envelope.id == created.causation_id,
        Kind::Ignored | Kind::Unreadable(_) => false,
    };
    let cause = traced.find(|(item, _)| is_cause(item));
    cause.map(|(_, context)| context)
}

/// What a record says of its message.
fn name_message(span: &mut Span, record: &Record) {
    let id = envelope::text_of(&record.headers, ID).map(str::to_owned);
    span.attributes
        .extend(id.map(|id| ("messaging.message.id", id.into())));
    let key = record.key.as_deref().map(String::from_utf8_lossy);
    let key = key.map(|key| ("messaging.kafka.message.key", key.into_owned().into()));
    span.attributes.extend(key);
}

/// An append of outbox rows, at its beginning.
pub(crate) struct Appending<'a> {
    recorder: &'a Recorder,
    began: Duration,
}

impl<'a> Appending<'a> {
    /// An append begins; nothing if tracing is off.
    pub(crate) fn begin(tracer: &'a Tracer) -> Option<Self> {
        let recorder = tracer.recorder()?;
        Some(Self {
            recorder,
            began: recorder.now(),
        })
    }

    /// It has ended: with the offset of the last record, or a kind of failure.
    pub(crate) fn end(
        self,
        (topic, partition): (&str, i32),
        records: &[Record],
        outcome: Result<i64, &'static str>,
    ) {
        let now = self.recorder.now();
        for (behind, record) in records.iter().rev().enumerate() {
            let Some(parent) = context_of(record) else {
                continue;
            };
            let context = parent.child(self.recorder.span_id());
            let (name, times) = (format!("send {topic}"), (self.began, now));
            let mut span = Span::below(parent, context, name, trace::Kind::Client, times);
            span.about("send", topic, partition);
            name_message(&mut span, record);
            match outcome {
                // The offsets of one append are contiguous: counted back from the last.
                Ok(last) => {
                    let behind = i64::try_from(behind).unwrap_or(i64::MAX);
                    span.attributes
                        .push(("messaging.kafka.offset", last.saturating_sub(behind).into()));
                }
                Err(kind) => span.error = Some(kind.into()),
            }
            self.recorder.record(span);
        }
    }
}

#[cfg(test)]
mod tests;
