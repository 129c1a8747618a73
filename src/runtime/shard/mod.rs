//! One shard at work: what it does next, and how it ends.
//!
//! | room | what happens there |
//! |---|---|
//! | `pace` | when the next turn begins |
//! | `turn` | steps 3 to 9: one transaction |
//! | `recover` | what follows a turn that did not commit |
//! | `desk` | when to look for operators' actions, and the gauges of what is parked |
//! | `errand` | one operator's action: replay, dry run, discard |
//! | `tell` | log lines about messages, once a turn is committed |
//! | `alarm` | a sleep that goes on meanwhile, and one until a time of the day |

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::clock::Timestamp;
use crate::context::Context;
use crate::health::Condition;
use crate::lease::Grant;
use crate::limits::{BACKOFF, DELETE_ALONE_AFTER, OUTBOX_ROWS_MAX};
use crate::retry::Backoff;
use crate::runtime::intake::{Intake, Trust};
use crate::runtime::item::Item;
use crate::runtime::meter::{Meter, Step as Part};
use crate::runtime::publisher::{Progress, Publisher};
use crate::runtime::service::Service;
use crate::runtime::takeover::Position;
use crate::runtime::{Error, part};
use crate::spawner::Task;
use crate::store::{Acknowledged, ErrorKind, Store};

mod alarm;
mod desk;
mod errand;
mod pace;
mod recover;
pub(in crate::runtime) mod tell;
mod turn;

use desk::Desk;
use pace::Pace;

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

/// The consumer of one shard.
pub(crate) struct Shard<C: Context, S> {
    service: Arc<Service<C, S>>,
    grant: Grant,
    progress: Arc<Progress>,
    /// The committed cursors, as this owner knows them.
    cursors: BTreeMap<Arc<str>, i64>,
    intake: Intake<C::Message>,
    pace: Pace,
    /// Whether the context's follow-up may have work.
    follow_up: bool,
    /// When it has work again, by the wall clock.
    due: Option<Timestamp>,
    /// Whether turns leave the follow-up out, while a refused batch is decided one by one.
    alone: bool,
    pruned_at: Timestamp,
    meter: Meter,
    /// Operators' actions.
    desk: Desk,
    backoff: Backoff,
    health_part: String,
}

type PublisherEnd = oneshot::Receiver<Result<(), Error>>;

/// What the shard does next.
enum Step<M> {
    Stop,
    PublisherEnded(Error),
    Batch(Result<Vec<Item<M>>, Error>),
    /// A look at what operators ask for.
    Attend,
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
    } else {
        publishing.stop().await;
    }
    // Only now: a task still at work could report again.
    let (service, id) = (Arc::clone(&shard.service), shard.grant.shard);
    shard.intake.stop().await;
    desk::clear_gauges(&service, id);
    service.forget_health(id);
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
        let intake = Intake::start(&service, shard, &takeover.positions, Trust::Checked);
        let pacing = service.store.pacing();
        let pace = Pace::new(&service.slots, &service.ports.clock, pacing.rest_factor);
        let health_part = part(shard, "turn");
        service.health.set(&health_part, Condition::Running);
        Self {
            grant: takeover.grant,
            progress,
            cursors: cursors(&takeover.positions),
            intake,
            pace,
            follow_up: true,
            due: None,
            alone: false,
            pruned_at: service.ports.clock.now(),
            meter: Meter::of(&*service.context, shard, &service.ports.clock),
            desk: Desk::new(service.feed.asked()),
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
                Step::Batch(Ok(mut items)) => {
                    let waiting = self.meter.steps.begin();
                    self.pace.await_slot().await;
                    self.meter.steps.end(Part::Wait, waiting);
                    self.intake.ahead.fill_up(&mut items);
                    let records = items.len();
                    let done = self.process(items, stop).await;
                    self.pace.ended(records);
                    done
                }
                Step::Attend => self.attend(stop).await,
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
        let paused = self.backlog() > OUTBOX_ROWS_MAX;
        // A long action leaves every second turn to the log.
        if self.desk.take_turns()
            && !paused
            && !stop.is_cancelled()
            && let Some(batch) = self.intake.ahead.ready()
        {
            return Step::Batch(batch);
        }
        let clock = &self.service.ports.clock;
        let acknowledged = async {
            self.progress.available().await;
            if !paused {
                clock.sleep(DELETE_ALONE_AFTER).await;
            }
        };
        let batch = async {
            self.pace.rested().await;
            self.intake.ahead.next().await
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => Step::Stop,
            ended = publisher => Step::PublisherEnded(publisher_ended(ended)),
            () = self.desk.due(clock), if !paused => Step::Attend,
            batch = batch, if !paused => Step::Batch(batch),
            () = std::future::ready(()), if self.follow_up && !paused => Step::Empty,
            () = alarm::strikes(clock, self.due), if !paused => Step::Empty,
            () = acknowledged => Step::Empty,
        }
    }

    /// Tells the operator that this shard's consumer has stopped.
    fn give_up(&self, error: &Error) {
        let (source, shard) = (self.service.context.source(), self.grant.shard.0);
        tracing::error!(source, shard, %error, "shard stopped until an operator acts");
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
}

fn cursors(positions: &[Position]) -> BTreeMap<Arc<str>, i64> {
    positions
        .iter()
        .map(|position| (Arc::clone(&position.topic), position.next))
        .collect()
}

fn publisher_ended(ended: Result<Result<(), Error>, oneshot::error::RecvError>) -> Error {
    match ended {
        Ok(Err(error)) => error,
        Ok(Ok(())) | Err(_) => Error::Defect {
            what: "a publisher".to_owned(),
        },
    }
}
