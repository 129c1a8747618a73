//! A store whose turns fail on request, around any other.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use messaging::shard::{Epoch, ShardId};
use messaging::store::contract::counter::{Add, Counter, Counters};
use messaging::store::{
    Acknowledged, Action, AggregateKey, Claimed, Cursor, Effects, Error, ErrorKind, InboxKey,
    OutboxRow, Pacing, ParkedLevel, ParkedRow, Seen, Sequence, Store, Target, Turn,
};

/// What goes wrong with the commit of a turn that writes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CommitFault {
    /// Nothing is committed, and it says so.
    Fails,
    /// Nothing is committed, and nobody knows.
    UnknownAndLost,
    /// It is committed, and nobody knows.
    UnknownAndDone,
}

#[derive(Debug, Default)]
pub(crate) struct Faults {
    commits: Mutex<VecDeque<CommitFault>>,
    refuse_follow_up: AtomicBool,
    begun: AtomicUsize,
}

impl Faults {
    pub(crate) fn commit(&self, fault: CommitFault) {
        self.commits.lock().unwrap().push_back(fault);
    }

    pub(crate) fn clear(&self) {
        self.commits.lock().unwrap().clear();
    }

    pub(crate) fn left(&self) -> usize {
        self.commits.lock().unwrap().len()
    }

    pub(crate) fn refuse_follow_up(&self, refuse: bool) {
        self.refuse_follow_up.store(refuse, Ordering::SeqCst);
    }

    pub(crate) fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }
}

#[derive(Debug)]
pub(crate) struct Faulty<S> {
    pub(crate) inner: S,
    pub(crate) faults: Arc<Faults>,
}

impl<S> Faulty<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self {
            inner,
            faults: Arc::default(),
        }
    }
}

pub(crate) struct FaultyTurn<T> {
    inner: T,
    faults: Arc<Faults>,
}

impl<S: Store<Counter>> Store<Counter> for Faulty<S> {
    type Turn<'s> = FaultyTurn<S::Turn<'s>>;

    fn pacing(&self) -> Pacing {
        self.inner.pacing()
    }

    async fn agree_on_partitions(&self, partitions: i32) -> Result<i32, Error> {
        self.inner.agree_on_partitions(partitions).await
    }

    async fn claim(&self, shard: ShardId, epoch: Epoch) -> Result<Claimed, Error> {
        self.inner.claim(shard, epoch).await
    }

    async fn begin(&self, shard: ShardId, epoch: Epoch) -> Result<Self::Turn<'_>, Error> {
        self.faults.begun.fetch_add(1, Ordering::SeqCst);
        Ok(FaultyTurn {
            inner: self.inner.begin(shard, epoch).await?,
            faults: Arc::clone(&self.faults),
        })
    }

    async fn outbox(
        &self,
        partition: i32,
        from: Sequence,
        bytes_max: usize,
    ) -> Result<Vec<OutboxRow>, Error> {
        self.inner.outbox(partition, from, bytes_max).await
    }

    async fn acknowledged(&self, partition: i32) -> Result<Vec<Acknowledged>, Error> {
        self.inner.acknowledged(partition).await
    }

    async fn actions(&self, shard: ShardId) -> Result<Vec<Action>, Error> {
        self.inner.actions(shard).await
    }

    async fn parked_of(
        &self,
        shard: ShardId,
        target: &Target,
        limit: usize,
    ) -> Result<Vec<ParkedRow>, Error> {
        self.inner.parked_of(shard, target, limit).await
    }

    async fn parked_level(&self, shard: ShardId) -> Result<ParkedLevel, Error> {
        self.inner.parked_level(shard).await
    }
}

impl<T: Turn<Counter>> Turn<Counter> for FaultyTurn<T> {
    async fn cursors(&mut self) -> Result<Vec<Cursor>, Error> {
        self.inner.cursors().await
    }

    async fn seen(
        &mut self,
        inbox: &[InboxKey],
        aggregates: &[AggregateKey],
    ) -> Result<Seen, Error> {
        self.inner.seen(inbox, aggregates).await
    }

    async fn load(&mut self, messages: &[&Add]) -> Result<Counters, Error> {
        self.inner.load(messages).await
    }

    async fn load_follow_up(&mut self, state: &mut Counters) -> Result<(), Error> {
        if self.faults.refuse_follow_up.load(Ordering::SeqCst) {
            let detail = "the follow-up breaks a constraint";
            return Err(Error::new(ErrorKind::Rejected, "load_follow_up", detail));
        }
        self.inner.load_follow_up(state).await
    }

    async fn commit(
        self,
        state: Option<&Counters>,
        effects: Effects,
    ) -> Result<Vec<OutboxRow>, Error> {
        let writes = !effects.cursors.is_empty()
            || !effects.published.is_empty()
            || !effects.done.is_empty();
        let fault = if writes {
            self.faults.commits.lock().unwrap().pop_front()
        } else {
            None
        };
        let failed = |kind| Err(Error::new(kind, "commit", "an injected fault"));
        match fault {
            None => self.inner.commit(state, effects).await,
            Some(CommitFault::Fails) => failed(ErrorKind::Retry),
            Some(CommitFault::UnknownAndLost) => failed(ErrorKind::Unknown),
            Some(CommitFault::UnknownAndDone) => {
                self.inner.commit(state, effects).await?;
                failed(ErrorKind::Unknown)
            }
        }
    }
    async fn rehearse(self, state: Option<&Counters>, effects: Effects) -> Result<(), Error> {
        self.inner.rehearse(state, effects).await
    }
}
