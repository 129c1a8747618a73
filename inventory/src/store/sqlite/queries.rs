//! Queries on committed stock, through the read connections.

use async_trait::async_trait;
use messaging::store::Error;
use messaging::store::sqlite;
use sqlx::SqlitePool;

use super::read::stock_of;
use crate::domain::ids::ProductId;
use crate::domain::stock::Stock;
use crate::store::{BOOK, Queries};

/// Queries on a SQLite store.
#[derive(Clone, Debug)]
pub struct SqliteQueries {
    reader: SqlitePool,
}

impl SqliteQueries {
    /// Queries over the store's read connections.
    #[must_use]
    pub fn new(reader: SqlitePool) -> Self {
        Self { reader }
    }
}

#[async_trait]
impl Queries for SqliteQueries {
    async fn stock(&self, product_id: &str) -> Result<Option<Stock>, Error> {
        let row = sqlx::query_as(
            "SELECT product_id, on_hand, reserved, version FROM stock
             WHERE book = $1 AND product_id = $2",
        )
        .bind(BOOK)
        .bind(product_id)
        .fetch_optional(&self.reader)
        .await
        .map_err(|source| sqlite::error("query stock", source))?;
        Ok(row.map(|row| stock_of(row).1))
    }

    async fn page(&self, after: &str, limit: u32) -> Result<Vec<(ProductId, Stock)>, Error> {
        let rows: Vec<_> = sqlx::query_as(
            "SELECT product_id, on_hand, reserved, version FROM stock
             WHERE book = $1 AND product_id > $2 ORDER BY product_id LIMIT $3",
        )
        .bind(BOOK)
        .bind(after)
        .bind(limit)
        .fetch_all(&self.reader)
        .await
        .map_err(|source| sqlite::error("query stock page", source))?;
        Ok(rows.into_iter().map(stock_of).collect())
    }
}
