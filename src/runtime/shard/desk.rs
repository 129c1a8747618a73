//! When a shard looks for operators' actions, and what it tells of parked messages.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::context::Context;
use crate::limits::ACTION_POLL;
use crate::runtime::meter::Lag;
use crate::runtime::service::Service;
use crate::runtime::shard::Shard;
use crate::runtime::shard::alarm::Alarm;
use crate::shard::ShardId;
use crate::store::{ParkedLevel, Store};

/// A shard's side of the operators' desk.
pub(super) struct Desk {
    asked: watch::Receiver<u64>,
    /// Rings when the shard looks unasked.
    poll: Alarm,
    /// Whether the last look found something that may go on at once.
    pub(super) more: bool,
    /// Whether the last thing that the shard did was a look that found something.
    acted: bool,
    /// Whether the gauges may be wrong.
    pub(super) parked_changed: bool,
    level: ParkedLevel,
}

impl Desk {
    pub(super) fn new(asked: watch::Receiver<u64>) -> Self {
        Self {
            asked,
            poll: Alarm::default(),
            more: true,
            acted: false,
            parked_changed: true,
            level: ParkedLevel::default(),
        }
    }

    /// Completes when it is time to look: at once while there is more to do, or somebody asked.
    pub(super) async fn due(&mut self, clock: &Arc<dyn Clock>) {
        if self.more {
            return;
        }
        self.poll.set(clock, ACTION_POLL);
        let asked = async {
            if self.asked.changed().await.is_err() {
                // Nobody is left to ask.
                pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            () = asked => {}
            () = self.poll.rung() => {}
        }
    }

    /// A look begins: what is asked from now on needs another.
    pub(super) fn look(&mut self) {
        self.asked.mark_unchanged();
        self.poll.unset();
        self.more = false;
    }

    /// The look has found and done something; there may be more.
    pub(super) fn acted(&mut self) {
        self.more = true;
        self.acted = true;
    }

    /// Whether it is the log's turn: once after each look that found something.
    pub(super) fn take_turns(&mut self) -> bool {
        std::mem::take(&mut self.acted)
    }
}

impl<C: Context, S: Store<C>> Shard<C, S> {
    /// Tells how much is parked, and for how long.
    pub(super) async fn measure_parked(&mut self) {
        if self.desk.parked_changed {
            match self.service.store.parked_level(self.grant.shard).await {
                Ok(level) => {
                    self.desk.level = level;
                    self.desk.parked_changed = false;
                }
                // The next look tries again.
                Err(error) => tracing::debug!(%error, "parked messages were not counted"),
            }
        }
        let ParkedLevel { count, oldest } = self.desk.level;
        let now = self.service.ports.clock.now();
        let age = oldest.map(|oldest| now.since(oldest)).unwrap_or_default();
        let source = self.service.context.source();
        set_parked(source, self.grant.shard, count, age);
    }
}

/// Another owner tells of the shard from now on.
pub(super) fn clear_gauges<C: Context, S>(service: &Service<C, S>, shard: ShardId) {
    let source = service.context.source();
    set_parked(source, shard, 0, Duration::ZERO);
    for input in service.context.inputs() {
        Lag::of(source, shard, input.topic).set(0, Duration::ZERO);
    }
}

fn set_parked(source: &'static str, shard: ShardId, count: i64, age: Duration) {
    let labels = [("source", source.to_owned()), ("shard", shard.to_string())];
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    metrics::gauge!("parked_messages", &labels).set(count as f64);
    metrics::gauge!("parked_oldest_age_seconds", &labels).set(age.as_secs_f64());
}
