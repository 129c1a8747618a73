//! One shard's turns on a database: Order takes new orders, as the runtime has it do.

use bytes::Bytes;
use contracts::order::OrderEvent;
use contracts::{source, topics};
use messaging::context::{Context, Incoming, Outgoing};
use messaging::envelope::{Envelope, event_id};
use messaging::limits::APPEND_RECORDS_MAX;
use messaging::log::Record;
use messaging::message::{Binding, Writer};
use messaging::registry::memory::MemoryRegistry;
use messaging::shard::{Epoch, ShardId};
use messaging::store::{
    AggregateKey, CursorMove, Effects, OutboxBatch, Published, RecordHash, Store, Turn,
};
use order::context::{Loaded, OrderContext, State};
use order::domain::{Entry, Message};

use super::inputs::{AT, incoming, order_id, place_order};

const SHARD: ShardId = ShardId(0);
const EPOCH: Epoch = Epoch(1);

/// The owner of a shard.
pub(crate) struct Owner<S> {
    store: S,
    writer: Writer,
    /// The number of the next order, and its offset.
    next: u64,
    published: Option<Published>,
}

/// The messages of one turn, and what is written of them.
pub(crate) struct Batch {
    messages: Vec<Incoming<Message>>,
    aggregates: Vec<AggregateKey>,
    effects: Effects,
}

impl<S: Store<OrderContext>> Owner<S> {
    /// Takes the only shard of an empty database.
    pub(crate) async fn claim(store: S) -> Self {
        store
            .agree_on_partitions(1)
            .await
            .expect("a new database agrees");
        store.claim(SHARD, EPOCH).await.expect("nobody has it");
        let writes = OrderContext::default().writes();
        let writer = Writer::bind(&MemoryRegistry::new(), writes, Binding::Register).await;
        Self {
            store,
            writer: writer.expect("the registry takes our schemas"),
            next: 0,
            published: None,
        }
    }

    /// The next so many orders, with their events encoded.
    pub(crate) fn batch(&mut self, orders: u64) -> Batch {
        let from = self.next;
        self.next += orders;
        let messages: Vec<_> = (from..self.next)
            .map(|number| {
                incoming(number, place_order(number), |place| {
                    Message::Command(place.into())
                })
            })
            .collect();
        let mut state = State::default();
        for number in from..self.next {
            state.insert(order_id(number), Loaded::Nothing, Entry::Unknown);
        }
        let records = decide(&mut state, &messages);
        let records: Vec<Record> = records.iter().map(|event| self.record(event)).collect();
        let rows = records
            .chunks(APPEND_RECORDS_MAX)
            .map(|records| OutboxBatch {
                topic: topics::ORDER_EVENTS.to_owned(),
                partition: SHARD.0,
                records: records.to_vec(),
            });
        let offset = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let step = CursorMove {
            topic: topics::ORDER_COMMANDS.to_owned(),
            from: offset(from),
            to: offset(self.next),
            last_hash: RecordHash([7; 16]),
        };
        Batch {
            aggregates: (from..self.next)
                .map(|number| AggregateKey {
                    kind: "order".to_owned(),
                    id: order_id(number),
                })
                .collect(),
            messages,
            effects: Effects {
                outbox: rows.collect(),
                cursors: vec![step],
                ..Effects::default()
            },
        }
    }

    fn record(&self, outgoing: &Outgoing<OrderEvent>) -> Record {
        let encoded = OrderContext::default().encode(&self.writer, &outgoing.event);
        let encoded = encoded.expect("the event fits its schema");
        let id = event_id(
            source::ORDER,
            encoded.aggregate,
            &encoded.key,
            encoded.version,
        );
        let envelope = Envelope {
            causation_id: Some(outgoing.cause.causation_id.clone()),
            correlation_id: Some(outgoing.cause.correlation_id.clone()),
            ..Envelope::command(
                id.to_string(),
                encoded.message_type,
                source::ORDER,
                &encoded.key,
                AT,
            )
        };
        Record {
            headers: envelope.to_headers(),
            key: Some(Bytes::from(encoded.key.into_bytes())),
            value: Some(encoded.value),
            timestamp: AT,
        }
    }

    /// One turn, from begin to commit. What the turn before has written counts as published.
    pub(crate) async fn turn(&mut self, batch: Batch) {
        let Batch {
            messages,
            aggregates,
            mut effects,
        } = batch;
        let mut turn = self.store.begin(SHARD, EPOCH).await.expect("it is ours");
        let seen = turn.seen(&[], &aggregates).await.expect("the turn is open");
        assert!(seen.parked.is_empty(), "nothing is parked");
        let concerned: Vec<&Message> = messages.iter().map(|message| &message.message).collect();
        let mut state = turn.load(&concerned).await.expect("the turn is open");
        let events = decide(&mut state, &messages);
        assert_eq!(events.len(), messages.len(), "every order is new");
        effects.published.extend(self.published.take());
        let committed = turn.commit(Some(&state), effects).await;
        let rows = committed.expect("the database takes it");
        self.published = rows.last().map(|row| Published {
            partition: SHARD.0,
            up_to: row.sequence,
            offsets: vec![(topics::ORDER_EVENTS.to_owned(), row.sequence.0)],
        });
    }
}

fn decide(state: &mut State, messages: &[Incoming<Message>]) -> Vec<Outgoing<OrderEvent>> {
    let decided = messages
        .iter()
        .map(|incoming| OrderContext::default().decide(state, incoming));
    let decided = decided.map(|events| events.expect("an order can be placed"));
    decided.flatten().collect()
}
