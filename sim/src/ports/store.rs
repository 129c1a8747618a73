//! A database, with what connections, disks and other sessions do to it.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use messaging::context::Context;
use messaging::limits;
use messaging::shard::{Epoch, ShardId};
use messaging::store::{
    Acknowledged, Action, AggregateKey, Claimed, Cursor, Effects, Error, ErrorKind, InboxKey,
    OutboxRow, Pacing, ParkedLevel, ParkedRow, Seen, Sequence, Store, Target, Turn,
};
use tokio::time::Instant;

use crate::check::Side;
use crate::process::Process;

/// A database that the simulator can run on.
pub(crate) trait Backend<C: Context>: Store<C> {
    /// Whether a commit can land after its client has given up on it.
    const LATE: bool;

    /// Sends a commit that lands `after`; its locks stay until then.
    fn commit_late(
        turn: Self::Turn<'_>,
        state: Option<&C::State>,
        effects: Effects,
        after: Duration,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

/// The database, as one process sees it.
pub(crate) struct SimStore<S> {
    process: Arc<Process>,
    inner: Arc<S>,
    side: Side,
    full_until: Mutex<Option<Instant>>,
}

/// A turn, as one process sees it.
pub(crate) struct SimTurn<'s, C: Context, S: Backend<C> + 's> {
    store: &'s SimStore<S>,
    /// `None` once the connection is lost.
    inner: Option<S::Turn<'s>>,
    shard: ShardId,
    epoch: Epoch,
}

/// What is wrong with a commit.
#[derive(Clone, Copy, Debug)]
enum CommitFault {
    Refused,
    AnswerLost,
    Lost,
    Late,
    DiskFull,
}

impl<S> SimStore<S> {
    pub(crate) fn new(process: &Arc<Process>, side: Side, inner: &Arc<S>) -> Self {
        Self {
            process: Arc::clone(process),
            inner: Arc::clone(inner),
            side,
            full_until: Mutex::default(),
        }
    }

    fn chance(&self, rate: u32) -> bool {
        self.process.dice(|dice| dice.chance(rate))
    }

    fn fails<T>(&self, kind: ErrorKind, operation: &'static str, why: &str) -> Result<T, Error> {
        self.process.note(format_args!("{operation}: {why}"));
        self.process.meets(format_args!("{operation}: {why}"));
        Err(Error::new(kind, operation, why.to_owned()))
    }

    /// One statement on its way to the database.
    async fn statement(&self, operation: &'static str, rate: u32) -> Result<(), Error> {
        self.process.step(operation).await;
        if self.chance(self.process.world.weather().store_slow) {
            let slow = self.process.dice(|dice| dice.millis(100..=4_000));
            self.process.note(format_args!("{operation} is slow"));
            self.process.meets(format_args!("{operation}: slow"));
            tokio::time::sleep(slow).await;
        }
        if self.chance(rate) {
            return self.fails(ErrorKind::Retry, operation, "the connection is lost");
        }
        Ok(())
    }

    fn refused(&self, error: &Error, shard: ShardId, epoch: Epoch) {
        if error.kind == ErrorKind::Fenced {
            self.process.world.refused(self.side, shard, epoch);
        }
    }

    fn commit_fault(&self, late: bool) -> Option<CommitFault> {
        let weather = self.process.world.weather();
        let now = Instant::now();
        let mut full_until = self.full_until.lock().unwrap();
        if full_until.is_some_and(|until| now < until) && weather.disk_full > 0 {
            return Some(CommitFault::DiskFull);
        }
        if self.chance(weather.disk_full) {
            let span = self.process.dice(|dice| dice.millis(500..=5_000));
            *full_until = Some(now + span);
            return Some(CommitFault::DiskFull);
        }
        let faults = [
            (CommitFault::Refused, weather.commit_refused),
            (CommitFault::AnswerLost, weather.commit_answer_lost),
            (CommitFault::Lost, weather.commit_lost),
            (
                CommitFault::Late,
                if late { weather.commit_late } else { 0 },
            ),
        ];
        let mut drawn = faults.iter().filter(|(_, rate)| self.chance(*rate));
        drawn.next().map(|(fault, _)| *fault)
    }
}

impl<C: Context, S: Backend<C>> Store<C> for SimStore<S> {
    type Turn<'s>
        = SimTurn<'s, C, S>
    where
        Self: 's;

    /// As in Postgres: several processes share each database.
    fn pacing(&self) -> Pacing {
        let limit = limits::POSTGRES_TURNS_AT_ONCE;
        Pacing {
            at_once: self.inner.pacing().at_once.min(limit),
            rest_factor: limits::POSTGRES_REST_FACTOR,
        }
    }

    async fn agree_on_partitions(&self, partitions: i32) -> Result<i32, Error> {
        let rate = self.process.world.weather().store_begin_fails;
        self.statement("store.agree", rate).await?;
        self.inner.agree_on_partitions(partitions).await
    }

    async fn claim(&self, shard: ShardId, epoch: Epoch) -> Result<Claimed, Error> {
        let weather = self.process.world.weather();
        self.statement("store.claim", weather.store_begin_fails)
            .await?;
        let claimed = self.inner.claim(shard, epoch).await;
        match &claimed {
            Ok(_) => self
                .process
                .note(format_args!("claims shard {shard} epoch {}", epoch.0)),
            Err(error) => {
                self.process.note(format_args!(
                    "claims shard {shard} epoch {}: {error}",
                    epoch.0
                ));
                self.refused(error, shard, epoch);
            }
        }
        self.process.step("store.claimed").await;
        if self.chance(weather.commit_answer_lost) {
            return self.fails(ErrorKind::Unknown, "store.claim", "the answer is lost");
        }
        claimed
    }

    async fn begin(&self, shard: ShardId, epoch: Epoch) -> Result<Self::Turn<'_>, Error> {
        let rate = self.process.world.weather().store_begin_fails;
        self.statement("store.begin", rate).await?;
        let inner = self.inner.begin(shard, epoch).await;
        if let Err(error) = &inner {
            self.process.note(format_args!(
                "begin shard {shard} epoch {}: {error}",
                epoch.0
            ));
            self.refused(error, shard, epoch);
        }
        self.process.step("store.begun").await;
        Ok(SimTurn {
            store: self,
            inner: Some(inner?),
            shard,
            epoch,
        })
    }

    async fn outbox(
        &self,
        partition: i32,
        from: Sequence,
        bytes_max: usize,
    ) -> Result<Vec<OutboxRow>, Error> {
        let rate = self.process.world.weather().store_statement_fails;
        self.statement("store.outbox", rate).await?;
        self.inner.outbox(partition, from, bytes_max).await
    }

    async fn acknowledged(&self, partition: i32) -> Result<Vec<Acknowledged>, Error> {
        let rate = self.process.world.weather().store_statement_fails;
        self.statement("store.acknowledged", rate).await?;
        self.inner.acknowledged(partition).await
    }

    async fn actions(&self, shard: ShardId) -> Result<Vec<Action>, Error> {
        let rate = self.process.world.weather().store_statement_fails;
        self.statement("store.actions", rate).await?;
        self.inner.actions(shard).await
    }

    async fn parked_of(
        &self,
        shard: ShardId,
        target: &Target,
        limit: usize,
    ) -> Result<Vec<ParkedRow>, Error> {
        let rate = self.process.world.weather().store_statement_fails;
        self.statement("store.parked_of", rate).await?;
        self.inner.parked_of(shard, target, limit).await
    }

    async fn parked_level(&self, shard: ShardId) -> Result<ParkedLevel, Error> {
        let rate = self.process.world.weather().store_statement_fails;
        self.statement("store.parked_level", rate).await?;
        self.inner.parked_level(shard).await
    }
}

impl<'s, C: Context, S: Backend<C>> SimTurn<'s, C, S> {
    /// One statement of the transaction; a lost connection takes the transaction with it.
    async fn statement(&mut self, operation: &'static str) -> Result<&mut S::Turn<'s>, Error> {
        let rate = self.store.process.world.weather().store_statement_fails;
        if let Err(error) = self.store.statement(operation, rate).await {
            self.inner = None;
            return Err(error);
        }
        match self.inner.as_mut() {
            Some(inner) => Ok(inner),
            None => Err(gone(operation)),
        }
    }

    fn describe(&self, effects: &Effects) -> String {
        use std::fmt::Write as _;
        let mut text = format!("shard {} epoch {}", self.shard, self.epoch.0);
        for step in &effects.cursors {
            let _ = write!(text, " {} {}->{}", step.topic, step.from, step.to);
        }
        for published in &effects.published {
            let _ = write!(text, " published {}", published.up_to.0);
        }
        let mut add = |name: &str, count: usize| {
            if count > 0 {
                let _ = write!(text, " {name} {count}");
            }
        };
        add("inbox", effects.inbox.len());
        add("conflicts", effects.conflicts.len());
        add("parked", effects.parked.len());
        let batches = effects.outbox.iter();
        add("events", batches.map(|batch| batch.records.len()).sum());
        text
    }
}

fn gone(operation: &'static str) -> Error {
    Error::new(ErrorKind::Retry, operation, "the connection is gone")
}

impl<C: Context, S: Backend<C>> Turn<C> for SimTurn<'_, C, S> {
    async fn cursors(&mut self) -> Result<Vec<Cursor>, Error> {
        self.statement("store.cursors").await?.cursors().await
    }

    async fn seen(
        &mut self,
        inbox: &[InboxKey],
        aggregates: &[AggregateKey],
    ) -> Result<Seen, Error> {
        let inner = self.statement("store.seen").await?;
        inner.seen(inbox, aggregates).await
    }

    async fn load(&mut self, messages: &[&C::Message]) -> Result<C::State, Error> {
        self.statement("store.load").await?.load(messages).await
    }

    async fn load_follow_up(&mut self, state: &mut C::State) -> Result<(), Error> {
        let inner = self.statement("store.follow_up").await?;
        inner.load_follow_up(state).await
    }

    async fn rehearse(mut self, state: Option<&C::State>, effects: Effects) -> Result<(), Error> {
        self.statement("store.rehearse").await?;
        match self.inner.take() {
            Some(inner) => inner.rehearse(state, effects).await,
            None => Err(gone("store.rehearse")),
        }
    }

    async fn commit(
        mut self,
        state: Option<&C::State>,
        effects: Effects,
    ) -> Result<Vec<OutboxRow>, Error> {
        let store = self.store;
        let process = &store.process;
        process.step("store.commit").await;
        let Some(inner) = self.inner.take() else {
            return Err(gone("store.commit"));
        };
        let what = self.describe(&effects);
        let outcome = match store.commit_fault(S::LATE) {
            None => inner.commit(state, effects).await,
            Some(CommitFault::Refused) => {
                store.fails(ErrorKind::Retry, "store.commit", "serialization failure")
            }
            Some(CommitFault::DiskFull) => {
                store.fails(ErrorKind::Retry, "store.commit", "the disk is full")
            }
            Some(CommitFault::Lost) => {
                store.fails(ErrorKind::Unknown, "store.commit", "lost on the way")
            }
            Some(CommitFault::AnswerLost) => match inner.commit(state, effects).await {
                Ok(_) => store.fails(ErrorKind::Unknown, "store.commit", "the answer is lost"),
                Err(error) => Err(error),
            },
            Some(CommitFault::Late) => {
                let after = process.dice(|dice| dice.millis(1..=4_000));
                process.world.lands(after);
                S::commit_late(inner, state, effects, after).await?;
                store.fails(ErrorKind::Unknown, "store.commit", "it lands later")
            }
        };
        match &outcome {
            Ok(rows) => {
                process.note(format_args!("commits {what} rows {}", Rows(rows)));
                process.world.count(|counts| counts.commits += 1);
            }
            Err(error) => {
                process.note(format_args!("commit {what}: {error}"));
                process.world.count(|counts| match error.kind {
                    ErrorKind::Unknown => counts.commits_unknown += 1,
                    ErrorKind::CursorMoved => counts.cursor_moved += 1,
                    _ => {}
                });
            }
        }
        process.step("store.committed").await;
        outcome
    }
}

struct Rows<'a>(&'a [OutboxRow]);

impl std::fmt::Display for Rows<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for row in self.0 {
            write!(f, "{}/{} ", row.batch.partition, row.sequence.0)?;
        }
        Ok(())
    }
}
