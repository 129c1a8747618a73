//! Bulk reads: one statement each, all keys in one parameter.

use std::collections::{BTreeMap, BTreeSet};

use messaging::store::sqlite::{self, bulk};
use messaging::store::{Error, ErrorKind};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{SqliteBook, write};
use crate::domain::book::Counters;
use crate::domain::changes::Changes;
use crate::domain::ids::{OrderId, ProductId, ReceiptId};
use crate::domain::marks::Mark;
use crate::domain::receive::Receipt;
use crate::domain::reservation::{Flow, Lines, Reservation, Status};
use crate::domain::stock::Stock;
use crate::store::{BOOK, BookTables};

impl BookTables for SqliteBook<'_> {
    /// The transaction holds the file's one writer lock since it began, so reading is enough; it
    /// stands in a statement of its own as it must where the lock is the row's.
    async fn lock(&mut self) -> Result<Counters, Error> {
        let (position, fulfilment, mark) = sqlx::query_as(
            "SELECT next_position, next_fulfilment, next_mark FROM stock_book WHERE book = $1",
        )
        .bind(BOOK)
        .fetch_one(&mut *self.0)
        .await
        .map_err(|source| sqlite::error("lock stock book", source))?;
        Ok(Counters {
            position,
            fulfilment,
            mark,
        })
    }

    async fn receipts(&mut self, ids: &[ReceiptId]) -> Result<Vec<Receipt>, Error> {
        let rows: Vec<(String, String, i32)> = sqlx::query_as(
            "SELECT receipt_id, product_id, quantity FROM json_each($1) AS wanted
             CROSS JOIN receipt ON receipt_id = wanted.value",
        )
        .bind(bulk::json(ids.iter().map(ReceiptId::as_str)))
        .fetch_all(&mut *self.0)
        .await
        .map_err(|source| sqlite::error("load receipts", source))?;
        Ok(rows
            .into_iter()
            .map(|(receipt_id, product_id, quantity)| Receipt {
                receipt_id: ReceiptId::from(receipt_id),
                product_id: ProductId::from(product_id),
                quantity,
            })
            .collect())
    }

    async fn reservations(&mut self, orders: &[OrderId]) -> Result<Vec<Reservation>, Error> {
        let rows = sqlx::query(
            "SELECT reservation.*, line.product_id, line.quantity,
                    waiter.position IS NOT NULL AS waits
             FROM json_each($1) AS wanted
             CROSS JOIN reservation ON reservation.order_id = wanted.value
             CROSS JOIN reservation_line AS line ON line.order_id = reservation.order_id
             LEFT JOIN waiter ON waiter.book = reservation.book
                             AND waiter.product_id = line.product_id
                             AND waiter.position = reservation.position",
        )
        .bind(bulk::json(orders.iter().map(OrderId::as_str)))
        .fetch_all(&mut *self.0)
        .await
        .map_err(|source| sqlite::error("load reservations", source))?;
        reservations_of(&rows)
    }

    async fn stock(&mut self, products: &[ProductId]) -> Result<Vec<(ProductId, Stock)>, Error> {
        let rows: Vec<(String, i64, i64, i64)> = sqlx::query_as(
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
        let rows: Vec<(String, i64, String)> = sqlx::query_as(
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
        Ok(rows
            .into_iter()
            .map(|(product, position, order_id)| {
                (ProductId::from(product), position, OrderId::from(order_id))
            })
            .collect())
    }

    async fn marks(&mut self, limit: usize) -> Result<Vec<(ProductId, Mark)>, Error> {
        let rows: Vec<(String, i64, String)> = sqlx::query_as(
            "SELECT product_id, sequence, causation_id FROM fulfilment_mark
             WHERE book = $1 ORDER BY sequence LIMIT $2",
        )
        .bind(BOOK)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&mut *self.0)
        .await
        .map_err(|source| sqlite::error("load marks", source))?;
        Ok(rows
            .into_iter()
            .map(|(product, sequence, causation_id)| {
                let mark = Mark {
                    sequence,
                    causation_id,
                };
                (ProductId::from(product), mark)
            })
            .collect())
    }

    async fn write(&mut self, changes: &Changes<'_>) -> Result<(), Error> {
        write::write(self.0, changes).await
    }
}

pub(super) fn stock_of(row: (String, i64, i64, i64)) -> (ProductId, Stock) {
    let (product_id, on_hand, reserved, version) = row;
    let stock = Stock {
        on_hand,
        reserved,
        version,
    };
    (ProductId::from(product_id), stock)
}

/// The reservations in rows of one line each, by order.
pub(super) fn reservations_of(rows: &[SqliteRow]) -> Result<Vec<Reservation>, Error> {
    let mut found: BTreeMap<String, Reservation> = BTreeMap::new();
    for row in rows {
        add_line(&mut found, row)?;
    }
    Ok(found.into_values().collect())
}

/// Adds a row's line to its reservation, which the order's first row makes.
fn add_line(found: &mut BTreeMap<String, Reservation>, row: &SqliteRow) -> Result<(), Error> {
    let failed = |source| sqlite::error("load reservations", source);
    let order_id: String = row.try_get("order_id").map_err(failed)?;
    if !found.contains_key(&order_id) {
        found.insert(order_id.clone(), without_lines(&order_id, row)?);
    }
    let Some(reservation) = found.get_mut(&order_id) else {
        return Ok(());
    };
    let product: String = row.try_get("product_id").map_err(failed)?;
    let product = ProductId::from(product);
    if row.try_get("waits").map_err(failed)? {
        reservation.short.insert(product.clone());
    }
    let quantity = row.try_get("quantity").map_err(failed)?;
    reservation.lines.insert(product, quantity);
    Ok(())
}

fn without_lines(order_id: &str, row: &SqliteRow) -> Result<Reservation, Error> {
    let failed = |source| sqlite::error("load reservations", source);
    let status: String = row.try_get("status").map_err(failed)?;
    let status = Status::from_name(&status).ok_or_else(|| {
        Error::new(
            ErrorKind::Fatal,
            "load reservations",
            format!("order {order_id} has the unknown status {status}"),
        )
    })?;
    Ok(Reservation {
        order_id: OrderId::from(order_id),
        order_version: row.try_get("order_version").map_err(failed)?,
        version: row.try_get("version").map_err(failed)?,
        status,
        position: row.try_get("position").map_err(failed)?,
        fulfilment: row.try_get("fulfilment").map_err(failed)?,
        lines: Lines::new(),
        short: BTreeSet::new(),
        flow: Flow {
            correlation_id: row.try_get("correlation_id").map_err(failed)?,
            traceparent: row.try_get("traceparent").map_err(failed)?,
        },
    })
}
