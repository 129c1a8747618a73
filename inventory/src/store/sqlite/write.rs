//! Bulk writes: a few statements per table, whatever the number of rows.

use messaging::store::Error;
use messaging::store::sqlite;
use messaging::store::sqlite::bulk::{self, Insert, Values};
use sqlx::SqliteConnection;

use crate::domain::book::Counters;
use crate::domain::changes::{Changes, Place};
use crate::domain::ids::ProductId;
use crate::domain::marks::Mark;
use crate::domain::reservation::Reservation;
use crate::store::BOOK;

const RESERVATION: &str = "reservation (order_id, book, order_version, version, status, position,
    fulfilment, correlation_id, traceparent)";

/// Writes `changes`, deletions before insertions.
pub(super) async fn write(tx: &mut SqliteConnection, changes: &Changes<'_>) -> Result<(), Error> {
    if let Some(counters) = changes.counters {
        save_counters(tx, counters).await?;
    }
    save_receipts_and_stock(tx, changes).await?;
    save_reservations(tx, changes).await?;
    leave(tx, &changes.left).await?;
    join(tx, &changes.joined).await?;
    unmark(tx, &changes.unmarked).await?;
    mark(tx, &changes.marked).await
}

async fn save_counters(tx: &mut SqliteConnection, counters: Counters) -> Result<(), Error> {
    sqlx::query(
        "UPDATE stock_book SET next_position = $2, next_fulfilment = $3, next_mark = $4
         WHERE book = $1",
    )
    .bind(BOOK)
    .bind(counters.position)
    .bind(counters.fulfilment)
    .bind(counters.mark)
    .execute(tx)
    .await
    .map(|_| ())
    .map_err(|source| sqlite::error("save stock book", source))
}

async fn save_receipts_and_stock(
    tx: &mut SqliteConnection,
    changes: &Changes<'_>,
) -> Result<(), Error> {
    Insert {
        into: "receipt (receipt_id, book, product_id, quantity)",
        columns: 4,
        then: "",
    }
    .rows(tx, "save receipts", &changes.receipts, |receipt, values| {
        values
            .push(receipt.receipt_id.as_str())
            .push(BOOK)
            .push(receipt.product_id.as_str())
            .push(receipt.quantity);
    })
    .await?;
    Insert {
        into: "stock (book, product_id, on_hand, reserved, version)",
        columns: 5,
        then: "ON CONFLICT (book, product_id) DO UPDATE SET
               on_hand = excluded.on_hand, reserved = excluded.reserved,
               version = excluded.version",
    }
    .rows(
        tx,
        "save stock",
        &changes.stock,
        |(product, stock), values| {
            values
                .push(BOOK)
                .push(product.as_str())
                .push(stock.on_hand)
                .push(stock.reserved)
                .push(stock.version);
        },
    )
    .await
}

async fn save_reservations(tx: &mut SqliteConnection, changes: &Changes<'_>) -> Result<(), Error> {
    Insert {
        into: RESERVATION,
        columns: 9,
        then: "",
    }
    .rows(tx, "save new reservations", &changes.placed, push)
    .await?;
    let lines: Vec<_> = changes
        .placed
        .iter()
        .flat_map(|placed| placed.lines.iter().map(|line| (&placed.order_id, line)))
        .collect();
    Insert {
        into: "reservation_line (order_id, product_id, quantity)",
        columns: 3,
        then: "",
    }
    .rows(
        tx,
        "save lines",
        &lines,
        |(order_id, (product, quantity)), values| {
            values
                .push(order_id.as_str())
                .push(product.as_str())
                .push(**quantity);
        },
    )
    .await?;
    Insert {
        into: RESERVATION,
        columns: 9,
        then: "ON CONFLICT (order_id) DO UPDATE SET
               order_version = excluded.order_version, version = excluded.version,
               status = excluded.status, fulfilment = excluded.fulfilment",
    }
    .rows(tx, "save reservations", &changes.moved, push)
    .await
}

fn push(reservation: &&Reservation, values: &mut Values) {
    values
        .push(reservation.order_id.as_str())
        .push(BOOK)
        .push(reservation.order_version)
        .push(reservation.version)
        .push(reservation.status.as_str())
        .push(reservation.position)
        .push(reservation.fulfilment)
        .push(reservation.flow.correlation_id.as_str())
        .push(reservation.flow.traceparent.as_deref());
}

async fn leave(tx: &mut SqliteConnection, places: &[Place<'_>]) -> Result<(), Error> {
    if places.is_empty() {
        return Ok(());
    }
    let places = places
        .iter()
        .map(|place| (place.product.as_str(), place.position));
    sqlx::query(
        "DELETE FROM waiter WHERE (book, product_id, position) IN
         (SELECT $1, value ->> 0, value ->> 1 FROM json_each($2))",
    )
    .bind(BOOK)
    .bind(bulk::json(places))
    .execute(tx)
    .await
    .map(|_| ())
    .map_err(|source| sqlite::error("leave queues", source))
}

async fn join(tx: &mut SqliteConnection, places: &[Place<'_>]) -> Result<(), Error> {
    Insert {
        into: "waiter (book, product_id, position, order_id)",
        columns: 4,
        then: "",
    }
    .rows(tx, "join queues", places, |place, values| {
        values
            .push(BOOK)
            .push(place.product.as_str())
            .push(place.position)
            .push(place.order_id.as_str());
    })
    .await
}

async fn unmark(tx: &mut SqliteConnection, products: &[&ProductId]) -> Result<(), Error> {
    if products.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "DELETE FROM fulfilment_mark WHERE book = $1
         AND product_id IN (SELECT value FROM json_each($2))",
    )
    .bind(BOOK)
    .bind(bulk::json(products.iter().map(|product| product.as_str())))
    .execute(tx)
    .await
    .map(|_| ())
    .map_err(|source| sqlite::error("unmark products", source))
}

/// A mark that is in the database but was not loaded is older, so it stays.
async fn mark(tx: &mut SqliteConnection, marks: &[(&ProductId, &Mark)]) -> Result<(), Error> {
    Insert {
        into: "fulfilment_mark (book, product_id, sequence, causation_id)",
        columns: 4,
        then: "ON CONFLICT (book, product_id) DO NOTHING",
    }
    .rows(tx, "mark products", marks, |(product, mark), values| {
        values
            .push(BOOK)
            .push(product.as_str())
            .push(mark.sequence)
            .push(mark.causation_id.as_str());
    })
    .await
}
