//! A transaction on a context's rows.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, MutexGuard};

use tokio::time::Instant;

use super::database::{Database, State};
use super::locks::{Lock, TxId};
use super::refuse;
use super::rows::{Changes, Keyed, Row, View};
use crate::store::{Error, ErrorKind};

/// The last number of each numbering that [`Tx::next`] has given out.
pub(super) type Sequences = BTreeMap<&'static str, i64>;

/// One transaction, READ COMMITTED: each call is a statement of its own. A statement lets others
/// run before it, sees what is committed at that moment and what its own transaction has written,
/// and locks the rows that it writes until the transaction ends. Dropping the transaction undoes
/// it.
///
/// All calls fail with [`ErrorKind::Retry`] once the store has undone the transaction: it waited
/// too long for a row, rested too long while others waited for it, or was the youngest in a
/// deadlock.
pub struct Tx {
    database: Arc<Database>,
    id: TxId,
    changes: Changes,
}

impl Tx {
    pub(super) fn begin(database: &Arc<Database>) -> Self {
        Self {
            id: database.state().locks.begin(Instant::now()),
            database: Arc::clone(database),
            changes: Changes::default(),
        }
    }

    /// Reads rows of any tables in one statement, as a query with joins would.
    ///
    /// # Errors
    /// `read`'s, and the transaction's.
    pub async fn select<V>(
        &mut self,
        read: impl FnOnce(View<'_>) -> Result<V, Error> + Send,
    ) -> Result<V, Error> {
        let state = self.database.statement(self.id, "select").await?;
        read(View::new(&state.rows, &self.changes))
    }

    /// The row of `table` under `key`.
    ///
    /// # Errors
    /// [`ErrorKind::Fatal`] when it is not an `R`, and the transaction's.
    pub async fn get<R: Any + Send + Sync>(
        &mut self,
        table: &'static str,
        key: &[u8],
    ) -> Result<Option<Arc<R>>, Error> {
        self.select(|rows| rows.get(table, key)).await
    }

    /// All rows of `table` whose key begins with `prefix`, by key.
    ///
    /// # Errors
    /// [`ErrorKind::Fatal`] when one is not an `R`, and the transaction's.
    pub async fn scan<R: Any + Send + Sync>(
        &mut self,
        table: &'static str,
        prefix: &[u8],
    ) -> Result<Keyed<R>, Error> {
        self.select(|rows| rows.scan(table, prefix)).await
    }

    /// Locks the row of `table` under `key` until the transaction ends, whether it is there or
    /// not. What a later statement reads of it is nobody else's to change.
    ///
    /// # Errors
    /// The transaction's.
    pub async fn lock(&mut self, table: &'static str, key: &[u8]) -> Result<(), Error> {
        let row = [Lock::Row(table, key.to_vec())];
        self.database.lock(self.id, "lock", &row).await
    }

    /// Puts a row, in place of any under the same key.
    ///
    /// # Errors
    /// The transaction's.
    pub async fn put<R: Any + Send + Sync>(
        &mut self,
        table: &'static str,
        key: &[u8],
        row: R,
    ) -> Result<(), Error> {
        self.put_all(table, [(key.to_vec(), row)]).await
    }

    /// Puts rows, each in place of any under the same key.
    ///
    /// # Errors
    /// The transaction's.
    pub async fn put_all<R: Any + Send + Sync>(
        &mut self,
        table: &'static str,
        rows: impl IntoIterator<Item = (Vec<u8>, R)>,
    ) -> Result<(), Error> {
        self.write(table, "put", erased(rows), Clash::Replaces)
            .await
    }

    /// Puts rows where there are none.
    ///
    /// # Errors
    /// [`ErrorKind::Rejected`] when there is one, and the transaction's.
    pub async fn insert_all<R: Any + Send + Sync>(
        &mut self,
        table: &'static str,
        rows: impl IntoIterator<Item = (Vec<u8>, R)>,
    ) -> Result<(), Error> {
        self.write(table, "insert", erased(rows), Clash::Refuses)
            .await
    }

    /// Puts rows; where there is one it stays.
    ///
    /// # Errors
    /// The transaction's.
    pub async fn insert_missing<R: Any + Send + Sync>(
        &mut self,
        table: &'static str,
        rows: impl IntoIterator<Item = (Vec<u8>, R)>,
    ) -> Result<(), Error> {
        self.write(table, "insert", erased(rows), Clash::Keeps)
            .await
    }

    /// Removes the row under `key`, if there is one.
    ///
    /// # Errors
    /// The transaction's.
    pub async fn remove(&mut self, table: &'static str, key: &[u8]) -> Result<(), Error> {
        self.remove_all(table, [key.to_vec()]).await
    }

    /// Removes the rows under `keys`; keys without one are passed over.
    ///
    /// # Errors
    /// The transaction's.
    pub async fn remove_all(
        &mut self,
        table: &'static str,
        keys: impl IntoIterator<Item = Vec<u8>>,
    ) -> Result<(), Error> {
        let rows = keys.into_iter().map(|key| (key, None)).collect();
        self.write(table, "remove", rows, Clash::Replaces).await
    }

    /// The next `count` numbers of `sequence`, which begins at 1; returns the first. As a
    /// database's sequences do, it locks nothing and takes nothing back.
    ///
    /// # Errors
    /// The transaction's.
    pub async fn next(&mut self, sequence: &'static str, count: usize) -> Result<i64, Error> {
        let mut state = self.database.statement(self.id, "next").await?;
        let last = state.sequences.entry(sequence).or_default();
        let first = *last + 1;
        *last += i64::try_from(count).unwrap_or(i64::MAX);
        Ok(first)
    }

    /// Locks `wanted` in one statement.
    pub(super) async fn lock_all(
        &self,
        operation: &'static str,
        wanted: &[Lock],
    ) -> Result<(), Error> {
        self.database.lock(self.id, operation, wanted).await
    }

    /// A statement on the library's tables.
    pub(super) async fn statement(
        &self,
        operation: &'static str,
    ) -> Result<MutexGuard<'_, State>, Error> {
        self.database.statement(self.id, operation).await
    }

    pub(super) fn database(&self) -> &Arc<Database> {
        &self.database
    }

    pub(super) fn id(&self) -> TxId {
        self.id
    }

    pub(super) fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    async fn write(
        &mut self,
        table: &'static str,
        operation: &'static str,
        rows: Vec<(Vec<u8>, Option<Row>)>,
        clash: Clash,
    ) -> Result<(), Error> {
        if rows.is_empty() {
            return Ok(());
        }
        let wanted: Vec<_> = rows
            .iter()
            .map(|(key, _)| Lock::Row(table, key.clone()))
            .collect();
        self.lock_all(operation, &wanted).await?;
        let state = self.database.state();
        for (key, row) in rows {
            if clash != Clash::Replaces && View::new(&state.rows, &self.changes).has(table, &key) {
                if clash == Clash::Keeps {
                    continue;
                }
                let key = String::from_utf8_lossy(&key).into_owned();
                let detail = format!("{table} has a row {key:?} already");
                return refuse(ErrorKind::Rejected, operation, detail);
            }
            self.changes.set(table, key, row);
        }
        Ok(())
    }
}

/// What becomes of a row under the key of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clash {
    Replaces,
    Refuses,
    Keeps,
}

fn erased<R: Any + Send + Sync>(
    rows: impl IntoIterator<Item = (Vec<u8>, R)>,
) -> Vec<(Vec<u8>, Option<Row>)> {
    rows.into_iter()
        .map(|(key, row)| (key, Some(Arc::new(row) as Row)))
        .collect()
}

impl Drop for Tx {
    fn drop(&mut self) {
        self.database.state().locks.end(self.id, Instant::now());
    }
}

impl fmt::Debug for Tx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tx")
            .field("id", &self.id)
            .field("changes", &self.changes)
            .finish_non_exhaustive()
    }
}
