//! A context of another age: today's rules, with some of its messages as other versions have them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use contracts::inventory::{ReservationEvent, StockReserved};
use contracts::order::{OrderCommand, OrderPlaced, PlaceOrder};
use inventory::context::InventoryContext;
use messaging::clock::Timestamp;
use messaging::codec::{self, Schema};
use messaging::context::{
    Context, Deduplication, FollowUp, Incoming, Input, Interest, Outgoing, Recognised, Undecidable,
};
use messaging::message::{Encoded, Message as _, Registration, Writer};
use messaging::store::{Error, Tables};
use order::context::OrderContext;
use serde_json::Value;
use sqlx::SqliteConnection;

use crate::edition::Edition;

/// What a service made of the messages of other ages: by message type and order, with every field
/// that its edition has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen(Arc<Mutex<BTreeMap<(String, String), Value>>>);

impl Seen {
    pub(crate) fn of(&self, message_type: &str, order_id: &str) -> Option<Value> {
        let key = (message_type.to_owned(), order_id.to_owned());
        self.0.lock().unwrap().get(&key).cloned()
    }

    fn note(&self, message_type: &str, read: Value) {
        let order_id = read["order_id"].as_str().expect("it is about an order");
        let key = (message_type.to_owned(), order_id.to_owned());
        self.0.lock().unwrap().insert(key, read);
    }
}

/// A context that can read its messages by other schemas than today's.
pub(crate) trait ReadsAs: Context {
    /// Reads today's type from what `writer` wrote as a reader whose schema is `reader` does.
    fn read_as(
        message_type: &str,
        writer: &Schema,
        reader: &'static str,
        datum: &[u8],
    ) -> Result<Self::Message, codec::Error>;
}

impl ReadsAs for OrderContext {
    fn read_as(
        message_type: &str,
        writer: &Schema,
        reader: &'static str,
        datum: &[u8],
    ) -> Result<Self::Message, codec::Error> {
        use order::domain::Message;
        match message_type {
            PlaceOrder::TYPE => codec::decode_as(writer, reader, datum)
                .map(|place| Message::Command(OrderCommand::Place(place))),
            StockReserved::TYPE => codec::decode_as(writer, reader, datum)
                .map(|reserved| Message::Reservation(ReservationEvent::Reserved(reserved))),
            other => panic!("Order has no edition of {other}"),
        }
    }
}

impl ReadsAs for InventoryContext {
    fn read_as(
        message_type: &str,
        writer: &Schema,
        reader: &'static str,
        datum: &[u8],
    ) -> Result<Self::Message, codec::Error> {
        match message_type {
            OrderPlaced::TYPE => {
                codec::decode_as(writer, reader, datum).map(inventory::context::Message::Placed)
            }
            other => panic!("Inventory has no edition of {other}"),
        }
    }
}

/// `C` with some messages of another age; the others are today's.
pub(crate) struct Aged<C> {
    context: C,
    editions: Vec<Edition>,
    writes: &'static [Registration],
    seen: Seen,
}

impl<C: Context> Aged<C> {
    pub(crate) fn new(context: C, editions: Vec<Edition>, seen: Seen) -> Self {
        let aged = |today: &Registration| {
            edition(&editions, today.message_type).map_or(*today, |edition| edition.registration)
        };
        let writes: Vec<_> = context.writes().iter().map(aged).collect();
        Self {
            context,
            editions,
            writes: writes.leak(),
            seen,
        }
    }
}

fn edition<'e>(editions: &'e [Edition], message_type: &str) -> Option<&'e Edition> {
    let mut editions = editions.iter();
    editions.find(|edition| edition.registration.message_type == message_type)
}

impl<C: ReadsAs> Context for Aged<C> {
    type Message = C::Message;
    type Event = C::Event;
    type State = C::State;

    fn source(&self) -> &'static str {
        self.context.source()
    }

    fn inputs(&self) -> &'static [Input] {
        self.context.inputs()
    }

    fn writes(&self) -> &'static [Registration] {
        self.writes
    }

    fn interest(&self, message_type: &str) -> Interest {
        self.context.interest(message_type)
    }

    fn decode(
        &self,
        message_type: &str,
        schema: &Schema,
        datum: &[u8],
    ) -> Result<C::Message, codec::Error> {
        let Some(edition) = edition(&self.editions, message_type) else {
            return self.context.decode(message_type, schema, datum);
        };
        let reader = edition.registration.schema;
        let message = C::read_as(message_type, schema, reader, datum)?;
        // Today's type shows only its own fields: what the edition has beyond them is read apart.
        self.seen
            .note(message_type, codec::decode_as(schema, reader, datum)?);
        Ok(message)
    }

    fn key<'m>(&self, message: &'m C::Message) -> &'m str {
        self.context.key(message)
    }

    fn deduplication(&self, message: &C::Message) -> Deduplication {
        self.context.deduplication(message)
    }

    fn recognise(&self, state: &C::State, incoming: &Incoming<C::Message>) -> Recognised {
        self.context.recognise(state, incoming)
    }

    fn decide(
        &self,
        state: &mut C::State,
        incoming: &Incoming<C::Message>,
    ) -> Result<Vec<Outgoing<C::Event>>, Undecidable> {
        self.context.decide(state, incoming)
    }

    fn lasting(&self, state: &C::State, incoming: &Incoming<C::Message>) -> bool {
        self.context.lasting(state, incoming)
    }

    fn tell_time(&self, state: &mut C::State, now: Timestamp) {
        self.context.tell_time(state, now);
    }

    fn follow_up(&self, state: &mut C::State) -> FollowUp<C::Event> {
        self.context.follow_up(state)
    }

    /// Writes today's event as the shipped service does, by the edition's schema; for an order that
    /// uses all, once more with the fields that are the edition's own.
    fn encode(&self, writer: &Writer, event: &C::Event) -> Result<Encoded, codec::Error> {
        let encoded = self.context.encode(writer, event)?;
        Ok(match edition(&self.editions, encoded.message_type) {
            Some(edition) => Encoded {
                value: edition.complete(encoded.value, &encoded.key),
                ..encoded
            },
            None => encoded,
        })
    }
}

/// The tables of `T`, for the aged context.
#[derive(Debug)]
pub(crate) struct AgedTables<T>(pub(crate) T);

impl<C, T> Tables<Aged<C>, SqliteConnection> for AgedTables<T>
where
    C: ReadsAs,
    T: Tables<C, SqliteConnection>,
{
    async fn load(
        &self,
        tx: &mut SqliteConnection,
        messages: &[&C::Message],
    ) -> Result<C::State, Error> {
        self.0.load(tx, messages).await
    }

    async fn load_follow_up(
        &self,
        tx: &mut SqliteConnection,
        state: &mut C::State,
    ) -> Result<(), Error> {
        self.0.load_follow_up(tx, state).await
    }

    async fn save(&self, tx: &mut SqliteConnection, state: &C::State) -> Result<(), Error> {
        self.0.save(tx, state).await
    }
}
