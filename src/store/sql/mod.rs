//! What the adapters over SQL databases share: everything that is no dialect.

pub(super) mod library;
pub(super) mod migrations;
pub(super) mod numbering;
pub(super) mod outcome;
mod row;

pub use row::{Exact, Get, SqlRow};

use serde::Serialize;

/// `items` as a JSON array.
#[must_use]
#[expect(
    clippy::expect_used,
    reason = "keys are strings, numbers and tuples of them, and JSON holds all of these"
)]
pub fn json<T: Serialize>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<T> = items.into_iter().collect();
    serde_json::to_string(&items).expect("keys are strings and numbers")
}

#[cfg(test)]
mod tests {
    use super::json;

    #[test]
    fn keys_travel_as_json() {
        assert_eq!(json(["a\"b", "c"]), r#"["a\"b","c"]"#);
        assert_eq!(json([("a", 1)]), r#"[["a",1]]"#);
    }
}
