//! Reading many partitions: what is there in the order of its times, then what comes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use messaging::limits::{FETCH_BYTES_MAX, FETCH_WAIT_MAX};
use messaging::log::{self, Bounds, Consumed, Log, ReadLimit};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::exit::{Exit, Failure};
use crate::services::log_failure;

/// Messages that wait to be shown, so that a slow terminal slows the reading down.
const WAITING_MAX: usize = 100;

/// A record and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    pub(crate) consumed: Consumed,
}

/// The partitions to read.
pub(super) struct Reader {
    log: Arc<dyn Log>,
    partitions: Vec<Partition>,
}

/// Where the reading of a partition starts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start {
    /// With the earliest record kept.
    First,
    /// With the next record to come.
    End,
    /// At an offset.
    At(i64),
}

/// A partition that is being read.
pub(crate) struct Partition {
    topic: Arc<str>,
    partition: i32,
    bounds: Bounds,
    next: i64,
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
        let start = if from_start { Start::First } else { Start::End };
        let opened = Partition::open(&*self.log, topic, partition, start).await;
        self.partitions
            .push(opened.map_err(|error| log_failure(&error))?);
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
                let fetched = partition.fetch_backlog(&*self.log).await;
                fetched.map_err(|error| log_failure(&error))?;
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
    /// Starts reading a partition.
    pub(crate) async fn open(
        log: &dyn Log,
        topic: &str,
        partition: i32,
        start: Start,
    ) -> Result<Self, log::Error> {
        let bounds = log.bounds(topic, partition).await?;
        Ok(Self {
            topic: topic.into(),
            partition,
            bounds,
            next: match start {
                Start::First => bounds.first,
                Start::End => bounds.next,
                Start::At(offset) => offset.max(bounds.first),
            },
            fetched: VecDeque::new(),
        })
    }

    /// What the partition held when the reading began.
    pub(crate) fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// How many offsets are left of it.
    pub(crate) fn left(&self) -> i64 {
        self.bounds.next - self.next
    }

    /// The next of the records that stood there when the reading began.
    pub(crate) async fn next(&mut self, log: &dyn Log) -> Result<Option<Message>, log::Error> {
        self.fetch_backlog(log).await?;
        Ok(self.take())
    }

    /// Fetches if nothing is left and the end is not reached.
    async fn fetch_backlog(&mut self, log: &dyn Log) -> Result<(), log::Error> {
        while self.fetched.is_empty() && self.next < self.bounds.next {
            // Offsets have gaps: one behind the last record may be all that is left below the end.
            let read = self.read(log, Duration::ZERO).await?;
            if read == 0 {
                self.next = self.bounds.next;
            }
        }
        Ok(())
    }

    async fn read(&mut self, log: &dyn Log, wait_max: Duration) -> Result<usize, log::Error> {
        let limit = ReadLimit {
            bytes_max: FETCH_BYTES_MAX,
            wait_max,
        };
        let batch = log
            .read(&self.topic, self.partition, self.next, limit)
            .await?;
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
            if let Err(error) = self.read(&*log, FETCH_WAIT_MAX).await {
                return log_failure(&error);
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
