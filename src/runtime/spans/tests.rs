use bytes::Bytes;
use tokio::sync::mpsc::Receiver;
use uuid::Uuid;

use super::*;
use crate::clock::{SystemClock, Timestamp};
use crate::context::Incoming;
use crate::envelope::Envelope;
use crate::ids::SystemIds;
use crate::store::{AggregateKey, RecordHash};

const ORDER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const RECEIPT: &str = "00-11111111111111111111111111111111-2222222222222222-01";
const SHARD: ShardId = ShardId(3);

fn tracer() -> (Tracer, Receiver<Span>) {
    Tracer::into_queue(Arc::new(SystemClock), Arc::new(SystemIds), 1.0)
}

fn all(mut queue: Receiver<Span>) -> Vec<Span> {
    std::iter::from_fn(|| queue.try_recv().ok()).collect()
}

fn named<'s>(spans: &'s [Span], name: &str) -> Vec<&'s Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

fn envelope(id: &str, traceparent: &str) -> Envelope {
    Envelope {
        traceparent: Some(traceparent.to_owned()),
        ..Envelope::command(id.to_owned(), "test.Message", "/test", "O1", Timestamp(1))
    }
}

fn record(envelope: &Envelope) -> Record {
    Record {
        key: Some(Bytes::from(envelope.subject.clone())),
        value: None,
        headers: envelope.to_headers(),
        timestamp: Timestamp(1),
    }
}

/// A message as the intake hands it over.
fn item(tracer: &Tracer, id: &str, traceparent: &str) -> Item<()> {
    let envelope = envelope(id, traceparent);
    let record = record(&envelope);
    let mut kind = Kind::Message {
        aggregate: AggregateKey {
            kind: "test".to_owned(),
            id: "O1".to_owned(),
        },
        incoming: Incoming {
            message: (),
            envelope,
            topic: "in".into(),
            offset: 7,
        },
    };
    let traced = receive(tracer, &record, &mut kind);
    Item {
        topic: "in".into(),
        offset: 7,
        hash: RecordHash([0; 16]),
        record,
        kind,
        traced,
    }
}

/// The trace context that what the message causes gets.
fn caused(item: &Item<()>) -> &str {
    match &item.kind {
        Kind::Message { incoming, .. } => incoming.envelope.traceparent.as_deref().unwrap(),
        Kind::Ignored | Kind::Unreadable(_) => unreachable!("these are messages"),
    }
}

fn created(parent: &str, causation_id: &str) -> Created {
    let parent: SpanContext = parent.parse().unwrap();
    Created {
        parent,
        context: parent.child(99),
        topic: "out",
        partition: 5,
        id: Uuid::from_u128(1),
        key: "O1".to_owned(),
        causation_id: causation_id.to_owned(),
    }
}

/// The spans of a turn that took `items` and ended so.
fn turn(
    (tracer, queue): (Tracer, Receiver<Span>),
    items: &[Item<()>],
    created: Vec<Created>,
    ended: Ended,
) -> Vec<Span> {
    let mut spans = TurnSpans::begin(&tracer).unwrap();
    spans.step("encode", Duration::from_micros(1));
    spans.decided(vec!["applied"; items.len()], created);
    spans.end(("/test", SHARD), items, ended);
    all(queue)
}

#[test]
fn what_a_message_causes_is_below_the_span_that_handles_it() {
    let (tracer, queue) = tracer();
    let item = item(&tracer, "m1", ORDER);
    let below = caused(&item).to_owned();
    assert_ne!(below, ORDER);
    let created = vec![created(&below, "m1")];
    let spans = turn((tracer, queue), &[item], created, Ended::Committed);

    let process = named(&spans, "process in")[0];
    assert_eq!(process.kind, trace::Kind::Consumer);
    assert_eq!(process.parent, Some(0x00f0_67aa_0ba9_02b7));
    assert_eq!(process.context.to_string(), below);
    for attribute in [
        ("messaging.message.id", "m1".into()),
        ("messaging.kafka.message.key", "O1".into()),
        ("messaging.kafka.offset", 7.into()),
        ("messaging.destination.partition.id", "3".into()),
        ("turn.outcome", "applied".into()),
    ] {
        assert!(process.attributes.contains(&attribute), "{attribute:?}");
    }
    let create = named(&spans, "create out")[0];
    assert_eq!(create.kind, trace::Kind::Producer);
    assert_eq!(create.parent, Some(process.context.span_id));
    assert!(create.links.is_empty());
    assert!(create.began >= process.began && create.ended == process.ended);
}

#[test]
fn a_turn_and_its_messages_are_linked_both_ways_and_its_steps_are_below_it() {
    let (tracer, queue) = tracer();
    let items = [item(&tracer, "m1", ORDER), item(&tracer, "m2", RECEIPT)];
    let spans = turn((tracer, queue), &items, Vec::new(), Ended::Committed);
    let turn = named(&spans, "turn /test")[0];
    assert_eq!((turn.parent, turn.kind), (None, trace::Kind::Internal));
    let processed = named(&spans, "process in");
    let contexts: Vec<_> = processed.iter().map(|span| span.context).collect();
    assert_eq!(turn.links, contexts);
    assert!(processed.iter().all(|span| span.links == [turn.context]));
    assert!(
        contexts
            .iter()
            .all(|of| of.trace_id != turn.context.trace_id)
    );
    let step = named(&spans, "encode")[0];
    assert_eq!(step.parent, Some(turn.context.span_id));
    let count = ("messaging.batch.message_count", 2.into());
    assert!(turn.attributes.contains(&count));
}

#[test]
fn an_event_of_a_trace_that_waited_is_linked_to_what_ended_the_wait() {
    let (tracer, queue) = tracer();
    let receipt = item(&tracer, "receipt", RECEIPT);
    let cause = caused(&receipt).to_owned();
    let created = vec![created(ORDER, "receipt"), created(&cause, "receipt")];
    let spans = turn((tracer, queue), &[receipt], created, Ended::Committed);
    let [served, told] = named(&spans, "create out")[..] else {
        panic!("two events")
    };
    assert_eq!(served.parent, Some(0x00f0_67aa_0ba9_02b7));
    let links: Vec<_> = served.links.iter().map(ToString::to_string).collect();
    assert_eq!(links, [cause]);
    assert!(told.links.is_empty(), "it is in the receipt's own trace");
}

#[test]
fn a_turn_takes_no_more_links_than_collectors_keep() {
    let (tracer, queue) = tracer();
    let item = |_| item(&tracer, "m1", ORDER);
    let items: Vec<_> = (0..TRACE_LINKS_MAX + 1).map(item).collect();
    let spans = turn(
        (tracer.clone(), queue),
        &items,
        Vec::new(),
        Ended::Committed,
    );
    assert_eq!(named(&spans, "turn /test")[0].links.len(), TRACE_LINKS_MAX);
    assert_eq!(named(&spans, "process in").len(), items.len());
}

#[test]
fn of_a_turn_that_is_repeated_the_messages_are_told_once() {
    let (tracer, queue) = tracer();
    let items = [item(&tracer, "m1", ORDER)];
    let failed = Ended::Failed("retry");
    let spans = turn((tracer, queue), &items, vec![created(ORDER, "m1")], failed);
    let turn = named(&spans, "turn /test")[0];
    assert_eq!(turn.error.as_deref(), Some("retry"));
    assert!(named(&spans, "process in").is_empty());
    assert!(named(&spans, "create out").is_empty());
}

#[test]
fn of_a_turn_that_may_be_committed_everything_is_told() {
    let (tracer, queue) = tracer();
    let items = [item(&tracer, "m1", ORDER)];
    let created = vec![created(ORDER, "m1")];
    let spans = turn((tracer, queue), &items, created, Ended::Unknown);
    let process = named(&spans, "process in")[0];
    assert_eq!(process.error.as_deref(), Some("unknown"));
    assert_eq!(named(&spans, "create out").len(), 1);
}

#[test]
fn a_message_whose_trace_is_not_recorded_stays_as_it_came() {
    let (tracer, queue) = tracer();
    let unsampled = ORDER.replace("-01", "-00");
    let ignored = item(&tracer, "m1", &unsampled);
    assert_eq!(caused(&ignored), unsampled);
    let spans = turn((tracer, queue), &[ignored], Vec::new(), Ended::Committed);
    assert!(spans.is_empty());
    let off = item(&Tracer::off(), "m1", ORDER);
    assert_eq!(caused(&off), ORDER);
    assert!(TurnSpans::begin(&Tracer::off()).is_none());
    assert!(Appending::begin(&Tracer::off()).is_none());
}

#[test]
fn each_publication_is_a_span_below_the_same_creation() {
    let (tracer, queue) = tracer();
    let unsampled = ORDER.replace("-01", "-00");
    let records = [ORDER, &unsampled, RECEIPT].map(|of| record(&envelope("e1", of)));
    let place = ("out", SHARD.0);
    let append = |outcome| {
        let appending = Appending::begin(&tracer).unwrap();
        appending.end(place, &records, outcome);
    };
    append(Err("ambiguous"));
    append(Ok(12));
    let spans = all(queue);
    let [_, failed, _, sent] = &spans[..] else {
        panic!("two of three records, twice: {spans:?}")
    };
    assert_eq!(
        (failed.parent, sent.parent),
        (Some(0x00f0_67aa_0ba9_02b7), failed.parent)
    );
    assert_ne!(failed.context.span_id, sent.context.span_id);
    assert_eq!(failed.error.as_deref(), Some("ambiguous"));
    assert_eq!(
        (sent.error.as_deref(), sent.kind),
        (None, trace::Kind::Client)
    );
    let offset = ("messaging.kafka.offset", 10.into());
    assert!(sent.attributes.contains(&offset), "two before the last");
}
