//! A partition for async callers: group commit, and waking those who wait for records.
//!
//! Callers queue their batch and then wait for the one commit slot. Whoever gets it writes and
//! syncs everything queued so far in one go, off the async threads, and answers all of them. So
//! there is one sync in flight per partition, and under load it covers many requests.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::{oneshot, watch};

use super::limits::GROUP_COMMIT_BYTES_MAX;
use super::read::{Read, ReadError};
use super::store::{AppendError, Bounds, Store};
use crate::clock;

/// A partition that is being served.
#[derive(Debug)]
pub(super) struct Partition {
    store: Store,
    queue: Mutex<VecDeque<Queued>>,
    slot: Arc<tokio::sync::Mutex<()>>,
    end: watch::Sender<i64>,
}

#[derive(Debug)]
struct Queued {
    batch: Bytes,
    answer: oneshot::Sender<Result<i64, Arc<AppendError>>>,
}

impl Partition {
    /// Serves a recovered store.
    pub(super) fn new(store: Store) -> Arc<Self> {
        let end = watch::Sender::new(store.bounds().end);
        Arc::new(Self {
            store,
            queue: Mutex::default(),
            slot: Arc::default(),
            end,
        })
    }

    /// Appends a checked batch and returns the offset of its first record once it is durable.
    ///
    /// The batch may be appended even if the caller stops waiting.
    pub(super) async fn append(self: &Arc<Self>, batch: Bytes) -> Result<i64, Arc<AppendError>> {
        let (answer, mut answered) = oneshot::channel();
        let queued = Queued { batch, answer };
        self.queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_back(queued);
        loop {
            let slot = tokio::select! {
                biased;
                done = &mut answered => return done.unwrap_or_else(|_| closed()),
                slot = Arc::clone(&self.slot).lock_owned() => slot,
            };
            let partition = Arc::clone(self);
            let committed = tokio::task::spawn_blocking(move || {
                partition.commit_group();
                drop(slot);
            });
            if committed.await.is_err() {
                tracing::error!("a commit of the log panicked");
            }
            match answered.try_recv() {
                Ok(result) => return result,
                // Others filled the group; this batch is in one of the next.
                Err(oneshot::error::TryRecvError::Empty) => {}
                Err(oneshot::error::TryRecvError::Closed) => return closed(),
            }
        }
    }

    /// Commits what is queued, up to a limit. The caller holds the slot.
    fn commit_group(&self) {
        let group = self.take_group();
        if group.is_empty() {
            return;
        }
        let batches: Vec<Bytes> = group.iter().map(|queued| queued.batch.clone()).collect();
        let result = self
            .store
            .append(&batches, clock::now_ms())
            .map_err(Arc::new);
        self.end.send_replace(self.store.bounds().end);
        for (at, queued) in group.into_iter().enumerate() {
            let answer = result
                .as_ref()
                .map(|offsets| offsets[at])
                .map_err(Arc::clone);
            // Whoever does not wait any more does not need the answer.
            let _ = queued.answer.send(answer);
        }
    }

    fn take_group(&self) -> Vec<Queued> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = 0;
        let mut group = Vec::new();
        while let Some(next) = queue.front() {
            bytes += next.batch.len();
            if !group.is_empty() && bytes > GROUP_COMMIT_BYTES_MAX {
                break;
            }
            group.extend(queue.pop_front());
        }
        group
    }

    /// Reads batches if they are in memory; see [`Store::read_recent`].
    pub(super) fn read_recent(
        &self,
        offset: i64,
        bytes: usize,
        one: bool,
    ) -> Option<Result<Read, ReadError>> {
        self.store.read_recent(offset, bytes, one)
    }

    /// Reads batches; see [`Store::read`]. Blocks.
    pub(super) fn read(&self, offset: i64, bytes: usize, one: bool) -> Result<Read, ReadError> {
        self.store.read(offset, bytes, one)
    }

    /// The first record at or after a time, as offset and timestamp. Blocks.
    pub(super) fn find_time(&self, timestamp: i64) -> Result<Option<(i64, i64)>, ReadError> {
        self.store.find_time(timestamp)
    }

    /// Removes the records before an offset. Blocks.
    pub(super) fn remove_before(&self, offset: i64) -> Result<Bounds, AppendError> {
        self.store.remove_before(offset, clock::now_ms())
    }

    /// What can be read now.
    pub(super) fn bounds(&self) -> Bounds {
        self.store.bounds()
    }

    /// Changes whenever records become readable.
    pub(super) fn watch_end(&self) -> watch::Receiver<i64> {
        self.end.subscribe()
    }

    /// The files of this partition.
    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// Waits for a commit that is under way.
    pub(super) async fn settle(&self) {
        drop(self.slot.lock().await);
    }
}

/// The answer to a batch that was dropped without one.
fn closed() -> Result<i64, Arc<AppendError>> {
    Err(Arc::new(AppendError::Closed))
}
