//! What a bounded context gives the runtime: which messages it reads, how they are deduplicated,
//! and the pure decision over its state.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::clock::Timestamp;
use crate::codec::{self, Schema};
use crate::envelope::Envelope;
use crate::message::{Encoded, Registration, Writer};

/// An input topic of a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input {
    /// The topic.
    pub topic: &'static str,
    /// The kind of the context's own aggregate that the topic's key names. Two topics with the
    /// same kind share parking: a parked message holds up later ones from both.
    pub aggregate: &'static str,
}

/// Whether a context wants a message type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Decode and decide.
    Handled,
    /// Known and declared ignored: only the cursor moves.
    Ignored,
    /// Not known here: parked.
    Unknown,
}

/// Hash of a message's canonical content: every field that the client gives, defaults and totals
/// filled in, lists that are sets sorted; no ids of the request, no times, no headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContentHash(pub [u8; 32]);

impl ContentHash {
    /// Hashes canonical bytes (SHA-256).
    #[must_use]
    pub fn of(canonical: &[u8]) -> Self {
        Self(Sha256::digest(canonical).into())
    }
}

/// How repeated deliveries of a message are recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deduplication {
    /// By the source aggregate's version, kept in the context's own state: see
    /// [`Context::recognise`]. Protects for ever.
    Version,
    /// By a business key, kept in the context's own state: see [`Context::recognise`]. Protects
    /// for ever.
    BusinessKey,
    /// By the message id, kept in the inbox with the content until the inbox horizon, or for good:
    /// see [`Context::lasting`].
    Inbox(ContentHash),
}

/// What the context's own state knows of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recognised {
    /// Not applied yet: decide it.
    New,
    /// Applied before (or older than what was applied): nothing happens.
    Duplicate,
    /// Its business key was applied with other content: recorded for operators, nothing happens.
    Conflict,
}

/// A decoded message with its metadata and place.
#[derive(Clone, Debug)]
pub struct Incoming<M> {
    /// The payload.
    pub message: M,
    /// Its metadata.
    pub envelope: Envelope,
    /// The input topic.
    pub topic: Arc<str>,
    /// Its offset in the shard's partition.
    pub offset: i64,
}

/// What made an event happen, when it is not the message being decided (work that the follow-up
/// does for an earlier message).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Id of the message that caused it.
    pub causation_id: String,
    /// Id of the first command of the flow that it belongs to.
    pub correlation_id: String,
    /// W3C trace context of that flow, if it had one.
    pub traceparent: Option<String>,
}

impl Cause {
    /// The cause that a message is.
    #[must_use]
    pub fn of(envelope: &Envelope) -> Self {
        Self {
            causation_id: envelope.id.clone(),
            correlation_id: envelope.correlation().to_owned(),
            traceparent: envelope.traceparent.clone(),
        }
    }
}

/// An event to publish, with its cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing<E> {
    /// The event.
    pub event: E,
    /// Why it happened.
    pub cause: Cause,
}

/// A message that cannot be decided, now or on any later try: its aggregate is parked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Undecidable(pub String);

/// What a follow-up did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowUp<E> {
    /// Events of the work done.
    pub outgoing: Vec<Outgoing<E>>,
    /// Whether bounded work is left, so that another turn must follow at once. What is left is in
    /// the state (a durable mark), so a crash loses nothing.
    pub more: bool,
    /// When work becomes due although no message comes, by the wall clock: a turn follows then. It
    /// holds until the shard's next follow-up gives another one; a new owner's first turn asks for
    /// its own. What becomes due is in the state too, so a crash loses nothing.
    pub alarm: Option<Timestamp>,
}

/// A bounded context.
///
/// Everything here is pure and synchronous: no IO, no clock, no randomness. The runtime tells the
/// state the time once per turn, and calls `recognise` and `decide` message by message in order, over a state that it loaded for the whole
/// batch, and commits the state with the outcome in one transaction.
pub trait Context: Send + Sync + 'static {
    /// The messages it handles, decoded.
    type Message: Send + Sync + 'static;
    /// The events it publishes.
    type Event: Send + 'static;
    /// The part of its state that one batch concerns.
    type State: Send + Sync + 'static;

    /// CloudEvents `source` of its events, for example `/order`.
    fn source(&self) -> &'static str;

    /// The topics it reads.
    fn inputs(&self) -> &'static [Input];

    /// The message types it writes, and where to; it creates those topics.
    fn writes(&self) -> &'static [Registration];

    /// Whether the keys of this topic, which it reads or writes, are ids of orders: log lines then tell
    /// a message's key as `order_id`, else as `key`. The default knows no orders.
    fn keyed_by_order(&self, topic: &str) -> bool {
        let _ = topic;
        false
    }

    /// Whether it wants messages of this type.
    fn interest(&self, message_type: &str) -> Interest;

    /// Decodes a handled type.
    ///
    /// # Errors
    /// When the datum does not have the schema's shape, or does not fit the Rust type.
    fn decode(
        &self,
        message_type: &str,
        schema: &Schema,
        datum: &[u8],
    ) -> Result<Self::Message, codec::Error>;

    /// The id in the payload that the record's key must equal.
    fn key<'m>(&self, message: &'m Self::Message) -> &'m str;

    /// How repeated deliveries of this message are recognised.
    fn deduplication(&self, message: &Self::Message) -> Deduplication;

    /// What the state knows of a message deduplicated by version or business key.
    fn recognise(&self, state: &Self::State, incoming: &Incoming<Self::Message>) -> Recognised;

    /// Applies a message to the state and returns the events of the change.
    ///
    /// # Errors
    /// [`Undecidable`] when no later try can succeed. The state may then be half changed; the
    /// runtime throws it away.
    fn decide(
        &self,
        state: &mut Self::State,
        incoming: &Incoming<Self::Message>,
    ) -> Result<Vec<Outgoing<Self::Event>>, Undecidable>;

    /// Whether the inbox keeps the message's id for good. Asked of a message that is deduplicated
    /// by the inbox, right after it was decided.
    ///
    /// The answer must be yes if deciding the message again could have an effect, now or whatever
    /// happens next. What has had its effect need not last where the state that it changed answers
    /// a repetition with nothing, for ever. What came too early has changed nothing: nothing but
    /// the inbox remembers it, and without it the message would be a new one after the horizon.
    ///
    /// The default keeps no id for good.
    fn lasting(&self, state: &Self::State, incoming: &Incoming<Self::Message>) -> bool {
        let _ = (state, incoming);
        false
    }

    /// The time of the turn, by the owner's wall clock, which may jump in either direction; told after
    /// the state is loaded and before anything is decided. The events of the turn carry it. The
    /// default does not care.
    fn tell_time(&self, state: &mut Self::State, now: Timestamp) {
        let _ = (state, now);
    }

    /// Bounded work that follows from earlier changes; runs after the batch's messages, in the
    /// same transaction. The default has none.
    fn follow_up(&self, state: &mut Self::State) -> FollowUp<Self::Event> {
        let _ = state;
        FollowUp {
            outgoing: Vec::new(),
            more: false,
            alarm: None,
        }
    }

    /// Encodes an event for the log.
    ///
    /// # Errors
    /// When the event does not fit its schema: a defect of the context.
    fn encode(&self, writer: &Writer, event: &Self::Event) -> Result<Encoded, codec::Error>;
}
