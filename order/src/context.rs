//! Order as a bounded context: which messages it reads, and its state for one batch.

use std::collections::HashMap;

use contracts::inventory::ReservationEvent;
use contracts::order::{OrderCommand, OrderEvent};
use contracts::{source, topics, validate};
use messaging::codec::{self, Schema};
use messaging::context::{
    Cause, Context, Deduplication, Incoming, Input, Interest, Outgoing, Recognised, Undecidable,
};
use messaging::message::{Encoded, Registration, Writer};

use crate::domain::{self, Defaults, Entry, Message, Seen, Tombstones};

/// What Order's messages are about, for parking: both input topics are keyed by order_id.
const ORDER: &str = "order";

/// The Order context.
#[derive(Clone, Copy, Debug, Default)]
pub struct OrderContext {
    defaults: Defaults,
}

impl OrderContext {
    /// The context of a store with defaults of its own.
    #[must_use]
    pub fn with(defaults: Defaults) -> Self {
        Self { defaults }
    }
}

/// The orders that one batch concerns.
#[derive(Debug, Default)]
pub struct State {
    slots: HashMap<String, Slot>,
    /// Ids of changed slots, in the order of their first change.
    changed: Vec<String>,
}

/// An order as loaded and as it is now.
#[derive(Debug)]
struct Slot {
    loaded: Loaded,
    entry: Entry,
    changed: bool,
}

/// What the database holds under an order_id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// Nothing.
    Nothing,
    /// So many tombstones.
    Tombstones(usize),
    /// The order at this place in the sequence of placements.
    Order {
        /// Its place.
        sequence: i64,
    },
}

impl Loaded {
    /// Whether there are more `tombstones` now; they only become more until their order is placed.
    #[must_use]
    pub fn lacks(self, tombstones: &Tombstones) -> bool {
        match self {
            Self::Nothing => !tombstones.is_empty(),
            Self::Tombstones(known) => known < tombstones.len(),
            Self::Order { .. } => false,
        }
    }
}

/// A changed order, for saving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed<'s> {
    /// The order.
    pub order_id: &'s str,
    /// What the database holds.
    pub loaded: Loaded,
    /// What it must hold.
    pub entry: &'s Entry,
}

impl State {
    /// Adds what the database holds under `order_id`.
    pub fn insert(&mut self, order_id: String, loaded: Loaded, entry: Entry) {
        let slot = Slot {
            loaded,
            entry,
            changed: false,
        };
        self.slots.insert(order_id, slot);
    }

    /// What is known under `order_id` now.
    #[must_use]
    pub fn entry(&self, order_id: &str) -> &Entry {
        static UNKNOWN: Entry = Entry::Unknown;
        self.slots
            .get(order_id)
            .map_or(&UNKNOWN, |slot| &slot.entry)
    }

    /// What has changed since it was loaded, in the order of the first changes.
    pub fn changed(&self) -> impl Iterator<Item = Changed<'_>> {
        self.changed.iter().filter_map(|order_id| {
            let slot = self.slots.get(order_id)?;
            Some(Changed {
                order_id,
                loaded: slot.loaded,
                entry: &slot.entry,
            })
        })
    }

    fn apply(
        &mut self,
        order_id: &str,
        incoming: &Incoming<Message>,
        defaults: Defaults,
    ) -> Result<Option<OrderEvent>, Undecidable> {
        let slot = self
            .slots
            .get_mut(order_id)
            .ok_or_else(|| Undecidable(format!("order {order_id} was not loaded")))?;
        let before = std::mem::take(&mut slot.entry);
        let at = incoming.envelope.time;
        let (entry, event) = domain::apply(before, &incoming.message, at, defaults)
            .map_err(|error| Undecidable(error.to_string()))?;
        slot.entry = entry;
        if !slot.changed {
            slot.changed = true;
            self.changed.push(order_id.to_owned());
        }
        Ok(event)
    }
}

impl Context for OrderContext {
    type Message = Message;
    type Event = OrderEvent;
    type State = State;

    fn source(&self) -> &'static str {
        source::ORDER
    }

    fn inputs(&self) -> &'static [Input] {
        &[
            Input {
                topic: topics::ORDER_COMMANDS,
                aggregate: ORDER,
            },
            Input {
                topic: topics::INVENTORY_EVENTS,
                aggregate: ORDER,
            },
        ]
    }

    fn writes(&self) -> &'static [Registration] {
        OrderEvent::REGISTRATIONS
    }

    fn keyed_by_order(&self, _: &str) -> bool {
        true
    }

    fn interest(&self, message_type: &str) -> Interest {
        let handled = [OrderCommand::REGISTRATIONS, ReservationEvent::REGISTRATIONS];
        let mut types = handled.into_iter().flatten();
        if types.any(|registration| registration.message_type == message_type) {
            Interest::Handled
        } else {
            Interest::Unknown
        }
    }

    fn decode(
        &self,
        message_type: &str,
        schema: &Schema,
        datum: &[u8],
    ) -> Result<Message, codec::Error> {
        OrderCommand::decode(message_type, schema, datum)
            .map(|command| command.map(Message::Command))
            .or_else(|| {
                ReservationEvent::decode(message_type, schema, datum)
                    .map(|event| event.map(Message::Reservation))
            })
            .unwrap_or_else(|| {
                Err(codec::Error::Decode {
                    schema: schema.name().to_owned(),
                    detail: format!("message type {message_type} is not handled here"),
                })
            })
    }

    fn key<'m>(&self, message: &'m Message) -> &'m str {
        message.key()
    }

    fn deduplication(&self, message: &Message) -> Deduplication {
        match message {
            Message::Command(OrderCommand::Place(_)) => Deduplication::BusinessKey,
            Message::Command(OrderCommand::Cancel(cancel)) => {
                Deduplication::Inbox(cancel.content())
            }
            Message::Command(OrderCommand::Complete(complete)) => {
                Deduplication::Inbox(complete.content())
            }
            Message::Reservation(_) => Deduplication::Version,
        }
    }

    fn recognise(&self, state: &State, incoming: &Incoming<Message>) -> Recognised {
        let entry = state.entry(self.key(&incoming.message));
        match entry.recognise(&incoming.message) {
            Seen::New => Recognised::New,
            Seen::Before => Recognised::Duplicate,
            Seen::Otherwise => Recognised::Conflict,
        }
    }

    fn decide(
        &self,
        state: &mut State,
        incoming: &Incoming<Message>,
    ) -> Result<Vec<Outgoing<OrderEvent>>, Undecidable> {
        // The gateway lets no bad command through, but it is not the only one that can write.
        if let Message::Command(command) = &incoming.message {
            let violations = match command {
                OrderCommand::Place(place) => place.validate(),
                OrderCommand::Cancel(cancel) => cancel.validate(),
                OrderCommand::Complete(complete) => complete.validate(),
            };
            if !violations.is_empty() {
                return Err(Undecidable(validate::summary(&violations)));
            }
        }
        let event = state.apply(self.key(&incoming.message), incoming, self.defaults)?;
        let outgoing = |event| Outgoing {
            event,
            cause: Cause::of(&incoming.envelope),
        };
        Ok(event.into_iter().map(outgoing).collect())
    }

    /// A completion that came too early (no order yet, or one that is not reserved) can still
    /// complete the order. After a cancellation, and a completion that completed, it is over.
    fn lasting(&self, state: &State, incoming: &Incoming<Message>) -> bool {
        !state.entry(self.key(&incoming.message)).is_over()
    }

    fn encode(&self, writer: &Writer, event: &OrderEvent) -> Result<Encoded, codec::Error> {
        event.encode(writer)
    }
}
