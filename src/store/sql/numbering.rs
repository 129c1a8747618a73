//! Numbering a turn's outbox batches with the sequences that the database gave.

use std::collections::BTreeMap;

use crate::store::{OutboxBatch, OutboxRow, Sequence};

/// Sorts batches by partition, the order in which sequences are taken; batches of one partition
/// keep theirs.
pub(crate) fn by_partition(batches: Vec<OutboxBatch>) -> BTreeMap<i32, Vec<OutboxBatch>> {
    let mut sorted: BTreeMap<i32, Vec<OutboxBatch>> = BTreeMap::new();
    for batch in batches {
        sorted.entry(batch.partition).or_default().push(batch);
    }
    sorted
}

/// The batches as rows; `next` has the number after the last one taken, per partition.
pub(crate) fn number(
    batches: BTreeMap<i32, Vec<OutboxBatch>>,
    next: &BTreeMap<i32, i64>,
) -> Vec<OutboxRow> {
    let mut rows = Vec::new();
    for (partition, batches) in batches {
        let count = i64::try_from(batches.len()).unwrap_or(i64::MAX);
        let first = next.get(&partition).copied().unwrap_or_default() - count;
        rows.extend((first..).zip(batches).map(|(sequence, batch)| OutboxRow {
            sequence: Sequence(sequence),
            batch,
        }));
    }
    rows
}
