//! Parked messages, conflicts and operators' actions in memory, and the port that reads them.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use super::{MemoryStore, refuse};
use crate::clock::Timestamp;
use crate::limits;
use crate::shard::ShardId;
use crate::store::{
    Action, ActionDone, ActionRecord, AggregateKey, Checkpoint, Conflict, Conflicting, Effects,
    Error, ErrorKind, Operations, Outcome, Parked, ParkedFilter, ParkedLevel, ParkedRow, Place,
    Reparked, Target,
};

/// See `sqlite/migrations/0002_operations.sql`: the same tables.
#[derive(Clone, Debug, Default)]
pub(super) struct Trail {
    parked: BTreeMap<i64, ParkedRow>,
    parked_last: i64,
    conflicts: BTreeMap<i64, Conflicting>,
    actions: BTreeMap<i64, Kept>,
}

/// An action with all of its outcomes.
#[derive(Clone, Debug)]
struct Kept {
    action: Action,
    done_at: Option<Timestamp>,
    outcomes: Vec<Outcome>,
}

impl Trail {
    /// The aggregates of `shard` with a parked message.
    pub(super) fn held_up_in(&self, shard: ShardId) -> BTreeSet<&AggregateKey> {
        self.of_shard(shard)
            .filter_map(|row| row.parked.aggregate.as_ref())
            .collect()
    }

    pub(super) fn parked_in_log_order(&self) -> Vec<Parked> {
        let mut rows: Vec<&ParkedRow> = self.parked.values().collect();
        rows.sort_by_key(|row| (row.shard, row.place()));
        rows.into_iter().map(|row| row.parked.clone()).collect()
    }

    pub(super) fn conflicts_in_log_order(&self) -> Vec<Conflict> {
        let mut rows: Vec<&Conflicting> = self.conflicts.values().collect();
        rows.sort_by_key(|row| (row.shard, row.conflict.topic.clone(), row.conflict.offset));
        rows.into_iter().map(|row| row.conflict.clone()).collect()
    }

    pub(super) fn conflict_count(&self, shard: ShardId) -> i64 {
        let of_shard = self.conflicts.values().filter(|row| row.shard == shard);
        i64::try_from(of_shard.count()).unwrap_or(i64::MAX)
    }

    pub(super) fn level(&self, shard: ShardId) -> ParkedLevel {
        ParkedLevel {
            count: i64::try_from(self.of_shard(shard).count()).unwrap_or(i64::MAX),
            oldest: self.of_shard(shard).map(|row| row.parked.at).min(),
        }
    }

    pub(super) fn parked_of(
        &self,
        shard: ShardId,
        target: &Target,
        limit: usize,
    ) -> Vec<ParkedRow> {
        self.of_shard(shard)
            .filter(|row| is_of(row, target))
            .take(limit)
            .cloned()
            .collect()
    }

    pub(super) fn open_actions(&self, shard: ShardId) -> Vec<Action> {
        self.actions
            .values()
            .filter(|kept| kept.action.shard == shard && kept.done_at.is_none())
            .take(limits::ACTIONS_PER_LOOK)
            .map(|kept| kept.action.clone())
            .collect()
    }

    /// Checks what can refuse `effects`.
    pub(super) fn check(&self, shard: ShardId, effects: &Effects) -> Result<(), Error> {
        let again = effects.reparked.iter().map(|again| &again.place);
        for place in effects.unparked.iter().chain(again) {
            if self.at(shard, place).is_none() {
                return moved(format!("{place:?} is not parked"));
            }
        }
        for done in &effects.done {
            if self.open(shard, &done.id).is_none() {
                return moved(format!("action {} is not open", done.id));
            }
        }
        Ok(())
    }

    pub(super) fn unpark(&mut self, shard: ShardId, places: &[Place]) {
        let gone: BTreeSet<&Place> = places.iter().collect();
        self.parked
            .retain(|_, row| row.shard != shard || !gone.contains(&row.place()));
    }

    pub(super) fn repark(&mut self, shard: ShardId, reparked: Vec<Reparked>) {
        for again in reparked {
            let mut rows = self.parked.values_mut();
            let row = rows.find(|row| row.shard == shard && row.place() == again.place);
            if let Some(row) = row {
                row.parked.reason = again.reason;
                row.parked.detail = again.detail;
                row.replays += 1;
            }
        }
    }

    pub(super) fn park(&mut self, shard: ShardId, parked: Vec<Parked>) {
        for parked in parked {
            self.parked_last += 1;
            let row = ParkedRow {
                number: self.parked_last,
                shard,
                parked,
                replays: 0,
            };
            if self.at(shard, &row.place()).is_none() {
                self.parked.insert(row.number, row);
            }
        }
    }

    pub(super) fn note_done(&mut self, done: Vec<ActionDone>) {
        for done in done {
            let mut kept = self.actions.values_mut();
            if let Some(kept) = kept.find(|kept| kept.action.id == done.id) {
                kept.outcomes.extend(done.outcomes);
                kept.done_at = done.at;
            }
        }
    }

    pub(super) fn note_conflicts(&mut self, shard: ShardId, conflicts: Vec<Conflict>) {
        for conflict in conflicts {
            let known = self.conflicts.values().any(|row| {
                row.shard == shard
                    && row.conflict.topic == conflict.topic
                    && row.conflict.offset == conflict.offset
            });
            if !known {
                let number = next(&self.conflicts);
                let row = Conflicting {
                    number,
                    shard,
                    conflict,
                };
                self.conflicts.insert(number, row);
            }
        }
    }

    fn of_shard(&self, shard: ShardId) -> impl Iterator<Item = &ParkedRow> {
        self.parked.values().filter(move |row| row.shard == shard)
    }

    fn at(&self, shard: ShardId, place: &Place) -> Option<&ParkedRow> {
        self.of_shard(shard).find(|row| row.place() == *place)
    }

    fn open(&self, shard: ShardId, id: &str) -> Option<&Kept> {
        self.actions.values().find(|kept| {
            kept.action.id == id && kept.action.shard == shard && kept.done_at.is_none()
        })
    }

    fn submit(&mut self, action: &Action) -> Result<bool, Error> {
        let parked = !self.parked_of(action.shard, &action.target, 1).is_empty();
        if parked {
            let mut known = self.actions.values();
            if known.any(|kept| kept.action.id == action.id) {
                let detail = format!("action {} was asked for before", action.id);
                return refuse(ErrorKind::Rejected, "submit", detail);
            }
            let kept = Kept {
                action: action.clone(),
                done_at: None,
                outcomes: Vec::new(),
            };
            self.actions.insert(next(&self.actions), kept);
        }
        Ok(parked)
    }
}

impl Kept {
    fn record(&self, number: i64, outcomes_max: usize) -> ActionRecord {
        let from = self.outcomes.len().saturating_sub(outcomes_max);
        ActionRecord {
            number,
            action: self.action.clone(),
            done_at: self.done_at,
            outcome_count: i64::try_from(self.outcomes.len()).unwrap_or(i64::MAX),
            outcomes: self.outcomes[from..].to_vec(),
        }
    }
}

/// The number after the last; nothing is ever taken out of these tables.
fn next<V>(rows: &BTreeMap<i64, V>) -> i64 {
    rows.last_key_value().map_or(1, |(last, _)| last + 1)
}

fn is_of(row: &ParkedRow, target: &Target) -> bool {
    match target {
        Target::Aggregate(aggregate) => row.parked.aggregate.as_ref() == Some(aggregate),
        Target::Place(place) => row.place() == *place,
    }
}

fn moved(detail: String) -> Result<(), Error> {
    refuse(ErrorKind::CursorMoved, "commit", detail)
}

#[async_trait]
impl<T: Send + Sync + 'static> Operations for MemoryStore<T> {
    async fn parked(
        &self,
        filter: &ParkedFilter,
        after: i64,
        limit: usize,
    ) -> Result<Vec<ParkedRow>, Error> {
        let wanted = |row: &&ParkedRow| {
            let aggregate = row.parked.aggregate.as_ref().map(|aggregate| &aggregate.id);
            filter
                .aggregate_id
                .as_ref()
                .is_none_or(|id| aggregate == Some(id))
                && filter
                    .reason
                    .is_none_or(|reason| row.parked.reason == reason)
                && filter
                    .parked_until
                    .is_none_or(|until| row.parked.at <= until)
        };
        let committed = self.look().await;
        let rows = committed.library.trail().parked.range(after + 1..);
        let rows = rows.map(|(_, row)| row).filter(wanted);
        Ok(rows.take(limit).cloned().collect())
    }

    async fn parked_count(&self, aggregate: &AggregateKey) -> Result<i64, Error> {
        let target = Target::Aggregate(aggregate.clone());
        let committed = self.look().await;
        let rows = committed.library.trail().parked.values();
        let count = rows.filter(|row| is_of(row, &target)).count();
        Ok(i64::try_from(count).unwrap_or(i64::MAX))
    }

    async fn parked_at(&self, shard: ShardId, place: &Place) -> Result<Option<ParkedRow>, Error> {
        let committed = self.look().await;
        Ok(committed.library.trail().at(shard, place).cloned())
    }

    async fn held_up(&self, id: &str) -> Result<Vec<(ShardId, AggregateKey)>, Error> {
        let committed = self.look().await;
        let rows = committed.library.trail().parked.values();
        let held_up: BTreeSet<(&AggregateKey, ShardId)> = rows
            .filter_map(|row| Some((row.parked.aggregate.as_ref()?, row.shard)))
            .filter(|(aggregate, _)| aggregate.id == id)
            .collect();
        let held_up = held_up.into_iter();
        Ok(held_up
            .map(|(aggregate, shard)| (shard, aggregate.clone()))
            .collect())
    }

    async fn submit(&self, action: &Action) -> Result<bool, Error> {
        let mut committed = self.look().await;
        committed.library.trail_mut().submit(action)
    }

    async fn action(&self, id: &str, outcomes: usize) -> Result<Option<ActionRecord>, Error> {
        let committed = self.look().await;
        let mut actions = committed.library.trail().actions.iter();
        let found = actions.find(|(_, kept)| kept.action.id == id);
        Ok(found.map(|(number, kept)| kept.record(*number, outcomes)))
    }

    async fn trail(
        &self,
        before: i64,
        limit: usize,
        outcomes: usize,
    ) -> Result<Vec<ActionRecord>, Error> {
        let committed = self.look().await;
        let newest_first = committed.library.trail().actions.range(..before).rev();
        Ok(newest_first
            .take(limit)
            .map(|(number, kept)| kept.record(*number, outcomes))
            .collect())
    }

    async fn conflicts(
        &self,
        key: Option<&str>,
        after: i64,
        limit: usize,
    ) -> Result<Vec<Conflicting>, Error> {
        let committed = self.look().await;
        let rows = committed.library.trail().conflicts.range(after + 1..);
        let rows = rows
            .map(|(_, row)| row)
            .filter(|row| key.is_none_or(|key| row.conflict.key.key == key));
        Ok(rows.take(limit).cloned().collect())
    }

    async fn checkpoint(&self) -> Result<Checkpoint, Error> {
        Ok(self.look().await.library.checkpoint())
    }
}
