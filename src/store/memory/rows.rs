//! A context's rows: typed, by table and key.

use std::any::Any;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::refuse;
use crate::store::{Error, ErrorKind};

/// A row of any type; whoever reads it knows which.
pub type Row = Arc<dyn Any + Send + Sync>;

/// Rows of one table with their keys, by key.
pub type Keyed<R> = Vec<(Vec<u8>, Arc<R>)>;

/// A row as a transaction found it and leaves it.
#[derive(Clone, Debug)]
pub struct RowChange {
    /// The table.
    pub table: &'static str,
    /// The row's key.
    pub key: Vec<u8>,
    /// The row before; `None` if there was none.
    pub before: Option<Row>,
    /// The row after; `None` if it was removed.
    pub after: Option<Row>,
}

/// What is committed.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows(BTreeMap<&'static str, BTreeMap<Vec<u8>, Row>>);

impl Rows {
    /// Makes `changes` the committed state; says what they were.
    pub(super) fn apply(&mut self, changes: Changes) -> Vec<RowChange> {
        let mut applied = Vec::new();
        for (table, changes) in changes.0 {
            let rows = self.0.entry(table).or_default();
            for (key, after) in changes {
                let before = match &after {
                    Some(row) => rows.insert(key.clone(), Arc::clone(row)),
                    None => rows.remove(&key),
                };
                applied.push(RowChange {
                    table,
                    key,
                    before,
                    after,
                });
            }
        }
        applied
    }
}

/// What one transaction has written: rows put, and `None` for rows removed.
#[derive(Debug, Default)]
pub(super) struct Changes(BTreeMap<&'static str, BTreeMap<Vec<u8>, Option<Row>>>);

impl Changes {
    pub(super) fn set(&mut self, table: &'static str, key: Vec<u8>, row: Option<Row>) {
        self.0.entry(table).or_default().insert(key, row);
    }
}

/// The rows as one statement sees them: what is committed, under what its transaction has written.
#[derive(Clone, Copy, Debug)]
pub struct View<'v> {
    committed: &'v Rows,
    changes: &'v Changes,
}

impl<'v> View<'v> {
    pub(super) fn new(committed: &'v Rows, changes: &'v Changes) -> Self {
        Self { committed, changes }
    }

    /// Whether `table` has a row under `key`.
    #[must_use]
    pub fn has(&self, table: &str, key: &[u8]) -> bool {
        self.row(table, key).is_some()
    }

    /// The row of `table` under `key`.
    ///
    /// # Errors
    /// [`ErrorKind::Fatal`] when it is not an `R`.
    pub fn get<R: Any + Send + Sync>(
        &self,
        table: &'static str,
        key: &[u8],
    ) -> Result<Option<Arc<R>>, Error> {
        self.row(table, key)
            .map(|row| typed(table, row))
            .transpose()
    }

    /// All rows of `table` whose key begins with `prefix`, by key.
    ///
    /// # Errors
    /// [`ErrorKind::Fatal`] when one of them is not an `R`.
    pub fn scan<R: Any + Send + Sync>(
        &self,
        table: &'static str,
        prefix: &[u8],
    ) -> Result<Keyed<R>, Error> {
        let mut rows: BTreeMap<&[u8], &Row> = self
            .committed
            .0
            .get(table)
            .map(|rows| within(rows, prefix).collect())
            .unwrap_or_default();
        if let Some(changes) = self.changes.0.get(table) {
            for (key, change) in within(changes, prefix) {
                match change {
                    Some(row) => rows.insert(key, row),
                    None => rows.remove(key),
                };
            }
        }
        rows.into_iter()
            .map(|(key, row)| Ok((key.to_vec(), typed(table, row)?)))
            .collect()
    }

    fn row(&self, table: &str, key: &[u8]) -> Option<&'v Row> {
        let changed = self.changes.0.get(table).and_then(|rows| rows.get(key));
        match changed {
            Some(change) => change.as_ref(),
            None => self.committed.0.get(table)?.get(key),
        }
    }
}

fn within<'r, V>(
    rows: &'r BTreeMap<Vec<u8>, V>,
    prefix: &[u8],
) -> impl Iterator<Item = (&'r [u8], &'r V)> {
    rows.range::<[u8], _>((Bound::Included(prefix), Bound::Unbounded))
        .take_while(move |(key, _)| key.starts_with(prefix))
        .map(|(key, row)| (key.as_slice(), row))
}

fn typed<R: Any + Send + Sync>(table: &'static str, row: &Row) -> Result<Arc<R>, Error> {
    match Arc::clone(row).downcast() {
        Ok(row) => Ok(row),
        Err(_) => {
            let detail = format!(
                "a row of {table} is not a {}: write and read it as one type",
                std::any::type_name::<R>()
            );
            refuse(ErrorKind::Fatal, "read", detail)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(rows: &[(&'static str, &str, Option<i64>)]) -> Changes {
        let mut changes = Changes::default();
        for (table, key, row) in rows {
            let row = row.map(|row| Arc::new(row) as Row);
            changes.set(table, key.as_bytes().to_vec(), row);
        }
        changes
    }

    fn scanned(view: View<'_>, prefix: &str) -> Vec<(String, i64)> {
        view.scan::<i64>("t", prefix.as_bytes())
            .unwrap()
            .into_iter()
            .map(|(key, row)| (String::from_utf8(key).unwrap(), *row))
            .collect()
    }

    #[test]
    fn a_transaction_sees_its_own_changes_over_what_is_committed() {
        let mut committed = Rows::default();
        let old = [
            ("s", "a1"),
            ("t", "a1"),
            ("t", "a2"),
            ("t", "b1"),
            ("u", "a1"),
        ];
        committed.apply(changes(&old.map(|(table, key)| (table, key, Some(1)))));
        let own = changes(&[
            ("t", "a2", Some(2)),
            ("t", "a3", Some(2)),
            ("t", "a1", None),
        ]);
        let view = View::new(&committed, &own);
        let pair = |key: &str, row| (key.to_owned(), row);
        assert_eq!(scanned(view, "a"), [pair("a2", 2), pair("a3", 2)]);
        assert_eq!(scanned(view, "").len(), 3);
        assert_eq!(view.get::<i64>("t", b"a1").unwrap(), None);
        assert_eq!(view.get::<i64>("t", b"a3").unwrap().as_deref(), Some(&2));
        assert_eq!(view.get::<i64>("t", b"b1").unwrap().as_deref(), Some(&1));

        // Nobody else sees them.
        let none = Changes::default();
        let other = View::new(&committed, &none);
        assert_eq!(scanned(other, "a"), [pair("a1", 1), pair("a2", 1)]);
    }

    #[test]
    fn a_row_read_as_another_type_is_an_error() {
        let mut committed = Rows::default();
        committed.apply(changes(&[("t", "a", Some(1))]));
        let none = Changes::default();
        let view = View::new(&committed, &none);
        let error = view.get::<String>("t", b"a").unwrap_err();
        assert_eq!(error.kind, ErrorKind::Fatal);
        assert!(view.scan::<String>("t", b"").is_err());
    }

    #[test]
    fn a_commit_tells_what_each_row_was() {
        let mut committed = Rows::default();
        committed.apply(changes(&[("t", "a", Some(1)), ("t", "b", Some(1))]));
        let applied = committed.apply(changes(&[
            ("t", "a", Some(2)),
            ("t", "b", None),
            ("t", "c", Some(3)),
        ]));
        let number =
            |row: &Option<Row>| row.as_ref().map(|row| *row.downcast_ref::<i64>().unwrap());
        let told: Vec<_> = applied
            .iter()
            .map(|change| (number(&change.before), number(&change.after)))
            .collect();
        assert_eq!(told, [(Some(1), Some(2)), (Some(1), None), (None, Some(3))]);
    }
}
