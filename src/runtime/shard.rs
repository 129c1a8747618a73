//! One shard at work: the turn, step by step, and what follows when a step fails.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::clock::Timestamp;
use crate::codec;
use crate::context::Context;
use crate::health::{Condition, Health};
use crate::lease::Grant;
use crate::limits::{
    BACKOFF, DELETE_ALONE_AFTER, INBOX_HORIZON, INBOX_PRUNE_EVERY, OUTBOX_ROWS_MAX,
    TURN_RECORDS_MAX,
};
use crate::message::Writer;
use crate::retry::Backoff;
use crate::runtime::decide::{self, Questions, Refused, Scene, Tally};
use crate::runtime::handover::Handover;
use crate::runtime::intake::Intake;
use crate::runtime::item::{Item, Kind, Unreadable};
use crate::runtime::publisher::{Progress, Publisher};
use crate::runtime::takeover::Position;
use crate::runtime::{Error, Feed, Ports, part};
use crate::spawner::Task;
use crate::store::{
    Acknowledged, Cursor, Effects, Error as StoreError, ErrorKind, ParkReason, Published, Seen,
    Store, Turn,
};

/// What all shards of a service share.
pub(crate) struct Service<C: Context, S> {
    pub(crate) context: Arc<C>,
    pub(crate) store: Arc<S>,
    pub(crate) ports: Ports,
    pub(crate) partitions: i32,
    pub(crate) writer: Writer,
    pub(crate) feed: Feed,
    pub(crate) health: Health,
    pub(crate) handover: Handover,
}

/// Why a shard ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It was told to stop.
    Shutdown,
    /// Another owner has taken it.
    Fenced,
}

/// Why a shard's consumer stopped.
#[derive(Debug)]
enum Halt {
    Shutdown,
    Fenced,
    /// It must not go on until a person acts.
    Broken(Error),
    /// Its publisher must not go on, so its messages would never leave.
    PublisherBroken(Error),
}

/// What a new owner found and checked.
#[derive(Debug)]
pub(crate) struct Takeover {
    pub(crate) grant: Grant,
    pub(crate) positions: Vec<Position>,
    pub(crate) acknowledged: Vec<Acknowledged>,
}

/// Why a turn did not commit.
#[derive(Debug)]
enum TurnError {
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

/// The consumer of one shard.
pub(crate) struct Shard<C: Context, S> {
    service: Arc<Service<C, S>>,
    grant: Grant,
    progress: Arc<Progress>,
    /// The committed cursors, as this owner knows them.
    cursors: BTreeMap<Arc<str>, i64>,
    intake: Intake<C::Message>,
    /// Why a reader ended, found while a batch was still to be committed.
    broken_reader: Option<Error>,
    /// Whether the context's follow-up may have work.
    follow_up: bool,
    pruned_at: Timestamp,
    backoff: Backoff,
    health_part: String,
}

type PublisherEnd = oneshot::Receiver<Result<(), Error>>;

/// What the shard does next.
enum Step<M> {
    Stop,
    PublisherEnded(Error),
    Batch(Result<Vec<Item<M>>, Error>),
    /// A turn without messages: follow-up work, or acknowledgements to commit.
    Empty,
}

/// Runs a shard with its publisher until `stop` or until it is fenced.
///
/// A shard that must not go on stays here, not ready, with its publisher still at work.
pub(crate) async fn run<C: Context, S: Store<C>>(
    service: Arc<Service<C, S>>,
    takeover: Takeover,
    stop: CancellationToken,
) -> End {
    let progress = Arc::new(Progress::default());
    let publisher_stop = CancellationToken::new();
    let (publishing, mut publisher) = spawn_publisher(
        &service,
        &takeover,
        Arc::clone(&progress),
        publisher_stop.clone(),
    );
    let mut shard = Shard::new(service, &takeover, progress);
    let end = match shard.work(&stop, &mut publisher).await {
        Halt::Shutdown => End::Shutdown,
        Halt::Fenced => End::Fenced,
        Halt::Broken(error) => {
            shard.give_up(&error);
            shard.commit_acknowledgements(&stop, &mut publisher).await
        }
        Halt::PublisherBroken(error) => {
            shard.give_up(&error);
            stop.cancelled().await;
            End::Shutdown
        }
    };
    if end == End::Shutdown {
        publisher_stop.cancel();
        // An end by panic is as good as any here: what was not acknowledged is in the table.
        let _ = publishing.join().await;
        shard.commit_acknowledged().await;
    }
    shard.forget_health();
    end
}

/// Starts the publisher; the receiver hears why it ended, or nothing if it panicked.
fn spawn_publisher<C: Context, S: Store<C>>(
    service: &Arc<Service<C, S>>,
    takeover: &Takeover,
    progress: Arc<Progress>,
    stop: CancellationToken,
) -> (Task, PublisherEnd) {
    let publisher = Publisher::new(
        Arc::clone(service),
        takeover.grant.shard,
        progress,
        takeover.acknowledged.clone(),
        stop,
    );
    let (sender, ended) = oneshot::channel();
    let work = async move {
        // The shard has gone if nobody listens; then nobody needs to know.
        let _ = sender.send(publisher.run().await);
    };
    (
        service.ports.spawner.spawn("publisher", Box::pin(work)),
        ended,
    )
}

impl<C: Context, S: Store<C>> Shard<C, S> {
    fn new(service: Arc<Service<C, S>>, takeover: &Takeover, progress: Arc<Progress>) -> Self {
        let shard = takeover.grant.shard;
        let intake = Intake::start(&service, shard, &takeover.positions);
        let health_part = part(shard, "turn");
        service.health.set(&health_part, Condition::Running);
        Self {
            grant: takeover.grant,
            progress,
            cursors: cursors(&takeover.positions),
            intake,
            broken_reader: None,
            follow_up: true,
            pruned_at: service.ports.clock.now(),
            backoff: BACKOFF.start(),
            health_part,
            service,
        }
    }

    async fn work(&mut self, stop: &CancellationToken, publisher: &mut PublisherEnd) -> Halt {
        loop {
            let done = match self.next_step(stop, publisher).await {
                Step::Stop => return Halt::Shutdown,
                Step::PublisherEnded(error) => return Halt::PublisherBroken(error),
                Step::Batch(Err(error)) => return Halt::Broken(error),
                Step::Batch(Ok(items)) => {
                    let items = self.fill_up(items);
                    self.process(items, stop).await
                }
                Step::Empty => self.process(Vec::new(), stop).await,
            };
            if let Err(halt) = done {
                return halt;
            }
        }
    }

    async fn next_step(
        &mut self,
        stop: &CancellationToken,
        publisher: &mut PublisherEnd,
    ) -> Step<C::Message> {
        if let Some(error) = self.broken_reader.take() {
            return Step::Batch(Err(error));
        }
        let paused = self.backlog() > OUTBOX_ROWS_MAX;
        let clock = &self.service.ports.clock;
        let acknowledged = async {
            self.progress.available().await;
            if !paused {
                clock.sleep(DELETE_ALONE_AFTER).await;
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => Step::Stop,
            ended = publisher => Step::PublisherEnded(publisher_ended(ended)),
            batch = self.intake.next(), if !paused => Step::Batch(batch),
            () = std::future::ready(()), if self.follow_up && !paused => Step::Empty,
            () = acknowledged => Step::Empty,
        }
    }

    /// Adds batches that are there already, up to the limit of a turn.
    fn fill_up(&mut self, mut items: Vec<Item<C::Message>>) -> Vec<Item<C::Message>> {
        while items.len() < TURN_RECORDS_MAX {
            match self.intake.ready() {
                Some(Ok(more)) => items.extend(more),
                Some(Err(error)) => {
                    self.broken_reader = Some(error);
                    break;
                }
                None => break,
            }
        }
        items
    }

    /// Runs turns until `items` are committed, or the shard has re-read its cursors instead.
    async fn process(
        &mut self,
        items: Vec<Item<C::Message>>,
        stop: &CancellationToken,
    ) -> Result<(), Halt> {
        match self.until_decided(&items, stop).await? {
            Outcome::Committed | Outcome::Resynced => Ok(()),
            Outcome::Refused(detail) if items.is_empty() => {
                self.stall(&detail, stop).await;
                Ok(())
            }
            Outcome::Refused(_) => self.one_by_one(items, stop).await,
        }
    }

    /// Finds the message that a refused batch owes its refusal to, and parks it.
    async fn one_by_one(
        &mut self,
        items: Vec<Item<C::Message>>,
        stop: &CancellationToken,
    ) -> Result<(), Halt> {
        for item in items {
            let mut alone = [item];
            match self.until_decided(&alone, stop).await? {
                Outcome::Committed => {}
                Outcome::Resynced => return Ok(()),
                Outcome::Refused(detail) => {
                    tracing::error!(
                        shard = self.grant.shard.0, topic = %alone[0].topic,
                        offset = alone[0].offset, %detail, "message parked"
                    );
                    alone[0].kind = failed(&alone[0].kind, detail);
                    match self.until_decided(&alone, stop).await? {
                        Outcome::Committed => {}
                        Outcome::Resynced => return Ok(()),
                        Outcome::Refused(detail) => return Err(cannot_park(detail)),
                    }
                }
            }
        }
        Ok(())
    }

    /// One turn, repeated while the failure is one that passes.
    async fn until_decided(
        &mut self,
        items: &[Item<C::Message>],
        stop: &CancellationToken,
    ) -> Result<Outcome, Halt> {
        loop {
            if stop.is_cancelled() {
                return Err(Halt::Shutdown);
            }
            let error = match self.turn(items).await {
                Ok(()) => {
                    self.backoff.reset();
                    self.report(Condition::Running);
                    return Ok(Outcome::Committed);
                }
                Err(TurnError::Refused(detail)) => return Ok(Outcome::Refused(detail)),
                Err(TurnError::Store(error)) => error,
            };
            metrics::counter!("turn_failures_total", "source" => self.service.context.source(),
                "kind" => format!("{:?}", error.kind).to_lowercase())
            .increment(1);
            match error.kind {
                ErrorKind::Retry | ErrorKind::Rejected => {
                    self.stall(&error.to_string(), stop).await;
                }
                ErrorKind::Unknown | ErrorKind::CursorMoved => {
                    self.resync(stop).await?;
                    return Ok(Outcome::Resynced);
                }
                ErrorKind::Fenced => return Err(Halt::Fenced),
                ErrorKind::Fatal => return Err(Halt::Broken(error.into())),
            }
        }
    }

    /// Steps 3 to 9, with the acknowledgements that ride along.
    async fn turn(&mut self, items: &[Item<C::Message>]) -> Result<(), TurnError> {
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
        let questions = decide::questions(scene.context, items);
        let mut seen = ask::<C, _>(&mut turn, &questions).await?;
        let concerned = decide::concerned(items, &seen);
        let mut state = if concerned.is_empty() && !self.follow_up {
            None
        } else {
            Some(turn.load(&concerned).await?)
        };
        let mut decided = decide::decide(&scene, items, &mut seen, state.as_mut())?;
        let mut more = false;
        if let Some(state) = state.as_mut() {
            turn.load_follow_up(state).await?;
            let follow_up = scene.context.follow_up(state);
            decided.outgoing.extend(follow_up.outgoing);
            more = follow_up.more;
        }
        let mut effects = decided.effects;
        effects.outbox = decide::outbox(&scene, &decided.outgoing)?;
        effects.published.extend(acknowledged);
        effects.prune_inbox_before = self.prune_before(now);
        let steps = effects.cursors.clone();
        let pruned = effects.prune_inbox_before.is_some();
        let rows = turn.commit(state.as_ref(), effects).await?;
        service.handover.offer(rows);
        self.follow_up = if state.is_some() {
            more
        } else {
            self.follow_up
        };
        self.pruned_at = if pruned { now } else { self.pruned_at };
        for step in steps {
            self.cursors.insert(step.topic.into(), step.to);
        }
        Ok(decided.tally)
    }

    /// What waits for a known commit: watchers and counters.
    fn after_commit(&self, items: &[Item<C::Message>], tally: Tally) {
        self.service.feed.publish(decide::keys(items));
        let source = self.service.context.source();
        let shard = self.grant.shard.to_string();
        metrics::counter!("turns_total", "source" => source, "shard" => shard).increment(1);
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
                    self.intake = Intake::start(&self.service, self.grant.shard, &positions);
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

    /// Tells the operator that this shard's consumer has stopped.
    fn give_up(&self, error: &Error) {
        tracing::error!(shard = self.grant.shard.0, %error, "shard stopped until an operator acts");
        self.report(Condition::Stopped {
            reason: error.to_string(),
        });
    }

    /// While the consumer is stopped the publisher goes on, for rows that other shards write.
    async fn commit_acknowledgements(
        &mut self,
        stop: &CancellationToken,
        publisher: &mut PublisherEnd,
    ) -> End {
        let progress = Arc::clone(&self.progress);
        loop {
            let clock = Arc::clone(&self.service.ports.clock);
            let acknowledged = async {
                progress.available().await;
                clock.sleep(DELETE_ALONE_AFTER).await;
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return End::Shutdown,
                ended = &mut *publisher => {
                    self.give_up(&publisher_ended(ended));
                    stop.cancelled().await;
                    return End::Shutdown;
                }
                () = acknowledged => {
                    if self.commit_acknowledged().await == Some(ErrorKind::Fenced) {
                        return End::Fenced;
                    }
                }
            }
        }
    }

    /// Deletes what was acknowledged, in a turn of its own; returns what kept it from that.
    async fn commit_acknowledged(&mut self) -> Option<ErrorKind> {
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

    fn backlog(&self) -> i64 {
        self.service
            .handover
            .slot(self.grant.shard)
            .map_or(0, |slot| slot.backlog())
    }

    async fn stall(&mut self, reason: &str, stop: &CancellationToken) {
        self.report(Condition::Stalled {
            reason: reason.to_owned(),
        });
        let wait = self.backoff.next(self.service.ports.ids.random());
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = self.service.ports.clock.sleep(wait) => {}
        }
    }

    fn report(&self, condition: Condition) {
        self.service.health.set(&self.health_part, condition);
    }

    fn forget_health(&self) {
        let shard = self.grant.shard;
        let topics = self
            .service
            .context
            .inputs()
            .iter()
            .map(|input| input.topic);
        for room in topics.chain(["turn", "publisher"]) {
            self.service.health.remove(&part(shard, room));
        }
    }
}

/// How a batch's turns ended.
enum Outcome {
    Committed,
    Refused(String),
    Resynced,
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

fn cursors(positions: &[Position]) -> BTreeMap<Arc<str>, i64> {
    positions
        .iter()
        .map(|position| (Arc::clone(&position.topic), position.next))
        .collect()
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
fn failed<M>(kind: &Kind<M>, detail: String) -> Kind<M> {
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

fn publisher_ended(ended: Result<Result<(), Error>, oneshot::error::RecvError>) -> Error {
    match ended {
        Ok(Err(error)) => error,
        Ok(Ok(())) | Err(_) => Error::Defect {
            what: "a publisher".to_owned(),
        },
    }
}
