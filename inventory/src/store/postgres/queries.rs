//! Queries on committed stock, through the read connections.

use async_trait::async_trait;
use messaging::store::Error;
use messaging::store::postgres::{bounded, error};
use sqlx::PgPool;

use super::read::{columns, lines};
use crate::domain::ids::ProductId;
use crate::domain::reservation::Reservation;
use crate::domain::stock::Stock;
use crate::store::row::{self, stock_of};
use crate::store::{BOOK, Export, Placed, Queries};

/// Queries on a Postgres store.
#[derive(Clone, Debug)]
pub struct PostgresQueries {
    reader: PgPool,
}

impl PostgresQueries {
    /// Queries over the store's read connections.
    #[must_use]
    pub fn new(reader: PgPool) -> Self {
        Self { reader }
    }
}

#[async_trait]
impl Queries for PostgresQueries {
    async fn stock(&self, product_id: &str) -> Result<Option<Stock>, Error> {
        let query = sqlx::query_as(
            "SELECT product_id, on_hand, reserved, version FROM stock
             WHERE book = $1 AND product_id = $2",
        )
        .bind(BOOK)
        .bind(product_id);
        let row = bounded("query stock", query.fetch_optional(&self.reader)).await?;
        Ok(row.map(|row| stock_of(row).1))
    }

    async fn page(&self, after: &str, limit: u32) -> Result<Vec<(ProductId, Stock)>, Error> {
        let query = sqlx::query_as(
            "SELECT product_id, on_hand, reserved, version FROM stock
             WHERE book = $1 AND product_id > $2 ORDER BY product_id LIMIT $3",
        )
        .bind(BOOK)
        .bind(after)
        .bind(i64::from(limit));
        let rows: Vec<_> = bounded("query stock page", query.fetch_all(&self.reader)).await?;
        Ok(rows.into_iter().map(stock_of).collect())
    }
}

#[async_trait]
impl Export for PostgresQueries {
    async fn after(&self, after: &str, limit: usize) -> Result<Vec<Reservation>, Error> {
        const OPERATION: &str = "export reservations";
        let query = sqlx::query(concat!(
            "SELECT ",
            columns!(),
            " FROM (SELECT * FROM reservation WHERE order_id > $1 ORDER BY order_id LIMIT $2)
                  AS reservation ",
            lines!()
        ))
        .bind(after)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX));
        let rows = bounded(OPERATION, query.fetch_all(&self.reader)).await?;
        row::reservations(&rows).map_err(|source| error(OPERATION, source))
    }

    async fn of(&self, order_ids: &[String]) -> Result<Vec<Placed>, Error> {
        const OPERATION: &str = "export named reservations";
        let query = sqlx::query(concat!(
            "SELECT ",
            columns!(),
            ", (SELECT count(*) FROM waiter AS ahead
                WHERE ahead.book = waiter.book AND ahead.product_id = waiter.product_id
                  AND ahead.position <= waiter.position) AS place
             FROM reservation ",
            lines!(),
            " WHERE reservation.order_id = ANY($1) ORDER BY line.product_id"
        ))
        .bind(order_ids);
        let rows = bounded(OPERATION, query.fetch_all(&self.reader)).await?;
        row::placed(&rows).map_err(|source| error(OPERATION, source))
    }
}
