//! Steps 4 to 7 of a turn as a pure function: deduplicate, set aside, decide, and turn the
//! outcome into effects. No IO: what it needs to know comes in, what must happen comes out.

use std::collections::{BTreeMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::codec;
use crate::context::{
    Cause, ContentHash, Context, Deduplication, Incoming, Outgoing, Recognised, Undecidable,
};
use crate::envelope::{Envelope, event_id};
use crate::limits::{APPEND_BYTES_MAX, APPEND_RECORDS_MAX};
use crate::log::{HeaderName, Record};
use crate::message::Writer;
use crate::mutant::{self, Mutant};
use crate::partitioner::partition_of;
use crate::runtime::item::{Item, Kind, Unreadable};
use crate::store::{
    AggregateKey, Conflict, CursorMove, Effects, InboxEntry, InboxKey, OutboxBatch, ParkReason,
    Parked, Seen,
};

mod replay;
mod traced;

pub(crate) use replay::replay;
pub(crate) use traced::Created;

/// How many messages a turn handled, by outcome; counted once the turn is committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) applied: u64,
    pub(crate) duplicate: u64,
    pub(crate) conflict: u64,
    pub(crate) ignored: u64,
    pub(crate) parked: u64,
}

/// What is asked of the library's tables about a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Questions {
    /// Inbox keys, sorted (the lock order).
    pub(crate) inbox: Vec<InboxKey>,
    /// Aggregates, sorted.
    pub(crate) aggregates: Vec<AggregateKey>,
}

/// The fixed surroundings of a decision.
pub(crate) struct Scene<'a, C: Context> {
    pub(crate) context: &'a C,
    pub(crate) writer: &'a Writer,
    pub(crate) partitions: i32,
    pub(crate) now: Timestamp,
    /// The committed cursors: the offsets that this batch starts from, by topic.
    pub(crate) cursors: &'a BTreeMap<Arc<str>, i64>,
    /// Whether the turn is told of in traces.
    pub(crate) traced: bool,
}

/// A batch that contains a message which cannot be decided, or whose outcome cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("{topic} offset {offset}: {detail}")]
pub(crate) struct Refused {
    pub(crate) topic: String,
    pub(crate) offset: i64,
    pub(crate) detail: String,
}

/// What the library's tables must be asked before `items` are decided.
pub(crate) fn questions<C: Context>(context: &C, items: &[Item<C::Message>]) -> Questions {
    let mut questions = Questions::default();
    for item in items {
        match &item.kind {
            Kind::Message {
                aggregate,
                incoming,
            } => {
                questions.aggregates.push(aggregate.clone());
                if let Deduplication::Inbox(_) = context.deduplication(&incoming.message) {
                    questions
                        .inbox
                        .push(inbox_key(aggregate, &incoming.envelope));
                }
            }
            Kind::Ignored | Kind::Unreadable(_) => {}
        }
    }
    questions.inbox.sort_unstable();
    questions.inbox.dedup();
    questions.aggregates.sort_unstable();
    questions.aggregates.dedup();
    questions
}

/// The messages whose state is needed: all but those of parked aggregates.
pub(crate) fn concerned<'i, M>(items: &'i [Item<M>], seen: &Seen) -> Vec<&'i M> {
    items
        .iter()
        .filter_map(|item| match &item.kind {
            Kind::Message {
                aggregate,
                incoming,
            } if !seen.parked.contains(aggregate) => Some(&incoming.message),
            _ => None,
        })
        .collect()
}

/// What a batch came to.
#[derive(Debug)]
pub(crate) struct Decided<E> {
    /// To commit beside the state; the outbox is still empty.
    pub(crate) effects: Effects,
    /// Events to publish.
    pub(crate) outgoing: Vec<Outgoing<E>>,
    /// Messages by outcome.
    pub(crate) tally: Tally,
    /// The same one by one, only for a turn that traces tell of.
    pub(crate) told: Vec<&'static str>,
}

/// Decides `items` in order over `state`; `seen` grows with what this batch itself adds.
///
/// `state` is `None` only if no item is a message to decide.
pub(crate) fn decide<C: Context>(
    scene: &Scene<'_, C>,
    items: &[Item<C::Message>],
    seen: &mut Seen,
    mut state: Option<&mut C::State>,
) -> Result<Decided<C::Event>, Refused> {
    let mut decided = Decided::of(Effects {
        cursors: cursor_moves(items, scene.cursors),
        ..Effects::default()
    });
    for item in items {
        let verdict = judge(scene.context, item, seen, state.as_deref_mut())
            .map_err(|error| refused(item, &error.to_string()))?;
        decided.record(scene, item, verdict, seen);
    }
    Ok(decided)
}

/// What happens to one item.
enum Verdict<E> {
    Ignored,
    Duplicate,
    Conflict(InboxKey),
    Park(Unreadable),
    Applied {
        events: Vec<Outgoing<E>>,
        inbox: Option<Remembered>,
    },
}

impl<E> Verdict<E> {
    /// Its name in traces, as in metrics.
    fn label(&self) -> &'static str {
        match self {
            Self::Ignored => "ignored",
            Self::Duplicate => "duplicate",
            Self::Conflict(_) => "conflict",
            Self::Park(_) => "parked",
            Self::Applied { .. } => "applied",
        }
    }
}

/// What the inbox keeps of a message.
struct Remembered {
    key: InboxKey,
    content: ContentHash,
    lasting: bool,
}

/// What is to happen to one item.
fn judge<C: Context>(
    context: &C,
    item: &Item<C::Message>,
    seen: &Seen,
    state: Option<&mut C::State>,
) -> Result<Verdict<C::Event>, Undecidable> {
    let (aggregate, incoming) = match &item.kind {
        Kind::Ignored => return Ok(Verdict::Ignored),
        Kind::Unreadable(unreadable) => return Ok(Verdict::Park(unreadable.clone())),
        Kind::Message {
            aggregate,
            incoming,
        } => (aggregate, incoming),
    };
    if seen.parked.contains(aggregate) {
        return Ok(Verdict::Park(behind(aggregate)));
    }
    let state = state.ok_or_else(|| Undecidable("no state was loaded for it".to_owned()))?;
    let key = inbox_key(aggregate, &incoming.envelope);
    // A panic in a decision is a defect met by one message: that message is parked, the shard
    // lives. The half-changed state is thrown away with the transaction.
    catch_unwind(AssertUnwindSafe(|| {
        decide_one(context, key, incoming, seen, state)
    }))
    .unwrap_or_else(|_| Err(Undecidable("the decision panicked".to_owned())))
}

/// Deduplicates and decides one message.
fn decide_one<C: Context>(
    context: &C,
    key: InboxKey,
    incoming: &Incoming<C::Message>,
    seen: &Seen,
    state: &mut C::State,
) -> Result<Verdict<C::Event>, Undecidable> {
    let inbox = match context.deduplication(&incoming.message) {
        Deduplication::Inbox(content) => match seen.inbox.get(&key) {
            Some(_) if mutant::on(Mutant::NoDeduplication) => Some((key, content)),
            Some(applied) if *applied == content => return Ok(Verdict::Duplicate),
            Some(_) => return Ok(Verdict::Conflict(key)),
            None => Some((key, content)),
        },
        _ if mutant::on(Mutant::NoDeduplication) => None,
        Deduplication::Version if mutant::on(Mutant::NoVersionCheck) => None,
        Deduplication::Version | Deduplication::BusinessKey => {
            match context.recognise(state, incoming) {
                Recognised::New => None,
                Recognised::Duplicate => return Ok(Verdict::Duplicate),
                Recognised::Conflict => return Ok(Verdict::Conflict(key)),
            }
        }
    };
    let events = context.decide(state, incoming)?;
    let inbox = inbox.map(|(key, content)| Remembered {
        key,
        content,
        lasting: context.lasting(state, incoming),
    });
    Ok(Verdict::Applied { events, inbox })
}

impl<E> Decided<E> {
    /// Nothing decided yet, and `effects` to commit.
    pub(crate) fn of(effects: Effects) -> Self {
        Self {
            effects,
            outgoing: Vec::new(),
            tally: Tally::default(),
            told: Vec::new(),
        }
    }

    /// Adds one verdict to what the turn commits.
    fn record<C: Context>(
        &mut self,
        scene: &Scene<'_, C>,
        item: &Item<C::Message>,
        verdict: Verdict<E>,
        seen: &mut Seen,
    ) {
        let now = scene.now;
        if scene.traced {
            self.told.push(verdict.label());
        }
        let (effects, tally) = (&mut self.effects, &mut self.tally);
        match verdict {
            Verdict::Ignored => tally.ignored += 1,
            Verdict::Duplicate => tally.duplicate += 1,
            Verdict::Conflict(key) => {
                tally.conflict += 1;
                effects.conflicts.push(conflict(item, key, now));
            }
            Verdict::Park(unreadable) => {
                tally.parked += 1;
                seen.parked.extend(unreadable.aggregate.clone());
                effects.parked.push(parked(item, unreadable, now));
            }
            Verdict::Applied { events, inbox } => {
                tally.applied += 1;
                self.outgoing.extend(events);
                if let Some(Remembered {
                    key,
                    content,
                    lasting,
                }) = inbox
                {
                    seen.inbox.insert(key.clone(), content);
                    effects.inbox.push(InboxEntry {
                        key,
                        content,
                        at: now,
                        lasting,
                    });
                }
            }
        }
    }
}

fn conflict<M>(item: &Item<M>, key: InboxKey, at: Timestamp) -> Conflict {
    Conflict {
        topic: item.topic.to_string(),
        offset: item.offset,
        key,
        record: item.record.clone(),
        at,
    }
}

fn parked<M>(item: &Item<M>, unreadable: Unreadable, at: Timestamp) -> Parked {
    Parked {
        topic: item.topic.to_string(),
        offset: item.offset,
        aggregate: unreadable.aggregate,
        reason: unreadable.reason,
        detail: unreadable.detail,
        record: item.record.clone(),
        at,
    }
}

/// Encodes events into outbox batches: per output partition and topic, below the append limits. Those
/// whose flow is recorded are added to `created`, if traces tell of the turn.
pub(crate) fn outbox<C: Context>(
    scene: &Scene<'_, C>,
    outgoing: &[Outgoing<C::Event>],
    created: &mut Vec<Created>,
) -> Result<Vec<OutboxBatch>, codec::Error> {
    let mut by_home: BTreeMap<(i32, &'static str), Vec<Vec<Record>>> = BTreeMap::new();
    let mut sizes: BTreeMap<(i32, &'static str), usize> = BTreeMap::new();
    for event in outgoing {
        let encoded = scene.context.encode(scene.writer, &event.event)?;
        let home = (
            partition_of(encoded.key.as_bytes(), scene.partitions),
            encoded.topic,
        );
        let record = Record {
            headers: headers(scene, &encoded, home.0, &event.cause, created),
            key: Some(Bytes::from(encoded.key.into_bytes())),
            value: Some(encoded.value),
            timestamp: scene.now,
        };
        let size = sizes.entry(home).or_default();
        let batches = by_home.entry(home).or_default();
        let fits = |batch: &Vec<Record>| {
            batch.len() < APPEND_RECORDS_MAX && *size + record.size() <= APPEND_BYTES_MAX
        };
        match batches.last_mut().filter(|batch| fits(batch)) {
            Some(batch) => {
                *size += record.size();
                batch.push(record);
            }
            None => {
                *size = record.size();
                batches.push(vec![record]);
            }
        }
    }
    let rows = by_home
        .into_iter()
        .flat_map(|((partition, topic), batches)| {
            batches.into_iter().map(move |records| OutboxBatch {
                topic: topic.to_owned(),
                partition,
                records,
            })
        });
    Ok(rows.collect())
}

/// Metadata of an event.
fn headers<C: Context>(
    scene: &Scene<'_, C>,
    encoded: &crate::message::Encoded,
    partition: i32,
    cause: &Cause,
    created: &mut Vec<Created>,
) -> Vec<(HeaderName, Bytes)> {
    let source = scene.context.source();
    let id = event_id(source, encoded.aggregate, &encoded.key, encoded.version);
    let span = match scene.traced {
        true => Created::of(cause, encoded, partition, id),
        false => None,
    };
    let own = span.as_ref().map(|span| span.context.to_string());
    created.extend(span);
    Envelope {
        causation_id: Some(cause.causation_id.clone()),
        correlation_id: Some(cause.correlation_id.clone()),
        traceparent: own.or_else(|| cause.traceparent.clone()),
        ..Envelope::command(
            id.to_string(),
            encoded.message_type,
            source,
            &encoded.key,
            scene.now,
        )
    }
    .to_headers()
}

/// One step per topic, from the batch's first record to behind its last.
///
/// A step starts at the committed cursor, which lies below the first record where offsets have gaps.
fn cursor_moves<M>(items: &[Item<M>], cursors: &BTreeMap<Arc<str>, i64>) -> Vec<CursorMove> {
    let mut moves: BTreeMap<&str, CursorMove> = BTreeMap::new();
    for item in items {
        let step = moves.entry(&item.topic).or_insert_with(|| CursorMove {
            topic: item.topic.to_string(),
            from: cursors.get(&item.topic).copied().unwrap_or(item.offset),
            to: item.offset,
            last_hash: item.hash,
        });
        step.to = item.offset + 1;
        step.last_hash = item.hash;
    }
    moves.into_values().collect()
}

/// The keys of the messages, for those who wait for a commit.
pub(crate) fn keys<M>(items: &[Item<M>]) -> impl Iterator<Item = &str> {
    let unique: HashSet<&str> = items
        .iter()
        .filter_map(|item| match &item.kind {
            Kind::Message { aggregate, .. } => Some(aggregate.id.as_str()),
            _ => None,
        })
        .collect();
    unique.into_iter()
}

fn inbox_key(aggregate: &AggregateKey, envelope: &Envelope) -> InboxKey {
    InboxKey {
        message_type: envelope.message_type.clone(),
        key: aggregate.id.clone(),
        id: envelope.id.clone(),
    }
}

fn behind(aggregate: &AggregateKey) -> Unreadable {
    Unreadable {
        aggregate: Some(aggregate.clone()),
        reason: ParkReason::Behind,
        detail: "an earlier message of the same aggregate is parked".to_owned(),
    }
}

fn refused<M>(item: &Item<M>, detail: &str) -> Refused {
    Refused {
        topic: item.topic.to_string(),
        offset: item.offset,
        detail: detail.to_owned(),
    }
}

#[cfg(test)]
mod tests;
