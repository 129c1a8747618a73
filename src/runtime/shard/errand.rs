//! Operators' actions, carried out by the shard's owner in turns of its own.
//!
//! Every part of an action commits together with its entry in the trail, and takes out only what is
//! still parked: a crash anywhere leaves the action open with what is left, and nothing is done
//! twice. Only the owner changes parked rows, so what is read before a turn still holds in it, or
//! the turn is refused.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::limits::REPLAY_RECORDS_MAX;
use crate::log::Consumed;
use crate::mutant::{self, Mutant};
use crate::registry;
use crate::runtime::classify::{GivenUp, classify};
use crate::runtime::item::{self, Item, Kind, Origin, Unreadable};
use crate::runtime::service::Service;
use crate::runtime::shard::recover::{Outcome as Ended, failed};
use crate::runtime::shard::turn::{Replay, TurnError, Work};
use crate::runtime::shard::{Halt, Shard};
use crate::runtime::spans;
use crate::shard::ShardId;
use crate::store::{
    Action, ActionDone, ActionKind, Effects, Error as StoreError, ErrorKind, Outcome, OutcomeKind,
    ParkReason, ParkedRow, Store, Turn,
};

impl<C: Context, S: Store<C>> Shard<C, S> {
    /// Looks what operators ask for, and carries out one turn's worth of it.
    pub(super) async fn attend(&mut self, stop: &CancellationToken) -> Result<(), Halt> {
        self.desk.look();
        let actions = match self.service.store.actions(self.grant.shard).await {
            Ok(actions) => actions,
            Err(error) => return not_now(error),
        };
        for action in actions {
            if self.carry_out(&action, stop).await? {
                self.desk.acted();
                break;
            }
        }
        self.measure_parked().await;
        Ok(())
    }

    /// One turn's worth of `action`; `false` if it has to wait.
    async fn carry_out(&mut self, action: &Action, stop: &CancellationToken) -> Result<bool, Halt> {
        let shard = self.grant.shard;
        let store = &self.service.store;
        let rows = match store
            .parked_of(shard, &action.target, REPLAY_RECORDS_MAX)
            .await
        {
            Ok(rows) => rows,
            Err(error) => return not_now(error).map(|()| false),
        };
        let last = rows.len() < REPLAY_RECORDS_MAX;
        if action.kind == ActionKind::Discard || rows.is_empty() {
            let effects = self.discarded(action, rows, last);
            return self.note(action, effects, stop).await;
        }
        let items = match self.decode(rows, stop).await {
            Some(Ok(items)) => items,
            Some(Err(error)) => {
                tracing::warn!(%error, action = action.id, "an operator's action waits");
                return Ok(false);
            }
            None => return Err(Halt::Shutdown),
        };
        if action.kind == ActionKind::DryRun {
            return self.dry_run(action, &items, stop).await;
        }
        self.replay(action, items, last, stop).await
    }

    /// Decides parked messages again, up to the first that stays parked.
    async fn replay(
        &mut self,
        action: &Action,
        items: Vec<Item<C::Message>>,
        last: bool,
        stop: &CancellationToken,
    ) -> Result<bool, Halt> {
        let work = replay(action, &items, last);
        match self.until_decided(&work, stop).await? {
            Ended::Committed | Ended::Resynced => Ok(true),
            Ended::Refused(_) => {
                // As with a batch: alone in its turn, the message that is to blame is found.
                self.alone = true;
                let done = self.replay_each(action, items, last, stop).await;
                self.alone = false;
                done
            }
        }
    }

    async fn replay_each(
        &mut self,
        action: &Action,
        items: Vec<Item<C::Message>>,
        last: bool,
        stop: &CancellationToken,
    ) -> Result<bool, Halt> {
        let mut left = items.len();
        for item in items {
            left -= 1;
            let last = last && left == 0;
            let mut alone = [item];
            let work = replay(action, &alone, last);
            match self.until_decided(&work, stop).await? {
                Ended::Committed => {}
                Ended::Resynced => return Ok(true),
                Ended::Refused(detail) => {
                    self.tell_refused(&alone[0], &detail);
                    alone[0].kind = failed(&alone[0].kind, detail);
                    let work = replay(action, &alone, last);
                    let ended = self.until_decided(&work, stop).await?;
                    return Ok(not_refused(action, ended));
                }
            }
        }
        Ok(true)
    }

    /// Decides parked messages in turns that are undone, and notes what would have come of them.
    async fn dry_run(
        &mut self,
        action: &Action,
        items: &[Item<C::Message>],
        stop: &CancellationToken,
    ) -> Result<bool, Halt> {
        let foreseen = match self.rehearse(action, items).await {
            Err(TurnError::Refused(_)) => {
                self.alone = true;
                let found = self.foresee_refusal(action, items).await;
                self.alone = false;
                found
            }
            Ok(outcomes) => Ok(outcomes),
            Err(TurnError::Store(error)) => Err(error),
        };
        match foreseen {
            Ok(outcomes) => {
                self.note(action, self.done(action, outcomes, true), stop)
                    .await
            }
            Err(error) => not_now(error).map(|()| false),
        }
    }

    /// What would come of `items` when one of them, or the follow-up, is refused: the message to
    /// blame is the last of the shortest start that is.
    async fn foresee_refusal(
        &mut self,
        action: &Action,
        items: &[Item<C::Message>],
    ) -> Result<Vec<Outcome>, StoreError> {
        let (mut fine, mut refused) = (0, items.len() + 1);
        let (mut outcomes, mut detail) = (Vec::new(), String::new());
        while refused - fine > 1 {
            let middle = fine + (refused - fine) / 2;
            match self.rehearse(action, &items[..middle]).await {
                Ok(foreseen) => (fine, outcomes) = (middle, foreseen),
                Err(TurnError::Refused(why)) => (refused, detail) = (middle, why),
                Err(TurnError::Store(error)) => return Err(error),
            }
        }
        outcomes.extend(items.get(fine).map(|item| Outcome {
            place: item.place(),
            kind: OutcomeKind::Parked,
            detail,
            record: None,
        }));
        Ok(outcomes)
    }

    /// A turn like any other, undone instead of committed.
    async fn rehearse(
        &mut self,
        action: &Action,
        items: &[Item<C::Message>],
    ) -> Result<Vec<Outcome>, TurnError> {
        let service = Arc::clone(&self.service);
        let (shard, epoch) = (self.grant.shard, self.grant.epoch);
        let mut turn = service.store.begin(shard, epoch).await?;
        let now = service.ports.clock.now();
        let work = replay(action, items, true);
        let prepared = self.prepare(&mut turn, &work, now, &mut None).await?;
        let done = prepared.effects.done.clone();
        turn.rehearse(prepared.state.as_ref(), prepared.effects)
            .await?;
        Ok(done.into_iter().flat_map(|done| done.outcomes).collect())
    }

    /// Commits what needs no decision.
    async fn note(
        &mut self,
        action: &Action,
        effects: Effects,
        stop: &CancellationToken,
    ) -> Result<bool, Halt> {
        let ended = self
            .until_decided(&Work::Note(action, &effects), stop)
            .await?;
        Ok(not_refused(action, ended))
    }

    /// Takes `rows` out; their records stay in the trail.
    fn discarded(&self, action: &Action, rows: Vec<ParkedRow>, last: bool) -> Effects {
        let unparked = rows.iter().map(ParkedRow::place).collect();
        let outcomes = rows.into_iter().map(|row| Outcome {
            place: row.place(),
            kind: OutcomeKind::Discarded,
            detail: row.parked.detail,
            record: (!mutant::on(Mutant::DiscardKeepsNothing)).then_some(row.parked.record),
        });
        Effects {
            unparked,
            ..self.done(action, outcomes.collect(), last)
        }
    }

    fn done(&self, action: &Action, outcomes: Vec<Outcome>, last: bool) -> Effects {
        Effects {
            done: vec![ActionDone {
                id: action.id.clone(),
                outcomes,
                at: last.then(|| self.service.ports.clock.now()),
            }],
            ..Effects::default()
        }
    }

    /// The rows as items of a turn, up to the first that cannot be read; `None` if the shard is to
    /// stop, an error if the registry cannot be asked now.
    async fn decode(
        &mut self,
        rows: Vec<ParkedRow>,
        stop: &CancellationToken,
    ) -> Option<Result<Vec<Item<C::Message>>, registry::Error>> {
        let service = Arc::clone(&self.service);
        let mut items = Vec::with_capacity(rows.len());
        for row in rows {
            let decoding = decode(&service, self.grant.shard, row);
            let item = match stop.run_until_cancelled(decoding).await? {
                Ok(item) => item,
                Err(error) => return Some(Err(error)),
            };
            let unreadable = matches!(item.kind, Kind::Unreadable(_));
            items.push(item);
            if unreadable {
                break;
            }
        }
        Some(Ok(items))
    }
}

/// A part of `action` as the work of a turn.
fn replay<'w, M>(action: &'w Action, items: &'w [Item<M>], last: bool) -> Work<'w, M> {
    Work::Replay(Replay {
        action,
        items,
        last,
    })
}

/// A parked row as an item, as the intake would make it of its record.
async fn decode<C: Context, S>(
    service: &Service<C, S>,
    shard: ShardId,
    row: ParkedRow,
) -> Result<Item<C::Message>, registry::Error> {
    let parked = row.parked;
    let topic: Arc<str> = parked.topic.into();
    let consumed = Consumed {
        offset: parked.offset,
        record: parked.record,
    };
    let mut inputs = service.context.inputs().iter();
    let mut kind = match inputs.find(|input| *input.topic == *topic) {
        Some(input) => {
            let origin = Origin {
                input: *input,
                partition: shard.0,
                partitions: service.partitions,
            };
            let given_up = &mut GivenUp::default();
            classify(service, origin, &consumed, &topic, given_up).await?
        }
        None => Kind::Unreadable(Unreadable {
            aggregate: parked.aggregate,
            reason: ParkReason::Undecodable,
            detail: format!("{topic} is no longer read here"),
        }),
    };
    let traced = spans::receive(&service.ports.tracer, &consumed.record, &mut kind);
    Ok(Item {
        topic,
        offset: consumed.offset,
        hash: item::hash(&consumed.record),
        record: consumed.record,
        kind,
        traced,
    })
}

/// Whether an action's turn was written. A database that refuses to keep the outcome must not stop
/// the shard: the action stays open.
fn not_refused(action: &Action, ended: Ended) -> bool {
    match ended {
        Ended::Committed | Ended::Resynced => true,
        Ended::Refused(detail) => {
            tracing::error!(action = action.id, %detail, "the outcome of an action cannot be kept");
            false
        }
    }
}

/// A read that failed: the next look tries again, unless no look ever will.
fn not_now(error: StoreError) -> Result<(), Halt> {
    match error.kind {
        ErrorKind::Fatal => Err(Halt::Broken(error.into())),
        ErrorKind::Fenced => Err(Halt::Fenced),
        _ => {
            tracing::warn!(%error, "operators' actions wait");
            Ok(())
        }
    }
}
