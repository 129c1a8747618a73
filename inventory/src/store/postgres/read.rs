//! Bulk reads: one statement each, all keys in one parameter.

use messaging::clock::Timestamp;
use messaging::store::Error;
use messaging::store::postgres::bulk::column;
use messaging::store::postgres::error;

use super::{PostgresBook, write};
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
        "reservation.order_id, reservation.order_version, reservation.version, reservation.status,
         reservation.position, reservation.fulfilment, reservation.correlation_id,
         reservation.traceparent, reservation.reserve_by, line.product_id, line.quantity,
         waiter.position IS NOT NULL AS waits"
    };
}
pub(super) use columns;

/// The lines of a reservation, and the queues that they wait in.
macro_rules! lines {
    () => {
        "CROSS JOIN LATERAL (
             SELECT value ->> 0 AS product_id, (value ->> 1)::int AS quantity
             FROM json_array_elements(reservation.lines::json)) AS line
         LEFT JOIN waiter ON waiter.book = reservation.book
                         AND waiter.product_id = line.product_id
                         AND waiter.position = reservation.position"
    };
}
pub(super) use lines;

impl BookTables for PostgresBook<'_> {
    /// Of the row that it waits for, and of no other, a statement sees what the last holder wrote.
    async fn lock(&mut self) -> Result<Counters, Error> {
        let row = sqlx::query_as(
            "SELECT next_position, next_fulfilment, next_mark, next_deadline
             FROM stock_book WHERE book = $1
             FOR UPDATE",
        )
        .bind(BOOK)
        .fetch_one(&mut *self.0)
        .await
        .map_err(|source| error("lock stock book", source))?;
        Ok(counters_of(row))
    }

    async fn receipts(&mut self, ids: &[ReceiptId]) -> Result<Vec<Receipt>, Error> {
        let rows: Vec<_> = sqlx::query_as(
            "SELECT receipt_id, product_id, quantity FROM receipt WHERE receipt_id = ANY($1)",
        )
        .bind(column(ids, ReceiptId::as_str))
        .fetch_all(&mut *self.0)
        .await
        .map_err(|source| error("load receipts", source))?;
        Ok(rows.into_iter().map(receipt_of).collect())
    }

    async fn reservations(&mut self, orders: &[OrderId]) -> Result<Vec<Reservation>, Error> {
        let failed = |source| error("load reservations", source);
        let rows = sqlx::query(concat!(
            "SELECT ",
            columns!(),
            " FROM reservation ",
            lines!(),
            " WHERE reservation.order_id = ANY($1)"
        ))
        .bind(column(orders, OrderId::as_str))
        .fetch_all(&mut *self.0)
        .await
        .map_err(failed)?;
        row::reservations(&rows).map_err(failed)
    }

    async fn stock(&mut self, products: &[ProductId]) -> Result<Vec<(ProductId, Stock)>, Error> {
        let rows: Vec<_> = sqlx::query_as(
            "SELECT product_id, on_hand, reserved, version FROM stock
             WHERE book = $1 AND product_id = ANY($2)",
        )
        .bind(BOOK)
        .bind(column(products, ProductId::as_str))
        .fetch_all(&mut *self.0)
        .await
        .map_err(|source| error("load stock", source))?;
        Ok(rows.into_iter().map(stock_of).collect())
    }

    async fn queues(
        &mut self,
        products: &[ProductId],
        places: usize,
    ) -> Result<Vec<(ProductId, i64, OrderId)>, Error> {
        let rows: Vec<_> = sqlx::query_as(
            "SELECT first.product_id, first.position, first.order_id
             FROM unnest($2::text[]) AS wanted (product_id)
             CROSS JOIN LATERAL (
                 SELECT product_id, position, order_id FROM waiter
                 WHERE book = $1 AND waiter.product_id = wanted.product_id
                 ORDER BY position LIMIT $3) AS first",
        )
        .bind(BOOK)
        .bind(column(products, ProductId::as_str))
        .bind(i64::try_from(places).unwrap_or(i64::MAX))
        .fetch_all(&mut *self.0)
        .await
        .map_err(|source| error("load queues", source))?;
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
        .map_err(|source| error("load marks", source))?;
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
        .map_err(|source| error("load deadlines", source))?;
        Ok(rows.into_iter().map(deadline_of).collect())
    }

    async fn write(&mut self, changes: &Changes<'_>) -> Result<(), Error> {
        write::write(self.0, changes).await
    }
}
