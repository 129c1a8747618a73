//! What the readers of a shard have read ahead of its turns: bounded in records and in bytes.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::limits::{READ_AHEAD_BYTES_MAX, TURN_BYTES_MAX, TURN_RECORDS_MAX};
use crate::runtime::Error;
use crate::runtime::item::Item;

/// A record takes room as if it had this many bytes at least: so the room bounds their number too.
const ITEM_BYTES_MIN: usize = READ_AHEAD_BYTES_MAX / TURN_RECORDS_MAX;

/// A reader's end.
pub(crate) struct Inlet<M> {
    read: mpsc::UnboundedSender<Read<M>>,
    room: Arc<Semaphore>,
}

/// The shard's end.
pub(crate) struct Ahead<M> {
    read: mpsc::UnboundedReceiver<Read<M>>,
    /// What did not fit into the last turn.
    left: VecDeque<Item<M>>,
    /// Why a reader ended, found behind items that are still to be committed.
    broken: Option<Error>,
}

/// What a reader hands over at once.
enum Read<M> {
    /// Items with the room that they take.
    Items(Vec<Item<M>>, OwnedSemaphorePermit),
    /// Why it has ended.
    End(Error),
}

/// A queue for all readers of one shard. What one of them puts in comes out in its order.
pub(crate) fn queue<M>() -> (Inlet<M>, Ahead<M>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let inlet = Inlet {
        read: sender,
        room: Arc::new(Semaphore::new(READ_AHEAD_BYTES_MAX)),
    };
    let ahead = Ahead {
        read: receiver,
        left: VecDeque::new(),
        broken: None,
    };
    (inlet, ahead)
}

impl<M> Clone for Inlet<M> {
    fn clone(&self) -> Self {
        Self {
            read: self.read.clone(),
            room: Arc::clone(&self.room),
        }
    }
}

impl<M> Inlet<M> {
    /// Waits for room; the shard gets them together, or in two turns. `None` when it has gone.
    pub(crate) async fn put(&self, items: Vec<Item<M>>) -> Option<()> {
        let taken: usize = items
            .iter()
            .map(|item| item.record.size().max(ITEM_BYTES_MIN))
            .sum();
        // What is larger than the room takes all of it.
        let taken = u32::try_from(taken.min(READ_AHEAD_BYTES_MAX)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(taken);
        self.read.send(Read::Items(items, room.await.ok()?)).ok()
    }

    /// Tells why this reader has ended.
    pub(crate) fn end(&self, error: Error) {
        // A closed channel means that the shard has stopped already.
        let _ = self.read.send(Read::End(error));
    }
}

impl<M> Ahead<M> {
    /// Waits for what comes next, and takes what is there of it, up to the limits of a turn. Loses
    /// nothing if it is dropped.
    pub(crate) async fn next(&mut self) -> Result<Vec<Item<M>>, Error> {
        loop {
            if let Some(ready) = self.ready() {
                return ready;
            }
            match self.read.recv().await {
                Some(read) => self.receive(read),
                // Every reader has ended, each after reporting why; there is nothing left to say.
                None => return std::future::pending().await,
            }
        }
    }

    /// What is there already.
    pub(crate) fn ready(&mut self) -> Option<Result<Vec<Item<M>>, Error>> {
        let mut items = Vec::new();
        self.fill_up(&mut items);
        if items.is_empty() {
            return self.broken.take().map(Err);
        }
        Some(Ok(items))
    }

    /// Adds what is there to `items`, up to the limits of a turn: topic after topic, so that a turn
    /// decides in the order that its cursors' steps tell.
    pub(crate) fn fill_up(&mut self, items: &mut Vec<Item<M>>) {
        self.take(items);
        group(items);
    }

    fn take(&mut self, items: &mut Vec<Item<M>>) {
        let mut bytes: usize = items.iter().map(|item| item.record.size()).sum();
        while items.len() < TURN_RECORDS_MAX && bytes < TURN_BYTES_MAX {
            if let Some(item) = self.left.pop_front() {
                bytes += item.record.size();
                items.push(item);
                continue;
            }
            if self.broken.is_some() {
                return;
            }
            let Ok(read) = self.read.try_recv() else {
                return;
            };
            self.receive(read);
        }
    }

    fn receive(&mut self, read: Read<M>) {
        match read {
            Read::Items(items, _taken) => self.left.extend(items),
            Read::End(error) => self.broken = Some(error),
        }
    }
}

/// Brings the items of one topic together, in the order in which topics and items came.
fn group<M>(items: &mut [Item<M>]) {
    let mut topics: Vec<Arc<str>> = Vec::new();
    for item in &*items {
        if !topics.contains(&item.topic) {
            topics.push(Arc::clone(&item.topic));
        }
    }
    items.sort_by_key(|item| topics.iter().position(|topic| *topic == item.topic));
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::FutureExt;

    use super::*;
    use crate::clock::Timestamp;
    use crate::log::Record;
    use crate::runtime::item::Kind;
    use crate::store::RecordHash;

    fn items(offsets: std::ops::Range<i64>, bytes: usize) -> Vec<Item<()>> {
        let item = |offset| Item {
            topic: "t".into(),
            offset,
            hash: RecordHash([0; 16]),
            record: Record {
                key: None,
                value: Some(Bytes::from(vec![0; bytes])),
                headers: Vec::new(),
                timestamp: Timestamp(0),
            },
            kind: Kind::Ignored,
            traced: None,
        };
        offsets.map(item).collect()
    }

    fn put(inlet: &Inlet<()>, items: Vec<Item<()>>) -> bool {
        inlet.put(items).now_or_never().is_some()
    }

    fn take(ahead: &mut Ahead<()>) -> Vec<i64> {
        let taken = ahead.next().now_or_never().unwrap().unwrap();
        taken.iter().map(|item| item.offset).collect()
    }

    fn defect() -> Error {
        Error::Defect {
            what: "a reader".to_owned(),
        }
    }

    #[test]
    fn what_was_put_in_while_a_turn_went_on_is_the_next_batch() {
        let (inlet, mut ahead) = queue();
        for offsets in [0..2, 2..3, 3..5] {
            assert!(put(&inlet, items(offsets, 1)));
        }
        assert_eq!(take(&mut ahead), [0, 1, 2, 3, 4]);
        assert!(ahead.next().now_or_never().is_none());
    }

    #[test]
    fn a_batch_has_topic_after_topic_each_in_its_order() {
        let (inlet, mut ahead) = queue();
        for (topic, offset) in [("b", 0), ("a", 10), ("b", 1), ("a", 11)] {
            let mut items = items(offset..offset + 1, 1);
            items[0].topic = topic.into();
            assert!(put(&inlet, items));
        }
        assert_eq!(take(&mut ahead), [0, 1, 10, 11]);
    }

    #[test]
    fn a_turn_takes_no_more_than_its_limit_and_the_next_goes_on_from_there() {
        let (inlet, mut ahead) = queue();
        let limit = i64::try_from(TURN_RECORDS_MAX).unwrap();
        assert!(put(&inlet, items(0..limit - 1, 1)));
        let mut batch = ahead.ready().unwrap().unwrap();
        assert!(put(&inlet, items(limit - 1..limit + 2, 1)));
        ahead.fill_up(&mut batch);
        assert_eq!(batch.len(), TURN_RECORDS_MAX);
        assert_eq!(take(&mut ahead), [limit, limit + 1]);
    }

    #[test]
    fn a_turn_ends_with_the_record_that_makes_it_too_large() {
        let (inlet, mut ahead) = queue();
        assert!(put(&inlet, items(0..3, TURN_BYTES_MAX / 2)));
        assert_eq!(take(&mut ahead), [0, 1]);
        assert_eq!(take(&mut ahead), [2]);
    }

    #[test]
    fn readers_wait_while_a_turn_s_worth_of_records_waits() {
        let (inlet, mut ahead) = queue();
        let limit = i64::try_from(TURN_RECORDS_MAX).unwrap();
        assert!(put(&inlet, items(0..limit, 0)));
        assert!(!put(&inlet, items(limit..limit + 1, 0)));
        assert_eq!(take(&mut ahead).len(), TURN_RECORDS_MAX);
        assert!(put(&inlet, items(limit..limit + 1, 0)));
    }

    #[test]
    fn readers_wait_while_large_records_wait_and_one_larger_than_the_room_gets_in() {
        let (inlet, mut ahead) = queue();
        assert!(put(&inlet, items(0..1, 2 * READ_AHEAD_BYTES_MAX)));
        assert!(!put(&inlet, items(1..2, 1)));
        assert_eq!(take(&mut ahead), [0]);
        assert!(put(&inlet, items(1..2, 1)));
    }

    #[test]
    fn why_a_reader_ended_is_told_after_what_it_had_read() {
        let (inlet, mut ahead) = queue();
        assert!(put(&inlet, items(0..1, 1)));
        inlet.end(defect());
        assert!(put(&inlet.clone(), items(7..8, 1)));
        assert_eq!(take(&mut ahead), [0]);
        let told = ahead.next().now_or_never().unwrap();
        assert!(matches!(told, Err(Error::Defect { .. })));
        assert_eq!(take(&mut ahead), [7]);
    }

    #[test]
    fn a_reader_whose_shard_has_gone_is_told() {
        let (inlet, ahead) = queue();
        assert!(put(&inlet, items(0..1, READ_AHEAD_BYTES_MAX)));
        drop(ahead);
        assert_eq!(inlet.put(items(1..2, 1)).now_or_never(), Some(None));
    }
}
