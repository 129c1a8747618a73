//! What tests do to a log in memory: faults, lost tails, retention.

use std::collections::VecDeque;

use super::{Call, MemoryLog, Partition};
use crate::limits;
use crate::log::{Consumed, Error, ErrorKind, Record};
use crate::mutant::{self, Layer, Mutant};

/// Faults that wait for the calls they are meant for.
#[derive(Default)]
pub(super) struct Faults {
    down: bool,
    append: VecDeque<AppendFault>,
    read: VecDeque<ErrorKind>,
}

/// What goes wrong with an append.
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

/// What tests do to a log, and what they look up in it.
impl MemoryLog {
    /// While `down`, every call fails with [`ErrorKind::Retry`]; waiting reads fail at once.
    pub fn set_down(&self, down: bool) {
        let mut state = self.state();
        state.faults.down = down;
        state.connection += u64::from(down);
        drop(state);
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
            partition.durable = partition.durable.min(partition.next);
        });
    }

    /// The log's machine loses power and comes back: what was made durable is there. Returns what
    /// is not, though it was acknowledged: topic, partition, first offset; in that order.
    pub fn lose_power(&self) -> Vec<(String, i32, i64)> {
        let mut lost = Vec::new();
        let mut state = self.state();
        state.connection += 1;
        for (topic, partitions) in &mut state.topics {
            for (index, partition) in (0..).zip(partitions) {
                let durable = partition.durable.max(partition.first);
                let acknowledged = partition.records.len();
                partition.records.retain(|found| found.offset < durable);
                if partition.records.len() < acknowledged {
                    partition.next = durable;
                    lost.push((topic.clone(), index, durable));
                }
            }
        }
        drop(state);
        self.changed.notify_waiters();
        lost.sort();
        lost
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

    pub(super) fn answers(&self, call: &Call<'_>) -> Result<(), Error> {
        match self.state().faults.down {
            true => Err(call.failed(ErrorKind::Retry, "the log is down".to_owned())),
            false => Ok(()),
        }
    }

    pub(super) fn read_fault(&self, call: &Call<'_>) -> Result<(), Error> {
        self.answers(call)?;
        match self.state().faults.read.pop_front() {
            Some(kind) => Err(call.failed(kind, "an injected fault".to_owned())),
            None => Ok(()),
        }
    }

    pub(super) fn next_append_fault(&self, call: &Call<'_>) -> Result<Option<AppendFault>, Error> {
        self.answers(call)?;
        Ok(self.state().faults.append.pop_front())
    }

    pub(super) async fn append_with(
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
                self.clock.sleep(limits::LOG_CALL_TIMEOUT).await;
                failed(ErrorKind::Ambiguous)
            }
        }
    }
}

/// Appends that a log without fsync keeps in memory, at most.
const UNSYNCED_MAX: i64 = 8;

impl Partition {
    /// What was appended is on disk before it is acknowledged.
    pub(super) fn make_durable(&mut self) {
        let lazy = mutant::on(Mutant::NoFsync) || mutant::without(Layer::Fsync);
        if !lazy || self.next - self.durable > UNSYNCED_MAX {
            self.durable = self.next;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::clock::{SystemClock, Timestamp};
    use crate::log::{Log, ReadLimit};

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
    async fn what_was_acknowledged_survives_a_loss_of_power() {
        let log = log_with(&["a", "b"]).await;
        assert_eq!(log.lose_power(), []);
        assert_eq!(content(&log).len(), 2);
        log.edit("t", 0, |partition| partition.durable = 1);
        assert_eq!(log.lose_power(), [("t".to_owned(), 0, 1)]);
        assert_eq!(content(&log), [(0, "a".into())]);
    }

    #[tokio::test]
    async fn a_gap_uses_up_offsets() {
        let log = log_with(&["a"]).await;
        log.leave_gap("t", 0, 3);
        assert_eq!(log.append("t", 0, vec![record("b")]).await.unwrap(), 4);
        let limit = ReadLimit {
            bytes_max: 1_000,
            wait_max: Duration::ZERO,
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
            wait_max: Duration::from_secs(3_600),
        };
        let (read, ()) = tokio::join!(log.read("t", 0, 0, limit), async { log.set_down(true) });
        assert_eq!(read.unwrap_err().kind, ErrorKind::Retry);
        log.set_down(false);
        assert!(log.bounds("t", 0).await.is_ok());
    }
}
