//! Steps 3 to 9 of the commit protocol: one transaction, in order.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::codec;
use crate::context::Context;
use crate::crash::{self, Point};
use crate::limits::{INBOX_HORIZON, INBOX_PRUNE_EVERY};
use crate::runtime::decide::{self, Questions, Refused, Scene, Tally};
use crate::runtime::item::Item;
use crate::runtime::shard::Shard;
use crate::store::{Error as StoreError, ErrorKind, Published, Seen, Store, Turn};

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

impl<C: Context, S: Store<C>> Shard<C, S> {
    /// Steps 3 to 9, with the acknowledgements that ride along.
    pub(super) async fn turn(&mut self, items: &[Item<C::Message>]) -> Result<(), TurnError> {
        let now = self.service.ports.clock.now();
        let acknowledged = self.progress.take();
        let committed = self.commit(items, acknowledged.clone(), now).await;
        match committed {
            Ok(tally) => {
                self.after_commit(items, tally);
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
        items: &[Item<C::Message>],
        acknowledged: Option<Published>,
        now: Timestamp,
    ) -> Result<Tally, TurnError> {
        let service = Arc::clone(&self.service);
        let scene = Scene {
            context: &*service.context,
            writer: &service.writer,
            partitions: service.partitions,
            now,
            cursors: &self.cursors,
        };
        let mut turn = service
            .store
            .begin(self.grant.shard, self.grant.epoch)
            .await?;
        crash::here(Point::TurnBegun);
        let questions = decide::questions(scene.context, items);
        let mut seen = ask::<C, _>(&mut turn, &questions).await?;
        let concerned = decide::concerned(items, &seen);
        let mut state = if concerned.is_empty() && (self.alone || !self.follow_up) {
            None
        } else {
            Some(turn.load(&concerned).await?)
        };
        let mut decided = decide::decide(&scene, items, &mut seen, state.as_mut())?;
        let mut more = self.follow_up;
        match state.as_mut() {
            Some(_) if self.alone => more = true,
            Some(state) => {
                turn.load_follow_up(state).await?;
                let follow_up = scene.context.follow_up(state);
                decided.outgoing.extend(follow_up.outgoing);
                more = follow_up.more;
            }
            None => {}
        }
        let mut effects = decided.effects;
        effects.outbox = decide::outbox(&scene, &decided.outgoing)?;
        effects.published.extend(acknowledged);
        effects.prune_inbox_before = self.prune_before(now);
        let steps = effects.cursors.clone();
        let pruned = effects.prune_inbox_before.is_some();
        let rows = turn.commit(state.as_ref(), effects).await?;
        service.handover.offer(rows);
        self.follow_up = more;
        self.pruned_at = if pruned { now } else { self.pruned_at };
        for step in steps {
            self.cursors.insert(step.topic.into(), step.to);
        }
        Ok(decided.tally)
    }

    /// What waits for a known commit: watchers, counters, and a word to the operator. The tables
    /// hold which messages those were.
    fn after_commit(&self, items: &[Item<C::Message>], tally: Tally) {
        self.service.feed.publish(decide::keys(items));
        let source = self.service.context.source();
        let shard = self.grant.shard.to_string();
        metrics::counter!("turns_total", "source" => source, "shard" => shard.clone()).increment(1);
        for (outcome, count) in [
            ("applied", tally.applied),
            ("duplicate", tally.duplicate),
            ("conflict", tally.conflict),
            ("ignored", tally.ignored),
            ("parked", tally.parked),
        ] {
            metrics::counter!("messages_total", "source" => source, "outcome" => outcome)
                .increment(count);
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
        match self.commit(&[], Some(published.clone()), now).await {
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
        (now.since(self.pruned_at) >= INBOX_PRUNE_EVERY).then(|| now.minus(INBOX_HORIZON))
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
