//! The newest batches of a partition, in memory: what consumers that keep up ask for.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::batch::Header;
use super::limits::TAIL_BYTES_MAX;

/// Consecutive batches up to the end of the partition; none after a start.
#[derive(Debug, Default)]
pub(super) struct Tail {
    batches: VecDeque<Kept>,
    bytes: usize,
}

#[derive(Debug)]
struct Kept {
    next_offset: i64,
    base_offset: i64,
    batch: Bytes,
}

impl Tail {
    /// Takes a copy of the batch that follows on the last one, and lets go of the oldest that are too
    /// many. A part of the write that it came with would keep all of that in memory.
    pub(super) fn push(&mut self, header: &Header, batch: &[u8]) {
        self.bytes += batch.len();
        self.batches.push_back(Kept {
            next_offset: header.next_offset(),
            base_offset: header.base_offset,
            batch: Bytes::copy_from_slice(batch),
        });
        while self.bytes > TAIL_BYTES_MAX {
            let Some(oldest) = self.batches.pop_front() else {
                return;
            };
            self.bytes -= oldest.batch.len();
        }
    }

    /// Whole batches from the one that holds `offset` on, up to `bytes_max`, or the first one even if
    /// it is longer when there must be one. `None` if that batch is not kept here.
    pub(super) fn read(&self, offset: i64, bytes_max: usize, at_least_one: bool) -> Option<Bytes> {
        let first = self.batches.front()?;
        if offset < first.base_offset {
            return None;
        }
        let at = self
            .batches
            .partition_point(|kept| kept.next_offset <= offset);
        let mut bytes = 0;
        let wanted: Vec<&Bytes> = self
            .batches
            .range(at..)
            .map(|kept| &kept.batch)
            .take_while(|batch| {
                let must = at_least_one && bytes == 0;
                bytes += batch.len();
                must || bytes <= bytes_max
            })
            .collect();
        Some(match wanted[..] {
            [] => Bytes::new(),
            [only] => only.clone(),
            _ => {
                let mut all = BytesMut::with_capacity(wanted.iter().map(|batch| batch.len()).sum());
                wanted.iter().for_each(|batch| all.extend_from_slice(batch));
                all.freeze()
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{batch, testing};

    /// Five batches of two records: offsets 10 to 19.
    fn tail() -> (Tail, usize) {
        let (mut tail, mut next, mut size) = (Tail::default(), 10, 0);
        for _ in 0..5 {
            let mut batch = BytesMut::from(&testing::batch(&["a", "b"])[..]);
            batch::assign(&mut batch, next);
            let header = Header::read(&batch).unwrap();
            (next, size) = (header.next_offset(), batch.len());
            tail.push(&header, &batch);
        }
        (tail, size)
    }

    fn bases(read: &Bytes) -> Vec<i64> {
        let (mut at, mut bases) = (0, Vec::new());
        while let Ok(header) = Header::read(&read[at..]) {
            bases.push(header.base_offset);
            at += header.bytes;
        }
        assert_eq!(at, read.len(), "whole batches only");
        bases
    }

    #[test]
    fn a_read_begins_with_the_batch_that_holds_its_offset() {
        let (tail, _) = tail();
        let read = |offset| tail.read(offset, usize::MAX, true).map(|read| bases(&read));
        assert_eq!(read(10), Some(vec![10, 12, 14, 16, 18]));
        assert_eq!(read(15), Some(vec![14, 16, 18]));
        assert_eq!(read(20), Some(vec![]), "nothing has come yet");
        assert_eq!(read(9), None, "older than what is kept");
        assert_eq!(Tail::default().read(0, 1, true), None);
    }

    #[test]
    fn a_read_keeps_to_its_bytes_but_for_a_first_batch_that_must_be() {
        let (tail, size) = tail();
        let read = |bytes, must| bases(&tail.read(10, bytes, must).unwrap());
        assert_eq!(read(2 * size, false), [10, 12]);
        assert_eq!(read(2 * size + 1, true), [10, 12]);
        assert_eq!(read(1, true), [10]);
        assert!(read(1, false).is_empty());
    }

    #[test]
    fn it_keeps_so_many_bytes_and_never_only_a_part_of_what_it_says() {
        let mut tail = Tail::default();
        let value = "x".repeat(TAIL_BYTES_MAX / 3);
        let mut next = 0;
        for _ in 0..5 {
            let mut batch = BytesMut::from(&testing::batch(&[&value])[..]);
            batch::assign(&mut batch, next);
            let header = Header::read(&batch).unwrap();
            next = header.next_offset();
            tail.push(&header, &batch);
        }
        assert!(tail.bytes <= TAIL_BYTES_MAX);
        assert_eq!(tail.read(2, usize::MAX, true), None);
        assert_eq!(bases(&tail.read(3, usize::MAX, true).unwrap()), [3, 4]);
    }
}
