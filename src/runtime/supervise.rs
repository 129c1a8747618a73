//! Which shards this process runs: acquires, renews and gives up leases, and notices every end.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::health::Condition;
use crate::lease::Grant;
use crate::limits::{BACKOFF, LEASE_HEARTBEAT};
use crate::runtime::Error;
use crate::runtime::service::Service;
use crate::runtime::shard::{self, End, Takeover};
use crate::runtime::startup::{check_topics, may_pass};
use crate::runtime::takeover::{Position, check_position, check_published};
use crate::shard::ShardId;
use crate::spawner::Task;
use crate::store::{Claimed, Store};

/// The health part of the lease and of what every process checks.
const PART: &str = "ownership";

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
    /// Unbounded, for a shard reports its end also while the supervisor waits for just that; it
    /// holds one end per acquisition.
    ends: mpsc::UnboundedSender<(Grant, Option<End>)>,
}

/// Runs shards until `shutdown`.
///
/// # Errors
/// When the first shards cannot be taken over for a reason that only a person can remove.
pub(crate) async fn supervise<C: Context, S: Store<C>>(
    service: Arc<Service<C, S>>,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let (ends, mut ended) = mpsc::unbounded_channel();
    let clock = Arc::clone(&service.ports.clock);
    let mut supervisor = Supervisor {
        service,
        running: BTreeMap::new(),
        ends,
    };
    if let Some(started) = shutdown
        .run_until_cancelled(supervisor.first_shards())
        .await
    {
        started?;
    }
    while !shutdown.is_cancelled() {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {}
            Some((grant, end)) = ended.recv() => supervisor.note_end(grant, end).await,
            () = clock.sleep(LEASE_HEARTBEAT) => supervisor.heartbeat().await,
        }
    }
    supervisor.stop_all().await;
    Ok(())
}

impl<C: Context, S: Store<C>> Supervisor<C, S> {
    /// Takes over what the lease gives at the start; waits for what passes, fails on the rest.
    async fn first_shards(&mut self) -> Result<(), Error> {
        self.report(Condition::Starting);
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

    /// Renews what is held, gives up what is asked for, takes what is free.
    async fn heartbeat(&mut self) {
        let beat = async {
            let renewal = self.service.ports.lease.renew(&self.held()).await?;
            for grant in renewal.lost {
                self.stop(grant.shard).await;
            }
            for grant in renewal.surrender {
                self.stop(grant.shard).await;
                self.service.ports.lease.release(&[grant]).await?;
            }
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
        let lease = Arc::clone(&self.service.ports.lease);
        let grants = lease.acquire(self.service.partitions).await?;
        let mut refused = None;
        for (index, grant) in grants.iter().enumerate() {
            match take_over(&self.service, *grant).await {
                Ok(takeover) => self.start(takeover),
                Err(error) if may_pass(&error) => {
                    lease.release(&grants[index..]).await?;
                    return Err(error);
                }
                Err(error) => {
                    lease.release(&[*grant]).await?;
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
        tracing::info!(
            source = service.context.source(),
            shard = shard.0,
            epoch = grant.epoch.0,
            "shard taken over"
        );
        let task = self.service.ports.spawner.spawn(
            "shard",
            Box::pin(async move {
                let running = AssertUnwindSafe(shard::run(service, takeover, stopping));
                let end = running.catch_unwind().await.ok();
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
                metrics::counter!("shards_fenced_total", "source" => source).increment(1);
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
        if let Err(error) = self.service.ports.lease.release(&[grant]).await {
            tracing::warn!(%error, shard = shard.0, "not released; it expires with its lease");
        }
    }

    fn held(&self) -> Vec<Grant> {
        self.running.values().map(|running| running.grant).collect()
    }

    /// Stops one shard and waits for its end.
    async fn stop(&mut self, shard: ShardId) {
        if let Some(running) = self.running.remove(&shard) {
            running.stop.cancel();
            // A panic ends a shard as well; its lease is given up either way.
            let _ = running.task.join().await;
        }
    }

    async fn stop_all(&mut self) {
        let held = self.held();
        for running in self.running.values() {
            running.stop.cancel();
        }
        for shard in self.running.keys().copied().collect::<Vec<_>>() {
            self.stop(shard).await;
        }
        if let Err(error) = self.service.ports.lease.release(&held).await {
            tracing::warn!(%error, "shards were not released; they expire with their lease");
        }
    }

    fn report(&self, condition: Condition) {
        self.service.health.set(PART, condition);
    }
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
