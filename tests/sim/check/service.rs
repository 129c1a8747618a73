//! What both services promise: epochs, cursors, and that each record below a cursor was accounted
//! for in exactly one of the ways there are (S4, S5, S6, S8-S10).

use std::collections::{BTreeMap, BTreeSet};

use contracts::{inventory, order, topics};
use messaging::clock::Timestamp;
use messaging::context::ContentHash;
use messaging::log::{Consumed, Record};
use messaging::shard::{Epoch, ShardId};
use messaging::store::{AggregateKey, CursorMove, InboxKey};

use super::account::nothing_beyond;
use super::book::Book;
use super::commit::Committed;
use super::counts::Counts;
use super::decisions::Decisions;
use super::orders::Orders;
use super::outbox::Outbox;
use super::seen_log::{Entry, Home, SeenLog};
use super::violation::{Checked, Violation, require};
use super::{Side, Tolerance};

/// A record of an input topic, of one shard: topic and offset.
pub(super) type At = (String, i64);

/// One service, as it must be.
#[derive(Clone)]
pub(crate) struct Service {
    pub(super) side: Side,
    pub(super) tolerance: Tolerance,
    epochs: BTreeMap<ShardId, Epoch>,
    cursors: BTreeMap<(ShardId, String), i64>,
    /// What a cursor has passed, as it stood in the log then.
    accounted: BTreeMap<Home, BTreeMap<i64, Record>>,
    /// What no cursor has passed yet.
    pending: BTreeMap<Home, BTreeSet<i64>>,
    /// Messages set aside.
    pub(super) parked: BTreeMap<(ShardId, At), HeldUp>,
    /// The number of the last one.
    pub(super) parked_last: u64,
    pub(super) inbox: BTreeMap<InboxKey, Remembered>,
    /// Ids applied before this may be forgotten by the inbox.
    pub(super) horizon: Timestamp,
    outbox: Outbox,
    pub(super) model: Model,
}

/// The contents of a service's own tables.
#[derive(Clone)]
pub(super) enum Model {
    Order(Orders),
    Inventory(Book),
}

/// A message set aside: its number in the order of parking, and what it holds up.
#[derive(Clone, Debug)]
pub(super) struct HeldUp {
    pub(super) number: u64,
    pub(super) aggregate: Option<AggregateKey>,
}

#[derive(Clone, Copy)]
pub(super) struct Remembered {
    pub(super) content: ContentHash,
    pub(super) at: Timestamp,
}

impl Service {
    pub(crate) fn order(tolerance: Tolerance) -> Self {
        Self::new(Side::Order, tolerance, Model::Order(Orders::default()))
    }

    pub(crate) fn inventory(tolerance: Tolerance) -> Self {
        Self::new(
            Side::Inventory,
            tolerance,
            Model::Inventory(Book::default()),
        )
    }

    fn new(side: Side, tolerance: Tolerance, model: Model) -> Self {
        Self {
            side,
            tolerance,
            epochs: BTreeMap::new(),
            cursors: BTreeMap::new(),
            accounted: BTreeMap::new(),
            pending: BTreeMap::new(),
            parked: BTreeMap::new(),
            parked_last: 0,
            inbox: BTreeMap::new(),
            horizon: Timestamp(i64::MIN),
            outbox: Outbox::default(),
            model,
        }
    }

    /// The kind of aggregate that the keys of an input topic name; `None` for other topics.
    pub(super) fn kind(&self, topic: &str) -> Option<&'static str> {
        match (self.side, topic) {
            (Side::Order, topics::ORDER_COMMANDS | topics::INVENTORY_EVENTS) => {
                Some(order::AGGREGATE)
            }
            (Side::Inventory, topics::ORDER_EVENTS) => Some(inventory::RESERVATION),
            (Side::Inventory, topics::INVENTORY_COMMANDS) => Some(inventory::STOCK),
            _ => None,
        }
    }

    /// Whether the service publishes events there.
    pub(crate) fn writes(&self, topic: &str) -> bool {
        match self.side {
            Side::Order => topic == topics::ORDER_EVENTS,
            Side::Inventory => [topics::INVENTORY_EVENTS, topics::INVENTORY_STOCK].contains(&topic),
        }
    }

    /// S5: epochs rise with each acquisition.
    pub(crate) fn claim(&mut self, shard: ShardId, epoch: Epoch) -> Checked {
        let newest = self.epochs.get(&shard).copied().unwrap_or_default();
        require(epoch > newest, "S5", || {
            format!("shard {shard} claimed under epoch {epoch} after {newest}")
        })?;
        self.epochs.insert(shard, epoch);
        Ok(())
    }

    /// Whether `epoch` is not the shard's newest.
    pub(crate) fn is_stale(&self, shard: ShardId, epoch: Epoch) -> bool {
        self.epochs
            .get(&shard)
            .is_some_and(|newest| epoch < *newest)
    }

    /// The record must be accounted for by a commit, unless the same one was already.
    pub(crate) fn expect(&mut self, topic: &str, partition: i32, consumed: &Consumed) {
        if self.kind(topic).is_none() {
            return;
        }
        let home = (topic.to_owned(), partition);
        let known = self
            .accounted
            .get(&home)
            .and_then(|seen| seen.get(&consumed.offset));
        if known != Some(&consumed.record) {
            self.pending
                .entry(home)
                .or_default()
                .insert(consumed.offset);
        }
    }

    /// Nothing stands there any more.
    pub(crate) fn forget(&mut self, topic: &str, partition: i32, offset: i64) {
        if let Some(pending) = self.pending.get_mut(&(topic.to_owned(), partition)) {
            pending.split_off(&offset);
        }
    }

    /// E1-E4 of one appended event.
    pub(crate) fn published(
        &mut self,
        log: &SeenLog,
        counts: &mut Counts,
        topic: &str,
        partition: i32,
        consumed: &Consumed,
    ) -> Checked {
        let excused = log.is_damaged(topic, partition);
        let told = log.read(&consumed.record, partition);
        let again = self
            .outbox
            .published(topic, partition, consumed, &told, excused)?;
        counts.republished += u64::from(again);
        Ok(())
    }

    /// Everything that one commit must keep.
    ///
    /// A turn that reads two topics decides what it has read of the one before what it has read of
    /// the other, but its commit does not tell which: either order will do.
    pub(crate) fn commit(
        &mut self,
        log: &SeenLog,
        counts: &mut Counts,
        commit: &Committed<'_>,
    ) -> Checked {
        let mut steps: Vec<_> = commit.effects.cursors.iter().collect();
        if steps.len() < 2 {
            return self.commit_in_order(log, counts, commit, &steps);
        }
        let (mut other, mut met) = (self.clone(), counts.clone());
        let Err(first) = self.commit_in_order(log, counts, commit, &steps) else {
            return Ok(());
        };
        steps.reverse();
        if other
            .commit_in_order(log, &mut met, commit, &steps)
            .is_err()
        {
            return Err(first);
        }
        (*self, *counts) = (other, met);
        Ok(())
    }

    fn commit_in_order(
        &mut self,
        log: &SeenLog,
        counts: &mut Counts,
        commit: &Committed<'_>,
        steps: &[&CursorMove],
    ) -> Checked {
        counts.commits += 1;
        self.check_epoch(commit)?;
        let said = self.outbox.add(log, commit)?;
        let mut decisions = Decisions::default();
        let mut judged = Vec::new();
        for replay in self.unpark(log, commit)? {
            if let Some(fate) = self.replayed(commit, &replay, &mut decisions)? {
                self.remember(commit, &replay.0, &replay.1, &fate);
                counts.replayed += 1;
            }
            judged.push((replay.0, replay.1));
        }
        for (at, entry) in self.advance(log, commit.shard, steps)? {
            let fate = self.fate(commit, &at, &entry.told, &mut decisions);
            self.evidence(commit, &at, &entry, &fate)?;
            self.remember(commit, &at, &entry, &fate);
            counts.add(&fate);
            judged.push((at, entry));
        }
        nothing_beyond(commit, &judged)?;
        match &mut self.model {
            Model::Order(orders) => orders.compare(commit.changes, &decisions)?,
            Model::Inventory(book) => book.compare(commit.changes, &mut decisions)?,
        }
        decisions.compare_said(said)?;
        if let Some(before) = commit.effects.prune_inbox_before {
            self.horizon = self.horizon.max(before);
        }
        self.outbox.delete(log, &commit.effects.published)
    }

    /// S5: only the newest owner commits.
    fn check_epoch(&self, commit: &Committed<'_>) -> Checked {
        let newest = self.epochs.get(&commit.shard).copied();
        require(newest == Some(commit.epoch), "S5", || {
            format!(
                "shard {} committed under epoch {}, the newest is {newest:?}",
                commit.shard, commit.epoch
            )
        })
    }

    /// S4 and the cursor's half of S6: the records that this commit has passed, in its order.
    fn advance(
        &mut self,
        log: &SeenLog,
        shard: ShardId,
        steps: &[&CursorMove],
    ) -> Result<Vec<(At, Entry)>, Violation> {
        let mut passed = Vec::new();
        for step in steps {
            let home = (step.topic.clone(), shard.0);
            self.check_step(log, shard, &home, step)?;
            for (offset, entry) in log.between(&home, step.from, step.to) {
                passed.push(((step.topic.clone(), offset), entry.clone()));
                let accounted = self.accounted.entry(home.clone()).or_default();
                accounted.insert(offset, entry.record.clone());
            }
            let pending = self.pending.entry(home).or_default();
            *pending = pending.split_off(&step.to);
            self.cursors.insert((shard, step.topic.clone()), step.to);
        }
        Ok(passed)
    }

    fn check_step(&self, log: &SeenLog, shard: ShardId, home: &Home, step: &CursorMove) -> Checked {
        let CursorMove {
            topic, from, to, ..
        } = step;
        require(self.kind(topic).is_some(), "S4", || {
            format!("{topic} is no input")
        })?;
        let cursor = self.cursors.get(&(shard, topic.clone()));
        require(cursor.is_none_or(|cursor| cursor == from), "S4", || {
            format!("shard {shard} steps from {from} of {topic}, its cursor is {cursor:?}")
        })?;
        require(from < to, "S4", || {
            format!("shard {shard} steps back from {from} to {to} of {topic}")
        })?;
        require(log.at(home, to - 1).is_some(), "S4", || {
            format!("shard {shard} steps to {to} of {topic}, no record stands before that")
        })?;
        let skipped = self.pending.get(home).and_then(|pending| pending.first());
        require(skipped.is_none_or(|skipped| skipped >= from), "S6", || {
            format!(
                "shard {shard} has passed {skipped:?} of {topic}, which was never accounted for"
            )
        })
    }

    /// F2, F3, and that nobody waits without need.
    pub(crate) fn settled(&self, log: &SeenLog) -> Checked {
        self.outbox.settled(log)?;
        for (home, pending) in &self.pending {
            require(pending.is_empty(), "F3", || {
                format!("{:?} has not read {pending:?} of {home:?}", self.side)
            })?;
        }
        match &self.model {
            Model::Order(_) => Ok(()),
            Model::Inventory(book) => book.settled(),
        }
    }
}
