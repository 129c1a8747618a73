//! Operators' actions: each is carried out once and on what it is about, and the trail gets what
//! came of every message (S6).

use messaging::clock::Timestamp;
use messaging::shard::ShardId;
use messaging::store::{
    Action, ActionDone, ActionKind, AggregateKey, Outcome, OutcomeKind, Place, Target,
};

use super::account::Class;
use super::commit::Committed;
use super::decisions::{Decisions, Verdict};
use super::service::{At, HeldUp, Service};
use super::violation::{Checked, require, violated};

/// An action, and what must stand in the trail beside it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) action: Action,
    pub(crate) outcomes: Vec<Outcome>,
    /// When it was done; `None` while it is open.
    pub(crate) done_at: Option<Timestamp>,
}

/// A message that is set aside, as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SetAside {
    pub(crate) shard: ShardId,
    pub(crate) place: Place,
    pub(crate) aggregate: Option<AggregateKey>,
    pub(crate) replays: i32,
}

impl SetAside {
    /// Whether `action` is about it.
    pub(crate) fn is_target_of(&self, action: &Action) -> bool {
        let aimed_at = match &action.target {
            Target::Aggregate(aggregate) => self.aggregate.as_ref() == Some(aggregate),
            Target::Place(place) => self.place == *place,
        };
        aimed_at && self.shard == action.shard
    }
}

impl Service {
    /// An operator's action is open from now on.
    pub(super) fn asked(&mut self, action: &Action) -> Checked {
        let again = self
            .actions
            .iter()
            .any(|asked| asked.action.id == action.id);
        require(!again, "S6", || {
            format!("action {} is asked for a second time", action.id)
        })?;
        self.actions.push(Asked {
            action: action.clone(),
            outcomes: Vec::new(),
            done_at: None,
        });
        Ok(())
    }

    /// What is set aside, in the order of parking.
    pub(super) fn set_aside(&self) -> Vec<SetAside> {
        let mut parked: Vec<_> = self.parked.iter().collect();
        parked.sort_by_key(|(_, held_up)| held_up.number);
        let parked = parked.into_iter();
        parked
            .map(|((shard, at), held_up)| seen(*shard, at, held_up))
            .collect()
    }

    /// What a commit says of actions fits what they ask for, and goes into the trail.
    pub(super) fn carried_out(&mut self, commit: &Committed<'_>) -> Checked {
        let said = commit.effects.done.iter().flat_map(|done| &done.outcomes);
        let stays = said.filter(|outcome| outcome.kind == OutcomeKind::Parked);
        let again = commit.effects.reparked.iter();
        for again in again.map(|again| &again.place) {
            let why = stays.clone().any(|outcome| outcome.place == *again);
            require(why, "S6", || {
                format!("{again:?} stays parked, and no action says why")
            })?;
        }
        for done in &commit.effects.done {
            let is_it = |asked: &&mut Asked| asked.action.id == done.id;
            let Some(asked) = self.actions.iter_mut().find(is_it) else {
                return violated("S6", format!("nobody has asked for action {}", done.id));
            };
            let open = asked.done_at.is_none() && asked.action.shard == commit.shard;
            require(open, "S6", || {
                format!("{:?} is carried out by {}: {done:?}", asked, commit.shard)
            })?;
            asked.outcomes.extend(done.outcomes.iter().cloned());
            asked.done_at = done.at;
            let action = asked.action.clone();
            self.outcomes(commit, &action, done)?;
        }
        Ok(())
    }

    fn outcomes(&self, commit: &Committed<'_>, action: &Action, done: &ActionDone) -> Checked {
        let mut last = 0;
        for (index, outcome) in done.outcomes.iter().enumerate() {
            let wrong = |what: &str| format!("{action:?}, {outcome:?}: {what}");
            let at = (outcome.place.topic.clone(), outcome.place.offset);
            let Some(held_up) = self.parked.get(&(commit.shard, at.clone())) else {
                return violated("S6", wrong("it was not parked"));
            };
            let aimed_at = seen(commit.shard, &at, held_up).is_target_of(action);
            require(aimed_at, "S6", || wrong("that is another one"))?;
            require(held_up.number > last, "S6", || wrong("out of order"))?;
            last = held_up.number;
            let is_last = index + 1 == done.outcomes.len();
            require(outcome.kind != OutcomeKind::Parked || is_last, "S6", || {
                wrong("it stays parked, and what stands behind it was decided")
            })?;
            let record = (action.kind == ActionKind::Discard).then_some(&held_up.entry.record);
            require(outcome.record.as_ref() == record, "S6", || {
                wrong("only what is discarded is kept, as it was")
            })?;
            let (effects, place) = (commit.effects, &outcome.place);
            let is_out = effects.unparked.contains(place);
            let stays = effects.reparked.iter().any(|again| again.place == *place);
            let discarded = outcome.kind == OutcomeKind::Discarded;
            let holds = match action.kind {
                ActionKind::DryRun => !is_out && !stays && !discarded,
                ActionKind::Discard => is_out && discarded,
                ActionKind::Replay if outcome.kind == OutcomeKind::Parked => stays && !is_out,
                ActionKind::Replay => is_out && !stays && !discarded,
            };
            require(holds, "S6", || {
                wrong(&format!("taken out: {is_out}, kept in: {stays}"))
            })?;
        }
        Ok(())
    }

    /// What a replay leaves parked could not be applied.
    pub(super) fn stay_parked(&mut self, commit: &Committed<'_>) -> Checked {
        for again in &commit.effects.reparked {
            let at = (again.place.topic.clone(), again.place.offset);
            let key = (commit.shard, at.clone());
            let Some(held_up) = self.parked.get(&key).cloned() else {
                return violated("S6", format!("{at:?} was not parked"));
            };
            require(self.must_stay(&at, &held_up), "S6", || {
                format!("{at:?} stays parked without need: {}", again.detail)
            })?;
            if let Some(held_up) = self.parked.get_mut(&key) {
                held_up.replays += 1;
            }
        }
        Ok(())
    }

    fn must_stay(&self, at: &At, held_up: &HeldUp) -> bool {
        match self.classify(&at.0, &held_up.entry.told) {
            Class::Ignored => false,
            Class::Unreadable(_) => true,
            Class::Message(aggregate, envelope, body) => {
                let mut others = self.parked.values();
                let ahead = others.any(|other| {
                    other.number < held_up.number && other.aggregate.as_ref() == Some(&aggregate)
                });
                let decided = || {
                    let mut decisions = Decisions::default();
                    self.clone().decide(&envelope, &body, &mut decisions)
                };
                ahead || self.tolerance.failed || decided() == Verdict::Undecidable
            }
        }
    }

    /// The order of parking is that of deciding.
    pub(super) fn parked_in_order(&self, commit: &Committed<'_>) -> Checked {
        let numbers = commit.effects.parked.iter().map(|parked| {
            let at = (parked.topic.clone(), parked.offset);
            let held_up = self.parked.get(&(commit.shard, at));
            held_up.map(|held_up| held_up.number)
        });
        require(numbers.is_sorted(), "S6", || {
            format!("parked out of order: {:?}", commit.effects.parked)
        })
    }
}

fn seen(shard: ShardId, at: &At, held_up: &HeldUp) -> SetAside {
    SetAside {
        shard,
        place: Place {
            topic: at.0.clone(),
            offset: at.1,
        },
        aggregate: held_up.aggregate.clone(),
        replays: held_up.replays,
    }
}
