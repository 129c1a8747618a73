//! What the operators leave behind: nothing parked, and a trail that tells everything.

use messaging::store::{ActionKind, ActionRecord, OutcomeKind};

use super::desk::Desk;
use super::{Operators, unreachable};
use crate::check::{Asked, Violation};

impl Operators {
    /// Nothing is parked, and every action stands in the trail once, with all that came of it.
    pub(crate) async fn leave(&self) -> Result<(), Violation> {
        for desk in [&self.order, &self.inventory] {
            let rows = desk.parked(None).await.map_err(unreachable)?;
            if !rows.is_empty() {
                return Err(wrong(format!("{rows:?} are parked at the end")));
            }
            let limit = desk.dice(|dice| dice.of(&[1, 3, 50]));
            let trail = desk.trail(limit).await.map_err(unreachable)?;
            compare(&trail, &self.world.checker.trail(desk.side))?;
            self.only_garbage_is_gone(desk, &trail)?;
        }
        Ok(())
    }

    /// Tells what became of messages, in numbers.
    pub(crate) fn count(&self) {
        for desk in [&self.order, &self.inventory] {
            for asked in self.world.checker.trail(desk.side) {
                let gone = asked.outcomes.iter();
                let gone = gone.filter(|outcome| outcome.kind != OutcomeKind::Parked);
                let gone = gone.count() as u64;
                self.world.count(|counts| match asked.action.kind {
                    ActionKind::Replay => counts.replayed += gone,
                    ActionKind::Discard => counts.discarded += gone,
                    ActionKind::DryRun => {}
                });
            }
        }
    }

    /// F1: what the store has accepted is never discarded.
    fn only_garbage_is_gone(&self, desk: &Desk, trail: &[ActionRecord]) -> Result<(), Violation> {
        for record in trail {
            let gone = record.outcomes.iter();
            for outcome in gone.filter(|outcome| outcome.kind == OutcomeKind::Discarded) {
                let (shard, place) = (record.action.shard, &outcome.place);
                if !self.world.is_foreign(&place.topic, shard.0, place.offset) {
                    return Err(Violation {
                        invariant: "F1",
                        detail: format!("{:?}: {outcome:?} is no garbage", desk.side),
                    });
                }
            }
        }
        Ok(())
    }
}

fn compare(trail: &[ActionRecord], must: &[Asked]) -> Result<(), Violation> {
    for (record, asked) in trail.iter().zip(must) {
        let holds = record.action == asked.action
            && record.done_at.is_some()
            && record.done_at == asked.done_at
            && record.outcomes == asked.outcomes
            && usize::try_from(record.outcome_count) == Ok(asked.outcomes.len());
        if !holds {
            return Err(wrong(format!("{record:?} in the trail must be {asked:?}")));
        }
    }
    if trail.len() == must.len() {
        return Ok(());
    }
    let (is, must) = (trail.len(), must.len());
    Err(wrong(format!(
        "{is} actions in the trail, asked for {must}"
    )))
}

fn wrong(detail: String) -> Violation {
    Violation {
        invariant: "S6",
        detail,
    }
}
