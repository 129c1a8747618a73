//! The log, as a port: append, read, bounds.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::clock::Timestamp;

pub mod appender;
#[cfg(feature = "test-util")]
pub mod contract;
pub mod kafka;
pub mod memory;

/// The name of a record's header. Those of an [`Envelope`](crate::envelope::Envelope) are constants,
/// which no record has a copy of: see [`header_name`](crate::envelope::header_name).
pub type HeaderName = Cow<'static, str>;

/// One record of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Decides the partition; `None` only from foreign producers.
    pub key: Option<Bytes>,
    /// The framed payload; `None` (a tombstone) only from foreign producers.
    pub value: Option<Bytes>,
    /// Header names and values, sorted by name; the adapters keep the last of a repeated name.
    pub headers: Vec<(HeaderName, Bytes)>,
    /// The producer's time.
    pub timestamp: Timestamp,
}

impl Record {
    /// Bytes of key, value and headers: what counts against batch limits.
    #[must_use]
    pub fn size(&self) -> usize {
        let headers: usize = self
            .headers
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        self.key.as_ref().map_or(0, Bytes::len)
            + self.value.as_ref().map_or(0, Bytes::len)
            + headers
    }
}

/// A record and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumed {
    /// Position in the partition; offsets rise but may have gaps.
    pub offset: i64,
    /// What stands there.
    pub record: Record,
}

/// The outcome of a read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Records in offset order, all at or after the offset asked for; empty when none came in time.
    pub records: Vec<Consumed>,
    /// The offset that the next record will get, as far as it may be read.
    pub high_watermark: i64,
    /// Which connection it came over: another number than that of the batch before says that the
    /// adapter has connected anew in between, so that the log may have lost what was read from it.
    pub connection: u64,
}

/// What a partition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The earliest offset kept; retention moves it up.
    pub first: i64,
    /// The offset that the next record will get (the high watermark).
    pub next: i64,
}

/// Limits of one read.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimit {
    /// Upper bound of the response; at least one record comes back if there is one.
    pub bytes_max: i32,
    /// How long to wait for a record when there is none (long poll). Zero answers at once.
    pub wait_max: Duration,
}

/// The port for the durable log.
///
/// # Contract
///
/// - **Durable**: when `append` returns `Ok`, the records are on all in-sync replicas and survive
///   any single failure; the offset returned is that of the last of them.
/// - **Ordered**: records of one `append` are contiguous and in order. Two appends to one
///   partition keep their order only if the second starts after the first has returned, so a
///   caller keeps one append per partition in flight.
/// - **Repeats**: an `append` that returns [`ErrorKind::Ambiguous`] may have appended all its
///   records, once or more. One that returns `Ok` may also have appended them more than once.
///   One that fails with another kind has appended nothing.
/// - **Read** never returns a record below `from`, never skips one that exists, and never moves
///   to another offset by itself: an offset below [`Bounds::first`] or above [`Bounds::next`] is
///   [`ErrorKind::OutOfRange`].
/// - **Bounded**: every call returns within its adapter's request timeout (plus the long poll),
///   whatever the network does. Dropping a call is safe; what it appended may still appear.
#[async_trait]
pub trait Log: Send + Sync + 'static {
    /// Creates `topic` with `partitions` partitions and `cleanup.policy=delete`; a topic that
    /// exists is left as it is, whatever its partition count.
    async fn create_topic(&self, topic: &str, partitions: i32) -> Result<(), Error>;

    /// The number of partitions of `topic`, or `None` when it does not exist.
    async fn partitions(&self, topic: &str) -> Result<Option<i32>, Error>;

    /// Refuses, as [`ErrorKind::Fatal`], a topic that is known to drop records for another reason
    /// than their age. `Ok` when there is nothing against it, or when this cannot be told.
    async fn check_topic(&self, topic: &str) -> Result<(), Error> {
        let _ = topic;
        Ok(())
    }

    /// Appends `records` (at least one) to one partition; returns the last one's offset.
    async fn append(&self, topic: &str, partition: i32, records: Vec<Record>)
    -> Result<i64, Error>;

    /// Reads from offset `from`, waiting for a record as long as `limit` says.
    async fn read(
        &self,
        topic: &str,
        partition: i32,
        from: i64,
        limit: ReadLimit,
    ) -> Result<Batch, Error>;

    /// The partition's first and next offset.
    async fn bounds(&self, topic: &str, partition: i32) -> Result<Bounds, Error>;
}

/// What a caller does about a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Nothing happened; the same call may succeed later.
    Retry,
    /// An append may or may not have happened.
    Ambiguous,
    /// The offset lies outside the partition.
    OutOfRange,
    /// The topic or partition does not exist.
    UnknownTopic,
    /// Repeating the call cannot help (a record too large, a refused login).
    Fatal,
}

impl ErrorKind {
    /// All kinds, for counters that exist before the first error.
    pub(crate) const ALL: [Self; 5] = [
        Self::Retry,
        Self::Ambiguous,
        Self::OutOfRange,
        Self::UnknownTopic,
        Self::Fatal,
    ];

    /// Its name in metrics and traces.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Ambiguous => "ambiguous",
            Self::OutOfRange => "out_of_range",
            Self::UnknownTopic => "unknown_topic",
            Self::Fatal => "fatal",
        }
    }
}

/// A failed call, with what it was about.
#[derive(Debug)]
pub struct Error {
    /// What to do about it.
    pub kind: ErrorKind,
    /// The call: `append`, `read`, ...
    pub operation: &'static str,
    /// The topic concerned; empty when the call concerns none.
    pub topic: String,
    /// The partition concerned, or -1.
    pub partition: i32,
    /// The driver's own error or a description.
    pub source: Box<dyn StdError + Send + Sync>,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "log {}", self.operation)?;
        if !self.topic.is_empty() {
            write!(f, " of {}", self.topic)?;
        }
        if self.partition >= 0 {
            write!(f, "/{}", self.partition)?;
        }
        write!(f, " failed: {}", self.source)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(self.source.as_ref())
    }
}
