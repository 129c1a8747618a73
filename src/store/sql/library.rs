//! The rows of the library's own tables, as the port has them.

use crate::clock::Timestamp;
use crate::context::ContentHash;
use crate::log::Record;
use crate::shard::{Epoch, ShardId};
use crate::store::{
    Action, ActionKind, ActionRecord, AggregateKey, Conflict, Conflicting, Cursor, Error,
    ErrorKind, InboxKey, Outcome, OutcomeKind, ParkReason, Parked, ParkedRow, Place, RecordHash,
    Sequence, ShardCheckpoint, Target, outbox,
};

use super::{Exact, Get, SqlRow};

/// The columns that [`parked_row`] reads.
pub(crate) const PARKED_COLUMNS: &str = "parked.id, parked.shard, parked.topic, \
     parked.log_offset, parked.aggregate_kind, parked.aggregate_id, parked.reason, \
     parked.detail, parked.record, parked.at, parked.replays";

/// The columns that [`action`] and [`action_record`] read.
pub(crate) const ACTION_COLUMNS: &str = "number, id, shard, kind, aggregate_kind, aggregate_id, \
     topic, log_offset, operator, reason, at, done_at, outcomes";

/// How a driver's error becomes the store's: the adapter's own.
pub(crate) type Failed = fn(&'static str, sqlx::Error) -> Error;

/// Reads rows of the library's tables for one call.
#[derive(Clone, Copy)]
pub(crate) struct Reading {
    /// The call.
    pub(crate) operation: &'static str,
    /// What the driver's errors mean.
    pub(crate) failed: Failed,
}

impl Reading {
    /// One column.
    pub(crate) fn column<V>(self, row: &impl Get<V>, name: &'static str) -> Result<V, Error> {
        row.read(name)
            .map_err(|source| (self.failed)(self.operation, source))
    }

    /// A row of [`PARKED_COLUMNS`].
    pub(crate) fn parked_row(self, row: &impl SqlRow) -> Result<ParkedRow, Error> {
        let reason: String = self.column(row, "reason")?;
        let kind: Option<String> = self.column(row, "aggregate_kind")?;
        let id: Option<Exact> = self.column(row, "aggregate_id")?;
        let parked = Parked {
            topic: self.column(row, "topic")?,
            offset: self.column(row, "log_offset")?,
            aggregate: kind
                .zip(id)
                .map(|(kind, Exact(id))| AggregateKey { kind, id }),
            reason: self.known(ParkReason::of(&reason), &reason)?,
            detail: self.column(row, "detail")?,
            record: self.record(self.column(row, "record")?)?,
            at: Timestamp(self.column(row, "at")?),
        };
        Ok(ParkedRow {
            number: self.column(row, "id")?,
            shard: ShardId(self.column(row, "shard")?),
            parked,
            replays: self.column(row, "replays")?,
        })
    }

    /// A row of [`ACTION_COLUMNS`], without its outcomes.
    pub(crate) fn action(self, row: &impl SqlRow) -> Result<Action, Error> {
        let kind: String = self.column(row, "kind")?;
        let aggregate_kind: Option<String> = self.column(row, "aggregate_kind")?;
        let target = match aggregate_kind {
            Some(kind) => {
                let Exact(id) = self.column(row, "aggregate_id")?;
                Target::Aggregate(AggregateKey { kind, id })
            }
            None => Target::Place(self.place(row)?),
        };
        Ok(Action {
            id: self.column(row, "id")?,
            shard: ShardId(self.column(row, "shard")?),
            kind: self.known(ActionKind::of(&kind), &kind)?,
            target,
            operator: self.column(row, "operator")?,
            reason: self.column(row, "reason")?,
            at: Timestamp(self.column(row, "at")?),
        })
    }

    /// A row of [`ACTION_COLUMNS`], its outcomes still to come.
    pub(crate) fn action_record(self, row: &impl SqlRow) -> Result<ActionRecord, Error> {
        let done_at: Option<i64> = self.column(row, "done_at")?;
        Ok(ActionRecord {
            number: self.column(row, "number")?,
            action: self.action(row)?,
            done_at: done_at.map(Timestamp),
            outcome_count: self.column(row, "outcomes")?,
            outcomes: Vec::new(),
        })
    }

    /// Adds `rows` of outcomes, each with the number of its `action`, to `records`.
    pub(crate) fn add_outcomes(
        self,
        records: &mut [ActionRecord],
        rows: &[impl SqlRow],
    ) -> Result<(), Error> {
        for row in rows {
            let number: i64 = self.column(row, "action")?;
            let record = records.iter_mut().find(|record| record.number == number);
            if let Some(record) = record {
                record.outcomes.push(self.outcome(row)?);
            }
        }
        Ok(())
    }

    fn outcome(self, row: &impl SqlRow) -> Result<Outcome, Error> {
        let kind: String = self.column(row, "outcome")?;
        let kept: Option<Vec<u8>> = self.column(row, "record")?;
        Ok(Outcome {
            place: self.place(row)?,
            kind: self.known(OutcomeKind::of(&kind), &kind)?,
            detail: self.column(row, "detail")?,
            record: kept.map(|bytes| self.record(bytes)).transpose()?,
        })
    }

    /// A conflict with its number.
    pub(crate) fn conflicting(self, row: &impl SqlRow) -> Result<Conflicting, Error> {
        let (Exact(key), Exact(id)) = (self.column(row, "key")?, self.column(row, "id")?);
        Ok(Conflicting {
            number: self.column(row, "number")?,
            shard: ShardId(self.column(row, "shard")?),
            conflict: Conflict {
                topic: self.column(row, "topic")?,
                offset: self.column(row, "log_offset")?,
                key: InboxKey {
                    message_type: self.column(row, "message_type")?,
                    key,
                    id,
                },
                record: self.record(self.column(row, "record")?)?,
                at: Timestamp(self.column(row, "at")?),
            },
        })
    }

    /// A cursor.
    pub(crate) fn cursor(self, row: &impl SqlRow) -> Result<Cursor, Error> {
        let hash: Vec<u8> = self.column(row, "last_hash")?;
        let hash = hash
            .try_into()
            .map_err(|_| self.fatal("a cursor's hash is not 16 bytes long".to_owned()))?;
        Ok(Cursor {
            topic: self.column(row, "topic")?,
            next_offset: self.column(row, "next_offset")?,
            last_hash: Some(RecordHash(hash)),
        })
    }

    /// The shard that a row of a checkpoint is about, and its epoch.
    pub(crate) fn shard(self, row: &impl SqlRow) -> Result<(ShardId, Epoch), Error> {
        let shard = ShardId(self.column(row, "shard")?);
        Ok((shard, Epoch(self.column(row, "epoch")?)))
    }

    /// A row of a checkpoint, with the shard's cursors.
    pub(crate) fn checkpoint(
        self,
        row: &impl SqlRow,
        cursors: Vec<Cursor>,
    ) -> Result<ShardCheckpoint, Error> {
        let (shard, epoch) = self.shard(row)?;
        let first: Option<Vec<u8>> = self.column(row, "outbox_first")?;
        let next: Option<i64> = self.column(row, "outbox_next")?;
        let parked_oldest: Option<i64> = self.column(row, "parked_oldest")?;
        // The records of an outbox row are made by one turn, so the first tells of all.
        let written = first.map(|bytes| self.records(bytes)).transpose()?;
        let written = written.and_then(|records| records.first().map(|record| record.timestamp));
        Ok(ShardCheckpoint {
            shard,
            epoch,
            cursors,
            outbox_rows: self.column(row, "outbox_rows")?,
            outbox_oldest: written,
            outbox_next: Sequence(next.unwrap_or(1)),
            parked: self.column(row, "parked")?,
            parked_oldest: parked_oldest.map(Timestamp),
            conflicts: self.column(row, "conflicts")?,
        })
    }

    /// The content hash of an inbox entry.
    pub(crate) fn content(self, bytes: &[u8]) -> Result<ContentHash, Error> {
        match bytes.try_into() {
            Ok(hash) => Ok(ContentHash(hash)),
            Err(_) => {
                Err(self.fatal("an inbox entry's content hash is not 32 bytes long".to_owned()))
            }
        }
    }

    /// The records of an outbox row.
    pub(crate) fn records(self, bytes: Vec<u8>) -> Result<Vec<Record>, Error> {
        outbox::decode(bytes.into()).map_err(|source| self.fatal(source.to_string()))
    }

    fn place(self, row: &impl SqlRow) -> Result<Place, Error> {
        Ok(Place {
            topic: self.column(row, "topic")?,
            offset: self.column(row, "log_offset")?,
        })
    }

    /// The one record that `bytes` hold.
    fn record(self, bytes: Vec<u8>) -> Result<Record, Error> {
        let mut records = self.records(bytes)?.into_iter();
        match (records.next(), records.next()) {
            (Some(record), None) => Ok(record),
            _ => Err(self.fatal("a row does not hold exactly one record".to_owned())),
        }
    }

    /// A stored name's meaning; one that this program does not know was written by another.
    fn known<V>(self, value: Option<V>, name: &str) -> Result<V, Error> {
        value.ok_or_else(|| {
            self.fatal(format!(
                "this program does not know the stored word {name:?}"
            ))
        })
    }

    fn fatal(self, detail: String) -> Error {
        Error::new(ErrorKind::Fatal, self.operation, detail)
    }
}

/// The two forms of a target, one of them there.
pub(crate) fn parts(target: &Target) -> (Option<&AggregateKey>, Option<&Place>) {
    match target {
        Target::Aggregate(aggregate) => (Some(aggregate), None),
        Target::Place(place) => (None, Some(place)),
    }
}

/// A limit as a database takes it.
pub(crate) fn bound(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// The stored form of records, as a value that can be bound.
pub(crate) fn bytes_of(records: &[Record]) -> Vec<u8> {
    Vec::from(outbox::encode(records))
}
