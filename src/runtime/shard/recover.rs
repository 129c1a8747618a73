//! What follows a turn that did not commit: wait and repeat, find the one message that is to
//! blame, or re-read what the database says.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::health::Condition;
use crate::mutant::{self, Layer};
use crate::runtime::intake::{Intake, Trust};
use crate::runtime::item::{Item, Kind, Unreadable};
use crate::runtime::meter::Lag;
use crate::runtime::shard::turn::{TurnError, Work};
use crate::runtime::shard::{Halt, Shard, cursors};
use crate::runtime::takeover::Position;
use crate::store::{Cursor, Effects, Error as StoreError, ErrorKind, ParkReason, Store, Turn};

/// How a batch's turns ended.
pub(super) enum Outcome {
    Committed,
    Refused(String),
    Resynced,
}

impl<C: Context, S: Store<C>> Shard<C, S> {
    /// Runs turns until `items` are committed, or the shard has re-read its cursors instead.
    pub(super) async fn process(
        &mut self,
        items: Vec<Item<C::Message>>,
        stop: &CancellationToken,
    ) -> Result<(), Halt> {
        match self.until_decided(&Work::Log(&items), stop).await? {
            Outcome::Committed | Outcome::Resynced => Ok(()),
            Outcome::Refused(detail) if items.is_empty() => {
                self.stall(&detail, stop).await;
                Ok(())
            }
            Outcome::Refused(_) => self.one_by_one(items, stop).await,
        }
    }

    /// Finds the message that a refused batch owes its refusal to, and parks it. The follow-up
    /// waits for a turn of its own: no message is to blame for what was refused there.
    async fn one_by_one(
        &mut self,
        items: Vec<Item<C::Message>>,
        stop: &CancellationToken,
    ) -> Result<(), Halt> {
        self.alone = true;
        let done = self.each_alone(items, stop).await;
        self.alone = false;
        done
    }

    async fn each_alone(
        &mut self,
        items: Vec<Item<C::Message>>,
        stop: &CancellationToken,
    ) -> Result<(), Halt> {
        for item in items {
            let mut alone = [item];
            match self.until_decided(&Work::Log(&alone), stop).await? {
                Outcome::Committed => {}
                Outcome::Resynced => return Ok(()),
                Outcome::Refused(detail) => {
                    alone[0].kind = failed(&alone[0].kind, detail);
                    match self.until_decided(&Work::Log(&alone), stop).await? {
                        Outcome::Committed => {}
                        Outcome::Resynced => return Ok(()),
                        Outcome::Refused(detail) => return Err(cannot_park(detail)),
                    }
                }
            }
        }
        Ok(())
    }

    /// While turns fail nothing new is read, and the lag would look as it was then.
    fn tell_age(&self, items: &[Item<C::Message>]) {
        let (source, now) = (
            self.service.context.source(),
            self.service.ports.clock.now(),
        );
        for of_topic in items.chunk_by(|a, b| a.topic == b.topic) {
            let oldest = &of_topic[0];
            let age = now.since(oldest.record.timestamp);
            Lag::of(source, self.grant.shard, &oldest.topic).grow_old(age);
        }
    }

    /// One turn, repeated while the failure is one that passes.
    pub(super) async fn until_decided(
        &mut self,
        work: &Work<'_, C::Message>,
        stop: &CancellationToken,
    ) -> Result<Outcome, Halt> {
        loop {
            if stop.is_cancelled() {
                return Err(Halt::Shutdown);
            }
            let error = match self.turn(work).await {
                Ok(()) => {
                    // A turn with nothing to write commits also where no other one does.
                    if !work.items().is_empty() {
                        self.backoff.reset();
                    }
                    self.report(Condition::Running);
                    return Ok(Outcome::Committed);
                }
                Err(TurnError::Refused(detail)) => return Ok(Outcome::Refused(detail)),
                Err(TurnError::Store(error)) => error,
            };
            self.meter.failed(error.kind);
            self.tell_age(work.items());
            match error.kind {
                ErrorKind::Retry | ErrorKind::Rejected => {
                    self.stall(&error.to_string(), stop).await;
                }
                ErrorKind::Unknown if mutant::without(Layer::Reread) => {
                    self.stall(&error.to_string(), stop).await;
                }
                ErrorKind::Unknown | ErrorKind::CursorMoved => {
                    // The turn that follows, with or without messages, makes it running again.
                    self.stall(&error.to_string(), stop).await;
                    self.resync(stop).await?;
                    return Ok(Outcome::Resynced);
                }
                ErrorKind::Fenced => return Err(Halt::Fenced),
                ErrorKind::Fatal => return Err(Halt::Broken(error.into())),
            }
        }
    }

    /// Step 9: after an unknown outcome, what the database says is what happened.
    async fn resync(&mut self, stop: &CancellationToken) -> Result<(), Halt> {
        loop {
            if stop.is_cancelled() {
                return Err(Halt::Shutdown);
            }
            match self.committed_cursors().await {
                Ok(committed) => {
                    let positions = positions(&self.cursors, committed);
                    self.cursors = cursors(&positions);
                    // What the readers knew of the log goes with them, a lost tail included.
                    self.intake =
                        Intake::start(&self.service, self.grant.shard, &positions, Trust::Doubtful);
                    self.follow_up = true;
                    return Ok(());
                }
                Err(error) if error.kind == ErrorKind::Fenced => return Err(Halt::Fenced),
                Err(error) if error.kind == ErrorKind::Fatal => {
                    return Err(Halt::Broken(error.into()));
                }
                Err(error) => self.stall(&error.to_string(), stop).await,
            }
        }
    }

    async fn committed_cursors(&self) -> Result<Vec<Cursor>, StoreError> {
        let mut turn = self
            .service
            .store
            .begin(self.grant.shard, self.grant.epoch)
            .await?;
        let cursors = turn.cursors().await?;
        // A turn that only read still commits, so that what it waited for is behind it.
        turn.commit(None, Effects::default()).await?;
        Ok(cursors)
    }
}

/// The committed cursors as positions; a topic that was never committed stays where it started.
fn positions(known: &BTreeMap<Arc<str>, i64>, committed: Vec<Cursor>) -> Vec<Position> {
    known
        .iter()
        .map(
            |(topic, next)| match committed.iter().find(|cursor| *cursor.topic == **topic) {
                Some(cursor) => Position {
                    topic: Arc::clone(topic),
                    next: cursor.next_offset,
                    last: cursor.last_hash,
                },
                None => Position {
                    topic: Arc::clone(topic),
                    next: *next,
                    last: None,
                },
            },
        )
        .collect()
}

/// A message that failed alone, as an item to park.
pub(super) fn failed<M>(kind: &Kind<M>, detail: String) -> Kind<M> {
    let aggregate = match kind {
        Kind::Message { aggregate, .. } => Some(aggregate.clone()),
        Kind::Unreadable(unreadable) => unreadable.aggregate.clone(),
        Kind::Ignored => None,
    };
    Kind::Unreadable(Unreadable {
        aggregate,
        reason: ParkReason::Failed,
        detail,
    })
}

/// The database refuses even to set a message aside.
fn cannot_park(detail: String) -> Halt {
    Halt::Broken(StoreError::new(ErrorKind::Fatal, "park", detail).into())
}
