//! Rows handed from a commit to the publishers of this process, in memory.
//!
//! A shortcut past the outbox table: a publisher takes a row from here only if it is the next in
//! sequence; whatever is missing it reads from the table. So this may drop rows at will.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::context::Context;
use crate::limits::BACKOFF;
use crate::runtime::service::Service;
use crate::shard::ShardId;
use crate::store::{OutboxRow, Sequence, Store};

/// Rows kept per output partition; a publisher further behind reads the table.
const ROWS_MAX: usize = 64;

/// One slot per output partition.
#[derive(Debug)]
pub(crate) struct Handover {
    slots: Vec<Slot>,
}

/// The rows on their way to one publisher.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    waiting: Mutex<Waiting>,
    wake: Notify,
    /// By topic, what the log has acknowledged last.
    said: Mutex<BTreeMap<String, Said>>,
}

/// A publisher at work.
#[derive(Debug)]
pub(crate) struct Publishing<'s>(&'s Slot);

impl Drop for Publishing<'_> {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        waiting.publisher = false;
        waiting.rows.clear();
    }
}

/// An event that the log has acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// Where it stands.
    pub(crate) offset: i64,
    /// Its id; unknown of what an earlier owner has published.
    pub(crate) id: Option<String>,
}

#[derive(Debug, Default)]
struct Waiting {
    rows: VecDeque<OutboxRow>,
    /// The table holds rows that were not handed over.
    table: bool,
    /// A publisher runs in this process.
    publisher: bool,
    /// The newest row committed, as far as this process knows.
    committed: Sequence,
    /// The last row that the log has acknowledged; unknown until a publisher has met its first.
    published: Option<Sequence>,
}

/// What a publisher does next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Append these rows: contiguous, starting at the sequence asked for.
    Rows(Vec<OutboxRow>),
    /// Read the table.
    Table,
    /// Nothing is known to wait.
    Nothing,
}

/// Wakes the publishers of this process when another one has written rows for them.
pub(crate) async fn listen<C: Context, S: Store<C>>(service: &Service<C, S>) -> Infallible {
    let mut backoff = BACKOFF.start();
    loop {
        match service.store.announced().await {
            Ok(partitions) => {
                backoff = BACKOFF.start();
                let shards = partitions.into_iter().map(ShardId);
                for slot in shards.filter_map(|shard| service.handover.slot(shard)) {
                    slot.look_into_table();
                }
            }
            Err(error) => {
                tracing::debug!(%error, "publishers look unasked meanwhile");
                let ports = &service.ports;
                ports.clock.sleep(backoff.next(ports.ids.random())).await;
            }
        }
    }
}

impl Handover {
    pub(crate) fn new(partitions: i32) -> Self {
        Self {
            slots: (0..partitions).map(|_| Slot::default()).collect(),
        }
    }

    /// The slot of a shard's publisher.
    pub(crate) fn slot(&self, shard: ShardId) -> Option<&Slot> {
        self.slots.get(usize::try_from(shard.0).ok()?)
    }

    /// Hands over rows of a known commit; returns the partitions whose publishers run elsewhere.
    pub(crate) fn offer(&self, rows: Vec<OutboxRow>) -> Vec<i32> {
        let mut elsewhere = Vec::new();
        for row in rows {
            let partition = row.batch.partition;
            match self.slot(ShardId(partition)) {
                Some(slot) if slot.has_publisher() => slot.offer(row),
                _ if elsewhere.contains(&partition) => {}
                _ => elsewhere.push(partition),
            }
        }
        elsewhere
    }
}

impl Slot {
    fn offer(&self, row: OutboxRow) {
        let mut waiting = self.lock();
        waiting.committed = waiting.committed.max(row.sequence);
        if waiting.rows.len() < ROWS_MAX {
            waiting.rows.push_back(row);
        } else {
            waiting.table = true;
        }
        drop(waiting);
        self.wake.notify_one();
    }

    /// A new publisher begins: whatever is left is in the table, and how much of it another owner
    /// has published meanwhile is not known.
    /// Until the guard is dropped, what comes is for the publisher of this process.
    pub(crate) fn begin(&self) -> Publishing<'_> {
        let mut waiting = self.lock();
        waiting.published = None;
        waiting.publisher = true;
        drop(waiting);
        self.look_into_table();
        Publishing(self)
    }

    fn has_publisher(&self) -> bool {
        self.lock().publisher
    }

    /// Notes that rows up to this one are in the log.
    pub(crate) fn published(&self, up_to: Sequence) {
        self.lock().published = Some(up_to);
    }

    /// What the log has acknowledged last of each topic.
    pub(crate) fn said(&self) -> BTreeMap<String, Said> {
        self.lock_said().clone()
    }

    /// Notes what the log has acknowledged last of a topic.
    pub(crate) fn note_said(&self, topic: &str, said: Said) {
        self.lock_said().insert(topic.to_owned(), said);
    }

    fn lock_said(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Said>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rows of this process that wait for the log.
    pub(crate) fn backlog(&self) -> i64 {
        let waiting = self.lock();
        let published = waiting.published.unwrap_or(waiting.committed);
        (waiting.committed.0 - published.0).max(0)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the publisher read the table on its next look.
    pub(crate) fn look_into_table(&self) {
        self.lock().table = true;
        self.wake.notify_one();
    }

    /// Takes what follows, where `next` is the sequence to publish next; `None` if that is unknown.
    pub(crate) fn take(&self, next: Option<Sequence>) -> Next {
        let mut waiting = self.lock();
        let Some(next) = next else {
            let look = waiting.table || !waiting.rows.is_empty();
            waiting.rows.clear();
            waiting.table = false;
            return if look { Next::Table } else { Next::Nothing };
        };
        // Commits of two shards may hand over out of order; the rows themselves are numbered.
        waiting
            .rows
            .make_contiguous()
            .sort_unstable_by_key(|row| row.sequence);
        while waiting.rows.front().is_some_and(|row| row.sequence < next) {
            waiting.rows.pop_front();
        }
        let mut rows = Vec::new();
        let mut expected = next;
        while waiting
            .rows
            .front()
            .is_some_and(|row| row.sequence == expected)
        {
            rows.extend(waiting.rows.pop_front());
            expected = Sequence(expected.0 + 1);
        }
        if !rows.is_empty() {
            return Next::Rows(rows);
        }
        if waiting.table || !waiting.rows.is_empty() {
            // The table has these too. Kept, they would send the publisher there again and again
            // if the missing ones never came, as where another owner has published them.
            waiting.rows.clear();
            waiting.table = false;
            return Next::Table;
        }
        Next::Nothing
    }

    /// Completes when something was offered since the last time.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::OutboxBatch;

    fn row(sequence: i64) -> OutboxRow {
        let batch = OutboxBatch {
            topic: "t".to_owned(),
            partition: 0,
            records: Vec::new(),
        };
        OutboxRow {
            sequence: Sequence(sequence),
            batch,
        }
    }

    fn offered(sequences: &[i64]) -> Handover {
        let handover = Handover::new(1);
        std::mem::forget(handover.slots[0].begin());
        handover.slots[0].lock().table = false;
        handover.offer(sequences.iter().map(|sequence| row(*sequence)).collect());
        handover
    }

    fn take(handover: &Handover, next: Option<i64>) -> Next {
        handover.slot(ShardId(0)).unwrap().take(next.map(Sequence))
    }

    #[test]
    fn rows_leave_in_sequence_whatever_order_they_came_in() {
        assert_eq!(
            take(&offered(&[6, 5, 7]), Some(5)),
            Next::Rows(vec![row(5), row(6), row(7)])
        );
    }

    #[test]
    fn a_gap_sends_the_publisher_to_the_table() {
        let handover = offered(&[7]);
        assert_eq!(take(&handover, Some(5)), Next::Table);
        assert_eq!(take(&handover, Some(5)), Next::Nothing, "once is enough");
    }

    #[test]
    fn what_was_published_before_this_process_is_no_backlog() {
        let handover = offered(&[100_001]);
        let slot = handover.slot(ShardId(0)).unwrap();
        assert_eq!(slot.backlog(), 0);
        slot.published(Sequence(100_000));
        assert_eq!(slot.backlog(), 1);
        let _publishing = slot.begin();
        assert_eq!(slot.backlog(), 0, "another owner may have published it");
    }

    #[test]
    fn rows_whose_publisher_runs_elsewhere_are_told_of_and_not_kept() {
        let handover = Handover::new(2);
        let publishing = handover.slots[0].begin();
        let mut other = row(1);
        other.batch.partition = 1;
        let rows = vec![row(7), other.clone(), other];
        assert_eq!(handover.offer(rows), [1]);
        drop(publishing);
        assert_eq!(handover.offer(vec![row(8)]), [0]);
        assert!(handover.slots[0].lock().rows.is_empty());
    }

    #[test]
    fn rows_already_published_are_dropped() {
        assert_eq!(take(&offered(&[3, 4]), Some(5)), Next::Nothing);
    }

    #[test]
    fn a_publisher_that_knows_no_sequence_looks_into_the_table_once_per_wake_up() {
        let handover = offered(&[3]);
        assert_eq!(take(&handover, None), Next::Table);
        assert_eq!(take(&handover, None), Next::Nothing);
        handover.slot(ShardId(0)).unwrap().look_into_table();
        assert_eq!(take(&handover, None), Next::Table);
    }

    #[test]
    fn more_rows_than_fit_are_found_in_the_table() {
        let all: Vec<i64> = (0..100).collect();
        let handover = offered(&all);
        let Next::Rows(rows) = take(&handover, Some(0)) else {
            panic!("rows expected")
        };
        assert_eq!(rows.len(), ROWS_MAX);
        assert_eq!(take(&handover, Some(64)), Next::Table);
    }
}
