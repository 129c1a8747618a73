//! The log, with what a network and a broker do to it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use messaging::limits::LOG_CALL_TIMEOUT;
use messaging::log::{Batch, Bounds, Consumed, Error, ErrorKind, Log, ReadLimit, Record};

use crate::process::Process;

/// Does not wait for records that are not there.
const AT_ONCE: ReadLimit = ReadLimit {
    bytes_max: 1,
    wait_max: Duration::ZERO,
};

/// The log, as its process sees it.
pub(crate) struct SimLog {
    process: Arc<Process>,
}

/// What is wrong with an append.
#[derive(Clone, Copy, Debug)]
enum AppendFault {
    FailsBefore,
    Unacknowledged,
    Twice,
    Hangs,
    Late,
    Slow,
}

/// What is wrong with a read.
#[derive(Clone, Copy, Debug)]
enum ReadFault {
    Fails,
    Empty,
    Repeats,
    Older,
    OutOfRange,
}

impl SimLog {
    pub(crate) fn new(process: &Arc<Process>) -> Self {
        Self {
            process: Arc::clone(process),
        }
    }

    fn append_fault(&self) -> Option<AppendFault> {
        let weather = self.process.world.weather();
        let faults = [
            (AppendFault::FailsBefore, weather.append_fails),
            (AppendFault::Unacknowledged, weather.append_unacknowledged),
            (AppendFault::Twice, weather.append_twice),
            (AppendFault::Hangs, weather.append_hangs),
            (AppendFault::Late, weather.append_late),
            (AppendFault::Slow, weather.append_slow),
        ];
        self.draw(&faults)
    }

    fn read_fault(&self, limit: ReadLimit) -> Option<ReadFault> {
        let weather = self.process.world.weather();
        // What is there is found at once, if nobody waits for more.
        let empty = if limit.wait_max.is_zero() {
            0
        } else {
            weather.read_empty
        };
        let faults = [
            (ReadFault::Fails, weather.read_fails),
            (ReadFault::Empty, empty),
            (ReadFault::Repeats, weather.read_repeats),
            (ReadFault::Older, weather.read_older),
            (ReadFault::OutOfRange, weather.read_out_of_range),
        ];
        self.draw(&faults)
    }

    fn draw<F: Copy>(&self, faults: &[(F, u32)]) -> Option<F> {
        let mut drawn = faults
            .iter()
            .filter(|(_, rate)| self.process.dice(|dice| dice.chance(*rate)));
        drawn.next().map(|(fault, _)| *fault)
    }

    /// A log that is down cannot be asked.
    fn connected(&self, call: &Call<'_>) -> Result<(), Error> {
        match self.process.world.log_session() {
            Some(_) => Ok(()),
            None => Err(call.failed(ErrorKind::Retry)),
        }
    }

    async fn ask(&self, call: &Call<'_>) -> Result<(), Error> {
        self.process.step(call.operation).await;
        self.connected(call)?;
        let weather = self.process.world.weather();
        if self.process.dice(|dice| dice.chance(weather.bounds_fail)) {
            self.process.note(format_args!("{call} fails"));
            self.process
                .meets(format_args!("{}: Fails", call.operation));
            return Err(call.failed(ErrorKind::Retry));
        }
        Ok(())
    }

    async fn append_with(
        &self,
        fault: AppendFault,
        call: &Call<'_>,
        records: Vec<Record>,
    ) -> Result<i64, Error> {
        let world = &self.process.world;
        let (topic, partition) = (call.topic, call.partition);
        self.process.note(format_args!("{call}: {fault:?}"));
        self.process
            .meets(format_args!("{}: {fault:?}", call.operation));
        match fault {
            AppendFault::FailsBefore => Err(call.failed(ErrorKind::Retry)),
            AppendFault::Unacknowledged => {
                world
                    .append(&self.process.name, topic, partition, records)
                    .await?;
                Err(call.failed(ErrorKind::Ambiguous))
            }
            AppendFault::Twice => {
                world
                    .append(&self.process.name, topic, partition, records.clone())
                    .await?;
                world
                    .append(&self.process.name, topic, partition, records)
                    .await
            }
            AppendFault::Hangs => {
                tokio::time::sleep(LOG_CALL_TIMEOUT).await;
                Err(call.failed(ErrorKind::Ambiguous))
            }
            AppendFault::Late => {
                let after = self.process.dice(|dice| dice.millis(1..=15_000));
                world.append_late(&self.process.name, topic, partition, records, after);
                let patience = self.process.dice(|dice| dice.millis(1..=5_000));
                tokio::time::sleep(patience).await;
                Err(call.failed(ErrorKind::Ambiguous))
            }
            AppendFault::Slow => {
                let slow = self.process.dice(|dice| dice.millis(10..=3_000));
                tokio::time::sleep(slow).await;
                world
                    .append(&self.process.name, topic, partition, records)
                    .await
            }
        }
    }

    fn note_read(&self, call: &Call<'_>, batch: &Batch) {
        let read = batch.records.iter().map(|found| found.offset).max();
        if let (Some(side), Some(last)) = (self.process.side(), read) {
            let world = &self.process.world;
            world.was_read(side, call.topic, call.partition, last);
        }
    }

    async fn read_with(
        &self,
        fault: ReadFault,
        call: &Call<'_>,
        from: i64,
        limit: ReadLimit,
    ) -> Result<Batch, Error> {
        let log = &self.process.world.log;
        self.process
            .note(format_args!("{call} at {from}: {fault:?}"));
        self.process
            .meets(format_args!("{}: {fault:?}", call.operation));
        match fault {
            ReadFault::Fails => Err(call.failed(ErrorKind::Retry)),
            ReadFault::OutOfRange => Err(call.failed(ErrorKind::OutOfRange)),
            ReadFault::Empty => Ok(Batch {
                records: Vec::new(),
                ..log.read(call.topic, call.partition, from, AT_ONCE).await?
            }),
            ReadFault::Repeats => {
                let mut batch = log.read(call.topic, call.partition, from, limit).await?;
                let again: Vec<Consumed> = batch.records.clone();
                batch.records.extend(again);
                Ok(batch)
            }
            ReadFault::Older => {
                let bounds = log.bounds(call.topic, call.partition).await?;
                let back = self.process.dice(|dice| dice.within(1..=5));
                let older = (from - i64::try_from(back).unwrap()).max(bounds.first);
                log.read(call.topic, call.partition, older.min(from), limit)
                    .await
            }
        }
    }
}

#[async_trait]
impl Log for SimLog {
    async fn create_topic(&self, topic: &str, partitions: i32) -> Result<(), Error> {
        self.ask(&Call::new("log.create_topic", topic, -1)).await?;
        self.process.world.log.create_topic(topic, partitions).await
    }

    async fn partitions(&self, topic: &str) -> Result<Option<i32>, Error> {
        self.ask(&Call::new("log.partitions", topic, -1)).await?;
        self.process.world.log.partitions(topic).await
    }

    async fn append(
        &self,
        topic: &str,
        partition: i32,
        records: Vec<Record>,
    ) -> Result<i64, Error> {
        let call = Call::new("log.append", topic, partition);
        self.process.step(call.operation).await;
        if self.process.world.log_session().is_none() {
            return Err(call.failed(ErrorKind::Retry));
        }
        let appended = match self.append_fault() {
            Some(fault) => self.append_with(fault, &call, records).await,
            None => {
                let name = &self.process.name;
                let world = &self.process.world;
                world.append(name, topic, partition, records).await
            }
        };
        self.process.step("log.appended").await;
        appended
    }

    async fn read(
        &self,
        topic: &str,
        partition: i32,
        from: i64,
        limit: ReadLimit,
    ) -> Result<Batch, Error> {
        let call = Call::new("log.read", topic, partition);
        self.process.step(call.operation).await;
        self.connected(&call)?;
        let read = async {
            match self.read_fault(limit) {
                Some(fault) => self.read_with(fault, &call, from, limit).await,
                None => {
                    let log = &self.process.world.log;
                    log.read(topic, partition, from, limit).await
                }
            }
            .inspect(|batch| self.note_read(&call, batch))
        };
        let session_ends = self.process.world.log_session_ends();
        let batch = tokio::select! {
            biased;
            () = session_ends => Err(call.failed(ErrorKind::Retry)),
            batch = read => batch,
        }?;
        self.process.step("log.was_read").await;
        if !batch.records.is_empty() {
            let (first, last) = (batch.records.first(), batch.records.last());
            let offset = |found: Option<&Consumed>| found.map_or(-1, |found| found.offset);
            self.process.note(format_args!(
                "{call} at {from}: {}..={}",
                offset(first),
                offset(last)
            ));
        }
        Ok(batch)
    }

    async fn bounds(&self, topic: &str, partition: i32) -> Result<Bounds, Error> {
        self.ask(&Call::new("log.bounds", topic, partition)).await?;
        self.process.world.log.bounds(topic, partition).await
    }
}

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

    fn failed(&self, kind: ErrorKind) -> Error {
        Error {
            kind,
            operation: self.operation,
            topic: self.topic.to_owned(),
            partition: self.partition,
            source: "an injected fault".into(),
        }
    }
}

impl std::fmt::Display for Call<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}/{}", self.operation, self.topic, self.partition)
    }
}
