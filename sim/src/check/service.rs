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
use super::actions::Asked;
use super::book::Book;
use super::commit::Committed;
use super::counts::Counts;
use super::decisions::Decisions;
use super::orders::Orders;
use super::outbox::Outbox;
use super::seen_log::{Entry, Home, LossesBefore, SeenLog};
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
    pub(super) cursors: BTreeMap<(ShardId, String), i64>,
    /// What the log has acknowledged last, as it stood in the log then.
    pub(super) acknowledged: BTreeMap<Home, (i64, Option<Record>)>,
    /// What a cursor has passed, as it stood in the log then.
    pub(super) accounted: BTreeMap<Home, BTreeMap<i64, Record>>,
    /// What no cursor has passed yet.
    pending: BTreeMap<Home, BTreeSet<i64>>,
    /// Messages set aside.
    pub(super) parked: BTreeMap<(ShardId, At), HeldUp>,
    /// The number of the last one.
    pub(super) parked_last: u64,
    /// What operators have asked for, in the order of asking.
    pub(super) actions: Vec<Asked>,
    pub(super) inbox: BTreeMap<InboxKey, Remembered>,
    pub(super) outbox: Outbox,
    pub(super) model: Model,
}

/// The contents of a service's own tables.
#[derive(Clone)]
pub(super) enum Model {
    Order(Orders),
    Inventory(Book),
}

/// What a turn may have read: its cursors' steps in the order in which it decided, each with the
/// moment at which it was read, if the log has lost something since.
struct Read<'c> {
    steps: Vec<(&'c CursorMove, LossesBefore)>,
}

impl<'c> Read<'c> {
    fn of(log: &SeenLog, commit: &Committed<'c>) -> Vec<Self> {
        let mut ways = vec![Vec::new()];
        for step in &commit.effects.cursors {
            let home = (step.topic.clone(), commit.shard.0);
            let moments = log.moments(&home, step.from, step.to);
            let longer = |way: Vec<_>| {
                let moments = moments.clone().into_iter();
                moments.map(move |moment| [&way[..], &[(step, moment)]].concat())
            };
            ways = ways.into_iter().flat_map(longer).collect();
        }
        let mut reads = Vec::new();
        for steps in ways {
            let reversed: Vec<_> = steps.iter().rev().copied().collect();
            let has_orders = steps.len() > 1;
            reads.push(Self { steps });
            if has_orders {
                reads.push(Self { steps: reversed });
            }
        }
        reads
    }
}

/// A message set aside: its number in the order of parking, and what it holds up.
#[derive(Clone, Debug)]
pub(super) struct HeldUp {
    pub(super) number: u64,
    pub(super) aggregate: Option<AggregateKey>,
    /// As it stood in the log then.
    pub(super) entry: Entry,
    /// How often it was replayed in vain.
    pub(super) replays: i32,
}

/// A command in the inbox of a shard.
#[derive(Clone, Copy)]
pub(super) struct Remembered {
    pub(super) shard: ShardId,
    pub(super) content: ContentHash,
    pub(super) at: Timestamp,
    pub(super) lasting: bool,
    /// Whether it was beyond the horizon of a pruning, so that it has gone, unless it is lasting.
    pub(super) old: bool,
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
            acknowledged: BTreeMap::new(),
            accounted: BTreeMap::new(),
            pending: BTreeMap::new(),
            parked: BTreeMap::new(),
            parked_last: 0,
            actions: Vec::new(),
            inbox: BTreeMap::new(),
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
    /// A commit does not tell everything: a turn that reads two topics decides what it has read of
    /// the one before what it has read of the other, and what it has read may have been lost by
    /// the log since. It is right if it is right in one of these ways.
    pub(crate) fn commit(
        &mut self,
        log: &SeenLog,
        counts: &mut Counts,
        commit: &Committed<'_>,
    ) -> Checked {
        let reads = Read::of(log, commit);
        if let [read] = &reads[..] {
            return self.commit_as(log, counts, commit, read);
        }
        let mut first = Ok(());
        for read in &reads {
            let (mut other, mut met) = (self.clone(), counts.clone());
            match other.commit_as(log, &mut met, commit, read) {
                Ok(()) => {
                    (*self, *counts) = (other, met);
                    return Ok(());
                }
                wrong => first = first.and(wrong),
            }
        }
        first
    }

    fn commit_as(
        &mut self,
        log: &SeenLog,
        counts: &mut Counts,
        commit: &Committed<'_>,
        read: &Read<'_>,
    ) -> Checked {
        counts.commits += 1;
        self.check_epoch(commit)?;
        let said = self.outbox.add(log, commit)?;
        let mut records = commit.effects.outbox.iter().flat_map(|row| &row.records);
        let mut decisions = Decisions::at(records.next().map(|record| record.timestamp));
        let mut judged = Vec::new();
        self.carried_out(commit)?;
        for replay in self.unpark(commit)? {
            if let Some(fate) = self.replayed(commit, &replay, &mut decisions)? {
                self.remember(commit, &replay.0, &replay.1, &fate);
                counts.replayed += 1;
            }
            judged.push((replay.0, replay.1));
        }
        self.stay_parked(commit)?;
        for (at, entry) in self.advance(log, commit.shard, read)? {
            let fate = self.fate(commit, &at, &entry.told, &mut decisions);
            self.evidence(commit, &at, &entry, &fate)?;
            self.remember(commit, &at, &entry, &fate);
            counts.add(&fate);
            judged.push((at, entry));
        }
        self.parked_in_order(commit)?;
        nothing_beyond(commit, &judged)?;
        match &mut self.model {
            Model::Order(orders) => orders.compare(commit.changes, &decisions)?,
            Model::Inventory(book) => book.compare(commit.changes, &mut decisions)?,
        }
        decisions.compare_said(said)?;
        self.prune(commit);
        self.acknowledge(log, &commit.effects.published);
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
        read: &Read<'_>,
    ) -> Result<Vec<(At, Entry)>, Violation> {
        let mut passed = Vec::new();
        for (step, moment) in &read.steps {
            let home = (step.topic.clone(), shard.0);
            self.check_step(shard, step)?;
            self.check_skipped(log, &home, step, *moment)?;
            let records = log.between(&home, step.from, step.to, *moment);
            require(records.contains_key(&(step.to - 1)), "S4", || {
                let CursorMove { topic, to, .. } = step;
                format!("shard {shard} steps to {to} of {topic}, no record stands before that")
            })?;
            let pending = self.pending.entry(home.clone()).or_default();
            let accounted = self.accounted.entry(home.clone()).or_default();
            for (offset, entry) in records {
                // What has taken the place of a record that was lost is yet to be read.
                if log.at(&home, offset).map(|now| &now.record) == Some(&entry.record) {
                    pending.remove(&offset);
                }
                accounted.insert(offset, entry.record.clone());
                passed.push(((step.topic.clone(), offset), entry));
            }
            self.cursors.insert((shard, step.topic.clone()), step.to);
        }
        Ok(passed)
    }

    fn check_step(&self, shard: ShardId, step: &CursorMove) -> Checked {
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
        })
    }

    /// S6: nothing below the step is still to be accounted for. But a turn that was under way when
    /// the log lost something could not know what has taken its place.
    fn check_skipped(
        &self,
        log: &SeenLog,
        home: &Home,
        step: &CursorMove,
        moment: LossesBefore,
    ) -> Checked {
        let CursorMove {
            topic, from, to, ..
        } = step;
        let under_way = moment < log.losses(home) && log.lost_at(home, to - 1).next().is_some();
        let was_read = |offset: i64| {
            let accounted = self.accounted.get(home).and_then(|seen| seen.get(&offset));
            log.lost_at(home, offset)
                .any(|was| Some(&was.record) == accounted)
        };
        let mut pending = self.pending.get(home).into_iter().flatten().copied();
        let skipped = pending.find(|offset| !(under_way && was_read(*offset)));
        let shard = home.1;
        require(skipped.is_none_or(|skipped| skipped >= *from), "S6", || {
            format!(
                "shard {shard} has passed {skipped:?} of {topic}, which was never accounted for"
            )
        })
    }

    /// F2, F3, and that nobody waits without need, or past its deadline.
    pub(crate) fn settled(&self, log: &SeenLog, now: Timestamp) -> Checked {
        self.outbox.settled(log)?;
        for (home, pending) in &self.pending {
            require(pending.is_empty(), "F3", || {
                format!("{:?} has not read {pending:?} of {home:?}", self.side)
            })?;
        }
        match &self.model {
            Model::Order(_) => Ok(()),
            Model::Inventory(book) => book.settled(now),
        }
    }
}
