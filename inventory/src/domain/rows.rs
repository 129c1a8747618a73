//! Rows of a working set: as they were loaded, and as they are now.

use std::collections::BTreeMap;

/// A fact that was asked for is not part of the loaded state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {id} is not part of the loaded state")]
pub struct NotLoaded {
    /// The kind of fact.
    pub what: &'static str,
    /// Whose.
    pub id: String,
}

/// The loaded rows of one table, with their changes. "Loaded and absent" and "not loaded" are
/// different things.
#[derive(Clone, Debug)]
pub struct Rows<K, V> {
    what: &'static str,
    rows: BTreeMap<K, Row<V>>,
}

#[derive(Clone, Debug)]
struct Row<V> {
    stored: Option<V>,
    now: Option<V>,
}

impl<K: Ord + Clone + ToString, V: Clone + PartialEq> Rows<K, V> {
    /// Nothing loaded of the table that holds `what`.
    #[must_use]
    pub fn new(what: &'static str) -> Self {
        Self {
            what,
            rows: BTreeMap::new(),
        }
    }

    /// Takes a row in as the database has it. A row that is here already stays, with its changes.
    pub fn load(&mut self, key: K, stored: Option<V>) {
        self.rows.entry(key).or_insert_with(|| Row {
            now: stored.clone(),
            stored,
        });
    }

    /// Whether the row is loaded, present or not.
    #[must_use]
    pub fn is_loaded(&self, key: &K) -> bool {
        self.rows.contains_key(key)
    }

    /// The row as it is now.
    ///
    /// # Errors
    /// When it was not loaded.
    pub fn get(&self, key: &K) -> Result<Option<&V>, NotLoaded> {
        match self.rows.get(key) {
            Some(row) => Ok(row.now.as_ref()),
            None => Err(NotLoaded {
                what: self.what,
                id: key.to_string(),
            }),
        }
    }

    /// Writes a row of the working set.
    pub fn put(&mut self, key: K, value: V) {
        match self.rows.get_mut(&key) {
            Some(row) => row.now = Some(value),
            None => {
                self.rows.insert(
                    key,
                    Row {
                        stored: None,
                        now: Some(value),
                    },
                );
            }
        }
    }

    /// Rows that are not as they were loaded: key, as loaded, as they are now.
    pub fn changed(&self) -> impl Iterator<Item = (&K, Option<&V>, &V)> {
        self.rows.iter().filter_map(|(key, row)| {
            let now = row.now.as_ref()?;
            (row.stored.as_ref() != Some(now)).then_some((key, row.stored.as_ref(), now))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_is_known_and_not_loaded_is_not() {
        let mut rows: Rows<String, i64> = Rows::new("stock of");
        rows.load("A".to_owned(), None);
        assert_eq!(rows.get(&"A".to_owned()), Ok(None));
        assert_eq!(
            rows.get(&"B".to_owned()).unwrap_err().to_string(),
            "stock of B is not part of the loaded state"
        );
    }

    #[test]
    fn a_row_changed_and_changed_back_is_not_changed() {
        let mut rows: Rows<String, i64> = Rows::new("stock of");
        rows.load("A".to_owned(), Some(1));
        rows.put("A".to_owned(), 2);
        assert_eq!(rows.changed().count(), 1);
        rows.put("A".to_owned(), 1);
        assert_eq!(rows.changed().count(), 0);
    }

    #[test]
    fn loading_again_keeps_a_change() {
        let mut rows: Rows<String, i64> = Rows::new("stock of");
        rows.load("A".to_owned(), Some(1));
        rows.put("A".to_owned(), 2);
        rows.load("A".to_owned(), Some(1));
        assert_eq!(rows.get(&"A".to_owned()), Ok(Some(&2)));
    }
}
