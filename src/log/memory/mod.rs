//! The log in memory: the port's contract without a disk, with faults on request.

#[cfg(feature = "test-util")]
mod faults;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::Notify;

#[cfg(feature = "test-util")]
use self::faults::Faults;
use super::{Batch, Bounds, Consumed, Error, ErrorKind, Log, ReadLimit, Record};
use crate::clock::Clock;

#[cfg(feature = "test-util")]
pub use self::faults::AppendFault;

/// Largest append, as `message.max.bytes` of Kafka and Redpanda.
const APPEND_BYTES_MAX: usize = 1 << 20;

/// A log that lives as long as its process.
pub struct MemoryLog {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    topics: HashMap<String, Vec<Partition>>,
    /// How often the log has gone away from its readers.
    connection: u64,
    #[cfg(feature = "test-util")]
    faults: Faults,
}

#[derive(Default)]
struct Partition {
    first: i64,
    next: i64,
    /// What lies below survives a loss of power.
    #[cfg(feature = "test-util")]
    durable: i64,
    records: Vec<Consumed>,
}

impl MemoryLog {
    /// An empty log; `clock` measures the long poll.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            state: Mutex::default(),
            changed: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append_now(&self, call: &Call<'_>, records: Vec<Record>) -> Result<i64, Error> {
        let bytes: usize = records.iter().map(Record::size).sum();
        if records.is_empty() || bytes > APPEND_BYTES_MAX {
            return Err(call.failed(
                ErrorKind::Fatal,
                format!(
                    "{} records of {bytes} bytes; the limit is {APPEND_BYTES_MAX}",
                    records.len()
                ),
            ));
        }
        let mut state = self.state();
        let partition = call.partition(&mut state)?;
        for record in records {
            let headers: BTreeMap<_, _> = record.headers.into_iter().collect();
            partition.records.push(Consumed {
                offset: partition.next,
                record: Record {
                    headers: headers.into_iter().collect(),
                    ..record
                },
            });
            partition.next += 1;
        }
        #[cfg(feature = "test-util")]
        partition.make_durable();
        let last = partition.next - 1;
        drop(state);
        self.changed.notify_waiters();
        Ok(last)
    }

    fn read_now(&self, call: &Call<'_>, from: i64, bytes_max: i32) -> Result<Batch, Error> {
        let mut state = self.state();
        let connection = state.connection;
        let partition = call.partition(&mut state)?;
        if from < partition.first || from > partition.next {
            return Err(call.failed(
                ErrorKind::OutOfRange,
                format!(
                    "offset {from} is not in {}..={}",
                    partition.first, partition.next
                ),
            ));
        }
        let start = partition
            .records
            .partition_point(|found| found.offset < from);
        let mut left = usize::try_from(bytes_max).unwrap_or(0);
        let records = partition.records[start..]
            .iter()
            .enumerate()
            .take_while(|(index, found)| {
                let fits = left.checked_sub(found.record.size());
                left = fits.unwrap_or(0);
                *index == 0 || fits.is_some()
            })
            .map(|(_, found)| found.clone())
            .collect();
        Ok(Batch {
            records,
            high_watermark: partition.next,
            connection,
        })
    }
}

#[async_trait]
impl Log for MemoryLog {
    async fn create_topic(&self, topic: &str, partitions: i32) -> Result<(), Error> {
        let call = Call::new("create_topic", topic, -1);
        #[cfg(feature = "test-util")]
        self.answers(&call)?;
        let count = usize::try_from(partitions)
            .ok()
            .filter(|count| *count > 0)
            .ok_or_else(|| call.failed(ErrorKind::Fatal, format!("{partitions} partitions")))?;
        self.state()
            .topics
            .entry(topic.to_owned())
            .or_insert_with(|| (0..count).map(|_| Partition::default()).collect());
        Ok(())
    }

    async fn partitions(&self, topic: &str) -> Result<Option<i32>, Error> {
        #[cfg(feature = "test-util")]
        self.answers(&Call::new("partitions", topic, -1))?;
        let count = self.state().topics.get(topic).map(Vec::len);
        Ok(count.and_then(|count| i32::try_from(count).ok()))
    }

    async fn append(
        &self,
        topic: &str,
        partition: i32,
        records: Vec<Record>,
    ) -> Result<i64, Error> {
        let call = Call::new("append", topic, partition);
        #[cfg(feature = "test-util")]
        if let Some(fault) = self.next_append_fault(&call)? {
            return self.append_with(fault, &call, records).await;
        }
        self.append_now(&call, records)
    }

    async fn read(
        &self,
        topic: &str,
        partition: i32,
        from: i64,
        limit: ReadLimit,
    ) -> Result<Batch, Error> {
        let call = Call::new("read", topic, partition);
        let mut waited = self.clock.sleep(limit.wait_max);
        loop {
            // Registered before looking, so that no append falls between.
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            #[cfg(feature = "test-util")]
            self.read_fault(&call)?;
            let batch = self.read_now(&call, from, limit.bytes_max)?;
            if !batch.records.is_empty() || limit.wait_max.is_zero() {
                return Ok(batch);
            }
            tokio::select! {
                biased;
                () = &mut changed => {}
                () = &mut waited => return Ok(batch),
            }
        }
    }

    async fn bounds(&self, topic: &str, partition: i32) -> Result<Bounds, Error> {
        let call = Call::new("bounds", topic, partition);
        #[cfg(feature = "test-util")]
        self.answers(&call)?;
        let mut state = self.state();
        let partition = call.partition(&mut state)?;
        Ok(Bounds {
            first: partition.first,
            next: partition.next,
        })
    }
}

/// What a call is about, for its errors.
struct Call<'a> {
    operation: &'static str,
    topic: &'a str,
    partition: i32,
}

impl<'a> Call<'a> {
    fn new(operation: &'static str, topic: &'a str, partition: i32) -> Self {
        Self {
            operation,
            topic,
            partition,
        }
    }

    fn partition<'s>(&self, state: &'s mut State) -> Result<&'s mut Partition, Error> {
        usize::try_from(self.partition)
            .ok()
            .and_then(|index| state.topics.get_mut(self.topic)?.get_mut(index))
            .ok_or_else(|| {
                self.failed(
                    ErrorKind::UnknownTopic,
                    "no such partition in the log".to_owned(),
                )
            })
    }

    fn failed(&self, kind: ErrorKind, detail: String) -> Error {
        Error {
            kind,
            operation: self.operation,
            topic: self.topic.to_owned(),
            partition: self.partition,
            source: detail.into(),
        }
    }
}

impl fmt::Debug for MemoryLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLog").finish_non_exhaustive()
    }
}
