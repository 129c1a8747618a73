//! Which shards this process runs: acquires, renews and gives up leases, and notices every end.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::health::Condition;
use crate::lease::{Grant, Renewal};
use crate::limits::BACKOFF;
use crate::runtime::Error;
use crate::runtime::keep::{Held, keep};
use crate::runtime::service::Service;
use crate::runtime::shard::{self, End, Takeover};
use crate::runtime::startup::{check_topics, may_pass};
use crate::runtime::takeover::{Position, check_position, check_published};
use crate::shard::ShardId;
use crate::spawner::Task;
use crate::store::{Claimed, Store};

/// The health part of taking shards over and of what every process checks.
pub(crate) const PART: &str = "ownership";

/// A shard that runs here.
struct Running {
    grant: Grant,
    stop: CancellationToken,
    task: Task,
}

/// The shards of this process.
struct Supervisor<C: Context, S> {
    service: Arc<Service<C, S>>,
    running: BTreeMap<ShardId, Running>,
    /// What is renewed: granted, and not given up.
    held: Arc<Held>,
    /// Unbounded, for a shard reports its end also while the supervisor waits for just that; it
    /// holds one end per acquisition.
    ends: mpsc::UnboundedSender<(Grant, Option<End>)>,
}

/// Runs shards until `shutdown`; what it holds is renewed meanwhile, whatever it waits for.
///
/// # Errors
/// When the first shards cannot be taken over for a reason that only a person can remove.
pub(crate) async fn supervise<C: Context, S: Store<C>>(
    service: Arc<Service<C, S>>,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let held = Arc::new(Held::default());
    let (news, renewals) = watch::channel(Renewal::default());
    let keeping = keep(Arc::clone(&service), Arc::clone(&held), news);
    tokio::select! {
        biased;
        ended = run(service, held, renewals, shutdown) => ended,
        never = keeping => match never {},
    }
}

async fn run<C: Context, S: Store<C>>(
    service: Arc<Service<C, S>>,
    held: Arc<Held>,
    mut renewals: watch::Receiver<Renewal>,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let (ends, mut ended) = mpsc::unbounded_channel();
    let mut supervisor = Supervisor {
        service,
        running: BTreeMap::new(),
        held,
        ends,
    };
    fenced(supervisor.service.context.source()).increment(0);
    let started = shutdown.run_until_cancelled(supervisor.first_shards());
    if let Some(Err(error)) = started.await {
        supervisor.stop_all().await;
        return Err(error);
    }
    supervisor.count();
    while !shutdown.is_cancelled() {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {}
            Some((grant, end)) = ended.recv() => supervisor.note_end(grant, end).await,
            Ok(()) = renewals.changed() => {
                let renewal = renewals.borrow_and_update().clone();
                supervisor.follow(renewal).await;
                supervisor.look_around().await;
            }
        }
        supervisor.count();
    }
    supervisor.stop_all().await;
    Ok(())
}

impl<C: Context, S: Store<C>> Supervisor<C, S> {
    /// Takes over what the lease gives at the start; waits for what passes, fails on the rest.
    async fn first_shards(&mut self) -> Result<(), Error> {
        let mut backoff = BACKOFF.start();
        loop {
            match self.take_free_shards().await {
                Ok(()) => {
                    self.report(Condition::Running);
                    return Ok(());
                }
                Err(error) if may_pass(&error) => {
                    self.report(Condition::Stalled {
                        reason: error.to_string(),
                    });
                    let ports = &self.service.ports;
                    ports.clock.sleep(backoff.next(ports.ids.random())).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Stops what is lost, and gives up what another instance is short of.
    async fn follow(&mut self, renewal: Renewal) {
        let source = self.service.context.source();
        for grant in renewal.lost {
            let (shard, epoch) = (grant.shard.0, grant.epoch.0);
            tracing::warn!(source, shard, epoch, "shard lost: not renewed in time");
            self.stop(&grant).await;
            self.held.remove(&[grant]);
        }
        for grant in renewal.surrender {
            let (shard, epoch) = (grant.shard.0, grant.epoch.0);
            tracing::info!(source, shard, epoch, "shard given to another instance");
            self.stop(&grant).await;
            self.give_up(&[grant]).await;
        }
    }

    /// Checks what every process checks, and takes what is free.
    async fn look_around(&mut self) {
        let beat = async {
            check_topics(
                &*self.service.context,
                &self.service.ports,
                self.service.partitions,
            )
            .await?;
            self.take_free_shards().await
        };
        match beat.await {
            Ok(()) => self.report(Condition::Running),
            Err(error) if may_pass(&error) => {
                self.report(Condition::Stalled {
                    reason: error.to_string(),
                });
            }
            Err(error) => {
                tracing::error!(%error, "the service cannot go on as it is");
                self.report(Condition::Stopped {
                    reason: error.to_string(),
                });
            }
        }
    }

    /// Takes what the lease gives. A shard that needs a person keeps none of the others waiting.
    async fn take_free_shards(&mut self) -> Result<(), Error> {
        let grants = self
            .service
            .ports
            .lease
            .acquire(self.service.partitions)
            .await?;
        self.held.add(&grants);
        let mut refused = None;
        for (index, grant) in grants.iter().enumerate() {
            // On the heap: large, and held by the frame of everybody who waits for it.
            match Box::pin(take_over(&self.service, *grant)).await {
                Ok(takeover) => self.start(takeover),
                Err(error) if may_pass(&error) => {
                    self.give_up(&grants[index..]).await;
                    return Err(error);
                }
                Err(error) => {
                    self.give_up(&[*grant]).await;
                    refused.get_or_insert(error);
                }
            }
        }
        refused.map_or(Ok(()), Err)
    }

    fn start(&mut self, takeover: Takeover) {
        let grant = takeover.grant;
        let shard = grant.shard;
        let stop = CancellationToken::new();
        let service = Arc::clone(&self.service);
        let (ends, stopping) = (self.ends.clone(), stop.clone());
        let source = service.context.source();
        tracing::info!(
            source,
            shard = shard.0,
            epoch = grant.epoch.0,
            "shard taken over"
        );
        let task = self.service.ports.spawner.spawn(
            "shard",
            Box::pin(async move {
                let running = AssertUnwindSafe(shard::run(service, takeover, stopping));
                let end = running.catch_unwind().await.ok();
                if end == Some(End::Fenced) {
                    fenced(source).increment(1);
                }
                // The supervisor has gone only when the whole service stops.
                let _ = ends.send((grant, end));
            }),
        );
        self.running.insert(shard, Running { grant, stop, task });
    }

    /// A shard's task has ended by itself: it is given up, to be taken again under a new epoch.
    /// The end of one that was stopped, and may have been taken again since, is no news.
    async fn note_end(&mut self, grant: Grant, end: Option<End>) {
        let shard = grant.shard;
        match self.running.get(&shard) {
            Some(running) if running.grant == grant => self.running.remove(&shard),
            _ => return,
        };
        let source = self.service.context.source();
        let epoch = grant.epoch.0;
        match end {
            Some(End::Shutdown) => {}
            Some(End::Fenced) => {
                tracing::warn!(source, shard = shard.0, epoch, "shard fenced");
            }
            None => {
                tracing::error!(source, shard = shard.0, epoch, "a shard's task panicked");
                self.service.forget_health(shard);
            }
        }
        // Of this process, not of the shard: the next heartbeat takes it again and says so, or
        // finds that another instance has it.
        self.report(Condition::Stalled {
            reason: format!("shard {shard} stopped; it is being taken over"),
        });
        self.give_up(&[grant]).await;
    }

    /// Gives grants up; if that cannot be said, they end by not being renewed.
    async fn give_up(&self, grants: &[Grant]) {
        self.held.remove(grants);
        if let Err(error) = self.service.ports.lease.release(grants).await {
            tracing::warn!(%error, "shards were not released; they expire with their lease");
        }
    }

    /// Stops the shard that runs under this grant, if it does, and waits for its end.
    async fn stop(&mut self, grant: &Grant) {
        match self.running.remove(&grant.shard) {
            Some(running) if running.grant == *grant => {
                running.stop.cancel();
                // A panic ends a shard as well; its lease is given up either way.
                let _ = running.task.join().await;
            }
            Some(newer) => {
                self.running.insert(grant.shard, newer);
            }
            None => {}
        }
    }

    async fn stop_all(&mut self) {
        for running in self.running.values() {
            running.stop.cancel();
        }
        for running in std::mem::take(&mut self.running).into_values() {
            let _ = running.task.join().await;
        }
        if let Err(error) = self.service.ports.lease.leave().await {
            tracing::warn!(%error, "shards were not released; they expire with their lease");
        }
    }

    fn count(&self) {
        let source = self.service.context.source();
        let count = self.running.len() as f64;
        metrics::gauge!("shards_owned", "source" => source).set(count);
        metrics::gauge!("shards_expected", "source" => source).set(self.service.partitions);
    }

    fn report(&self, condition: Condition) {
        self.service.health.set(PART, condition);
    }
}

/// Shards that this process lost to another owner while it worked on them.
fn fenced(source: &'static str) -> metrics::Counter {
    metrics::counter!("shards_fenced_total", "source" => source)
}

/// Claims a shard and checks database and log against each other.
async fn take_over<C: Context, S: Store<C>>(
    service: &Service<C, S>,
    grant: Grant,
) -> Result<Takeover, Error> {
    let claimed = service.store.claim(grant.shard, grant.epoch).await?;
    match check_claimed(service, grant, claimed).await {
        Err(error) if !may_pass(&error) => {
            // What the claim read is old by now if somebody else has claimed the shard meanwhile
            // and gone on: then the verdict compares an old database with a new log.
            drop(service.store.begin(grant.shard, grant.epoch).await?);
            Err(error)
        }
        checked => checked,
    }
}

async fn check_claimed<C: Context, S: Store<C>>(
    service: &Service<C, S>,
    grant: Grant,
    claimed: Claimed,
) -> Result<Takeover, Error> {
    let log = &service.ports.log;
    let mut positions = Vec::new();
    for input in service.context.inputs() {
        let cursor = claimed
            .cursors
            .iter()
            .find(|cursor| cursor.topic == input.topic);
        let position = match cursor {
            Some(cursor) => Position {
                topic: input.topic.into(),
                next: cursor.next_offset,
                last: cursor.last_hash,
            },
            None => {
                let bounds = log.bounds(input.topic, grant.shard.0).await?;
                Position {
                    topic: input.topic.into(),
                    next: bounds.first,
                    last: None,
                }
            }
        };
        check_position(&**log, grant.shard.0, &position).await?;
        positions.push(position);
    }
    let acknowledged = claimed.acknowledged;
    check_published(
        &*service.context,
        &*service.store,
        &service.ports,
        grant.shard,
        &acknowledged,
    )
    .await?;
    Ok(Takeover {
        grant,
        positions,
        acknowledged,
    })
}
