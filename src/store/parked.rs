//! Messages set aside, and what operators do about them, as rows.

use super::AggregateKey;
use crate::clock::Timestamp;
use crate::log::Record;
use crate::shard::ShardId;

/// Why a message was set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParkReason {
    /// Not a framed datum of a known, handled type.
    Undecodable,
    /// No key, a key of another partition, or a key other than the payload's id.
    Misrouted,
    /// The decision failed, or the database refused its outcome.
    Failed,
    /// An earlier message of the same aggregate is parked.
    Behind,
}

impl ParkReason {
    /// Its name in the database, in metrics and for operators.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Undecodable => "undecodable",
            Self::Misrouted => "misrouted",
            Self::Failed => "failed",
            Self::Behind => "behind",
        }
    }

    /// The reason of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        [
            Self::Undecodable,
            Self::Misrouted,
            Self::Failed,
            Self::Behind,
        ]
        .into_iter()
        .find(|reason| reason.as_str() == name)
    }
}

/// A message set aside for an operator, with all of its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    /// Where it stood.
    pub topic: String,
    /// Its offset in the shard's partition of `topic`.
    pub offset: i64,
    /// The aggregate held up by it; `None` for a record that is parked alone.
    pub aggregate: Option<AggregateKey>,
    /// Why.
    pub reason: ParkReason,
    /// The error in words.
    pub detail: String,
    /// The record itself.
    pub record: Record,
    /// When it was parked.
    pub at: Timestamp,
}

/// Where a record stands in its shard's partition.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The topic.
    pub topic: String,
    /// The offset.
    pub offset: i64,
}

/// A message set aside, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedRow {
    /// Rises in the order of parking, over all shards of the database.
    pub number: i64,
    /// The shard.
    pub shard: ShardId,
    /// The message.
    pub parked: Parked,
    /// How often it was replayed in vain.
    pub replays: i32,
}

impl ParkedRow {
    /// Where its record stands.
    #[must_use]
    pub fn place(&self) -> Place {
        Place {
            topic: self.parked.topic.clone(),
            offset: self.parked.offset,
        }
    }
}

/// A message that was replayed and stays parked; its count of replays rises by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reparked {
    /// The message.
    pub place: Place,
    /// Why now.
    pub reason: ParkReason,
    /// The error in words.
    pub detail: String,
}

/// How much a shard has set aside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ParkedLevel {
    /// Messages.
    pub count: i64,
    /// When the oldest of them was parked.
    pub oldest: Option<Timestamp>,
}

/// What an operator asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ActionKind {
    /// Decide the parked messages again.
    Replay,
    /// Say what a replay would do, and change nothing.
    DryRun,
    /// Take a parked message out without effect.
    Discard,
}

impl ActionKind {
    /// Its name in the database and for operators.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::DryRun => "dry-run",
            Self::Discard => "discard",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        [Self::Replay, Self::DryRun, Self::Discard]
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }
}

/// The parked messages that an action is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// All of one aggregate, in the order of parking.
    Aggregate(AggregateKey),
    /// One message.
    Place(Place),
}

/// An operator's request to a shard's owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// Its id: a UUIDv7, so ids rise with the time of asking.
    pub id: String,
    /// The shard whose messages it is about.
    pub shard: ShardId,
    /// What is asked for.
    pub kind: ActionKind,
    /// Of which messages.
    pub target: Target,
    /// Who asks.
    pub operator: String,
    /// Why.
    pub reason: String,
    /// When it was asked for.
    pub at: Timestamp,
}

/// What became of a message that an action was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutcomeKind {
    /// It was decided and has its effects.
    Applied,
    /// It had its effects before.
    Duplicate,
    /// It repeats an id or a business key with other content: recorded, never applied.
    Conflict,
    /// Its type is declared ignored by now.
    Ignored,
    /// It stays parked.
    Parked,
    /// It is taken out.
    Discarded,
}

impl OutcomeKind {
    const ALL: [Self; 6] = [
        Self::Applied,
        Self::Duplicate,
        Self::Conflict,
        Self::Ignored,
        Self::Parked,
        Self::Discarded,
    ];

    /// Its name in the database and for operators.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Duplicate => "duplicate",
            Self::Conflict => "conflict",
            Self::Ignored => "ignored",
            Self::Parked => "parked",
            Self::Discarded => "discarded",
        }
    }

    /// The outcome of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// What became of one message, in the words of the trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The message.
    pub place: Place,
    /// What became of it.
    pub kind: OutcomeKind,
    /// Why it stays parked, or the types of the events of an applied one.
    pub detail: String,
    /// The record of a discarded one: nothing else keeps it.
    pub record: Option<Record>,
}

/// An action carried out, or a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionDone {
    /// The action.
    pub id: String,
    /// What became of messages, in order; added to what the trail has of this action.
    pub outcomes: Vec<Outcome>,
    /// When it was done; `None` while more turns have to follow.
    pub at: Option<Timestamp>,
}

/// An action as the trail has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionRecord {
    /// Rises in the order of asking.
    pub number: i64,
    /// What was asked for.
    pub action: Action,
    /// When it was done; `None` while it is open.
    pub done_at: Option<Timestamp>,
    /// How many messages have an outcome.
    pub outcome_count: i64,
    /// The last of the outcomes, in order: as many as were asked for.
    pub outcomes: Vec<Outcome>,
}
