//! Bulk writes, sent as one script: a few statements per table, whatever the number of rows.

use messaging::store::Error;
use messaging::store::sqlite::bulk::{self, Insert, Script, Values};
use sqlx::SqliteConnection;

use crate::domain::book::Counters;
use crate::domain::changes::{Changes, Place};
use crate::domain::ids::ProductId;
use crate::domain::marks::Mark;
use crate::domain::reservation::Reservation;
use crate::store::BOOK;
use crate::store::row::lines_to_json;

const RESERVATION: &str = "reservation (order_id, book, order_version, version, status, position,
    fulfilment, lines, correlation_id, traceparent, reserve_by)";

/// Writes `changes`, deletions before insertions.
pub(super) async fn write(tx: &mut SqliteConnection, changes: &Changes<'_>) -> Result<(), Error> {
    let mut script = Script::new(tx, "save stock book");
    if let Some(counters) = changes.counters {
        save_counters(&mut script, counters);
    }
    save_receipts(&mut script, changes).await?;
    save_stock(&mut script, changes).await?;
    save_reservations(&mut script, changes).await?;
    leave(&mut script, &changes.left);
    join(&mut script, &changes.joined).await?;
    unmark(&mut script, &changes.unmarked);
    mark(&mut script, &changes.marked).await?;
    script.run().await.map(|_| ())
}

fn save_counters(script: &mut Script<'_>, counters: Counters) {
    script.add(
        "UPDATE stock_book SET next_position = ?, next_fulfilment = ?, next_mark = ?,
             next_deadline = ?
         WHERE book = ?",
        |values| {
            values
                .push(counters.position)
                .push(counters.fulfilment)
                .push(counters.mark)
                .push(counters.due.map(|due| due.0))
                .push(BOOK);
        },
    );
}

async fn save_receipts(script: &mut Script<'_>, changes: &Changes<'_>) -> Result<(), Error> {
    let insert = Insert {
        into: "receipt (receipt_id, book, product_id, quantity)",
        columns: 4,
        then: "",
    };
    let rows = script.insert(insert, &changes.receipts, |receipt, values| {
        values
            .push(receipt.receipt_id.as_str())
            .push(BOOK)
            .push(receipt.product_id.as_str())
            .push(receipt.quantity);
    });
    rows.await
}

async fn save_stock(script: &mut Script<'_>, changes: &Changes<'_>) -> Result<(), Error> {
    let insert = Insert {
        into: "stock (book, product_id, on_hand, reserved, version)",
        columns: 5,
        then: "ON CONFLICT (book, product_id) DO UPDATE SET
               on_hand = excluded.on_hand, reserved = excluded.reserved,
               version = excluded.version",
    };
    let rows = script.insert(insert, &changes.stock, |(product, stock), values| {
        values
            .push(BOOK)
            .push(product.as_str())
            .push(stock.on_hand)
            .push(stock.reserved)
            .push(stock.version);
    });
    rows.await
}

async fn save_reservations(script: &mut Script<'_>, changes: &Changes<'_>) -> Result<(), Error> {
    let insert = Insert {
        into: RESERVATION,
        columns: 11,
        then: "",
    };
    script.insert(insert, &changes.placed, push).await?;
    let update = Insert {
        then: "ON CONFLICT (order_id) DO UPDATE SET
               order_version = excluded.order_version, version = excluded.version,
               status = excluded.status, fulfilment = excluded.fulfilment",
        ..insert
    };
    script.insert(update, &changes.moved, push).await
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
        .push(lines_to_json(&reservation.lines))
        .push(reservation.flow.correlation_id.as_str())
        .push(reservation.flow.traceparent.as_deref())
        .push(reservation.reserve_by.map(|by| by.0));
}

fn leave(script: &mut Script<'_>, places: &[Place<'_>]) {
    if places.is_empty() {
        return;
    }
    let places = places
        .iter()
        .map(|place| (place.product.as_str(), place.position));
    script.add(
        "DELETE FROM waiter WHERE (book, product_id, position) IN
         (SELECT ?, value ->> 0, value ->> 1 FROM json_each(?))",
        |values| {
            values.push(BOOK).push(bulk::json(places));
        },
    );
}

async fn join(script: &mut Script<'_>, places: &[Place<'_>]) -> Result<(), Error> {
    let insert = Insert {
        into: "waiter (book, product_id, position, order_id)",
        columns: 4,
        then: "",
    };
    let rows = script.insert(insert, places, |place, values| {
        values
            .push(BOOK)
            .push(place.product.as_str())
            .push(place.position)
            .push(place.order_id.as_str());
    });
    rows.await
}

fn unmark(script: &mut Script<'_>, products: &[&ProductId]) {
    if products.is_empty() {
        return;
    }
    let products = products.iter().map(|product| product.as_str());
    script.add(
        "DELETE FROM fulfilment_mark WHERE book = ?
         AND product_id IN (SELECT value FROM json_each(?))",
        |values| {
            values.push(BOOK).push(bulk::json(products));
        },
    );
}

/// A mark that is in the database but was not loaded is older, so it stays.
async fn mark(script: &mut Script<'_>, marks: &[(&ProductId, &Mark)]) -> Result<(), Error> {
    let insert = Insert {
        into: "fulfilment_mark (book, product_id, sequence, causation_id)",
        columns: 4,
        then: "ON CONFLICT (book, product_id) DO NOTHING",
    };
    let rows = script.insert(insert, marks, |(product, mark), values| {
        values
            .push(BOOK)
            .push(product.as_str())
            .push(mark.sequence)
            .push(mark.causation_id.as_str());
    });
    rows.await
}
