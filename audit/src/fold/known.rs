//! What the services say of single messages, and what clients say of their calls.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::record::{Place, Topic};

/// What the services say of single messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Messages that are parked, or that an operator has replayed or discarded.
    pub set_aside: HashSet<Place>,
    /// Orders that have a parked message.
    pub parked_orders: BTreeSet<String>,
    /// Recorded conflicts, with their keys.
    pub conflicts: BTreeMap<Place, String>,
}

/// What a client was told about a command. Of the answers to several who sent the same, the
/// smallest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Told {
    /// Accepted: it has exactly one outcome.
    Accepted,
    /// Nothing certain: it has no outcome, or one.
    Unknown,
    /// Refused for good: it has none.
    Refused,
}

/// What clients were told, by message id (the request_id).
pub type Claims = HashMap<String, Told>;

/// A partition of a topic.
pub(super) type Partition = (Topic, i32);

/// What is kept of a partition, and how far it was read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extent {
    /// The earliest offset kept.
    pub(super) first: i64,
    /// Where it ended when it was last asked.
    pub(super) next: i64,
    /// Behind the last record that was read.
    pub(super) read: i64,
    /// Where it ended before the stock was read, and after.
    pub(super) stock_read: Option<(i64, i64)>,
}
