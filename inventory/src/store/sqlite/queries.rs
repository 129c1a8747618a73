//! Queries on committed stock, through the read connections.

use async_trait::async_trait;
use messaging::store::Error;
use messaging::store::sqlite::{self, bulk};
use sqlx::SqlitePool;

use super::read::{columns, lines};
use crate::domain::ids::ProductId;
use crate::domain::reservation::Reservation;
use crate::domain::stock::Stock;
use crate::store::row::{self, stock_of};
use crate::store::{BOOK, Export, Placed, Queries};

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

#[async_trait]
impl Export for SqliteQueries {
    async fn after(&self, after: &str, limit: usize) -> Result<Vec<Reservation>, Error> {
        let failed = |source| sqlite::error("export reservations", source);
        let rows = sqlx::query(concat!(
            "SELECT ",
            columns!(),
            " FROM (SELECT * FROM reservation WHERE order_id > $1 ORDER BY order_id LIMIT $2)
                  AS reservation ",
            lines!()
        ))
        .bind(after)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&self.reader)
        .await
        .map_err(failed)?;
        row::reservations(&rows).map_err(failed)
    }

    async fn of(&self, order_ids: &[String]) -> Result<Vec<Placed>, Error> {
        let failed = |source| sqlite::error("export named reservations", source);
        let rows = sqlx::query(concat!(
            "SELECT ",
            columns!(),
            ", (SELECT count(*) FROM waiter AS ahead
                WHERE ahead.book = waiter.book AND ahead.product_id = waiter.product_id
                  AND ahead.position <= waiter.position) AS place
             FROM json_each($1) AS wanted
             CROSS JOIN reservation ON reservation.order_id = wanted.value ",
            lines!(),
            " ORDER BY line.value ->> 0"
        ))
        .bind(bulk::json(order_ids))
        .fetch_all(&self.reader)
        .await
        .map_err(failed)?;
        row::placed(&rows).map_err(failed)
    }
}
