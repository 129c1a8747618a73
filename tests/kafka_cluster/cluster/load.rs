//! One writer and one reader per partition, and what they have to agree on in the end.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use messaging::clock::{Clock, SystemClock};
use messaging::log::kafka::KafkaLog;
use messaging::log::{ErrorKind, Log, ReadLimit, Record};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{log, topic};

const PARTITIONS: i32 = 6;
/// Records of one append.
const BATCH: u64 = 3;
/// Between two appends, so that brokers and tests share the machine.
const PACE: Duration = Duration::from_millis(5);
/// Between two tries.
const RETRY: Duration = Duration::from_millis(50);

/// An acknowledgement: when, and the offset of the last record of this batch.
type Acknowledged = (Instant, i64);
/// What stands in a partition, by offset.
type Found = BTreeMap<i64, u64>;

/// What one partition's writer knows.
#[derive(Default)]
struct Written {
    /// One per batch, in sequence: batch n holds the numbers from n times [`BATCH`].
    acknowledged: Vec<Acknowledged>,
    /// Appends that failed, by kind.
    definite: u32,
    ambiguous: u32,
}

/// Appends and reads that go on until they are told to end.
pub(super) struct Load {
    topic: String,
    written: Vec<Arc<Mutex<Written>>>,
    writers: JoinSet<()>,
    readers: JoinSet<(i32, Found)>,
    writing: CancellationToken,
    reading: CancellationToken,
}

/// What is left of a load.
pub(super) struct Outcome {
    written: Vec<Arc<Mutex<Written>>>,
    /// What the readers saw on the way.
    seen: BTreeMap<i32, Found>,
    /// What stands in the log in the end.
    kept: Vec<Found>,
}

impl Load {
    pub(super) async fn start() -> Self {
        let topic = topic();
        let log = Arc::new(log());
        log.create_topic(&topic, PARTITIONS).await.unwrap();
        let (writing, reading) = (CancellationToken::new(), CancellationToken::new());
        let (mut writers, mut readers) = (JoinSet::new(), JoinSet::new());
        let written: Vec<Arc<Mutex<Written>>> = (0..PARTITIONS).map(|_| Arc::default()).collect();
        for (partition, written) in (0..).zip(&written) {
            writers.spawn(write(
                Arc::clone(&log),
                topic.clone(),
                partition,
                Arc::clone(written),
                writing.clone(),
            ));
            let (log, topic, reading) = (Arc::clone(&log), topic.clone(), reading.clone());
            readers.spawn(async move {
                let found = read(&log, &topic, partition, || reading.is_cancelled()).await;
                (partition, found)
            });
        }
        Self {
            topic,
            written,
            writers,
            readers,
            writing,
            reading,
        }
    }

    /// Per partition, the longest time without an acknowledgement that ended after `from`.
    pub(super) fn pauses(&self, from: Instant) -> Vec<Duration> {
        let longest = |written: &Arc<Mutex<Written>>| {
            let written = written.lock().unwrap();
            let times = written.acknowledged.iter().map(|(time, _)| *time);
            let ends = times.clone().skip(1).chain([Instant::now()]);
            times
                .zip(ends)
                .filter(|(_, end)| *end > from)
                .map(|(start, end)| end - start)
                .max()
                .unwrap()
        };
        self.written.iter().map(longest).collect()
    }

    pub(super) fn acknowledged_since(&self, from: Instant) -> usize {
        let since = |written: &Arc<Mutex<Written>>| {
            let written = written.lock().unwrap();
            let acknowledged = written.acknowledged.iter();
            acknowledged.filter(|(time, _)| *time > from).count()
        };
        self.written.iter().map(since).sum()
    }

    /// Lets the writers end with what they have under way and the readers with what there is.
    pub(super) async fn finish(mut self) -> Outcome {
        self.writing.cancel();
        while let Some(ended) = self.writers.join_next().await {
            ended.unwrap();
        }
        self.reading.cancel();
        let mut seen = BTreeMap::new();
        while let Some(ended) = self.readers.join_next().await {
            let (partition, found) = ended.unwrap();
            seen.insert(partition, found);
        }
        let log = log();
        let mut kept = Vec::new();
        for partition in 0..PARTITIONS {
            kept.push(read(&log, &self.topic, partition, || true).await);
        }
        Outcome {
            written: self.written,
            seen,
            kept,
        }
    }
}

/// Appends batch after batch as a publisher does: one in flight, and the same again after a
/// failure.
async fn write(
    log: Arc<KafkaLog>,
    topic: String,
    partition: i32,
    written: Arc<Mutex<Written>>,
    end: CancellationToken,
) {
    for batch in 0_u64.. {
        if end.is_cancelled() {
            return;
        }
        let numbers = batch * BATCH..(batch + 1) * BATCH;
        loop {
            let records = numbers.clone().map(record).collect();
            let outcome = log.append(&topic, partition, records).await;
            match outcome {
                Ok(last) => {
                    let now = (Instant::now(), last);
                    written.lock().unwrap().acknowledged.push(now);
                    break;
                }
                Err(error) => {
                    let mut written = written.lock().unwrap();
                    match error.kind {
                        ErrorKind::Retry => written.definite += 1,
                        ErrorKind::Ambiguous => written.ambiguous += 1,
                        kind => panic!("{kind:?}: {error}"),
                    }
                }
            }
            sleep(RETRY).await;
        }
        sleep(PACE).await;
    }
}

/// Reads from the start; at the end of the log, and if `may_end`, it is done.
async fn read(log: &KafkaLog, topic: &str, partition: i32, may_end: impl Fn() -> bool) -> Found {
    let limit = ReadLimit {
        bytes_max: 1 << 20,
        wait_max: Duration::from_millis(500),
    };
    let (mut found, mut next) = (Found::new(), 0);
    loop {
        let ending = may_end();
        match log.read(topic, partition, next, limit).await {
            Ok(batch) => {
                for consumed in batch.records {
                    next = consumed.offset + 1;
                    found.insert(consumed.offset, number(&consumed.record));
                }
                if ending && next >= batch.high_watermark {
                    return found;
                }
            }
            // Anything else would end a shard.
            Err(error) => assert_eq!(error.kind, ErrorKind::Retry, "{error}"),
        }
    }
}

fn record(number: u64) -> Record {
    Record {
        key: Some(Bytes::from_static(b"key")),
        value: Some(Bytes::copy_from_slice(&number.to_be_bytes())),
        headers: Vec::new(),
        timestamp: SystemClock.now(),
    }
}

fn number(record: &Record) -> u64 {
    let value = record.value.as_deref().unwrap();
    u64::from_be_bytes(value.try_into().unwrap())
}

impl Outcome {
    /// Everything acknowledged is there, where the acknowledgement said; first occurrences are in
    /// order and without a gap; and what a reader saw once stands there for good.
    pub(super) fn judge(&self) {
        for (partition, (written, kept)) in (0..).zip(self.written.iter().zip(&self.kept)) {
            let written = written.lock().unwrap();
            let acknowledged = written.acknowledged.len();
            for (batch, (_, last)) in (0..).zip(&written.acknowledged) {
                for (offset, number) in (0..=*last).rev().zip((0..BATCH).rev()) {
                    assert_eq!(
                        kept.get(&offset),
                        Some(&(batch * BATCH + number)),
                        "partition {partition}, batch {batch} of {acknowledged}, offset {offset}"
                    );
                }
            }
            let mut first_occurrences = 0;
            for number in kept.values() {
                assert!(*number <= first_occurrences, "partition {partition}: a gap");
                first_occurrences += u64::from(*number == first_occurrences);
            }
            assert_eq!(&self.seen[&partition], kept, "partition {partition}");
            println!(
                "partition {partition}: {acknowledged} appends, {} records twice, {} definite and \
                 {} ambiguous failures",
                u64::try_from(kept.len()).unwrap() - first_occurrences,
                written.definite,
                written.ambiguous
            );
        }
    }
}
