//! Reading many partitions: what is there in the order of its times, then what comes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use messaging::limits::{FETCH_BYTES_MAX, FETCH_WAIT_MAX};
use messaging::log::{Consumed, Log, ReadLimit};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::exit::{Exit, Failure};
use crate::services::log_failure;

/// Messages that wait to be shown, so that a slow terminal slows the reading down.
const WAITING_MAX: usize = 100;

/// A record and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    pub(super) consumed: Consumed,
}

/// The partitions to read.
pub(super) struct Reader {
    log: Arc<dyn Log>,
    partitions: Vec<Partition>,
}

struct Partition {
    topic: Arc<str>,
    partition: i32,
    next: i64,
    /// What stood there when the reading began ends here.
    end: i64,
    fetched: VecDeque<Consumed>,
}

impl Reader {
    pub(super) fn new(log: Arc<dyn Log>) -> Self {
        Self {
            log,
            partitions: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// Reads a partition as well, from its first record or from its end.
    pub(super) async fn add(
        &mut self,
        topic: &str,
        partition: i32,
        from_start: bool,
    ) -> Result<(), Failure> {
        let bounds = self.log.bounds(topic, partition).await;
        let bounds = bounds.map_err(|error| log_failure(&error))?;
        self.partitions.push(Partition {
            topic: topic.into(),
            partition,
            next: if from_start {
                bounds.first
            } else {
                bounds.next
            },
            end: bounds.next,
            fetched: VecDeque::new(),
        });
        Ok(())
    }

    /// Shows what stood there when the reading began: of all partitions' next records always the
    /// earliest, so that causes stand before their effects.
    pub(super) async fn backlog(
        mut self,
        show: impl AsyncFn(Message) -> Result<(), Failure>,
    ) -> Result<Self, Failure> {
        loop {
            for partition in &mut self.partitions {
                partition.fetch_backlog(&*self.log).await?;
            }
            let heads = self.partitions.iter_mut();
            let earliest = heads
                .filter(|partition| !partition.fetched.is_empty())
                .min_by_key(|partition| {
                    partition.fetched.front().map(|head| head.record.timestamp)
                });
            let Some(message) = earliest.and_then(Partition::take) else {
                return Ok(self);
            };
            show(message).await?;
        }
    }

    /// Shows records as they come, for ever.
    pub(super) async fn follow(
        self,
        show: impl AsyncFn(Message) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let (messages, mut arriving) = mpsc::channel(WAITING_MAX);
        let mut readers = JoinSet::new();
        for partition in self.partitions {
            readers.spawn(partition.follow(Arc::clone(&self.log), messages.clone()));
        }
        drop(messages);
        while let Some(message) = arriving.recv().await {
            show(message).await?;
        }
        // Every reader has ended, so each of them failed.
        match readers.join_next().await {
            Some(Ok(failure)) => Err(failure),
            _ => Err(Failure::new(Exit::Unreachable, "the reading ended")),
        }
    }
}

impl Partition {
    /// Fetches if nothing is left and the end is not reached.
    async fn fetch_backlog(&mut self, log: &dyn Log) -> Result<(), Failure> {
        while self.fetched.is_empty() && self.next < self.end {
            // Offsets have gaps: one behind the last record may be all that is left below the end.
            let read = self.read(log, Duration::ZERO).await?;
            if read == 0 {
                self.next = self.end;
            }
        }
        Ok(())
    }

    async fn read(&mut self, log: &dyn Log, wait_max: Duration) -> Result<usize, Failure> {
        let limit = ReadLimit {
            bytes_max: FETCH_BYTES_MAX,
            wait_max,
        };
        let batch = log
            .read(&self.topic, self.partition, self.next, limit)
            .await;
        let batch = batch.map_err(|error| log_failure(&error))?;
        if let Some(last) = batch.records.last() {
            self.next = last.offset + 1;
        }
        let read = batch.records.len();
        self.fetched.extend(batch.records);
        Ok(read)
    }

    fn take(&mut self) -> Option<Message> {
        Some(Message {
            topic: Arc::clone(&self.topic),
            partition: self.partition,
            consumed: self.fetched.pop_front()?,
        })
    }

    /// Reads on until the log fails or nobody listens; returns the failure.
    async fn follow(mut self, log: Arc<dyn Log>, messages: mpsc::Sender<Message>) -> Failure {
        loop {
            while let Some(message) = self.take() {
                if messages.send(message).await.is_err() {
                    return Failure::new(Exit::Refused, "");
                }
            }
            if let Err(failure) = self.read(&*log, FETCH_WAIT_MAX).await {
                return failure;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use messaging::clock::{SystemClock, Timestamp};
    use messaging::log::Record;
    use messaging::log::memory::MemoryLog;

    use super::*;

    fn record(value: &'static str, time: i64) -> Record {
        Record {
            key: None,
            value: Some(value.into()),
            headers: Vec::new(),
            timestamp: Timestamp(time),
        }
    }

    #[tokio::test]
    async fn what_is_there_comes_in_the_order_of_its_times() {
        let log: Arc<dyn Log> = Arc::new(MemoryLog::new(Arc::new(SystemClock)));
        log.create_topic("a", 2).await.unwrap();
        log.create_topic("b", 1).await.unwrap();
        let appends = [
            ("a", 0, vec![record("1", 10), record("4", 40)]),
            ("a", 1, vec![record("3", 30)]),
            ("b", 0, vec![record("2", 20), record("5", 50)]),
        ];
        for (topic, partition, records) in appends {
            log.append(topic, partition, records).await.unwrap();
        }
        let mut reader = Reader::new(Arc::clone(&log));
        for (topic, partition) in [("a", 0), ("a", 1), ("b", 0)] {
            reader.add(topic, partition, true).await.unwrap();
        }
        let seen = Mutex::new(Vec::new());
        let show = async |message: Message| {
            let value = message.consumed.record.value.unwrap();
            seen.lock()
                .unwrap()
                .push(String::from_utf8(value.to_vec()).unwrap());
            Ok(())
        };
        reader.backlog(show).await.unwrap();
        assert_eq!(*seen.lock().unwrap(), ["1", "2", "3", "4", "5"]);
    }
}
