//! Bulk reads: one statement each, all keys in one parameter.

use messaging::clock::Timestamp;
use messaging::store::Error;
use messaging::store::sqlite::{self, bulk};

use super::{SqliteBook, write};
use crate::domain::book::Counters;
use crate::domain::changes::Changes;
use crate::domain::ids::{OrderId, ProductId, ReceiptId};
use crate::domain::marks::Mark;
use crate::domain::receive::Receipt;
use crate::domain::reservation::Reservation;
use crate::domain::stock::Stock;
use crate::store::row::{self, counters_of, deadline_of, mark_of, receipt_of, stock_of, waiter_of};
use crate::store::{BOOK, BookTables};

/// The columns of a reservation, one line and whether it waits.
macro_rules! columns {
    () => {
        "reservation.*, line.value ->> 0 AS product_id, line.value ->> 1 AS quantity,
         waiter.position IS NOT NULL AS waits"
    };
}
pub(super) use columns;

/// The lines of a reservation, and the queues that they wait in.
macro_rules! lines {
    () => {
        "CROSS JOIN json_each(reservation.lines) AS line
         LEFT JOIN waiter ON waiter.book = reservation.book
                         AND waiter.product_id = line.value ->> 0
                         AND waiter.position = reservation.position"
    };
}
pub(super) use lines;

impl BookTables for SqliteBook<'_> {
    /// The transaction holds the file's one writer lock since it began, so reading is enough; it
    /// stands in a statement of its own as it must where the lock is the row's.
    async fn lock(&mut self) -> Result<Counters, Error> {
        let row = sqlx::query_as(
            "SELECT next_position, next_fulfilment, next_mark, next_deadline
             FROM stock_book WHERE book = $1",
        )
        .bind(BOOK)
        .fetch_one(&mut *self.0)
        .await
        .map_err(|source| sqlite::error("lock stock book", source))?;
        Ok(counters_of(row))
    }

    async fn receipts(&mut self, ids: &[ReceiptId]) -> Result<Vec<Receipt>, Error> {
        let rows: Vec<_> = sqlx::query_as(
            "SELECT receipt_id, product_id, quantity FROM json_each($1) AS wanted
             CROSS JOIN receipt ON receipt_id = wanted.value",
        )
        .bind(bulk::json(ids.iter().map(ReceiptId::as_str)))
        .fetch_all(&mut *self.0)
        .await
        .map_err(|source| sqlite::error("load receipts", source))?;
        Ok(rows.into_iter().map(receipt_of).collect())
    }

    async fn reservations(&mut self, orders: &[OrderId]) -> Result<Vec<Reservation>, Error> {
        let rows = sqlx::query(concat!(
            "SELECT ",
            columns!(),
            " FROM json_each($1) AS wanted
             CROSS JOIN reservation ON reservation.order_id = wanted.value ",
            lines!()
        ))
        .bind(bulk::json(orders.iter().map(OrderId::as_str)))
        .fetch_all(&mut *self.0)
        .await
        .map_err(|source| sqlite::error("load reservations", source))?;
        row::reservations(&rows).map_err(|source| sqlite::error("load reservations", source))
    }

    async fn stock(&mut self, products: &[ProductId]) -> Result<Vec<(ProductId, Stock)>, Error> {
        let rows: Vec<_> = sqlx::query_as(
            "SELECT product_id, on_hand, reserved, version FROM json_each($1) AS wanted
             CROSS JOIN stock ON book = $2 AND product_id = wanted.value",
        )
        .bind(bulk::json(products.iter().map(ProductId::as_str)))
        .bind(BOOK)
        .fetch_all(&mut *self.0)
        .await
        .map_err(|source| sqlite::error("load stock", source))?;
        Ok(rows.into_iter().map(stock_of).collect())
    }

    async fn queues(
        &mut self,
        products: &[ProductId],
        places: usize,
    ) -> Result<Vec<(ProductId, i64, OrderId)>, Error> {
        let last = i64::try_from(places.saturating_sub(1)).unwrap_or(i64::MAX);
        let rows: Vec<_> = sqlx::query_as(
            "SELECT waiter.product_id, waiter.position, waiter.order_id
             FROM json_each($1) AS wanted
             CROSS JOIN waiter ON waiter.book = $2 AND waiter.product_id = wanted.value
                AND waiter.position <= coalesce(
                    (SELECT last.position FROM waiter AS last
                     WHERE last.book = $2 AND last.product_id = wanted.value
                     ORDER BY last.position LIMIT 1 OFFSET $3),
                    9223372036854775807)",
        )
        .bind(bulk::json(products.iter().map(ProductId::as_str)))
        .bind(BOOK)
        .bind(last)
        .fetch_all(&mut *self.0)
        .await
        .map_err(|source| sqlite::error("load queues", source))?;
        Ok(rows.into_iter().map(waiter_of).collect())
    }

    async fn marks(&mut self, limit: usize) -> Result<Vec<(ProductId, Mark)>, Error> {
        let rows: Vec<_> = sqlx::query_as(
            "SELECT product_id, sequence, causation_id FROM fulfilment_mark
             WHERE book = $1 ORDER BY sequence LIMIT $2",
        )
        .bind(BOOK)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&mut *self.0)
        .await
        .map_err(|source| sqlite::error("load marks", source))?;
        Ok(rows.into_iter().map(mark_of).collect())
    }

    async fn deadlines(&mut self, limit: usize) -> Result<Vec<(Timestamp, OrderId)>, Error> {
        let rows: Vec<_> = sqlx::query_as(
            "SELECT reserve_by, order_id FROM reservation
             WHERE book = $1 AND status = 'WAITING' AND reserve_by IS NOT NULL
             ORDER BY reserve_by, order_id LIMIT $2",
        )
        .bind(BOOK)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&mut *self.0)
        .await
        .map_err(|source| sqlite::error("load deadlines", source))?;
        Ok(rows.into_iter().map(deadline_of).collect())
    }

    async fn write(&mut self, changes: &Changes<'_>) -> Result<(), Error> {
        write::write(self.0, changes).await
    }
}
