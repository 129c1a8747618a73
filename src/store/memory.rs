//! The store in memory: the same promises until the process ends.
//!
//! One turn at a time, whatever its shard; a turn's changes lie over the committed state until it
//! commits, so reading beside it sees committed state only, and dropping it undoes it. It does not
//! model row locks or failures: what goes wrong between two writers cannot be found here.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{
    Action, AggregateKey, Claimed, Conflict, Cursor, Effects, Error, ErrorKind, InboxKey,
    OutboxRow, Parked, ParkedLevel, ParkedRow, Seen, Sequence, Store, Tables, Target, Turn,
};
use crate::context::Context;
use crate::shard::{Epoch, ShardId};

mod library;
mod operations;

use library::Library;

/// A store in memory, with the context's own tables `T`.
#[derive(Debug)]
pub struct MemoryStore<T> {
    committed: Arc<Mutex<Committed>>,
    writer: tokio::sync::Mutex<()>,
    tables: T,
}

#[derive(Debug, Default)]
struct Committed {
    library: Library,
    rows: Rows,
}

/// A context's rows by table and key.
type Rows = BTreeMap<(&'static str, Vec<u8>), Vec<u8>>;

impl<T> MemoryStore<T> {
    /// An empty store.
    #[must_use]
    pub fn new(tables: T) -> Self {
        Self {
            committed: Arc::default(),
            writer: tokio::sync::Mutex::default(),
            tables,
        }
    }

    /// A view of what is committed when it is read, for queries.
    #[must_use]
    pub fn reader(&self) -> Tx {
        Tx {
            committed: Arc::clone(&self.committed),
            changes: BTreeMap::new(),
        }
    }

    /// Messages set aside, in log order per shard and topic.
    #[must_use]
    pub fn parked(&self) -> Vec<Parked> {
        lock(&self.committed).library.parked()
    }

    /// Conflicts recorded, in log order per shard and topic.
    #[must_use]
    pub fn conflicts(&self) -> Vec<Conflict> {
        lock(&self.committed).library.conflicts()
    }
}

/// A context's rows as one transaction sees them: what is committed, and its own changes over it.
#[derive(Debug)]
pub struct Tx {
    committed: Arc<Mutex<Committed>>,
    /// Rows put, and `None` for rows removed.
    changes: BTreeMap<(&'static str, Vec<u8>), Option<Vec<u8>>>,
}

impl Tx {
    /// The row of `table` under `key`.
    #[must_use]
    pub fn get(&self, table: &'static str, key: &[u8]) -> Option<Vec<u8>> {
        let place = (table, key.to_vec());
        match self.changes.get(&place) {
            Some(changed) => changed.clone(),
            None => lock(&self.committed).rows.get(&place).cloned(),
        }
    }

    /// All rows of `table` whose key begins with `prefix`, by key.
    #[must_use]
    pub fn scan(&self, table: &'static str, prefix: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let from = (Bound::Included((table, prefix.to_vec())), Bound::Unbounded);
        let within =
            |place: &(&'static str, Vec<u8>)| place.0 == table && place.1.starts_with(prefix);
        let mut rows: BTreeMap<Vec<u8>, Vec<u8>> = lock(&self.committed)
            .rows
            .range(from.clone())
            .take_while(|(place, _)| within(place))
            .map(|((_, key), row)| (key.clone(), row.clone()))
            .collect();
        let changes = self.changes.range(from);
        for ((_, key), change) in changes.take_while(|(place, _)| within(place)) {
            match change {
                Some(row) => rows.insert(key.clone(), row.clone()),
                None => rows.remove(key),
            };
        }
        rows.into_iter().collect()
    }

    /// Puts a row, in place of any under the same key.
    pub fn put(&mut self, table: &'static str, key: &[u8], row: Vec<u8>) {
        self.changes.insert((table, key.to_vec()), Some(row));
    }

    /// Removes the row under `key`, if there is one.
    pub fn remove(&mut self, table: &'static str, key: &[u8]) {
        self.changes.insert((table, key.to_vec()), None);
    }
}

/// A turn of [`MemoryStore`]. Dropping it undoes it.
#[derive(Debug)]
pub struct MemoryTurn<'s, T> {
    tx: Tx,
    tables: &'s T,
    shard: ShardId,
    _writer: tokio::sync::MutexGuard<'s, ()>,
}

impl<C: Context, T: Tables<C, Tx>> Store<C> for MemoryStore<T> {
    type Turn<'s>
        = MemoryTurn<'s, T>
    where
        Self: 's;

    async fn agree_on_partitions(&self, partitions: i32) -> Result<i32, Error> {
        let _writer = self.writer.lock().await;
        Ok(lock(&self.committed)
            .library
            .agree_on_partitions(partitions))
    }

    async fn claim(&self, shard: ShardId, epoch: Epoch) -> Result<Claimed, Error> {
        let _writer = self.writer.lock().await;
        lock(&self.committed).library.claim(shard, epoch)
    }

    async fn begin(&self, shard: ShardId, epoch: Epoch) -> Result<MemoryTurn<'_, T>, Error> {
        let writer = self.writer.lock().await;
        lock(&self.committed).library.prove(shard, epoch)?;
        Ok(MemoryTurn {
            tx: self.reader(),
            tables: &self.tables,
            shard,
            _writer: writer,
        })
    }

    async fn outbox(
        &self,
        partition: i32,
        from: Sequence,
        bytes_max: usize,
    ) -> Result<Vec<OutboxRow>, Error> {
        Ok(lock(&self.committed)
            .library
            .outbox(partition, from, bytes_max))
    }

    async fn actions(&self, shard: ShardId) -> Result<Vec<Action>, Error> {
        Ok(lock(&self.committed).library.trail().open_actions(shard))
    }

    async fn parked_of(
        &self,
        shard: ShardId,
        target: &Target,
        limit: usize,
    ) -> Result<Vec<ParkedRow>, Error> {
        let committed = lock(&self.committed);
        Ok(committed.library.trail().parked_of(shard, target, limit))
    }

    async fn parked_level(&self, shard: ShardId) -> Result<ParkedLevel, Error> {
        Ok(lock(&self.committed).library.trail().level(shard))
    }
}

impl<C: Context, T: Tables<C, Tx>> Turn<C> for MemoryTurn<'_, T> {
    async fn cursors(&mut self) -> Result<Vec<Cursor>, Error> {
        Ok(lock(&self.tx.committed).library.cursors(self.shard))
    }

    async fn seen(
        &mut self,
        inbox: &[InboxKey],
        aggregates: &[AggregateKey],
    ) -> Result<Seen, Error> {
        let committed = lock(&self.tx.committed);
        Ok(committed.library.seen(self.shard, inbox, aggregates))
    }

    async fn load(&mut self, messages: &[&C::Message]) -> Result<C::State, Error> {
        self.tables.load(&mut self.tx, messages).await
    }

    async fn load_follow_up(&mut self, state: &mut C::State) -> Result<(), Error> {
        self.tables.load_follow_up(&mut self.tx, state).await
    }

    async fn commit(
        mut self,
        state: Option<&C::State>,
        effects: Effects,
    ) -> Result<Vec<OutboxRow>, Error> {
        if let Some(state) = state {
            self.tables.save(&mut self.tx, state).await?;
        }
        let mut committed = lock(&self.tx.committed);
        let rows = committed.library.apply(self.shard, effects)?;
        for (place, change) in self.tx.changes {
            match change {
                Some(row) => committed.rows.insert(place, row),
                None => committed.rows.remove(&place),
            };
        }
        Ok(rows)
    }

    async fn rehearse(mut self, state: Option<&C::State>, effects: Effects) -> Result<(), Error> {
        if let Some(state) = state {
            self.tables.save(&mut self.tx, state).await?;
        }
        lock(&self.tx.committed).library.check(self.shard, &effects)
    }
}

fn lock(committed: &Mutex<Committed>) -> MutexGuard<'_, Committed> {
    committed.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An error of `kind`, as a database would give it.
fn refuse<V>(kind: ErrorKind, operation: &'static str, detail: String) -> Result<V, Error> {
    Err(Error::new(kind, operation, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(tx: &Tx, prefix: &str) -> Vec<(String, String)> {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        tx.scan("t", prefix.as_bytes())
            .into_iter()
            .map(|(key, row)| (text(key), text(row)))
            .collect()
    }

    fn pair(key: &str, row: &str) -> (String, String) {
        (key.to_owned(), row.to_owned())
    }

    #[test]
    fn a_transaction_sees_its_own_changes_over_what_is_committed() {
        let store = MemoryStore::new(());
        for (table, key) in [
            ("s", "a1"),
            ("t", "a1"),
            ("t", "a2"),
            ("t", "b1"),
            ("u", "a1"),
        ] {
            let place = (table, key.as_bytes().to_vec());
            lock(&store.committed).rows.insert(place, b"old".to_vec());
        }
        let mut tx = store.reader();
        tx.put("t", b"a2", b"new".to_vec());
        tx.put("t", b"a3", b"new".to_vec());
        tx.remove("t", b"a1");
        assert_eq!(rows(&tx, "a"), [pair("a2", "new"), pair("a3", "new")]);
        assert_eq!(rows(&tx, "").len(), 3);
        assert_eq!(tx.get("t", b"a1"), None);
        assert_eq!(tx.get("t", b"a3"), Some(b"new".to_vec()));
        assert_eq!(tx.get("t", b"b1"), Some(b"old".to_vec()));

        // Nobody else sees them.
        let other = store.reader();
        assert_eq!(rows(&other, "a"), [pair("a1", "old"), pair("a2", "old")]);
    }
}
