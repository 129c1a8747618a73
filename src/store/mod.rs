//! A service's database, as a port: the commit of one turn, and the outbox's other end.
//!
//! The library's own tables hold shards, cursors, inbox, outbox, parked messages and conflicts;
//! a context's own tables are reached through [`Tables`], inside the same transaction.

use std::collections::{HashMap, HashSet};
use std::error::Error as StdError;
use std::fmt;
use std::future::Future;

use crate::clock::Timestamp;
use crate::context::{ContentHash, Context};
use crate::log::Record;
use crate::shard::{Epoch, ShardId};

#[cfg(feature = "test-util")]
pub mod contract;
pub mod memory;
mod operations;
pub mod outbox;
mod parked;
pub mod postgres;
pub mod sql;
pub mod sqlite;

pub use operations::{Checkpoint, Conflicting, Operations, ParkedFilter, ShardCheckpoint};
pub use parked::{
    Action, ActionDone, ActionKind, ActionRecord, Outcome, OutcomeKind, ParkReason, Parked,
    ParkedLevel, ParkedRow, Place, Reparked, Target,
};

/// Hash of a record as it stood in the log (key, value and headers), kept with a cursor to
/// notice a log that lost its tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHash(pub [u8; 16]);

/// Where a shard goes on reading a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The input topic.
    pub topic: String,
    /// The next offset to consume.
    pub next_offset: i64,
    /// Hash of the record at `next_offset - 1`; `None` before the first record.
    pub last_hash: Option<RecordHash>,
}

/// A cursor's step, made as a compare-and-set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorMove {
    /// The input topic.
    pub topic: String,
    /// The offset that this batch started from; another value in the database refuses the commit.
    pub from: i64,
    /// The last record's offset + 1.
    pub to: i64,
    /// Hash of the last record.
    pub last_hash: RecordHash,
}

/// How a database wants turns to follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pacing {
    /// Turns side by side at most, of all its processes together (but one of each). The shards beyond
    /// wait, and gather messages meanwhile: turns grow where there is much to do, and stay short
    /// where there is not.
    pub at_once: usize,
    /// A shard that had to wait and then had little to do rests this many times as long as both took
    /// together. For databases with several processes; zero for none.
    pub rest_factor: u32,
}

/// Position of a row in the outbox of one output partition: rises by one per row, in commit order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub i64);

/// Records that leave for one topic partition together, in order, below the log's batch limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxBatch {
    /// The output topic.
    pub topic: String,
    /// The output partition.
    pub partition: i32,
    /// In the order in which they must stand in the log.
    pub records: Vec<Record>,
}

/// A committed outbox batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    /// Its place in the outbox of `batch.partition`.
    pub sequence: Sequence,
    /// What to append.
    pub batch: OutboxBatch,
}

/// What the log has acknowledged of one output partition's outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The output partition (the shard that publishes it has the same number).
    pub partition: i32,
    /// Rows up to and including this one are in the log; they are deleted.
    pub up_to: Sequence,
    /// Last acknowledged offset per topic, of the topics that these rows went to.
    pub offsets: Vec<(String, i64)>,
}

/// An acknowledged position, as kept for the check against a database older than its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// The output topic.
    pub topic: String,
    /// The last offset that the log acknowledged to this service in the shard's partition.
    pub last_offset: i64,
}

/// What an inbox remembers a message by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InboxKey {
    /// The message type, `namespace.Name`.
    pub message_type: String,
    /// The message key.
    pub key: String,
    /// The message id.
    pub id: String,
}

/// A message newly applied, for the inbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxEntry {
    /// What it is remembered by.
    pub key: InboxKey,
    /// Hash of its canonical content, to tell a duplicate from a conflict.
    pub content: ContentHash,
    /// When it was applied: the inbox horizon counts from here.
    pub at: Timestamp,
    /// Whether it stays for good ([`crate::context::Context::lasting`]).
    pub lasting: bool,
}

/// The aggregate that a message concerns, in the consumer's words.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AggregateKey {
    /// The kind of aggregate (the context's name for it, see [`crate::context::Input`]).
    pub kind: String,
    /// The aggregate's id.
    pub id: String,
}

/// A message that repeats an id or a business key with other content: recorded, never applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Where it stood.
    pub topic: String,
    /// Its offset in the shard's partition of `topic`.
    pub offset: i64,
    /// The message type, key and id.
    pub key: InboxKey,
    /// The record itself.
    pub record: Record,
    /// When it was recorded.
    pub at: Timestamp,
}

/// What the library's tables know of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Inbox keys already applied, with the content they were applied with.
    pub inbox: HashMap<InboxKey, ContentHash>,
    /// Aggregates that have a parked message.
    pub parked: HashSet<AggregateKey>,
}

/// Everything that a turn commits beside the context's own state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Messages newly applied.
    pub inbox: Vec<InboxEntry>,
    /// Messages set aside.
    pub parked: Vec<Parked>,
    /// Messages no longer set aside: each must be parked, or the commit is refused as
    /// [`ErrorKind::CursorMoved`].
    pub unparked: Vec<Place>,
    /// Messages that a replay left parked.
    pub reparked: Vec<Reparked>,
    /// Operators' actions carried out, or a part of them: each must still be open, or the commit
    /// is refused as [`ErrorKind::CursorMoved`].
    pub done: Vec<ActionDone>,
    /// Conflicts to record.
    pub conflicts: Vec<Conflict>,
    /// Messages to publish.
    pub outbox: Vec<OutboxBatch>,
    /// What the log has acknowledged since the last turn; at most one per output partition.
    pub published: Vec<Published>,
    /// Cursor steps; at most one per input topic.
    pub cursors: Vec<CursorMove>,
    /// Inbox entries older than this may go (a bounded number per turn), but lasting ones stay.
    pub prune_inbox_before: Option<Timestamp>,
}

/// A shard as its new owner finds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claimed {
    /// The cursors of the input topics read so far; a topic that is missing starts at the log's
    /// first offset.
    pub cursors: Vec<Cursor>,
    /// Acknowledged positions of the shard's output partition.
    pub acknowledged: Vec<Acknowledged>,
}

/// The port for a service's database.
///
/// # Contract
///
/// - **Fencing**: `claim` succeeds only with an epoch above the shard's, and every later `begin`
///   under a lower epoch is [`ErrorKind::Fenced`]. `begin` holds the shard until the turn ends, so
///   a commit in flight lands before the next `begin` of that shard returns, or never.
/// - **Atomic**: `commit` makes the context's state and all [`Effects`] durable together, or none.
/// - **Ordered**: outbox rows of one partition are numbered in commit order, without gaps; a row
///   that is visible has all earlier ones visible or deleted.
/// - **Unknown**: an error of kind [`ErrorKind::Unknown`] from `commit` may have committed; any
///   other error has not. Dropping a turn without commit undoes it.
/// - **Bounded**: every call returns within the adapter's timeouts.
pub trait Store<C: Context>: Send + Sync + 'static {
    /// A transaction that owns its shard.
    type Turn<'s>: Turn<C>
    where
        Self: 's;

    /// How turns follow one another.
    fn pacing(&self) -> Pacing;

    /// Stores the number of partitions on first use; returns the number stored.
    fn agree_on_partitions(
        &self,
        partitions: i32,
    ) -> impl Future<Output = Result<i32, Error>> + Send;

    /// Takes a shard over: raises its epoch and returns what its last owner left.
    fn claim(
        &self,
        shard: ShardId,
        epoch: Epoch,
    ) -> impl Future<Output = Result<Claimed, Error>> + Send;

    /// Begins a turn and proves ownership (step 3 of the commit protocol).
    fn begin(
        &self,
        shard: ShardId,
        epoch: Epoch,
    ) -> impl Future<Output = Result<Self::Turn<'_>, Error>> + Send;

    /// Committed outbox rows of `partition` from sequence `from` on, in order, until their
    /// records exceed `bytes_max` (at least one row if there is one); an adapter may stop earlier.
    fn outbox(
        &self,
        partition: i32,
        from: Sequence,
        bytes_max: usize,
    ) -> impl Future<Output = Result<Vec<OutboxRow>, Error>> + Send;

    /// Tells the other processes on this database that these partitions have new outbox rows, whose
    /// publishers run there. A hint: whoever misses it finds the rows with the next poll.
    ///
    /// The default is for a database that has one process.
    fn announce(&self, partitions: &[i32]) -> impl Future<Output = Result<(), Error>> + Send {
        let _ = partitions;
        std::future::ready(Ok(()))
    }

    /// Waits for what others [`announce`](Store::announce), and returns the partitions. What is
    /// announced before the first call, or after a failure before the next, is not heard of.
    ///
    /// The default never returns.
    fn announced(&self) -> impl Future<Output = Result<Vec<i32>, Error>> + Send {
        std::future::pending()
    }

    /// Acknowledged positions of `partition`. What it says is committed, like what `outbox` says: a
    /// row that `outbox` no longer shows is covered by it, whoever asks, if it is asked later.
    fn acknowledged(
        &self,
        partition: i32,
    ) -> impl Future<Output = Result<Vec<Acknowledged>, Error>> + Send;

    /// Actions asked of the shard's owner and not yet done, oldest first, at most
    /// [`crate::limits::ACTIONS_PER_LOOK`].
    ///
    /// This and the calls below see what is committed, like `outbox`. What they say holds in a
    /// turn of the owner that made no other commit since: only the owner changes parked rows.
    fn actions(&self, shard: ShardId) -> impl Future<Output = Result<Vec<Action>, Error>> + Send;

    /// The shard's parked messages that `target` names, in the order of parking, the first
    /// `limit`.
    fn parked_of(
        &self,
        shard: ShardId,
        target: &Target,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<ParkedRow>, Error>> + Send;

    /// How much the shard has set aside.
    fn parked_level(
        &self,
        shard: ShardId,
    ) -> impl Future<Output = Result<ParkedLevel, Error>> + Send;
}

/// One transaction of a shard's owner.
///
/// The order of calls is the lock order: `cursors` and `seen` before `load`, all before `commit`.
pub trait Turn<C: Context>: Send {
    /// The shard's cursors as committed.
    fn cursors(&mut self) -> impl Future<Output = Result<Vec<Cursor>, Error>> + Send;

    /// Which of `inbox` were applied before, and which of `aggregates` have a parked message.
    fn seen(
        &mut self,
        inbox: &[InboxKey],
        aggregates: &[AggregateKey],
    ) -> impl Future<Output = Result<Seen, Error>> + Send;

    /// Loads the context's state that `messages` concern (at most one call per turn).
    fn load(
        &mut self,
        messages: &[&C::Message],
    ) -> impl Future<Output = Result<C::State, Error>> + Send;

    /// Adds to `state` what the context's follow-up needs, bounded.
    fn load_follow_up(
        &mut self,
        state: &mut C::State,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Saves the changed state and `effects` and commits; returns the outbox rows as numbered.
    fn commit(
        self,
        state: Option<&C::State>,
        effects: Effects,
    ) -> impl Future<Output = Result<Vec<OutboxRow>, Error>> + Send;

    /// Does what `commit` does up to the commit itself, then undoes the turn: what the database
    /// would refuse, it refuses here.
    fn rehearse(
        self,
        state: Option<&C::State>,
        effects: Effects,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

/// A context's own tables, in databases whose transactions are `Tx`.
///
/// All calls of a turn go through the one transaction; statements are in bulk, never one per
/// message. Implementations keep the lock order: the context's serialising row (if it has one)
/// in a statement of its own, then everything read after it in later statements.
pub trait Tables<C: Context, Tx: ?Sized>: Send + Sync + 'static {
    /// Loads the state that `messages` concern.
    fn load(
        &self,
        tx: &mut Tx,
        messages: &[&C::Message],
    ) -> impl Future<Output = Result<C::State, Error>> + Send;

    /// Adds to `state` what the follow-up needs, bounded. The default has no follow-up.
    fn load_follow_up(
        &self,
        tx: &mut Tx,
        state: &mut C::State,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        let _ = (tx, state);
        async { Ok(()) }
    }

    /// Saves what has changed in `state`.
    fn save(&self, tx: &mut Tx, state: &C::State)
    -> impl Future<Output = Result<(), Error>> + Send;
}

/// What a caller does about a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Nothing was committed; the same work may succeed later (deadlock, timeout, busy, disk full,
    /// connection lost before the commit).
    Retry,
    /// The commit's outcome is unknown: re-read the cursors in a new turn.
    Unknown,
    /// Another owner has taken the shard: stop, touch nothing.
    Fenced,
    /// A cursor stands elsewhere than the batch assumed: re-read the cursors in a new turn.
    CursorMoved,
    /// The database refuses these values (a constraint): not the weather but one of the messages.
    Rejected,
    /// The database is not usable by this program (corrupt, a newer schema, no permission).
    Fatal,
}

impl ErrorKind {
    /// All kinds, for counters that exist before the first error.
    pub(crate) const ALL: [Self; 6] = [
        Self::Retry,
        Self::Unknown,
        Self::Fenced,
        Self::CursorMoved,
        Self::Rejected,
        Self::Fatal,
    ];

    /// Its name in metrics.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Unknown => "unknown",
            Self::Fenced => "fenced",
            Self::CursorMoved => "cursor_moved",
            Self::Rejected => "rejected",
            Self::Fatal => "fatal",
        }
    }
}

/// A failed call, with what it was about.
#[derive(Debug)]
pub struct Error {
    /// What to do about it.
    pub kind: ErrorKind,
    /// The call: `begin`, `commit`, ...
    pub operation: &'static str,
    /// The driver's own error or a description; never shown to clients.
    pub source: Box<dyn StdError + Send + Sync>,
}

impl Error {
    /// An error of `kind` in `operation`, caused by `source`.
    pub fn new(
        kind: ErrorKind,
        operation: &'static str,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self {
            kind,
            operation,
            source: source.into(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "database {} failed: {}", self.operation, self.source)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(self.source.as_ref())
    }
}
