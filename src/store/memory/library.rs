//! The library's own tables in memory. Each call is one statement.

use std::collections::{BTreeMap, BTreeSet};

use super::operations::Trail;
use super::refuse;
use crate::clock::Timestamp;
use crate::context::ContentHash;
use crate::limits;
use crate::log::Record;
use crate::mutant::{self, Mutant};
use crate::shard::{Epoch, ShardId};
use crate::store::{
    Acknowledged, AggregateKey, Checkpoint, Claimed, Conflict, Cursor, CursorMove, Effects, Error,
    ErrorKind, InboxEntry, InboxKey, OutboxBatch, OutboxRow, Parked, Seen, Sequence,
    ShardCheckpoint,
};

/// What the inbox holds under a key.
#[derive(Clone, Debug)]
struct Applied {
    content: ContentHash,
    at: Timestamp,
    lasting: bool,
}

/// See `sqlite/migrations`, 0001 and 0003: the same tables.
#[derive(Clone, Debug, Default)]
pub(super) struct Library {
    partitions: Option<i32>,
    epochs: BTreeMap<ShardId, Epoch>,
    cursors: BTreeMap<(ShardId, String), Cursor>,
    inbox: BTreeMap<(ShardId, InboxKey), Applied>,
    outbox: BTreeMap<(i32, Sequence), OutboxBatch>,
    sequences: BTreeMap<i32, Sequence>,
    acknowledged: BTreeMap<(i32, String), i64>,
    trail: Trail,
}

impl Library {
    pub(super) fn agree_on_partitions(&mut self, partitions: i32) -> i32 {
        *self.partitions.get_or_insert(partitions)
    }

    pub(super) fn claim(&mut self, shard: ShardId, epoch: Epoch) -> Result<Claimed, Error> {
        if self.epochs.get(&shard).is_some_and(|last| *last >= epoch) {
            let detail = format!("shard {shard} was claimed with epoch {epoch} or a higher one");
            return refuse(ErrorKind::Fenced, "claim", detail);
        }
        self.epochs.insert(shard, epoch);
        Ok(Claimed {
            cursors: self.cursors(shard),
            acknowledged: self.acknowledged(shard.0),
        })
    }

    pub(super) fn acknowledged(&self, partition: i32) -> Vec<Acknowledged> {
        self.acknowledged
            .range((partition, String::new())..)
            .take_while(|((owner, _), _)| *owner == partition)
            .map(|((_, topic), last_offset)| Acknowledged {
                topic: topic.clone(),
                last_offset: *last_offset,
            })
            .collect()
    }

    pub(super) fn prove(&self, shard: ShardId, epoch: Epoch) -> Result<(), Error> {
        if self.epochs.get(&shard) == Some(&epoch) || mutant::on(Mutant::NoEpochCheck) {
            return Ok(());
        }
        let detail = format!("shard {shard} is no longer owned under epoch {epoch}");
        refuse(ErrorKind::Fenced, "begin", detail)
    }

    pub(super) fn cursors(&self, shard: ShardId) -> Vec<Cursor> {
        self.cursors
            .range((shard, String::new())..)
            .take_while(|((owner, _), _)| *owner == shard)
            .map(|(_, cursor)| cursor.clone())
            .collect()
    }

    pub(super) fn seen(
        &self,
        shard: ShardId,
        inbox: &[InboxKey],
        aggregates: &[AggregateKey],
    ) -> Seen {
        let held_up = self.trail.held_up_in(shard);
        Seen {
            inbox: inbox
                .iter()
                .filter_map(|key| {
                    let applied = self.inbox.get(&(shard, key.clone()))?;
                    Some((key.clone(), applied.content))
                })
                .collect(),
            parked: aggregates
                .iter()
                .filter(|aggregate| held_up.contains(aggregate))
                .cloned()
                .collect(),
        }
    }

    pub(super) fn outbox(
        &self,
        partition: i32,
        from: Sequence,
        bytes_max: usize,
    ) -> Vec<OutboxRow> {
        let (mut rows, mut bytes) = (Vec::new(), 0);
        for ((owner, sequence), batch) in self.outbox.range((partition, from)..) {
            bytes += batch.records.iter().map(Record::size).sum::<usize>();
            if *owner != partition || (bytes > bytes_max && !rows.is_empty()) {
                break;
            }
            rows.push(OutboxRow {
                sequence: *sequence,
                batch: batch.clone(),
            });
        }
        rows
    }

    pub(super) fn parked(&self) -> Vec<Parked> {
        self.trail.parked_in_log_order()
    }

    pub(super) fn conflicts(&self) -> Vec<Conflict> {
        self.trail.conflicts_in_log_order()
    }

    pub(super) fn trail(&self) -> &Trail {
        &self.trail
    }

    pub(super) fn trail_mut(&mut self) -> &mut Trail {
        &mut self.trail
    }

    /// How far the shards that were ever claimed have come.
    pub(super) fn checkpoint(&self) -> Checkpoint {
        let shards = self.epochs.iter();
        shards
            .map(|(shard, epoch)| {
                let rows = self.outbox(shard.0, Sequence(0), usize::MAX);
                let oldest = rows.first().and_then(|row| row.batch.records.first());
                let last = self.sequences.get(&shard.0).copied().unwrap_or_default();
                let level = self.trail.level(*shard);
                ShardCheckpoint {
                    shard: *shard,
                    epoch: *epoch,
                    cursors: self.cursors(*shard),
                    outbox_rows: i64::try_from(rows.len()).unwrap_or(i64::MAX),
                    outbox_oldest: oldest.map(|record| record.timestamp),
                    outbox_next: Sequence(last.0 + 1),
                    parked: level.count,
                    parked_oldest: level.oldest,
                    conflicts: self.trail.conflict_count(*shard),
                }
            })
            .collect()
    }

    /// Everything that can refuse `effects`. Who asks holds the locks that keep the answer true.
    pub(super) fn check(&self, shard: ShardId, effects: &Effects) -> Result<(), Error> {
        self.check_inbox(shard, &effects.inbox)?;
        let only_cursors = effects.outbox.is_empty() && effects.inbox.is_empty();
        let unchecked = mutant::on(Mutant::NoCompareAndSet)
            || (only_cursors && mutant::on(Mutant::NoCompareAndSetOfDuplicates));
        if !unchecked {
            self.check_cursors(shard, &effects.cursors)?;
        }
        self.trail.check(shard, effects)
    }

    /// Applies `effects`, which were checked; returns the outbox rows as numbered.
    pub(super) fn apply(&mut self, shard: ShardId, effects: Effects) -> Vec<OutboxRow> {
        for entry in effects.inbox {
            let applied = Applied {
                content: entry.content,
                at: entry.at,
                lasting: entry.lasting,
            };
            self.inbox.insert((shard, entry.key), applied);
        }
        self.trail.unpark(shard, &effects.unparked);
        self.trail.repark(shard, effects.reparked);
        self.trail.park(shard, effects.parked);
        self.trail.note_done(effects.done);
        self.trail.note_conflicts(shard, effects.conflicts);
        if let Some(horizon) = effects.prune_inbox_before {
            self.prune_inbox(shard, horizon);
        }
        for published in effects.published {
            let partition = published.partition;
            let gone = (partition, Sequence(i64::MIN))..=(partition, published.up_to);
            while let Some((row, _)) = self.outbox.range(gone.clone()).next() {
                let row = *row;
                self.outbox.remove(&row);
            }
            for (topic, offset) in published.offsets {
                let last = self
                    .acknowledged
                    .entry((partition, topic))
                    .or_insert(offset);
                *last = offset.max(*last);
            }
        }
        for step in effects.cursors {
            let cursor = Cursor {
                topic: step.topic.clone(),
                next_offset: step.to,
                last_hash: Some(step.last_hash),
            };
            self.cursors.insert((shard, step.topic), cursor);
        }
        self.append(effects.outbox)
    }

    fn check_inbox(&self, shard: ShardId, entries: &[InboxEntry]) -> Result<(), Error> {
        let mut new = BTreeSet::new();
        for entry in entries {
            let key = (shard, entry.key.clone());
            if self.inbox.contains_key(&key) || !new.insert(key) {
                let detail = format!("{:?} is in the inbox already", entry.key);
                return refuse(ErrorKind::Rejected, "commit", detail);
            }
        }
        Ok(())
    }

    fn check_cursors(&self, shard: ShardId, steps: &[CursorMove]) -> Result<(), Error> {
        for step in steps {
            let cursor = self.cursors.get(&(shard, step.topic.clone()));
            if let Some(cursor) = cursor.filter(|cursor| cursor.next_offset != step.from) {
                let detail = format!("{} stands at {}", step.topic, cursor.next_offset);
                return refuse(ErrorKind::CursorMoved, "commit", detail);
            }
        }
        Ok(())
    }

    fn prune_inbox(&mut self, shard: ShardId, horizon: Timestamp) {
        let may_go = |applied: &Applied| !applied.lasting || mutant::on(Mutant::NothingLasts);
        let mut old: Vec<(Timestamp, InboxKey)> = self
            .inbox
            .iter()
            .filter(|((owner, _), applied)| *owner == shard && applied.at < horizon)
            .filter(|(_, applied)| may_go(applied))
            .map(|((_, key), applied)| (applied.at, key.clone()))
            .collect();
        old.sort();
        let rows_max = usize::try_from(limits::INBOX_PRUNE_ROWS).unwrap_or(usize::MAX);
        for (_, key) in old.into_iter().take(rows_max) {
            self.inbox.remove(&(shard, key));
        }
    }

    /// Numbers batches in ascending partition order; batches of one partition keep theirs.
    fn append(&mut self, mut batches: Vec<OutboxBatch>) -> Vec<OutboxRow> {
        batches.sort_by_key(|batch| batch.partition);
        let mut rows = Vec::new();
        for batch in batches {
            let sequence = self.sequences.entry(batch.partition).or_default();
            *sequence = Sequence(sequence.0 + 1);
            self.outbox
                .insert((batch.partition, *sequence), batch.clone());
            rows.push(OutboxRow {
                sequence: *sequence,
                batch,
            });
        }
        rows
    }
}
