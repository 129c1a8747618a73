//! Step 10: the outbox of one partition to the log, in sequence, one append in flight.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::crash::{self, Point};
use crate::envelope::Envelope;
use crate::health::Condition;
use crate::limits::{APPEND_BYTES_MAX, APPEND_RECORDS_MAX, BACKOFF, OUTBOX_POLL};
use crate::log::Record;
use crate::mutant::{self, Mutant};
use crate::runtime::handover::{Next, Said, Slot};
use crate::runtime::service::Service;
use crate::runtime::spans::Appending;
use crate::runtime::{Error, part};
use crate::shard::ShardId;
use crate::store::{Acknowledged, OutboxRow, Published, Sequence, Store};

/// What the publisher has done and the shard's next turn must commit.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    acknowledged: Mutex<Option<Published>>,
    changed: Notify,
}

impl Progress {
    /// Takes what a turn is to commit.
    pub(crate) fn take(&self) -> Option<Published> {
        self.lock().take()
    }

    /// Adds rows: those just acknowledged, or those of a turn that did not commit.
    pub(crate) fn add(&self, news: Published) {
        let mut acknowledged = self.lock();
        *acknowledged = Some(match acknowledged.take() {
            None => news,
            Some(before) => merged(before, news),
        });
        drop(acknowledged);
        self.changed.notify_one();
    }

    /// Completes when there is something to take.
    pub(crate) async fn available(&self) {
        while self.lock().is_none() {
            self.changed.notified().await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Published>> {
        self.acknowledged
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The union of two acknowledgements, in whichever order they came.
fn merged(a: Published, b: Published) -> Published {
    let mut offsets: BTreeMap<String, i64> = a.offsets.into_iter().collect();
    for (topic, offset) in b.offsets {
        let last = offsets.entry(topic).or_insert(offset);
        *last = offset.max(*last);
    }
    Published {
        partition: a.partition,
        up_to: a.up_to.max(b.up_to),
        offsets: offsets.into_iter().collect(),
    }
}

/// The publisher of one output partition.
pub(crate) struct Publisher<C: Context, S> {
    service: Arc<Service<C, S>>,
    shard: ShardId,
    progress: Arc<Progress>,
    /// The sequence to publish next; unknown until the table was read.
    next: Option<Sequence>,
    /// The last acknowledged offset per topic.
    last_offsets: BTreeMap<String, i64>,
    health_part: String,
    stop: CancellationToken,
}

impl<C: Context, S: Store<C>> Publisher<C, S> {
    pub(crate) fn new(
        service: Arc<Service<C, S>>,
        shard: ShardId,
        progress: Arc<Progress>,
        acknowledged: Vec<Acknowledged>,
        stop: CancellationToken,
    ) -> Self {
        let last_offsets = acknowledged
            .into_iter()
            .map(|acknowledged| (acknowledged.topic, acknowledged.last_offset))
            .collect();
        let health_part = part(shard, "publisher");
        Self {
            service,
            shard,
            progress,
            next: None,
            last_offsets,
            health_part,
            stop,
        }
    }

    /// Publishes until told to stop; an append in flight is finished first.
    ///
    /// # Errors
    /// [`Error::LogBehind`] when the log hands out offsets that it had acknowledged before.
    pub(crate) async fn run(mut self) -> Result<(), Error> {
        let service = Arc::clone(&self.service);
        let Some(slot) = service.handover.slot(self.shard) else {
            return Ok(());
        };
        let _publishing = slot.begin();
        for written in service.context.writes() {
            published(written.topic).increment(0);
        }
        for (topic, offset) in &self.last_offsets {
            let (offset, id) = (*offset, None);
            slot.note_said(topic, Said { offset, id });
        }
        while !self.stop.is_cancelled() {
            match slot.take(self.next) {
                Next::Rows(rows) => self.publish(slot, rows).await?,
                Next::Table => {
                    let rows = self.read_table(slot).await;
                    if self.next.is_none() && mutant::on(Mutant::NoRepublish) {
                        let last = rows.last().map(|row| row.sequence).unwrap_or_default();
                        self.next = Some(Sequence(last.0 + 1));
                        continue;
                    }
                    if let Some(first) = rows.first() {
                        slot.published(Sequence(first.sequence.0 - 1));
                    }
                    self.publish(slot, rows).await?;
                }
                Next::Nothing => tokio::select! {
                    biased;
                    () = self.stop.cancelled() => {}
                    () = slot.woken() => {}
                    () = service.ports.clock.sleep(OUTBOX_POLL) => slot.look_into_table(),
                },
            }
        }
        Ok(())
    }

    /// Rows from the table; there may be more behind them.
    async fn read_table(&self, slot: &Slot) -> Vec<OutboxRow> {
        let from = self.next.unwrap_or_default();
        let mut backoff = BACKOFF.start();
        while !self.stop.is_cancelled() {
            match self
                .service
                .store
                .outbox(self.shard.0, from, APPEND_BYTES_MAX)
                .await
            {
                Ok(rows) => {
                    self.report(Condition::Running);
                    if !rows.is_empty() {
                        slot.look_into_table();
                    }
                    return rows;
                }
                Err(error) => {
                    self.stall(&error.to_string(), backoff.next(self.random()))
                        .await
                }
            }
        }
        Vec::new()
    }

    async fn publish(&mut self, slot: &Slot, rows: Vec<OutboxRow>) -> Result<(), Error> {
        let Some(up_to) = rows.last().map(|row| row.sequence) else {
            return Ok(());
        };
        if mutant::on(Mutant::DeleteBeforePublish) {
            self.progress.add(Published {
                partition: self.shard.0,
                up_to,
                offsets: Vec::new(),
            });
        }
        let mut offsets = Vec::new();
        for (topic, appends) in by_topic(rows) {
            for records in appends {
                let Some(offset) = self.append(&topic, &records).await else {
                    return Ok(());
                };
                self.check_rising(&topic, offset)?;
                self.last_offsets.insert(topic.clone(), offset);
                let id = records.last().and_then(id_of);
                slot.note_said(&topic, Said { offset, id });
            }
            offsets.extend(self.last_offsets.get(&topic).map(|offset| (topic, *offset)));
        }
        self.next = Some(Sequence(up_to.0 + 1));
        slot.published(up_to);
        self.progress.add(Published {
            partition: self.shard.0,
            up_to,
            offsets,
        });
        Ok(())
    }

    /// Appends until the log acknowledges; `None` when told to stop before that.
    async fn append(&self, topic: &str, records: &[Record]) -> Option<i64> {
        let mut backoff = BACKOFF.start();
        loop {
            crash::here(Point::BeforeAppend);
            let ports = &self.service.ports;
            let sending = Appending::begin(&ports.tracer);
            let appended = ports.log.append(topic, self.shard.0, records.to_vec());
            let appended = appended.await;
            if let Some(sending) = sending {
                let outcome = appended.as_ref().copied();
                let outcome = outcome.map_err(|error| error.kind.label());
                sending.end((topic, self.shard.0), records, outcome);
            }
            match appended {
                Ok(offset) => {
                    crash::here(Point::AfterAppend);
                    self.report(Condition::Running);
                    published(topic).increment(records.len() as u64);
                    return Some(offset);
                }
                Err(error) => {
                    if self.stop.is_cancelled() {
                        return None;
                    }
                    self.stall(&error.to_string(), backoff.next(self.random()))
                        .await;
                }
            }
        }
    }

    fn check_rising(&self, topic: &str, offset: i64) -> Result<(), Error> {
        match self.last_offsets.get(topic) {
            Some(last) if offset <= *last => Err(Error::LogBehind {
                topic: topic.to_owned(),
                partition: self.shard.0,
                detail: format!("acknowledged {offset}, although {last} was acknowledged before"),
            }),
            _ => Ok(()),
        }
    }

    async fn stall(&self, reason: &str, wait: std::time::Duration) {
        self.report(Condition::Stalled {
            reason: reason.to_owned(),
        });
        tokio::select! {
            biased;
            () = self.stop.cancelled() => {}
            () = self.service.ports.clock.sleep(wait) => {}
        }
    }

    fn report(&self, condition: Condition) {
        self.service.health.set(&self.health_part, condition);
    }

    fn random(&self) -> u64 {
        self.service.ports.ids.random()
    }
}

/// Messages that the log has acknowledged.
fn published(topic: &str) -> metrics::Counter {
    metrics::counter!("published_messages_total", "topic" => topic.to_owned())
}

fn id_of(record: &Record) -> Option<String> {
    let envelope = Envelope::from_headers(&record.headers).ok()?;
    Some(envelope.id)
}

/// Records per topic in order, cut into appends below the limits. Order across topics is nobody's
/// business: readers of two topics see them apart anyway.
fn by_topic(rows: Vec<OutboxRow>) -> BTreeMap<String, Vec<Vec<Record>>> {
    let mut appends: BTreeMap<String, Vec<Vec<Record>>> = BTreeMap::new();
    for row in rows {
        let topic = appends.entry(row.batch.topic).or_default();
        let size = |records: &[Record]| records.iter().map(Record::size).sum::<usize>();
        match topic.last_mut() {
            Some(last)
                if last.len() + row.batch.records.len() <= APPEND_RECORDS_MAX
                    && size(last) + size(&row.batch.records) <= APPEND_BYTES_MAX =>
            {
                last.extend(row.batch.records);
            }
            _ => topic.push(row.batch.records),
        }
    }
    appends
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::clock::Timestamp;
    use crate::store::OutboxBatch;

    fn row(sequence: i64, topic: &str, value_len: usize) -> OutboxRow {
        let record = Record {
            key: None,
            value: Some(Bytes::from(vec![0; value_len])),
            headers: Vec::new(),
            timestamp: Timestamp(sequence),
        };
        let batch = OutboxBatch {
            topic: topic.to_owned(),
            partition: 0,
            records: vec![record],
        };
        OutboxRow {
            sequence: Sequence(sequence),
            batch,
        }
    }

    #[test]
    fn rows_of_one_topic_share_an_append_up_to_the_limit() {
        let rows = vec![
            row(1, "a", 10),
            row(2, "b", 10),
            row(3, "a", APPEND_BYTES_MAX - 10),
            row(4, "a", 1),
        ];
        let appends = by_topic(rows);
        let times = |topic: &str| -> Vec<Vec<i64>> {
            let of_append = |records: &Vec<Record>| records.iter().map(|r| r.timestamp.0).collect();
            appends[topic].iter().map(of_append).collect()
        };
        assert_eq!(times("a"), vec![vec![1, 3], vec![4]]);
        assert_eq!(times("b"), vec![vec![2]]);
    }

    #[test]
    fn an_acknowledgement_put_back_loses_nothing_newer() {
        let published = |up_to, offset| Published {
            partition: 0,
            up_to: Sequence(up_to),
            offsets: vec![("a".to_owned(), offset)],
        };
        let progress = Progress::default();
        progress.add(published(3, 30));
        let taken = progress.take().unwrap();
        progress.add(published(5, 50));
        progress.add(taken);
        assert_eq!(progress.take(), Some(published(5, 50)));
    }
}
