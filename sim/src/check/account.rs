//! Whether each record below a cursor was accounted for in exactly one of the ways there are:
//! applied, known, conflicting, ignored or parked, and a parked one replayed or discarded (S6,
//! S8-S10).

use std::collections::BTreeSet;
use std::sync::Arc;

use contracts::order;
use messaging::context::ContentHash;
use messaging::envelope::Envelope;
use messaging::message::Message as _;
use messaging::shard::ShardId;
use messaging::store::{AggregateKey, InboxKey, OutcomeKind, ParkReason, Parked};

use super::Side;
use super::commit::Committed;
use super::counts::Counts;
use super::decisions::{Decisions, Verdict};
use super::seen_log::Entry;
use super::service::{At, HeldUp, Model, Remembered, Service};
use super::told::{Body, Told};
use super::violation::{Checked, Violation, require, violated};

/// What a record is to the service that reads it.
pub(super) enum Class {
    Ignored,
    Unreadable(Option<AggregateKey>),
    Message(AggregateKey, Box<Envelope>, Body),
}

/// What must become of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Nothing,
    Park(Option<AggregateKey>),
    Decided(Verdict),
}

impl Service {
    /// What must become of the record, by what was before it.
    pub(super) fn fate(
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
                self.decided(aggregate, &envelope, &body, decisions)
            }
        }
    }

    fn decided(
        &mut self,
        aggregate: AggregateKey,
        envelope: &Envelope,
        body: &Body,
        decisions: &mut Decisions,
    ) -> Fate {
        match self.decide(envelope, body, decisions) {
            Verdict::Undecidable => Fate::Park(Some(aggregate)),
            verdict => Fate::Decided(verdict),
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
            .any(|(_, held_up)| held_up.aggregate.as_ref() == Some(aggregate))
    }

    pub(super) fn classify(&self, topic: &str, told: &Told) -> Class {
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
    pub(super) fn decide(
        &mut self,
        envelope: &Envelope,
        body: &Body,
        decisions: &mut Decisions,
    ) -> Verdict {
        let verdict = match (remembered_by(envelope, body), &mut self.model) {
            (Some((key, content)), Model::Order(orders)) => match self.inbox.get(&key) {
                Some(known) if known.old && !known.lasting => Verdict::Old,
                Some(known) if known.content != content => Verdict::Conflict,
                Some(known) if known.old => Verdict::Old,
                Some(_) => Verdict::Duplicate,
                None => orders.decide(body, decisions),
            },
            (_, Model::Order(orders)) => orders.decide(body, decisions),
            (_, Model::Inventory(book)) => book.decide(body, decisions),
        };
        decisions.note(body.key(), verdict);
        verdict
    }

    /// Whether the commit says of the record what must be said of it.
    pub(super) fn evidence(
        &self,
        commit: &Committed<'_>,
        at: &At,
        entry: &Entry,
        fate: &Fate,
    ) -> Checked {
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
            Fate::Decided(Verdict::Applied) => {
                let entered = entered.filter(|entered| entered.content == content);
                require(entered.is_some(), "S6", || {
                    found("applied, and its id is not remembered")
                })?;
                let lasts = entered.is_some_and(|entered| entered.lasting);
                require(lasts == self.must_last(body), "S10", || {
                    found(&format!("remembered, for good or not: {entered:?}"))
                })
            }
            Fate::Decided(Verdict::Old) => {
                let lasting = self.inbox.get(&key).is_some_and(|known| known.lasting);
                require(!lasting || entered.is_none(), "S10", || {
                    found("decided again, though its id was to be kept for good")
                })
            }
            _ => Ok(()),
        }
    }

    /// Whether a command that was just decided could still have an effect if it came again.
    fn must_last(&self, body: &Body) -> bool {
        match &self.model {
            Model::Order(orders) => !orders.is_over(body.key()),
            Model::Inventory(_) => false,
        }
    }

    /// The parked messages that this commit takes out, in order, each with what is said of it. The
    /// order of parking is kept within an aggregate: nothing overtakes what stays parked.
    pub(super) fn unpark(
        &mut self,
        commit: &Committed<'_>,
    ) -> Result<Vec<(At, Entry, OutcomeKind)>, Violation> {
        let mut out = Vec::new();
        let done = commit.effects.done.iter();
        for outcome in done.flat_map(|done| &done.outcomes) {
            if !commit.effects.unparked.contains(&outcome.place) {
                continue;
            }
            let at = (outcome.place.topic.clone(), outcome.place.offset);
            let Some(parked) = self.parked.remove(&(commit.shard, at.clone())) else {
                return violated("S6", format!("{at:?} is taken out, but was not parked"));
            };
            let ahead = self.parked.iter().find(|((shard, _), other)| {
                *shard == commit.shard
                    && other.number < parked.number
                    && other.aggregate.is_some()
                    && other.aggregate == parked.aggregate
            });
            let discarded = outcome.kind == OutcomeKind::Discarded;
            require(discarded || ahead.is_none(), "S6", || {
                format!("{at:?} is replayed before {ahead:?}")
            })?;
            out.push((at, parked.entry, outcome.kind));
        }
        require(out.len() == commit.effects.unparked.len(), "S6", || {
            let told = commit.effects.done.len();
            format!("{:?}: {told} actions say why", commit.effects.unparked)
        })?;
        Ok(out)
    }

    /// What a replay says became of a message, and what must.
    pub(super) fn replayed(
        &mut self,
        commit: &Committed<'_>,
        (at, entry, kind): &(At, Entry, OutcomeKind),
        decisions: &mut Decisions,
    ) -> Result<Option<Fate>, Violation> {
        if *kind == OutcomeKind::Discarded {
            return Ok(None);
        }
        let fate = match self.classify(&at.0, &entry.told) {
            Class::Ignored => Fate::Nothing,
            Class::Unreadable(aggregate) => Fate::Park(aggregate),
            Class::Message(aggregate, envelope, body) => {
                self.decided(aggregate, &envelope, &body, decisions)
            }
        };
        let holds = matches!(
            (kind, &fate),
            (OutcomeKind::Ignored, Fate::Nothing)
                | (OutcomeKind::Applied, Fate::Decided(Verdict::Applied))
                | (OutcomeKind::Duplicate, Fate::Decided(Verdict::Duplicate))
                | (OutcomeKind::Conflict, Fate::Decided(Verdict::Conflict))
                | (_, Fate::Decided(Verdict::Old))
        );
        require(holds, "S6", || {
            format!("the replay of {at:?} came to {kind:?}, it must be {fate:?}")
        })?;
        self.evidence(commit, at, entry, &fate)?;
        Ok(Some(fate))
    }

    /// Takes the record's fate into the model.
    pub(super) fn remember(&mut self, commit: &Committed<'_>, at: &At, entry: &Entry, fate: &Fate) {
        if let Fate::Park(aggregate) = fate {
            self.parked_last += 1;
            let held_up = HeldUp {
                number: self.parked_last,
                aggregate: aggregate.clone(),
                entry: entry.clone(),
                replays: 0,
            };
            self.parked.insert((commit.shard, at.clone()), held_up);
        }
        let Told::Message { envelope, body } = &*entry.told else {
            return;
        };
        // What was forgotten and has come again is remembered as it is now.
        let (Some((key, content)), Fate::Decided(Verdict::Applied | Verdict::Old)) =
            (remembered_by(envelope, body), fate)
        else {
            return;
        };
        let mut entered = commit.effects.inbox.iter();
        if let Some(entered) = entered.find(|entered| entered.key == key) {
            let remembered = Remembered {
                shard: commit.shard,
                content,
                at: entered.at,
                lasting: entered.lasting,
                old: false,
            };
            self.inbox.insert(key, remembered);
        }
    }

    /// What the commit has pruned is old from now on.
    pub(super) fn prune(&mut self, commit: &Committed<'_>) {
        let Some(before) = commit.effects.prune_inbox_before else {
            return;
        };
        let of_shard = self.inbox.values_mut();
        for remembered in of_shard.filter(|remembered| remembered.shard == commit.shard) {
            remembered.old |= remembered.at < before;
        }
    }
}

impl Counts {
    pub(super) fn add(&mut self, fate: &Fate) {
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
pub(super) fn nothing_beyond(commit: &Committed<'_>, passed: &[(At, Entry)]) -> Checked {
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
