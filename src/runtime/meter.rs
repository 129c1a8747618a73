//! What a shard tells of its turns. Its handles are looked up once: a lookup costs more than a count.

use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use crate::clock::Clock;
use crate::context::Context;
use crate::envelope::type_of;
use crate::runtime::decide::Tally;
use crate::runtime::spans::TurnSpans;
use crate::shard::ShardId;
use crate::store::{ErrorKind, OutboxRow};

/// A part of a turn that takes time. Of a turn that fails those are recorded that were done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A fetch for records that are there; one that waits for records measures nobody's work.
    Read,
    /// From a record to a message, the registry included.
    Decode,
    /// Waiting for a slot among the turns that the database is good for.
    Wait,
    /// Beginning the transaction, with the proof of ownership.
    Begin,
    /// What the library's tables know of the messages.
    Look,
    /// Loading the context's state.
    Load,
    /// Deciding the messages.
    Decide,
    /// Loading and deciding what follows from earlier changes.
    FollowUp,
    /// Encoding the events.
    Encode,
    /// Saving everything, and the commit.
    Commit,
}

impl Step {
    const ALL: [Self; 10] = [
        Self::Read,
        Self::Decode,
        Self::Wait,
        Self::Begin,
        Self::Look,
        Self::Load,
        Self::Decide,
        Self::FollowUp,
        Self::Encode,
        Self::Commit,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Decode => "decode",
            Self::Wait => "wait",
            Self::Begin => "begin",
            Self::Look => "look",
            Self::Load => "load",
            Self::Decide => "decide",
            Self::FollowUp => "follow_up",
            Self::Encode => "encode",
            Self::Commit => "commit",
        }
    }
}

/// Measures the steps of one context's turns, by the clock of its process.
#[derive(Clone)]
pub(crate) struct Steps {
    clock: Arc<dyn Clock>,
    taken: [Histogram; Step::ALL.len()],
}

impl Steps {
    pub(crate) fn of(source: &'static str, clock: &Arc<dyn Clock>) -> Self {
        let taken = Step::ALL.map(
            |step| histogram!("turn_step_seconds", "source" => source, "step" => step.label()),
        );
        Self {
            clock: Arc::clone(clock),
            taken,
        }
    }

    /// A step begins.
    pub(crate) fn begin(&self) -> Duration {
        self.clock.monotonic()
    }

    /// A step that began then has ended; the next one begins.
    pub(crate) fn end(&self, step: Step, began: Duration) -> Duration {
        let now = self.clock.monotonic();
        self.taken[step as usize].record(now.saturating_sub(began));
        now
    }

    /// As [`Steps::end`], of a step that the turn's spans tell of.
    pub(crate) fn lap(
        &self,
        spans: &mut Option<Box<TurnSpans>>,
        step: Step,
        began: Duration,
    ) -> Duration {
        let now = self.end(step, began);
        if let Some(spans) = spans {
            spans.step(step.label(), now.saturating_sub(began));
        }
        now
    }
}

/// Messages by what became of them.
struct Outcomes {
    applied: Counter,
    duplicate: Counter,
    conflict: Counter,
    ignored: Counter,
    parked: Counter,
}

impl Outcomes {
    fn of(outcome: impl Fn(&'static str) -> Counter) -> Self {
        Self {
            applied: outcome("applied"),
            duplicate: outcome("duplicate"),
            conflict: outcome("conflict"),
            ignored: outcome("ignored"),
            parked: outcome("parked"),
        }
    }

    fn add(&self, tally: Tally) {
        self.applied.increment(tally.applied);
        self.duplicate.increment(tally.duplicate);
        self.conflict.increment(tally.conflict);
        self.ignored.increment(tally.ignored);
        self.parked.increment(tally.parked);
    }
}

/// One shard's counters.
pub(crate) struct Meter {
    /// How long the steps take.
    pub(crate) steps: Steps,
    turns: Counter,
    messages_per_turn: Histogram,
    messages: Outcomes,
    replayed: Outcomes,
    events: Vec<(&'static str, Counter)>,
    failures: [(ErrorKind, Counter); ErrorKind::ALL.len()],
}

impl Meter {
    pub(crate) fn of<C: Context>(context: &C, shard: ShardId, clock: &Arc<dyn Clock>) -> Self {
        let source = context.source();
        let shard = shard.to_string();
        let messages = |outcome| {
            counter!("messages_total", "source" => source, "shard" => shard.clone(),
                "outcome" => outcome)
        };
        let replayed = |outcome| {
            counter!("replayed_messages_total", "source" => source, "shard" => shard.clone(),
                "outcome" => outcome)
        };
        let event =
            |message_type| counter!("events_total", "source" => source, "type" => message_type);
        let failures = |kind: ErrorKind| counter!("turn_failures_total", "source" => source, "kind" => kind.label());
        let writes = context.writes().iter();
        Self {
            steps: Steps::of(source, clock),
            turns: counter!("turns_total", "source" => source, "shard" => shard.clone()),
            messages_per_turn: histogram!("turn_messages", "source" => source),
            messages: Outcomes::of(messages),
            replayed: Outcomes::of(replayed),
            events: writes
                .map(|write| (write.message_type, event(write.message_type)))
                .collect(),
            failures: ErrorKind::ALL.map(|kind| (kind, failures(kind))),
        }
    }

    /// A turn about `messages` records of the log is known to have committed.
    pub(crate) fn committed(&self, messages: usize, tally: Tally) {
        self.turns.increment(1);
        self.messages.add(tally);
        if messages > 0 {
            #[expect(clippy::cast_precision_loss, reason = "a batch is bounded")]
            self.messages_per_turn.record(messages as f64);
        }
    }

    /// A turn that replayed parked messages is known to have committed.
    pub(crate) fn replayed(&self, tally: Tally) {
        self.turns.increment(1);
        self.replayed.add(tally);
    }

    /// Rows that are known to be committed hold these events.
    pub(crate) fn written(&self, rows: &[OutboxRow]) {
        for record in rows.iter().flat_map(|row| &row.batch.records) {
            let written = type_of(&record.headers);
            let event = self
                .events
                .iter()
                .find(|(message_type, _)| written == Some(message_type.as_bytes()));
            if let Some((_, counter)) = event {
                counter.increment(1);
            }
        }
    }

    /// A turn has failed.
    pub(crate) fn failed(&self, kind: ErrorKind) {
        for (_, counter) in self.failures.iter().filter(|(known, _)| *known == kind) {
            counter.increment(1);
        }
    }
}

/// How far a shard is behind in one topic.
pub(crate) struct Lag {
    records: Gauge,
    seconds: Gauge,
}

impl Lag {
    pub(crate) fn of(source: &'static str, shard: ShardId, topic: &str) -> Self {
        let labels = [
            ("source", source.to_owned()),
            ("topic", topic.to_owned()),
            ("shard", shard.to_string()),
        ];
        Self {
            records: gauge!("consumer_lag_records", &labels),
            seconds: gauge!("consumer_lag_seconds", &labels),
        }
    }

    /// So many records are unread, the oldest of this age.
    pub(crate) fn set(&self, records: i64, age: Duration) {
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        self.records.set(records as f64);
        self.grow_old(age);
    }

    /// The record being handled has reached this age.
    pub(crate) fn grow_old(&self, age: Duration) {
        self.seconds.set(age.as_secs_f64());
    }
}
