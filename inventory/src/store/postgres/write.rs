//! Bulk writes: one statement per table, whatever the number of rows.

use messaging::store::Error;
use messaging::store::postgres::bulk::{self, column};
use messaging::store::postgres::error;
use sqlx::PgConnection;

use crate::domain::book::Counters;
use crate::domain::changes::{Changes, Place};
use crate::domain::ids::ProductId;
use crate::domain::marks::Mark;
use crate::domain::receive::Receipt;
use crate::domain::reservation::Reservation;
use crate::domain::stock::Stock;
use crate::store::BOOK;
use crate::store::row::lines_to_json;

/// Writes `changes`, deletions before insertions. The book is locked, so nobody else writes.
pub(super) async fn write(tx: &mut PgConnection, changes: &Changes<'_>) -> Result<(), Error> {
    if let Some(counters) = changes.counters {
        save_counters(tx, counters).await?;
    }
    save_receipts(tx, &changes.receipts).await?;
    save_stock(tx, &changes.stock).await?;
    place(tx, &changes.placed).await?;
    move_on(tx, &changes.moved).await?;
    leave(tx, &changes.left).await?;
    join(tx, &changes.joined).await?;
    unmark(tx, &changes.unmarked).await?;
    mark(tx, &changes.marked).await
}

async fn save_counters(tx: &mut PgConnection, counters: Counters) -> Result<(), Error> {
    sqlx::query(
        "UPDATE stock_book SET next_position = $2, next_fulfilment = $3, next_mark = $4,
             next_deadline = $5
         WHERE book = $1",
    )
    .bind(BOOK)
    .bind(counters.position)
    .bind(counters.fulfilment)
    .bind(counters.mark)
    .bind(counters.due.map(|due| due.0))
    .execute(tx)
    .await
    .map(drop)
    .map_err(|source| error("save stock book", source))
}

async fn save_receipts(tx: &mut PgConnection, receipts: &[&Receipt]) -> Result<(), Error> {
    let statement = sqlx::query(
        "INSERT INTO receipt (book, receipt_id, product_id, quantity)
         SELECT $1, receipt.* FROM unnest($2::text[], $3::text[], $4::int[]) AS receipt",
    )
    .bind(BOOK)
    .bind(column(receipts, |receipt| receipt.receipt_id.as_str()))
    .bind(column(receipts, |receipt| receipt.product_id.as_str()))
    .bind(column(receipts, |receipt| receipt.quantity));
    bulk::write(tx, "save receipts", receipts, statement)
        .await
        .map(drop)
}

async fn save_stock(tx: &mut PgConnection, stock: &[(&ProductId, &Stock)]) -> Result<(), Error> {
    let statement = sqlx::query(
        "INSERT INTO stock (book, product_id, on_hand, reserved, version)
         SELECT $1, stock.* FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[])
             AS stock
         ON CONFLICT (book, product_id) DO UPDATE SET
             on_hand = excluded.on_hand, reserved = excluded.reserved, version = excluded.version",
    )
    .bind(BOOK)
    .bind(column(stock, |(product, _)| product.as_str()))
    .bind(column(stock, |(_, stock)| stock.on_hand))
    .bind(column(stock, |(_, stock)| stock.reserved))
    .bind(column(stock, |(_, stock)| stock.version));
    bulk::write(tx, "save stock", stock, statement)
        .await
        .map(drop)
}

async fn place(tx: &mut PgConnection, placed: &[&Reservation]) -> Result<(), Error> {
    let statement = sqlx::query(
        "INSERT INTO reservation (book, order_id, order_version, version, status, position,
                                  fulfilment, lines, correlation_id, traceparent, reserve_by)
         SELECT $1, placed.* FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::text[],
             $6::bigint[], $7::bigint[], $8::text[], $9::text[], $10::text[],
             $11::bigint[]) AS placed",
    )
    .bind(BOOK)
    .bind(column(placed, |one| one.order_id.as_str()))
    .bind(column(placed, |one| one.order_version))
    .bind(column(placed, |one| one.version))
    .bind(column(placed, |one| one.status.as_str()))
    .bind(column(placed, |one| one.position))
    .bind(column(placed, |one| one.fulfilment))
    .bind(column(placed, |one| lines_to_json(&one.lines)))
    .bind(column(placed, |one| one.flow.correlation_id.as_str()))
    .bind(column(placed, |one| one.flow.traceparent.as_deref()))
    .bind(column(placed, |one| one.reserve_by.map(|by| by.0)));
    bulk::write(tx, "save new reservations", placed, statement)
        .await
        .map(drop)
}

async fn move_on(tx: &mut PgConnection, moved: &[&Reservation]) -> Result<(), Error> {
    let statement = sqlx::query(
        "UPDATE reservation SET order_version = moved.order_version, version = moved.version,
             status = moved.status, fulfilment = moved.fulfilment
         FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[])
             AS moved (order_id, order_version, version, status, fulfilment)
         WHERE reservation.order_id = moved.order_id",
    )
    .bind(column(moved, |one| one.order_id.as_str()))
    .bind(column(moved, |one| one.order_version))
    .bind(column(moved, |one| one.version))
    .bind(column(moved, |one| one.status.as_str()))
    .bind(column(moved, |one| one.fulfilment));
    bulk::write(tx, "save reservations", moved, statement)
        .await
        .map(drop)
}

async fn leave(tx: &mut PgConnection, places: &[Place<'_>]) -> Result<(), Error> {
    let statement = sqlx::query(
        "DELETE FROM waiter USING unnest($2::text[], $3::bigint[]) AS gone (product_id, position)
         WHERE waiter.book = $1 AND waiter.product_id = gone.product_id
           AND waiter.position = gone.position",
    )
    .bind(BOOK)
    .bind(column(places, |place| place.product.as_str()))
    .bind(column(places, |place| place.position));
    bulk::write(tx, "leave queues", places, statement)
        .await
        .map(drop)
}

async fn join(tx: &mut PgConnection, places: &[Place<'_>]) -> Result<(), Error> {
    let statement = sqlx::query(
        "INSERT INTO waiter (book, product_id, position, order_id)
         SELECT $1, place.* FROM unnest($2::text[], $3::bigint[], $4::text[]) AS place",
    )
    .bind(BOOK)
    .bind(column(places, |place| place.product.as_str()))
    .bind(column(places, |place| place.position))
    .bind(column(places, |place| place.order_id.as_str()));
    bulk::write(tx, "join queues", places, statement)
        .await
        .map(drop)
}

async fn unmark(tx: &mut PgConnection, products: &[&ProductId]) -> Result<(), Error> {
    let statement =
        sqlx::query("DELETE FROM fulfilment_mark WHERE book = $1 AND product_id = ANY($2::text[])")
            .bind(BOOK)
            .bind(column(products, |product| product.as_str()));
    bulk::write(tx, "unmark products", products, statement)
        .await
        .map(drop)
}

/// A mark that is in the database but was not loaded is older, so it stays.
async fn mark(tx: &mut PgConnection, marks: &[(&ProductId, &Mark)]) -> Result<(), Error> {
    let statement = sqlx::query(
        "INSERT INTO fulfilment_mark (book, product_id, sequence, causation_id)
         SELECT $1, mark.* FROM unnest($2::text[], $3::bigint[], $4::text[]) AS mark
         ON CONFLICT (book, product_id) DO NOTHING",
    )
    .bind(BOOK)
    .bind(column(marks, |(product, _)| product.as_str()))
    .bind(column(marks, |(_, mark)| mark.sequence))
    .bind(column(marks, |(_, mark)| mark.causation_id.as_str()));
    bulk::write(tx, "mark products", marks, statement)
        .await
        .map(drop)
}
