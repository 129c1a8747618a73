//! What both services promise: epochs, cursors, and that each record below a cursor was accounted
//! for in exactly one of the ways there are (S4, S5, S6, S8-S10).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use contracts::{inventory, order, topics};
use messaging::clock::Timestamp;
use messaging::context::ContentHash;
use messaging::envelope::Envelope;
use messaging::log::{Consumed, Record};
use messaging::message::Message as _;
use messaging::shard::{Epoch, ShardId};
use messaging::store::{AggregateKey, CursorMove, InboxKey, ParkReason, Parked};

use super::book::Book;
use super::commit::Committed;
use super::counts::Counts;
use super::decisions::{Decisions, Verdict};
use super::orders::Orders;
use super::outbox::Outbox;
use super::seen_log::{Entry, Home, SeenLog};
use super::told::{Body, Told};
use super::violation::{Checked, Violation, require};
use super::{Side, Tolerance};

/// A record of an input topic, of one shard: topic and offset.
type At = (String, i64);

/// One service, as it must be.
#[derive(Clone)]
pub(crate) struct Service {
    side: Side,
    tolerance: Tolerance,
    epochs: BTreeMap<ShardId, Epoch>,
    cursors: BTreeMap<(ShardId, String), i64>,
    /// What a cursor has passed, as it stood in the log then.
    accounted: BTreeMap<Home, BTreeMap<i64, Record>>,
    /// What no cursor has passed yet.
    pending: BTreeMap<Home, BTreeSet<i64>>,
    parked: BTreeMap<(ShardId, At), Option<AggregateKey>>,
    inbox: BTreeMap<InboxKey, Remembered>,
    /// Ids applied before this may be forgotten by the inbox.
    horizon: Timestamp,
    outbox: Outbox,
    model: Model,
}

/// The contents of a service's own tables.
#[derive(Clone)]
enum Model {
    Order(Orders),
    Inventory(Book),
}

#[derive(Clone, Copy)]
struct Remembered {
    content: ContentHash,
    at: Timestamp,
}

/// What a record is to the service that reads it.
enum Class {
    Ignored,
    Unreadable(Option<AggregateKey>),
    Message(AggregateKey, Envelope, Body),
}

/// What must become of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    Nothing,
    Park(Option<AggregateKey>),
    Decided(Verdict),
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
            inbox: BTreeMap::new(),
            horizon: Timestamp(i64::MIN),
            outbox: Outbox::default(),
            model,
        }
    }

    /// The kind of aggregate that the keys of an input topic name; `None` for other topics.
    fn kind(&self, topic: &str) -> Option<&'static str> {
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
    pub(crate) fn commit(
        &mut self,
        log: &SeenLog,
        counts: &mut Counts,
        commit: &Committed<'_>,
    ) -> Checked {
        counts.commits += 1;
        self.check_epoch(commit)?;
        let said = self.outbox.add(log, commit)?;
        let passed = self.advance(log, commit)?;
        let mut decisions = Decisions::default();
        for (at, entry) in &passed {
            let fate = self.fate(commit, at, &entry.told, &mut decisions);
            self.evidence(commit, at, entry, &fate)?;
            self.remember(commit, at, entry, &fate);
            counts.add(&fate);
        }
        nothing_beyond(commit, &passed)?;
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
        commit: &Committed<'_>,
    ) -> Result<Vec<(At, Entry)>, Violation> {
        let mut passed = Vec::new();
        for step in &commit.effects.cursors {
            let home = (step.topic.clone(), commit.shard.0);
            self.check_step(log, commit.shard, &home, step)?;
            for (offset, entry) in log.between(&home, step.from, step.to) {
                passed.push(((step.topic.clone(), offset), entry.clone()));
                let accounted = self.accounted.entry(home.clone()).or_default();
                accounted.insert(offset, entry.record.clone());
            }
            let pending = self.pending.entry(home).or_default();
            *pending = pending.split_off(&step.to);
            self.cursors
                .insert((commit.shard, step.topic.clone()), step.to);
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

    /// What must become of the record, by what was before it.
    fn fate(
        &mut self,
        commit: &Committed<'_>,
        at: &At,
        told: &Arc<Told>,
        decisions: &mut Decisions,
    ) -> Fate {
        match self.classify(&at.0, told) {
            Class::Ignored => Fate::Nothing,
            Class::Unreadable(aggregate) => Fate::Park(aggregate),
            Class::Message(aggregate, ..) if self.is_held_up(commit.shard, &aggregate) => {
                Fate::Park(Some(aggregate))
            }
            Class::Message(aggregate, ..) if self.tolerates(parked(commit, at)) => {
                Fate::Park(Some(aggregate))
            }
            Class::Message(aggregate, envelope, body) => {
                match self.decide(&envelope, &body, decisions) {
                    Verdict::Undecidable => Fate::Park(Some(aggregate)),
                    verdict => Fate::Decided(verdict),
                }
            }
        }
    }

    fn tolerates(&self, parked: Option<&Parked>) -> bool {
        parked.is_some_and(|parked| match parked.reason {
            ParkReason::Undecodable => self.tolerance.undecodable,
            ParkReason::Failed => self.tolerance.failed,
            ParkReason::Misrouted | ParkReason::Behind => false,
        })
    }

    fn is_held_up(&self, shard: ShardId, aggregate: &AggregateKey) -> bool {
        let of_shard = self.parked.iter().filter(|((owner, _), _)| *owner == shard);
        of_shard
            .into_iter()
            .any(|(_, held_up)| held_up.as_ref() == Some(aggregate))
    }

    fn classify(&self, topic: &str, told: &Told) -> Class {
        let aggregate = |key: &str| AggregateKey {
            kind: self.kind(topic).unwrap_or_default().to_owned(),
            id: key.to_owned(),
        };
        match told {
            Told::Misrouted(_) => Class::Unreadable(None),
            Told::Unreadable {
                key, message_type, ..
            } => match message_type {
                Some(name) if self.ignores(name) => Class::Ignored,
                _ => Class::Unreadable(Some(aggregate(key))),
            },
            Told::Message { envelope, .. } if self.ignores(&envelope.message_type) => {
                Class::Ignored
            }
            Told::Message { envelope, body } if self.handles(body) => {
                Class::Message(aggregate(body.key()), envelope.clone(), body.clone())
            }
            Told::Message { body, .. } => Class::Unreadable(Some(aggregate(body.key()))),
        }
    }

    fn ignores(&self, message_type: &str) -> bool {
        self.side == Side::Inventory
            && [
                order::OrderReserved::TYPE,
                order::OrderBackordered::TYPE,
                order::OrderRejected::TYPE,
            ]
            .contains(&message_type)
    }

    fn handles(&self, body: &Body) -> bool {
        match (self.side, body) {
            (Side::Order, Body::Order(_) | Body::Reservation(_)) => true,
            (Side::Inventory, Body::Inventory(_) | Body::OrderEvent(_)) => true,
            (Side::Order | Side::Inventory, _) => false,
        }
    }

    /// Deduplicates by id where nothing else does, then leaves it to the rules.
    fn decide(&mut self, envelope: &Envelope, body: &Body, decisions: &mut Decisions) -> Verdict {
        let verdict = match (remembered_by(envelope, body), &mut self.model) {
            (Some((key, content)), Model::Order(orders)) => match self.inbox.get(&key) {
                Some(known) if known.at < self.horizon => Verdict::Old,
                Some(known) if known.content == content => Verdict::Duplicate,
                Some(_) => Verdict::Conflict,
                None => orders.decide(body, decisions),
            },
            (_, Model::Order(orders)) => orders.decide(body, decisions),
            (_, Model::Inventory(book)) => book.decide(body, decisions),
        };
        decisions.note(body.key(), verdict);
        verdict
    }

    /// Whether the commit says of the record what must be said of it.
    fn evidence(&self, commit: &Committed<'_>, at: &At, entry: &Entry, fate: &Fate) -> Checked {
        let found = |what: &str| {
            format!(
                "{} {}/{} is {what}: {:?}",
                at.0, commit.shard, at.1, entry.told
            )
        };
        let (is_parked, is_conflict) = (parked(commit, at), is_conflict(commit, at));
        let blame = match fate {
            Fate::Decided(Verdict::Duplicate) => "S8",
            Fate::Decided(Verdict::Old) => "S10",
            Fate::Decided(Verdict::Conflict) => "S9",
            _ => "S6",
        };
        let must_park = matches!(fate, Fate::Park(_));
        require(is_parked.is_some() == must_park, blame, || {
            found(&format!(
                "{fate:?}, but parked is {:?}",
                is_parked.map(|parked| &parked.detail)
            ))
        })?;
        if let (Fate::Park(aggregate), Some(parked)) = (fate, is_parked) {
            require(*aggregate == parked.aggregate, "S6", || {
                found(&format!(
                    "parked under {:?}, not {aggregate:?}",
                    parked.aggregate
                ))
            })?;
            require(entry.record == parked.record, "S6", || {
                found("parked as another record")
            })?;
        }
        let must_conflict = *fate == Fate::Decided(Verdict::Conflict);
        let blame = if must_conflict { "S9" } else { blame };
        require(is_conflict == must_conflict, blame, || {
            found(&format!(
                "{fate:?}, but recorded as a conflict is {is_conflict}"
            ))
        })?;
        self.inbox_evidence(commit, entry, fate, &found)
    }

    fn inbox_evidence(
        &self,
        commit: &Committed<'_>,
        entry: &Entry,
        fate: &Fate,
        found: &dyn Fn(&str) -> String,
    ) -> Checked {
        let Told::Message { envelope, body } = &*entry.told else {
            return Ok(());
        };
        let Some((key, content)) = remembered_by(envelope, body) else {
            return Ok(());
        };
        let entered = commit.effects.inbox.iter().find(|entry| entry.key == key);
        match fate {
            Fate::Decided(Verdict::Applied) => require(
                entered.is_some_and(|entered| entered.content == content),
                "S6",
                || found("applied, and its id is not remembered"),
            ),
            _ => Ok(()),
        }
    }

    /// Takes the record's fate into the model.
    fn remember(&mut self, commit: &Committed<'_>, at: &At, entry: &Entry, fate: &Fate) {
        if let Fate::Park(aggregate) = fate {
            self.parked
                .insert((commit.shard, at.clone()), aggregate.clone());
        }
        let Told::Message { envelope, body } = &*entry.told else {
            return;
        };
        let (Some((key, content)), Fate::Decided(Verdict::Applied)) =
            (remembered_by(envelope, body), fate)
        else {
            return;
        };
        let mut entered = commit.effects.inbox.iter();
        if let Some(entered) = entered.find(|entered| entered.key == key) {
            let at = entered.at;
            self.inbox.insert(key, Remembered { content, at });
        }
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

impl Counts {
    fn add(&mut self, fate: &Fate) {
        match fate {
            Fate::Nothing => {}
            Fate::Park(_) => self.parked += 1,
            Fate::Decided(Verdict::Duplicate | Verdict::Old) => self.duplicates += 1,
            Fate::Decided(Verdict::Conflict) => self.conflicts += 1,
            Fate::Decided(Verdict::Applied | Verdict::Undecidable) => self.applied += 1,
        }
    }
}

/// The key and content that the inbox must remember a message by; `None` where the state does.
fn remembered_by(envelope: &Envelope, body: &Body) -> Option<(InboxKey, ContentHash)> {
    let content = match body {
        Body::Order(order::OrderCommand::Cancel(cancel)) => cancel.content(),
        Body::Order(order::OrderCommand::Complete(complete)) => complete.content(),
        _ => return None,
    };
    let key = InboxKey {
        message_type: envelope.message_type.clone(),
        key: body.key().to_owned(),
        id: envelope.id.clone(),
    };
    Some((key, content))
}

fn parked<'c>(commit: &Committed<'c>, at: &At) -> Option<&'c Parked> {
    let mut parked = commit.effects.parked.iter();
    parked.find(|parked| parked.topic == at.0 && parked.offset == at.1)
}

fn is_conflict(commit: &Committed<'_>, at: &At) -> bool {
    let mut conflicts = commit.effects.conflicts.iter();
    conflicts.any(|conflict| conflict.topic == at.0 && conflict.offset == at.1)
}

/// S6: nothing is said of records that no cursor of this commit has passed.
fn nothing_beyond(commit: &Committed<'_>, passed: &[(At, Entry)]) -> Checked {
    let parked = commit
        .effects
        .parked
        .iter()
        .map(|parked| (&parked.topic, parked.offset));
    let conflicts = commit.effects.conflicts.iter();
    let conflicts = conflicts.map(|conflict| (&conflict.topic, conflict.offset));
    for (topic, offset) in parked.chain(conflicts) {
        let below = passed
            .iter()
            .any(|((of, at), _)| of == topic && *at == offset);
        require(below, "S6", || {
            format!(
                "{topic} {}/{offset} is judged, but not passed",
                commit.shard
            )
        })?;
    }
    let ids: BTreeSet<&str> = passed
        .iter()
        .filter_map(|(_, entry)| match &*entry.told {
            Told::Message { envelope, .. } => Some(envelope.id.as_str()),
            _ => None,
        })
        .collect();
    for entry in &commit.effects.inbox {
        require(ids.contains(entry.key.id.as_str()), "S6", || {
            format!("{:?} is remembered, but not passed", entry.key)
        })?;
    }
    Ok(())
}
