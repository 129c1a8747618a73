//! A batching appender: many callers, one append per partition in flight.
//!
//! While an append is under way the records of other callers collect, and go together with the
//! next one. So a single caller waits for one round trip, and many callers share it.

use std::fmt;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::{Error, ErrorKind, Log, Record};
use crate::limits;
use crate::partitioner::partition_of;
use crate::spawner::{Spawner, Task};

/// Records that wait for their append, per partition; callers beyond wait outside.
const QUEUE_MAX: usize = 4 * limits::APPEND_RECORDS_MAX;

/// Appends single records to one topic, in batches per partition.
///
/// Records of one key keep the order in which their `append` calls were made, if each caller
/// waits for the one before. Clones share the queues; the tasks end with the last clone.
#[derive(Clone)]
pub struct Appender {
    shared: Arc<Shared>,
}

struct Shared {
    topic: Arc<str>,
    partitions: i32,
    queues: Vec<mpsc::Sender<Waiting>>,
    _workers: Vec<Task>,
}

/// A record and the caller that waits for its offset.
struct Waiting {
    record: Record,
    done: oneshot::Sender<Result<i64, Arc<Error>>>,
}

impl Appender {
    /// An appender for `topic`, which has `partitions` partitions (at least 1), with one task each.
    #[must_use]
    pub fn new(log: Arc<dyn Log>, topic: &str, partitions: i32, spawner: &dyn Spawner) -> Self {
        let topic: Arc<str> = topic.into();
        let (queues, workers) = (0..partitions)
            .map(|partition| {
                let (queue, waiting) = mpsc::channel(QUEUE_MAX);
                let worker = Worker {
                    log: Arc::clone(&log),
                    topic: Arc::clone(&topic),
                    partition,
                };
                let task = spawner.spawn("appender", Box::pin(worker.run(waiting)));
                (queue, task)
            })
            .unzip();
        Self {
            shared: Arc::new(Shared {
                topic,
                partitions,
                queues,
                _workers: workers,
            }),
        }
    }

    /// Appends `record` to the partition of its key; returns its offset once it is durable.
    ///
    /// Waits while the partition's queue is full. Dropping the call leaves open whether the
    /// record is appended.
    ///
    /// # Errors
    /// The failure of the append that carried the record, shared with everybody in its batch. Its
    /// kind tells whether the record may be in the log.
    pub async fn append(&self, record: Record) -> Result<i64, Arc<Error>> {
        let key = record.key.as_deref().unwrap_or_default();
        let partition = partition_of(key, self.shared.partitions);
        let queue = usize::try_from(partition)
            .ok()
            .and_then(|index| self.shared.queues.get(index))
            .ok_or_else(|| self.stopped(partition, ErrorKind::Fatal))?;
        let (done, outcome) = oneshot::channel();
        queue
            .send(Waiting { record, done })
            .await
            .map_err(|_| self.stopped(partition, ErrorKind::Retry))?;
        outcome
            .await
            .unwrap_or_else(|_| Err(self.stopped(partition, ErrorKind::Ambiguous)))
    }

    fn stopped(&self, partition: i32, kind: ErrorKind) -> Arc<Error> {
        Arc::new(Error {
            kind,
            operation: "append",
            topic: self.shared.topic.to_string(),
            partition,
            source: "the appender of this partition has stopped".into(),
        })
    }
}

impl fmt::Debug for Appender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Appender")
            .field("topic", &self.shared.topic)
            .field("partitions", &self.shared.partitions)
            .finish_non_exhaustive()
    }
}

/// The owner of one partition's appends.
struct Worker {
    log: Arc<dyn Log>,
    topic: Arc<str>,
    partition: i32,
}

impl Worker {
    async fn run(self, mut waiting: mpsc::Receiver<Waiting>) {
        let mut arrived = Vec::new();
        while waiting
            .recv_many(&mut arrived, limits::APPEND_RECORDS_MAX)
            .await
            > 0
        {
            // Nobody waits for these any more: whoever gave up was told nothing either way.
            arrived.retain(|waiting| !waiting.done.is_closed());
            let mut rest = arrived.drain(..).peekable();
            while rest.peek().is_some() {
                self.append(next_batch(&mut rest)).await;
            }
        }
    }

    async fn append(&self, batch: Vec<Waiting>) {
        let (records, callers): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|waiting| (waiting.record, waiting.done))
            .unzip();
        let outcome = self.log.append(&self.topic, self.partition, records).await;
        match outcome {
            Ok(last) => {
                // The offsets of one append are contiguous: count back from the last.
                for (offset, caller) in (0..=last).rev().zip(callers.into_iter().rev()) {
                    let _ = caller.send(Ok(offset));
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                for caller in callers {
                    let _ = caller.send(Err(Arc::clone(&error)));
                }
            }
        }
    }
}

/// Takes at least one record, then more while they fit into one append.
fn next_batch(waiting: &mut std::iter::Peekable<impl Iterator<Item = Waiting>>) -> Vec<Waiting> {
    let mut bytes = 0;
    let mut batch = Vec::new();
    while let Some(next) = waiting
        .next_if(|next| batch.is_empty() || bytes + next.record.size() <= limits::APPEND_BYTES_MAX)
    {
        bytes += next.record.size();
        batch.push(next);
    }
    batch
}
