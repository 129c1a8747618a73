//! The log in memory: the port's contract without a disk, with faults on request.

#[cfg(feature = "test-util")]
use std::collections::VecDeque;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::Notify;

use super::{Batch, Bounds, Consumed, Error, ErrorKind, Log, ReadLimit, Record};
use crate::clock::Clock;

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
    #[cfg(feature = "test-util")]
    faults: Faults,
}

#[derive(Default)]
struct Partition {
    first: i64,
    next: i64,
    records: Vec<Consumed>,
}

/// Faults that wait for the calls they are meant for.
#[cfg(feature = "test-util")]
#[derive(Default)]
struct Faults {
    down: bool,
    append: VecDeque<AppendFault>,
    read: VecDeque<ErrorKind>,
}

/// What goes wrong with an append.
#[cfg(feature = "test-util")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendFault {
    /// It fails and has done nothing.
    FailBefore,
    /// It appends, and then the answer is lost.
    AcknowledgementLost,
    /// It appends twice and succeeds.
    Twice,
    /// It does nothing until the request timeout.
    Hang,
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
        let last = partition.next - 1;
        drop(state);
        self.changed.notify_waiters();
        Ok(last)
    }

    fn read_now(&self, call: &Call<'_>, from: i64, bytes_max: i32) -> Result<Batch, Error> {
        let mut state = self.state();
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

/// What tests do to a log, and what they look up in it.
#[cfg(feature = "test-util")]
impl MemoryLog {
    /// While `down`, every call fails with [`ErrorKind::Retry`]; waiting reads fail at once.
    pub fn set_down(&self, down: bool) {
        self.state().faults.down = down;
        self.changed.notify_waiters();
    }

    /// The next append that carries no earlier fault meets this one.
    pub fn fail_append(&self, fault: AppendFault) {
        self.state().faults.append.push_back(fault);
    }

    /// The next read fails with `kind`; a waiting one fails at once.
    pub fn fail_read(&self, kind: ErrorKind) {
        self.state().faults.read.push_back(kind);
        self.changed.notify_waiters();
    }

    /// Drops the last `count` records, as a log does that loses an acknowledged tail: their
    /// offsets are given out again.
    ///
    /// # Panics
    /// When there is no such partition, here and in every other call of this block.
    pub fn truncate_tail(&self, topic: &str, partition: i32, count: usize) {
        self.edit(topic, partition, |partition| {
            let left = partition.records.len().saturating_sub(count);
            if let Some(dropped) = partition.records.get(left) {
                partition.next = dropped.offset;
            }
            partition.records.truncate(left);
        });
    }

    /// Drops what lies below `offset`, as retention does.
    pub fn delete_before(&self, topic: &str, partition: i32, offset: i64) {
        self.edit(topic, partition, |partition| {
            partition.first = offset.clamp(partition.first, partition.next);
            let first = partition.first;
            partition.records.retain(|found| found.offset >= first);
        });
    }

    /// Leaves `count` offsets unused, as control records and aborted batches do.
    pub fn leave_gap(&self, topic: &str, partition: i32, count: i64) {
        self.edit(topic, partition, |partition| partition.next += count);
    }

    /// Everything that a partition holds.
    #[must_use]
    pub fn records(&self, topic: &str, partition: i32) -> Vec<Consumed> {
        self.edit(topic, partition, |partition| partition.records.clone())
    }

    fn edit<T>(&self, topic: &str, partition: i32, edit: impl FnOnce(&mut Partition) -> T) -> T {
        let mut state = self.state();
        let outcome = match Call::new("edit", topic, partition).partition(&mut state) {
            Ok(partition) => edit(partition),
            Err(error) => panic!("{error}"),
        };
        drop(state);
        self.changed.notify_waiters();
        outcome
    }

    fn answers(&self, call: &Call<'_>) -> Result<(), Error> {
        match self.state().faults.down {
            true => Err(call.failed(ErrorKind::Retry, "the log is down".to_owned())),
            false => Ok(()),
        }
    }

    fn read_fault(&self, call: &Call<'_>) -> Result<(), Error> {
        self.answers(call)?;
        match self.state().faults.read.pop_front() {
            Some(kind) => Err(call.failed(kind, "an injected fault".to_owned())),
            None => Ok(()),
        }
    }

    fn next_append_fault(&self, call: &Call<'_>) -> Result<Option<AppendFault>, Error> {
        self.answers(call)?;
        Ok(self.state().faults.append.pop_front())
    }

    async fn append_with(
        &self,
        fault: AppendFault,
        call: &Call<'_>,
        records: Vec<Record>,
    ) -> Result<i64, Error> {
        let failed = |kind| Err(call.failed(kind, "an injected fault".to_owned()));
        match fault {
            AppendFault::FailBefore => failed(ErrorKind::Retry),
            AppendFault::AcknowledgementLost => {
                self.append_now(call, records)?;
                failed(ErrorKind::Ambiguous)
            }
            AppendFault::Twice => {
                self.append_now(call, records.clone())?;
                self.append_now(call, records)
            }
            AppendFault::Hang => {
                self.clock.sleep(crate::limits::LOG_CALL_TIMEOUT).await;
                failed(ErrorKind::Ambiguous)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::clock::{SystemClock, Timestamp};

    async fn log_with(values: &[&'static str]) -> MemoryLog {
        let log = MemoryLog::new(Arc::new(SystemClock));
        log.create_topic("t", 1).await.unwrap();
        for value in values {
            log.append("t", 0, vec![record(value)]).await.unwrap();
        }
        log
    }

    fn record(value: &'static str) -> Record {
        Record {
            key: None,
            value: Some(Bytes::from_static(value.as_bytes())),
            headers: Vec::new(),
            timestamp: Timestamp(0),
        }
    }

    fn content(log: &MemoryLog) -> Vec<(i64, Bytes)> {
        let records = log.records("t", 0).into_iter();
        records
            .map(|found| (found.offset, found.record.value.unwrap()))
            .collect()
    }

    #[tokio::test]
    async fn a_lost_tail_gives_its_offsets_out_again() {
        let log = log_with(&["a", "b", "c"]).await;
        log.truncate_tail("t", 0, 2);
        assert_eq!(log.append("t", 0, vec![record("d")]).await.unwrap(), 1);
        assert_eq!(content(&log), [(0, "a".into()), (1, "d".into())]);
    }

    #[tokio::test]
    async fn a_gap_uses_up_offsets() {
        let log = log_with(&["a"]).await;
        log.leave_gap("t", 0, 3);
        assert_eq!(log.append("t", 0, vec![record("b")]).await.unwrap(), 4);
        let limit = ReadLimit {
            bytes_max: 1_000,
            wait_max: std::time::Duration::ZERO,
        };
        let batch = log.read("t", 0, 1, limit).await.unwrap();
        assert_eq!((batch.records[0].offset, batch.high_watermark), (4, 5));
    }

    #[tokio::test(start_paused = true)]
    async fn append_faults_do_what_they_say() {
        for (fault, outcome, copies) in [
            (AppendFault::FailBefore, Err(ErrorKind::Retry), 0),
            (
                AppendFault::AcknowledgementLost,
                Err(ErrorKind::Ambiguous),
                1,
            ),
            (AppendFault::Twice, Ok(1), 2),
            (AppendFault::Hang, Err(ErrorKind::Ambiguous), 0),
        ] {
            let log = log_with(&[]).await;
            log.fail_append(fault);
            let found = log.append("t", 0, vec![record("a")]).await;
            assert_eq!(found.map_err(|error| error.kind), outcome, "{fault:?}");
            assert_eq!(content(&log).len(), copies, "{fault:?}");
            assert!(log.append("t", 0, vec![record("b")]).await.is_ok());
        }
    }

    #[tokio::test]
    async fn a_waiting_read_notices_that_the_log_went_down() {
        let log = log_with(&[]).await;
        let limit = ReadLimit {
            bytes_max: 1_000,
            wait_max: std::time::Duration::from_secs(3_600),
        };
        let (read, ()) = tokio::join!(log.read("t", 0, 0, limit), async { log.set_down(true) });
        assert_eq!(read.unwrap_err().kind, ErrorKind::Retry);
        log.set_down(false);
        assert!(log.bounds("t", 0).await.is_ok());
    }
}
