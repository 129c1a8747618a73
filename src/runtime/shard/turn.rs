//! Steps 3 to 9 of the commit protocol: one transaction, in order.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::codec;
use crate::context::Context;
use crate::crash::{self, Point};
use crate::limits::{INBOX_HORIZON, INBOX_PRUNE_EVERY};
use crate::mutant::{self, Layer, Mutant};
use crate::runtime::decide::{self, Decided, Questions, Refused, Scene, Tally};
use crate::runtime::item::Item;
use crate::runtime::meter::Step;
use crate::runtime::shard::Shard;
use crate::runtime::spans::{Ended, TurnSpans};
use crate::store::{
    Action, ActionDone, Effects, Error as StoreError, ErrorKind, OutboxBatch, Published, Seen,
    Store, Target, Turn,
};

/// Why a turn did not commit.
#[derive(Debug)]
pub(super) enum TurnError {
    Store(StoreError),
    Refused(String),
}

impl From<StoreError> for TurnError {
    fn from(error: StoreError) -> Self {
        match error.kind {
            ErrorKind::Rejected => Self::Refused(error.to_string()),
            _ => Self::Store(error),
        }
    }
}

impl From<Refused> for TurnError {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused.to_string())
    }
}

impl From<codec::Error> for TurnError {
    fn from(error: codec::Error) -> Self {
        Self::Refused(error.to_string())
    }
}

/// What one turn is about.
pub(super) enum Work<'w, M> {
    /// Records of the log, and what earlier turns left to do.
    Log(&'w [Item<M>]),
    /// Parked messages, decided again.
    Replay(Replay<'w, M>),
    /// What an operator's action comes to without a decision.
    Note(&'w Action, &'w Effects),
}

/// A part of an operator's action.
pub(super) struct Replay<'w, M> {
    /// The action.
    pub(super) action: &'w Action,
    /// The first of the messages that it is about, in the order of parking.
    pub(super) items: &'w [Item<M>],
    /// Whether these are all of them.
    pub(super) last: bool,
}

impl<'w, M> Work<'w, M> {
    /// The messages to decide.
    pub(super) fn items(&self) -> &'w [Item<M>] {
        match self {
            Self::Log(items) => items,
            Self::Replay(replay) => replay.items,
            Self::Note(..) => &[],
        }
    }

    /// The action that it is a part of.
    fn action(&self) -> Option<&'w Action> {
        match self {
            Self::Replay(replay) => Some(replay.action),
            Self::Note(action, _) => Some(action),
            Self::Log(_) => None,
        }
    }
}

/// A turn, decided and not yet written.
pub(super) struct Prepared<C: Context> {
    pub(super) state: Option<C::State>,
    pub(super) effects: Effects,
    tally: Tally,
    /// Whether the context's follow-up has more to do.
    more: bool,
    /// When it has work again; the outer is `None` if it did not run.
    alarm: Option<Option<Timestamp>>,
}

impl<C: Context, S: Store<C>> Shard<C, S> {
    /// Steps 3 to 9, with the acknowledgements that ride along.
    pub(super) async fn turn(&mut self, work: &Work<'_, C::Message>) -> Result<(), TurnError> {
        let now = self.service.ports.clock.now();
        self.follow_up |= self.due.is_some_and(|due| due <= now);
        let acknowledged = self.progress.take();
        let mut spans = TurnSpans::begin(&self.service.ports.tracer);
        let committed = self
            .commit(work, acknowledged.clone(), now, &mut spans)
            .await;
        if let Some(spans) = spans {
            let turn = (self.service.context.source(), self.grant.shard);
            spans.end(turn, work.items(), ended(&committed));
        }
        match committed {
            Ok(tally) => {
                self.after_commit(work, tally);
                Ok(())
            }
            Err(error) => {
                // Deleting what is deleted already does nothing, so this is safe to repeat.
                acknowledged
                    .into_iter()
                    .for_each(|published| self.progress.add(published));
                Err(error)
            }
        }
    }

    async fn commit(
        &mut self,
        work: &Work<'_, C::Message>,
        acknowledged: Option<Published>,
        now: Timestamp,
        spans: &mut Option<Box<TurnSpans>>,
    ) -> Result<Tally, TurnError> {
        self.pace.await_slot().await;
        let _slot = self.pace.take_slot();
        let service = Arc::clone(&self.service);
        let began = self.meter.steps.begin();
        let mut turn = service
            .store
            .begin(self.grant.shard, self.grant.epoch)
            .await?;
        self.meter.steps.lap(spans, Step::Begin, began);
        crash::here(Point::TurnBegun);
        let Prepared {
            state,
            mut effects,
            tally,
            more,
            alarm,
        } = self.prepare(&mut turn, work, now, spans).await?;
        effects.published.extend(acknowledged);
        effects.prune_inbox_before = self.prune_before(now);
        let steps = effects.cursors.clone();
        let pruned = effects.prune_inbox_before.is_some();
        let parked_changes = !effects.parked.is_empty() || !effects.unparked.is_empty();
        if mutant::on(Mutant::PublishBeforeCommit) {
            for OutboxBatch {
                topic,
                partition,
                records,
            } in effects.outbox.clone()
            {
                let _ = service.ports.log.append(&topic, partition, records).await;
            }
        }
        if mutant::on(Mutant::CursorFirst) {
            let cursors = std::mem::take(&mut effects.cursors);
            let first = Effects {
                cursors,
                ..Effects::default()
            };
            turn.commit(None, first).await?;
            turn = service
                .store
                .begin(self.grant.shard, self.grant.epoch)
                .await?;
        }
        let began = self.meter.steps.begin();
        let rows = turn.commit(state.as_ref(), effects).await?;
        self.meter.steps.lap(spans, Step::Commit, began);
        self.meter.written(&rows);
        let elsewhere = service.handover.offer(rows);
        self.follow_up = more;
        self.due = alarm.unwrap_or(self.due);
        self.pruned_at = if pruned { now } else { self.pruned_at };
        self.desk.parked_changed |= parked_changes;
        for step in steps {
            self.cursors.insert(step.topic.into(), step.to);
        }
        if !elsewhere.is_empty()
            && let Err(error) = service.store.announce(&elsewhere).await
        {
            tracing::debug!(%error, "other instances find their rows when they look unasked");
        }
        Ok(tally)
    }

    /// Steps 4 to 7: everything that the turn writes, with nothing written.
    pub(super) async fn prepare(
        &mut self,
        turn: &mut S::Turn<'_>,
        work: &Work<'_, C::Message>,
        now: Timestamp,
        spans: &mut Option<Box<TurnSpans>>,
    ) -> Result<Prepared<C>, TurnError> {
        let scene = Scene {
            context: &*self.service.context,
            writer: &self.service.writer,
            partitions: self.service.partitions,
            now,
            cursors: &self.cursors,
            traced: spans.is_some(),
        };
        let steps = &self.meter.steps;
        let items = work.items();
        let began = steps.begin();
        let mut seen = ask::<C, _>(turn, &decide::questions(scene.context, items)).await?;
        if mutant::on(Mutant::BypassParked) {
            seen.parked.clear();
        }
        if let Some(Target::Aggregate(aggregate)) = work.action().map(|action| &action.target) {
            // These are its first messages: nothing stands before them.
            seen.parked.remove(aggregate);
        }
        let began = steps.lap(spans, Step::Look, began);
        let concerned = decide::concerned(items, &seen);
        let mut state = if concerned.is_empty() && (self.alone || !self.follow_up) {
            None
        } else {
            Some(turn.load(&concerned).await?)
        };
        let began = steps.lap(spans, Step::Load, began);
        if let Some(state) = state.as_mut() {
            scene.context.tell_time(state, now);
        }
        let mut decided = decide_work(&scene, work, &mut seen, state.as_mut())?;
        let began = steps.lap(spans, Step::Decide, began);
        let (mut more, mut alarm) = (self.follow_up, None);
        match state.as_mut() {
            Some(_) if self.alone => more = true,
            Some(state) => {
                turn.load_follow_up(state).await?;
                let follow_up = scene.context.follow_up(state);
                decided.outgoing.extend(follow_up.outgoing);
                (more, alarm) = (follow_up.more, Some(follow_up.alarm));
            }
            None => {}
        }
        let began = steps.lap(spans, Step::FollowUp, began);
        let mut effects = decided.effects;
        let mut created = Vec::new();
        effects.outbox = decide::outbox(&scene, &decided.outgoing, &mut created)?;
        steps.lap(spans, Step::Encode, began);
        if let Some(spans) = spans {
            spans.decided(decided.told, created);
        }
        Ok(Prepared {
            state,
            effects,
            tally: decided.tally,
            more,
            alarm,
        })
    }

    /// What waits for a known commit: watchers, counters, and a word to the operator. The tables
    /// hold which messages those were.
    fn after_commit(&self, work: &Work<'_, C::Message>, tally: Tally) {
        let source = self.service.context.source();
        let shard = self.grant.shard.0;
        let action = work.action().map(|action| action.id.as_str());
        let keys = decide::keys(work.items());
        self.service.feed.publish(keys.chain(action));
        match work {
            Work::Replay(_) => self.meter.replayed(tally),
            Work::Log(_) | Work::Note(..) => self.meter.committed(work.items().len(), tally),
        }
        if tally.parked > 0 {
            let count = tally.parked;
            tracing::warn!(source, shard, count, "parked until an operator acts");
        }
        if tally.conflict > 0 {
            let count = tally.conflict;
            tracing::warn!(
                source,
                shard,
                count,
                "conflicts recorded: a known id, other content"
            );
        }
    }

    /// Deletes what was acknowledged, in a turn of its own; returns what kept it from that.
    pub(super) async fn commit_acknowledged(&mut self) -> Option<ErrorKind> {
        let published = self.progress.take()?;
        self.follow_up = false;
        let now = self.service.ports.clock.now();
        match self
            .commit(&Work::Log(&[]), Some(published.clone()), now, &mut None)
            .await
        {
            Ok(_) => None,
            Err(TurnError::Store(error)) => {
                tracing::warn!(%error, "acknowledged outbox rows stay for now");
                self.progress.add(published);
                Some(error.kind)
            }
            Err(TurnError::Refused(detail)) => {
                tracing::warn!(%detail, "acknowledged outbox rows stay for now");
                self.progress.add(published);
                Some(ErrorKind::Rejected)
            }
        }
    }

    fn prune_before(&self, now: Timestamp) -> Option<Timestamp> {
        if mutant::without(Layer::InboxHorizon) {
            return Some(now);
        }
        (now.since(self.pruned_at) >= INBOX_PRUNE_EVERY).then(|| now.minus(INBOX_HORIZON))
    }
}

/// How a turn has ended, as traces tell it.
fn ended(committed: &Result<Tally, TurnError>) -> Ended {
    match committed {
        Ok(_) => Ended::Committed,
        Err(TurnError::Store(error)) if error.kind == ErrorKind::Unknown => Ended::Unknown,
        Err(TurnError::Store(error)) => Ended::Failed(error.kind.label()),
        Err(TurnError::Refused(_)) => Ended::Failed("refused"),
    }
}

/// Decides what a turn is about.
fn decide_work<C: Context>(
    scene: &Scene<'_, C>,
    work: &Work<'_, C::Message>,
    seen: &mut Seen,
    state: Option<&mut C::State>,
) -> Result<Decided<C::Event>, Refused> {
    match work {
        Work::Log(items) => decide::decide(scene, items, seen, state),
        Work::Note(_, effects) => Ok(Decided::of((*effects).clone())),
        Work::Replay(replay) => {
            let replayed = decide::replay(scene, replay.items, seen, state)?;
            let mut decided = replayed.decided;
            decided.effects.done.push(ActionDone {
                id: replay.action.id.clone(),
                outcomes: replayed.outcomes,
                at: (replay.last || replayed.stuck).then_some(scene.now),
            });
            Ok(decided)
        }
    }
}

/// Asks only if there is something to ask.
async fn ask<C: Context, T: Turn<C>>(
    turn: &mut T,
    questions: &Questions,
) -> Result<Seen, StoreError> {
    if questions.inbox.is_empty() && questions.aggregates.is_empty() {
        return Ok(Seen::default());
    }
    turn.seen(&questions.inbox, &questions.aggregates).await
}
