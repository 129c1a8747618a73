//! The subscriber's layer that makes lines of events.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::callsite::Identifier;
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::LogFormat;
use super::limiter::Limiter;
use super::line::{Fields, Line, Value};
use crate::clock::Clock;

/// What a line is about, for the limiter: an outage of one shard hides no line about another. Ids of
/// messages are not among them, as a client could make any number of those.
const THINGS: [&str; 6] = ["source", "shard", "topic", "partition", "part", "service"];

/// Writes one line per event to `sink`, with the fields of the spans around it.
///
/// What is told at info and above is limited by [`Limiter`]: debug and trace are asked for.
pub(super) struct Lines<W> {
    format: LogFormat,
    colours: bool,
    clock: Arc<dyn Clock>,
    limiter: Mutex<Limiter<(Identifier, u64)>>,
    sink: Mutex<W>,
}

impl<W: Write> Lines<W> {
    /// Lines for people get `colours` if asked.
    pub(super) fn new(format: LogFormat, colours: bool, clock: Arc<dyn Clock>, sink: W) -> Self {
        Self {
            format,
            colours,
            clock,
            limiter: Mutex::default(),
            sink: Mutex::new(sink),
        }
    }

    /// Whether the line may be told, and how many like it were not.
    fn admit(&self, event: &Event<'_>, fields: &Fields) -> Option<u64> {
        let metadata = event.metadata();
        if *metadata.level() > Level::INFO {
            return Some(0);
        }
        let mut thing = DefaultHasher::new();
        for name in THINGS {
            if let Some(Value::Plain(text) | Value::Text(text)) = fields.get(name) {
                (name, text).hash(&mut thing);
            }
        }
        let key = (metadata.callsite(), thing.finish());
        let mut limiter = self.limiter.lock().unwrap_or_else(PoisonError::into_inner);
        limiter.admit(key, self.clock.monotonic())
    }
}

impl<S, W> Layer<S> for Lines<W>
where
    S: Subscriber + for<'l> LookupSpan<'l>,
    W: Write + Send + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(outer) = span.extensions().get::<Fields>() {
                fields.inherit(outer);
            }
        }
        let Some(suppressed) = self.admit(event, &fields) else {
            return;
        };
        if suppressed > 0 {
            fields.count("suppressed", suppressed);
        }
        let line = Line {
            at: self.clock.now(),
            level: *event.metadata().level(),
            target: event.metadata().target(),
            fields,
        };
        let line = line.written(self.format, self.colours);
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody is left to tell that nobody reads.
        let _ = sink.write_all(line.as_bytes());
    }
}

#[cfg(test)]
pub(crate) mod tests;
