//! Steps 1 and 2 of a turn, ahead of it: one reader per input topic fetches and decodes, while the
//! shard commits the batch before. What they hand over meanwhile is the next batch.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;

use crate::context::{Context, Input};
use crate::health::Condition;
use crate::limits::{BACKOFF, FETCH_BYTES_MAX, FETCH_WAIT_MAX, TOPIC_RETENTION, TURN_RECORDS_MAX};
use crate::log::{self, Consumed, ReadLimit};
use crate::retry::Backoff;
use crate::runtime::ahead::{self, Ahead, Inlet};
use crate::runtime::classify::{GivenUp, classify};
use crate::runtime::item::{self, Item, Kind, Origin};
use crate::runtime::meter::{Lag, Step, Steps};
use crate::runtime::service::Service;
use crate::runtime::spans;
use crate::runtime::startup::may_pass;
use crate::runtime::takeover::{Position, check_position, check_said};
use crate::runtime::{Error, part};
use crate::shard::ShardId;
use crate::spawner::Task;
use crate::store::Store;

/// Whether the log still holds what was read before a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// It did when it was last asked, and no call has failed since.
    Checked,
    /// Ask it before the next read: a call has failed since, or an earlier reader of the position
    /// is gone and with it what it knew.
    Doubtful,
}

/// The readers of one shard. Dropping it stops them and forgets what they have read ahead.
pub(crate) struct Intake<M> {
    /// What they have read.
    pub(crate) ahead: Ahead<M>,
    readers: Vec<Task>,
}

impl<M: Send + Sync + 'static> Intake<M> {
    /// Starts reading each input topic at its position.
    pub(crate) fn start<C, S>(
        service: &Arc<Service<C, S>>,
        shard: ShardId,
        positions: &[Position],
        trust: Trust,
    ) -> Self
    where
        C: Context<Message = M>,
        S: Store<C>,
    {
        let (inlet, ahead) = ahead::queue();
        let source = service.context.source();
        let steps = Steps::of(source, &service.ports.clock);
        let readers = service.context.inputs().iter().filter_map(|input| {
            let position = positions
                .iter()
                .find(|position| *position.topic == *input.topic)?;
            let reader = Reader {
                service: Arc::clone(service),
                input: *input,
                shard,
                position: position.clone(),
                trust,
                connection: None,
                steps: steps.clone(),
                lag: Lag::of(source, shard, input.topic),
                more: false,
                health_part: part(shard, input.topic),
                backoff: BACKOFF.start(),
                inlet: inlet.clone(),
            };
            Some(
                service
                    .ports
                    .spawner
                    .spawn("intake", Box::pin(guarded(reader))),
            )
        });
        let readers = readers.collect();
        Self { ahead, readers }
    }

    /// Stops the readers and waits until they have ended.
    pub(crate) async fn stop(self) {
        for reader in self.readers {
            reader.stop().await;
        }
    }
}

/// Runs a reader; its panic reaches the shard as an error, or the shard would wait for ever.
async fn guarded<C: Context, S: Store<C>>(reader: Reader<C, S>) {
    let mut reader = reader;
    if AssertUnwindSafe(reader.run()).catch_unwind().await.is_err() {
        let what = format!("the reader of {}", reader.input.topic);
        reader.inlet.end(Error::Defect { what });
    }
}

/// The records from offset `next` on, each once. The port promises no others; but brokers give out
/// whole batches, and an adapter that passed their beginnings on would set the reader back.
fn unread(records: Vec<Consumed>, mut next: i64) -> Vec<Consumed> {
    let mut records = records;
    records.retain(|found| {
        let unread = found.offset >= next;
        next = next.max(found.offset + 1);
        unread
    });
    records
}

/// Reads one topic's partition.
struct Reader<C: Context, S> {
    service: Arc<Service<C, S>>,
    input: Input,
    shard: ShardId,
    position: Position,
    trust: Trust,
    /// The connection of the last batch.
    connection: Option<u64>,
    steps: Steps,
    lag: Lag,
    /// Whether the log holds more than was read, as of the last answer.
    more: bool,
    health_part: String,
    backoff: Backoff,
    inlet: Inlet<C::Message>,
}

impl<C: Context, S: Store<C>> Reader<C, S> {
    async fn run(&mut self) {
        loop {
            let read = match self.trust {
                Trust::Checked => self.read(FETCH_WAIT_MAX).await,
                Trust::Doubtful => self.read_again().await,
            };
            match read {
                Ok(records) => {
                    self.trust = Trust::Checked;
                    self.backoff.reset();
                    self.report(Condition::Running);
                    if !records.is_empty() && self.hand_over(records).await.is_none() {
                        return;
                    }
                }
                Err(error) if may_pass(&error) => {
                    self.trust = Trust::Doubtful;
                    self.stall(&error).await;
                }
                Err(error) => {
                    self.report(Condition::Stopped {
                        reason: error.to_string(),
                    });
                    return self.inlet.end(error);
                }
            }
        }
    }

    async fn read(&mut self, wait_max: Duration) -> Result<Vec<Consumed>, Error> {
        let limit = ReadLimit {
            bytes_max: FETCH_BYTES_MAX,
            wait_max,
        };
        let began = self.steps.begin();
        let log = &self.service.ports.log;
        let batch = log
            .read(self.input.topic, self.shard.0, self.position.next, limit)
            .await?;
        if self.more {
            self.steps.end(Step::Read, began);
        }
        self.measure(&batch);
        let last = self.connection.replace(batch.connection);
        if last.is_some_and(|last| last != batch.connection) {
            // Another caller met the end of the connection, and no call of this reader has failed.
            self.check_log().await?;
        }
        Ok(unread(batch.records, self.position.next))
    }

    /// After a failure: is the log still the one that was read? Out of range ends here too. Only
    /// records read, or none there, prove that reading works again; this does not wait for more.
    async fn read_again(&mut self) -> Result<Vec<Consumed>, Error> {
        self.check_log().await?;
        self.read(Duration::ZERO).await
    }

    /// Does the log still hold what was read, and what the shard's publisher was told it holds? A
    /// publisher with nothing to say would not find out.
    async fn check_log(&self) -> Result<(), Error> {
        let log = &*self.service.ports.log;
        check_position(log, self.shard.0, &self.position).await?;
        match self.service.handover.slot(self.shard) {
            Some(slot) => check_said(log, self.shard.0, slot.said()).await,
            None => Ok(()),
        }
    }

    /// Decodes `records` and passes them on, a turn's worth at a time; `None` when the shard has gone.
    async fn hand_over(&mut self, records: Vec<Consumed>) -> Option<()> {
        let mut items = Vec::with_capacity(records.len().min(TURN_RECORDS_MAX));
        let mut given_up = GivenUp::default();
        let mut began = self.steps.begin();
        for consumed in records {
            let mut kind = self.kind(&consumed, &mut given_up, &mut items).await?;
            let tracer = &self.service.ports.tracer;
            let traced = spans::receive(tracer, &consumed.record, &mut kind);
            self.position.next = consumed.offset + 1;
            let hash = item::hash(&consumed.record);
            self.position.last = Some(hash);
            items.push(Item {
                topic: Arc::clone(&self.position.topic),
                offset: consumed.offset,
                hash,
                record: consumed.record,
                kind,
                traced,
            });
            if items.len() == TURN_RECORDS_MAX {
                self.steps.end(Step::Decode, began);
                self.put(&mut items).await?;
                began = self.steps.begin();
            }
        }
        if !items.is_empty() {
            self.steps.end(Step::Decode, began);
        }
        self.put(&mut items).await
    }

    async fn put(&self, items: &mut Vec<Item<C::Message>>) -> Option<()> {
        if items.is_empty() {
            return Some(());
        }
        self.inlet.put(std::mem::take(items)).await
    }

    /// What a record is, waiting for a registry that is down. The items before it do not wait.
    async fn kind(
        &mut self,
        consumed: &Consumed,
        given_up: &mut GivenUp,
        before: &mut Vec<Item<C::Message>>,
    ) -> Option<Kind<C::Message>> {
        let origin = Origin {
            input: self.input,
            partition: self.shard.0,
            partitions: self.service.partitions,
        };
        let service = Arc::clone(&self.service);
        let topic = Arc::clone(&self.position.topic);
        let mut stalled = false;
        loop {
            match classify(&service, origin, consumed, &topic, given_up).await {
                Ok(kind) => {
                    if stalled {
                        self.backoff.reset();
                        self.report(Condition::Running);
                    }
                    return Some(kind);
                }
                Err(error) => {
                    stalled = true;
                    self.put(before).await?;
                    self.stall(&error.into()).await;
                }
            }
        }
    }

    async fn stall(&mut self, error: &Error) {
        self.report(Condition::Stalled {
            reason: error.to_string(),
        });
        let ports = &self.service.ports;
        ports
            .clock
            .sleep(self.backoff.next(ports.ids.random()))
            .await;
    }

    fn report(&self, condition: Condition) {
        self.service.health.set(&self.health_part, condition);
    }

    /// Lag in records and in seconds; half of retention is the time to act.
    fn measure(&mut self, batch: &log::Batch) {
        let next = batch
            .records
            .first()
            .map_or(self.position.next, |first| first.offset);
        let age = batch.records.first().map_or(Duration::ZERO, |first| {
            self.service.ports.clock.now().since(first.record.timestamp)
        });
        self.lag.set((batch.high_watermark - next).max(0), age);
        let last = batch.records.last();
        let read = last.map_or(self.position.next, |last| last.offset + 1);
        self.more = batch.high_watermark > read;
        if age > TOPIC_RETENTION / 2 {
            tracing::warn!(
                topic = self.input.topic,
                partition = self.shard.0,
                age_s = age.as_secs(),
                "unread records are past half of the topic's retention; beyond it they are lost"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::log::Record;

    #[test]
    fn what_was_read_before_is_not_read_again() {
        let consumed = |offset| Consumed {
            offset,
            record: Record {
                key: None,
                value: None,
                headers: Vec::new(),
                timestamp: Timestamp(0),
            },
        };
        let records = [3, 4, 5, 7, 5, 7, 8].map(consumed).into();
        let left: Vec<i64> = unread(records, 5)
            .iter()
            .map(|found| found.offset)
            .collect();
        assert_eq!(left, [5, 7, 8]);
    }
}
