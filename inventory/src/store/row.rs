//! The book's tables as rows, in whichever database.

use std::collections::{BTreeMap, BTreeSet};

use messaging::clock::Timestamp;
use messaging::store::sql::{Get, SqlRow, json};
use sqlx::Error;

use super::Placed;
use crate::domain::book::Counters;
use crate::domain::ids::{OrderId, ProductId, ReceiptId};
use crate::domain::marks::Mark;
use crate::domain::receive::Receipt;
use crate::domain::reservation::{Flow, Lines, Reservation, Status};
use crate::domain::stock::Stock;

/// Stock in the columns product_id, on_hand, reserved, version.
pub(super) fn stock_of(row: (String, i64, i64, i64)) -> (ProductId, Stock) {
    let (product_id, on_hand, reserved, version) = row;
    let stock = Stock {
        on_hand,
        reserved,
        version,
    };
    (ProductId::from(product_id), stock)
}

/// A receipt in the columns receipt_id, product_id, quantity.
pub(super) fn receipt_of((receipt_id, product_id, quantity): (String, String, i32)) -> Receipt {
    Receipt {
        receipt_id: ReceiptId::from(receipt_id),
        product_id: ProductId::from(product_id),
        quantity,
    }
}

/// A place in a queue in the columns product_id, position, order_id.
pub(super) fn waiter_of(
    (product, position, order_id): (String, i64, String),
) -> (ProductId, i64, OrderId) {
    (ProductId::from(product), position, OrderId::from(order_id))
}

/// A waiter with a deadline in the columns reserve_by, order_id.
pub(super) fn deadline_of((reserve_by, order_id): (i64, String)) -> (Timestamp, OrderId) {
    (Timestamp(reserve_by), OrderId::from(order_id))
}

/// The book's own row in the columns next_position, next_fulfilment, next_mark, next_deadline.
pub(super) fn counters_of(row: (i64, i64, i64, Option<i64>)) -> Counters {
    let (position, fulfilment, mark, due) = row;
    Counters {
        position,
        fulfilment,
        mark,
        due: due.map(Timestamp),
    }
}

/// A mark in the columns product_id, sequence, causation_id.
pub(super) fn mark_of(
    (product, sequence, causation_id): (String, i64, String),
) -> (ProductId, Mark) {
    let mark = Mark {
        sequence,
        causation_id,
    };
    (ProductId::from(product), mark)
}

/// `[[product_id, quantity], ...]`.
pub(super) fn lines_to_json(lines: &Lines) -> String {
    json(
        lines
            .iter()
            .map(|(product, quantity)| (product.as_str(), *quantity)),
    )
}

/// The reservations in rows of one line each, by order.
pub(super) fn reservations(rows: &[impl SqlRow]) -> Result<Vec<Reservation>, Error> {
    let mut found: BTreeMap<String, Reservation> = BTreeMap::new();
    for row in rows {
        add_line(&mut found, row)?;
    }
    Ok(found.into_values().collect())
}

/// As [`reservations`], with the `place` of each line that waits; the rows come by product.
pub(super) fn placed(rows: &[impl SqlRow]) -> Result<Vec<Placed>, Error> {
    let mut placed: Vec<_> = reservations(rows)?
        .into_iter()
        .map(|reservation| Placed {
            reservation,
            places: Vec::new(),
        })
        .collect();
    for row in rows {
        let order_id: String = row.read("order_id")?;
        let place: i64 = row.read("place")?;
        let of = placed.binary_search_by(|one| one.reservation.order_id.as_str().cmp(&order_id));
        if let (Ok(index), 1..) = (of, place) {
            placed[index].places.push(place);
        }
    }
    Ok(placed)
}

/// Adds a row's line to its reservation, which the order's first row makes.
fn add_line(found: &mut BTreeMap<String, Reservation>, row: &impl SqlRow) -> Result<(), Error> {
    let order_id: String = row.read("order_id")?;
    if !found.contains_key(&order_id) {
        found.insert(order_id.clone(), without_lines(&order_id, row)?);
    }
    let Some(reservation) = found.get_mut(&order_id) else {
        return Ok(());
    };
    let product = ProductId::from(Get::<String>::read(row, "product_id")?);
    if row.read("waits")? {
        reservation.short.insert(product.clone());
    }
    reservation.lines.insert(product, row.read("quantity")?);
    Ok(())
}

fn without_lines(order_id: &str, row: &impl SqlRow) -> Result<Reservation, Error> {
    let status: String = row.read("status")?;
    let status = Status::from_name(&status).ok_or_else(|| Error::ColumnDecode {
        index: "reservation.status".to_owned(),
        source: format!("order {order_id} has the unknown status {status}").into(),
    })?;
    Ok(Reservation {
        order_id: OrderId::from(order_id),
        order_version: row.read("order_version")?,
        version: row.read("version")?,
        status,
        position: row.read("position")?,
        fulfilment: row.read("fulfilment")?,
        lines: Lines::new(),
        short: BTreeSet::new(),
        reserve_by: Get::<Option<i64>>::read(row, "reserve_by")?.map(Timestamp),
        flow: Flow {
            correlation_id: row.read("correlation_id")?,
            traceparent: row.read("traceparent")?,
        },
    })
}
