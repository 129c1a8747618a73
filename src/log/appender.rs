//! A batching appender: many callers, one append per partition in flight.
//!
//! While an append is under way the records of other callers collect, and go together with the
//! next one. So a single caller waits for one round trip, and many callers share it. After an append
//! that few shared it rests for a moment, so that the next one is larger.

use std::fmt;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::{Error, ErrorKind, Log, Record};
use crate::clock::Clock;
use crate::limits;
use crate::partitioner::partition_of;
use crate::spawner::{Spawner, Task};

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
    pub fn new(
        log: Arc<dyn Log>,
        topic: &str,
        partitions: i32,
        clock: &Arc<dyn Clock>,
        spawner: &dyn Spawner,
    ) -> Self {
        let topic: Arc<str> = topic.into();
        let (queues, workers) = (0..partitions)
            .map(|partition| {
                let (queue, waiting) = mpsc::channel(limits::APPEND_QUEUE_MAX);
                let worker = Worker {
                    log: Arc::clone(&log),
                    topic: Arc::clone(&topic),
                    partition,
                    clock: Arc::clone(clock),
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

    /// The partition of a key.
    #[must_use]
    pub fn partition(&self, key: &[u8]) -> i32 {
        partition_of(key, self.shared.partitions)
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
        let partition = self.partition(key);
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
    clock: Arc<dyn Clock>,
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
                let batch = next_batch(&mut rest);
                let gather = rest.peek().is_none() && is_worth_gathering(batch.len());
                self.append(batch).await;
                if gather {
                    self.clock.sleep(limits::APPEND_REST).await;
                }
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

/// Whether waiting a little after an append of so many records makes the next one larger: several
/// callers shared it, so more will come, and much of its cost was fixed. A single caller does not
/// wait.
fn is_worth_gathering(records: usize) -> bool {
    (2..limits::APPEND_RECORDS_SMALL).contains(&records)
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use async_trait::async_trait;
    use bytes::Bytes;
    use tokio::sync::Semaphore;
    use tokio::task::JoinSet;

    use super::*;
    use crate::clock::{SystemClock, Timestamp};
    use crate::log::memory::{AppendFault, MemoryLog};
    use crate::log::{Batch, Bounds, ReadLimit};
    use crate::spawner::TokioSpawner;

    const TOPIC: &str = "orders";

    /// Rests that end at once.
    const RESTS: usize = 1_000;

    /// A clock whose sleeps end as there are permits.
    struct Rests(Semaphore);

    #[async_trait]
    impl Clock for Rests {
        fn now(&self) -> Timestamp {
            Timestamp(0)
        }

        async fn sleep(&self, _span: Duration) {
            self.0.acquire().await.unwrap().forget();
        }
    }

    /// A log that lets appends through one by one and notes how many records each had.
    struct Gated {
        log: MemoryLog,
        gate: Semaphore,
        sizes: Mutex<Vec<usize>>,
    }

    #[async_trait]
    impl Log for Gated {
        async fn create_topic(&self, topic: &str, partitions: i32) -> Result<(), Error> {
            self.log.create_topic(topic, partitions).await
        }

        async fn partitions(&self, topic: &str) -> Result<Option<i32>, Error> {
            self.log.partitions(topic).await
        }

        async fn append(
            &self,
            topic: &str,
            partition: i32,
            records: Vec<Record>,
        ) -> Result<i64, Error> {
            self.sizes.lock().unwrap().push(records.len());
            self.gate.acquire().await.unwrap().forget();
            self.log.append(topic, partition, records).await
        }

        async fn read(
            &self,
            topic: &str,
            partition: i32,
            from: i64,
            limit: ReadLimit,
        ) -> Result<Batch, Error> {
            self.log.read(topic, partition, from, limit).await
        }

        async fn bounds(&self, topic: &str, partition: i32) -> Result<Bounds, Error> {
            self.log.bounds(topic, partition).await
        }
    }

    type Calls = JoinSet<Result<i64, Arc<Error>>>;

    struct Bench {
        log: Arc<Gated>,
        rests: Arc<Rests>,
        appender: Appender,
        calls: Calls,
    }

    impl Bench {
        async fn new(partitions: i32) -> Self {
            let log = Arc::new(Gated {
                log: MemoryLog::new(Arc::new(SystemClock)),
                gate: Semaphore::new(0),
                sizes: Mutex::default(),
            });
            log.create_topic(TOPIC, partitions).await.unwrap();
            let port: Arc<dyn Log> = Arc::clone(&log) as _;
            let rests = Arc::new(Rests(Semaphore::new(RESTS)));
            let clock: Arc<dyn Clock> = Arc::clone(&rests) as _;
            Self {
                appender: Appender::new(port, TOPIC, partitions, &clock, &TokioSpawner),
                log,
                rests,
                calls: JoinSet::new(),
            }
        }

        /// Starts calls for these values and waits until their records are queued.
        async fn call(&mut self, values: impl IntoIterator<Item = Bytes>) {
            for value in values {
                let before = self.queued();
                let appender = self.appender.clone();
                self.calls
                    .spawn(async move { appender.append(record(value)).await });
                self.until(|bench| bench.queued() == before + 1).await;
            }
        }

        /// Starts an append that stays in flight until the gate opens.
        async fn occupy(&mut self) {
            let appender = self.appender.clone();
            self.calls
                .spawn(async move { appender.append(record("first")).await });
            self.until(|bench| bench.sizes().len() == 1).await;
        }

        fn queued(&self) -> usize {
            let queue = &self.appender.shared.queues[0];
            queue.max_capacity() - queue.capacity()
        }

        fn sizes(&self) -> Vec<usize> {
            self.log.sizes.lock().unwrap().clone()
        }

        /// Lets the other tasks of this thread run until the condition holds.
        async fn until(&self, condition: impl Fn(&Self) -> bool) {
            for _ in 0..10_000 {
                if condition(self) {
                    return;
                }
                tokio::task::yield_now().await;
            }
            panic!("the condition never held");
        }

        async fn outcomes(&mut self) -> Vec<Result<i64, Arc<Error>>> {
            self.log.gate.add_permits(1_000);
            let mut outcomes = Vec::new();
            while let Some(outcome) = self.calls.join_next().await {
                outcomes.push(outcome.unwrap());
            }
            outcomes
        }
    }

    fn record(value: impl Into<Bytes>) -> Record {
        Record {
            key: None,
            value: Some(value.into()),
            headers: Vec::new(),
            timestamp: Timestamp(0),
        }
    }

    fn numbers(count: usize) -> impl Iterator<Item = Bytes> {
        (0..count).map(|number| Bytes::from(number.to_string()))
    }

    #[tokio::test]
    async fn after_an_append_that_few_shared_the_next_waits_for_more() {
        let mut bench = Bench::new(1).await;
        bench.rests.0.forget_permits(RESTS);
        bench.occupy().await;
        bench.call(numbers(3)).await;
        bench.log.gate.add_permits(2);
        bench.until(|bench| bench.sizes() == [1, 3]).await;
        bench.call(numbers(4)).await;
        assert_eq!(bench.queued(), 4, "the rest is not over");
        bench.rests.0.add_permits(RESTS);
        bench.outcomes().await;
        assert_eq!(bench.sizes(), [1, 3, 4]);
    }

    #[test]
    fn a_single_caller_and_a_large_append_do_not_wait() {
        let worth = |records| is_worth_gathering(records);
        assert!(!worth(1) && worth(2));
        assert!(worth(limits::APPEND_RECORDS_SMALL - 1) && !worth(limits::APPEND_RECORDS_SMALL));
    }

    #[tokio::test]
    async fn what_arrives_during_an_append_goes_together_with_the_next() {
        let mut bench = Bench::new(1).await;
        bench.occupy().await;
        bench.call(numbers(50)).await;
        let mut offsets: Vec<_> = bench
            .outcomes()
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        assert_eq!(bench.sizes(), [1, 50]);
        offsets.sort_unstable();
        assert_eq!(offsets, (0..=50).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn every_caller_gets_its_own_records_offset() {
        let bench = Bench::new(4).await;
        bench.log.gate.add_permits(1_000);
        let calls = (0..200).map(|number: u32| {
            let record = Record {
                key: Some(Bytes::from(number.to_string())),
                ..record(number.to_string())
            };
            let append = bench.appender.append(record.clone());
            async move { (record, append.await.unwrap()) }
        });
        for (record, offset) in futures::future::join_all(calls).await {
            let partition = partition_of(record.key.as_deref().unwrap(), 4);
            let found = &bench.log.log.records(TOPIC, partition)[usize::try_from(offset).unwrap()];
            assert_eq!(found.record, record);
        }
    }

    #[tokio::test]
    async fn records_stand_in_the_order_of_their_calls() {
        let mut bench = Bench::new(1).await;
        bench.occupy().await;
        bench.call(numbers(20)).await;
        bench.outcomes().await;
        let values = bench.log.log.records(TOPIC, 0).into_iter().skip(1);
        let values: Vec<_> = values.map(|found| found.record.value.unwrap()).collect();
        assert_eq!(values, numbers(20).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn one_append_stays_below_the_byte_limit() {
        let mut bench = Bench::new(1).await;
        bench.occupy().await;
        let third = Bytes::from(vec![0; limits::APPEND_BYTES_MAX / 3]);
        let whole = Bytes::from(vec![0; limits::APPEND_BYTES_MAX]);
        bench
            .call([&third, &third, &whole, &third, &third, &third, &third].map(Bytes::clone))
            .await;
        assert!(bench.outcomes().await.iter().all(Result::is_ok));
        assert_eq!(bench.sizes(), [1, 2, 1, 3, 1]);
    }

    #[tokio::test]
    async fn a_failure_reaches_everybody_in_the_batch_and_nobody_else() {
        let mut bench = Bench::new(1).await;
        bench.occupy().await;
        bench.call(numbers(2)).await;
        bench.log.gate.add_permits(1);
        bench.calls.join_next().await.unwrap().unwrap().unwrap();
        bench.until(|bench| bench.sizes() == [1, 2]).await;
        bench.call(numbers(3)).await;

        bench.log.log.fail_append(AppendFault::AcknowledgementLost);
        let outcomes = bench.outcomes().await;
        let errors: Vec<_> = outcomes
            .iter()
            .filter_map(|outcome| outcome.as_ref().err())
            .collect();
        assert_eq!((outcomes.len(), errors.len()), (5, 2));
        assert!(Arc::ptr_eq(errors[0], errors[1]));
        assert_eq!(errors[0].kind, ErrorKind::Ambiguous);
    }

    #[tokio::test]
    async fn whoever_gave_up_is_not_appended() {
        let mut bench = Bench::new(1).await;
        bench.occupy().await;
        let mut left = JoinSet::new();
        std::mem::swap(&mut bench.calls, &mut left);
        bench.call(numbers(5)).await;
        bench.calls.shutdown().await;
        std::mem::swap(&mut bench.calls, &mut left);
        bench.call([Bytes::from_static(b"stayed")]).await;

        bench.outcomes().await;
        assert_eq!(bench.sizes(), [1, 1]);
        let last = bench.log.log.records(TOPIC, 0).pop().unwrap().record;
        assert_eq!(last, record("stayed"));
    }

    #[tokio::test]
    async fn the_tasks_end_with_the_last_clone() {
        let Bench { log, appender, .. } = Bench::new(3).await;
        let clone = appender.clone();
        drop(appender);
        assert_eq!(Arc::strong_count(&log), 4);
        drop(clone);
        for _ in 0..10_000 {
            if Arc::strong_count(&log) == 1 {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("a worker outlived its appender");
    }
}
