//! The log, from the earliest record kept to the last one that is there.

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write, stderr};
use std::sync::Mutex;
use std::time::Duration;

use contracts::topics;
use futures::future::join_all;
use messaging::clock::{Clock, SystemClock, Timestamp};
use messaging::log::{self, Log};
use messaging::partitioner::partition_of;
use messaging::registry::SchemaRegistry;

use super::decode::decode;
use super::facts::{Extent, Message, Said, TOPICS};
use crate::tail::reader::{self, Partition, Start};

/// Messages of one order and topic that are kept; the others are counted.
const MESSAGES_MAX: usize = 10_000;

/// How long the reading may take before its progress is shown.
const PATIENCE: Duration = Duration::from_secs(1);

/// Records between two looks at the clock.
const RECORDS_PER_LOOK: u64 = 1_000;

/// The reading of the log.
pub(super) struct Scan<'s> {
    pub(super) log: &'s dyn Log,
    pub(super) registry: &'s dyn SchemaRegistry,
    pub(super) progress: Progress,
}

/// What was read of one topic.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) topic: &'static str,
    pub(super) extent: Extent,
    pub(super) messages: Vec<Message>,
    pub(super) left_out: usize,
}

impl Scan<'_> {
    /// The order's partition, by the number of partitions that the topics have.
    pub(super) async fn partition(&self, order_id: &str) -> Result<Option<i32>, log::Error> {
        for topic in TOPICS {
            if let Some(partitions) = self.log.partitions(topic).await? {
                return Ok(Some(partition_of(order_id.as_bytes(), partitions)));
            }
        }
        Ok(None)
    }

    /// Reads what each topic says of the order.
    pub(super) async fn order(&self, order_id: &str, partition: i32) -> Vec<Found> {
        let topics = TOPICS.map(|topic| self.topic(topic, order_id, partition));
        join_all(topics).await
    }

    async fn topic(&self, topic: &'static str, order_id: &str, partition: i32) -> Found {
        let mut found = Found {
            topic,
            extent: Extent::NoTopic,
            messages: Vec::new(),
            left_out: 0,
        };
        match self.log.partitions(topic).await {
            Ok(None) => return found,
            Ok(Some(_)) => {}
            Err(error) => {
                found.extent = Extent::Unread(error.to_string());
                return found;
            }
        }
        let read = self.records_of(order_id, &mut found, partition, Start::First);
        match read.await {
            Ok(extent) => found.extent = extent,
            Err(error) => found.extent = Extent::Unread(error.to_string()),
        }
        found
    }

    /// Reads what was appended since, so that the log is no older than what the services said in
    /// the meantime.
    pub(super) async fn go_on(&self, found: &mut Found, order_id: &str, partition: i32) {
        let Extent::Read { first, next } = found.extent else {
            return;
        };
        let read = self.records_of(order_id, found, partition, Start::At(next));
        // What was read is still true when the rest cannot be had.
        if let Ok(Extent::Read { next, .. }) = read.await {
            found.extent = Extent::Read { first, next };
        }
    }

    async fn records_of(
        &self,
        order_id: &str,
        found: &mut Found,
        partition: i32,
        start: Start,
    ) -> Result<Extent, log::Error> {
        let mut reading = Partition::open(self.log, found.topic, partition, start).await?;
        let bounds = reading.bounds();
        self.progress.more(reading.left());
        while let Some(read) = reading.next(self.log).await? {
            self.progress.step();
            if !is_key(&read, order_id) {
                continue;
            }
            if found.messages.len() < MESSAGES_MAX {
                found.messages.push(decode(self.registry, &read).await);
            } else {
                found.left_out += 1;
            }
        }
        Ok(Extent::Read {
            first: bounds.first,
            next: bounds.next,
        })
    }

    /// The deliveries of `products` that have one of `ids`; whatever cannot be read is missing.
    pub(super) async fn receipts(
        &self,
        products: &BTreeSet<String>,
        ids: &BTreeSet<String>,
    ) -> Result<Vec<Message>, log::Error> {
        let mut receipts = Vec::new();
        let Some(partitions) = self.log.partitions(topics::INVENTORY_COMMANDS).await? else {
            return Ok(receipts);
        };
        let homes: BTreeSet<_> = products
            .iter()
            .map(|product| partition_of(product.as_bytes(), partitions))
            .collect();
        for home in homes {
            let topic = topics::INVENTORY_COMMANDS;
            let mut reading = Partition::open(self.log, topic, home, Start::First).await?;
            self.progress.more(reading.left());
            while let Some(read) = reading.next(self.log).await? {
                self.progress.step();
                if has_id(&read, ids) && receipts.len() < MESSAGES_MAX {
                    receipts.push(decode(self.registry, &read).await);
                }
            }
        }
        receipts.retain(|message| matches!(message.said, Said::Receipt(_)));
        Ok(receipts)
    }
}

fn is_key(read: &reader::Message, order_id: &str) -> bool {
    let key = read.consumed.record.key.as_ref();
    key.is_some_and(|key| key.as_ref() == order_id.as_bytes())
}

fn has_id(read: &reader::Message, ids: &BTreeSet<String>) -> bool {
    let mut headers = read.consumed.record.headers.iter();
    headers.any(|(name, value)| {
        name == "ce_id" && str::from_utf8(value).is_ok_and(|id| ids.contains(id))
    })
}

/// How far the reading has come, told on a terminal when it takes long.
pub(super) struct Progress {
    started: Timestamp,
    is_watched: bool,
    count: Mutex<Count>,
}

#[derive(Default)]
struct Count {
    read: u64,
    all: u64,
    /// In percent; `None` before anything was shown.
    shown: Option<u64>,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            started: SystemClock.now(),
            is_watched: stderr().is_terminal(),
            count: Mutex::default(),
        }
    }

    fn more(&self, records: i64) {
        self.count().all += u64::try_from(records).unwrap_or_default();
    }

    fn step(&self) {
        let mut count = self.count();
        count.read += 1;
        let is_due = self.is_watched && count.read.is_multiple_of(RECORDS_PER_LOOK);
        let percent = (count.read * 100) / count.all.max(count.read);
        let is_late = || SystemClock.now().since(self.started) >= PATIENCE;
        if is_due && count.shown != Some(percent) && is_late() {
            count.shown = Some(percent);
            // A terminal that is gone needs no progress.
            let _ = write!(stderr(), "\rreading the log: {percent} %");
        }
    }

    /// Takes the line away again.
    pub(super) fn end(&self) {
        if self.count().shown.is_some() {
            let _ = write!(stderr(), "\r{:<24}\r", "");
        }
    }

    fn count(&self) -> std::sync::MutexGuard<'_, Count> {
        let count = self.count.lock();
        count.unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
