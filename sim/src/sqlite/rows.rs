//! The services' tables, read whole, and what has changed between two readings.

use std::collections::{BTreeMap, BTreeSet};

use inventory::domain::ids::{OrderId, ProductId, ReceiptId};
use inventory::domain::marks::Mark;
use inventory::domain::receive::Receipt;
use inventory::domain::reservation::{Flow, Lines, Reservation, Status};
use inventory::domain::stock::Stock;
use messaging::clock::Timestamp;
use messaging::store::Error;
use messaging::store::sqlite::error;
use order::store::sqlite::SqliteQueries;
use order::store::{Filter, Queries};
use sqlx::sqlite::SqlitePool;

use crate::check::{Change, Row};
use crate::databases::Rows;
use crate::said::Said;

/// Rows by table and key.
pub(super) type Tables = BTreeMap<(&'static str, String), Row>;

/// A row of `reservation`.
type Stored = (
    String,
    i64,
    i64,
    String,
    Option<i64>,
    Option<i64>,
    String,
    Option<String>,
    Option<i64>,
);

/// All of Order's.
pub(super) async fn of_order(reader: &SqlitePool) -> Result<Tables, Error> {
    let queries = SqliteQueries::new(reader.clone());
    let orders = queries
        .list(&Filter::default(), None, usize::MAX >> 1)
        .await?;
    let orders = orders.into_iter().map(|listed| {
        let key = listed.order.placed.order_id.clone();
        (("orders", key), Row::Order(Box::new(listed.order)))
    });
    let rows: Vec<(String, String)> =
        all(reader, "SELECT order_id, customer_id FROM tombstones").await?;
    let mut tombstones = BTreeMap::<String, BTreeSet<_>>::new();
    for (key, customer_id) in rows {
        let customer_id = Some(customer_id).filter(|id| !id.is_empty());
        tombstones.entry(key).or_default().insert(customer_id);
    }
    let tombstones = tombstones
        .into_iter()
        .map(|(key, customers)| (("tombstones", key), Row::Tombstone(customers)));
    Ok(orders.chain(tombstones).collect())
}

/// All of Inventory's.
pub(super) async fn of_inventory(reader: &SqlitePool) -> Result<Tables, Error> {
    let mut tables = Tables::new();
    let stock: Vec<(String, i64, i64, i64)> = all(
        reader,
        "SELECT product_id, on_hand, reserved, version FROM stock",
    )
    .await?;
    for (product, on_hand, reserved, version) in stock {
        let stock = Stock {
            on_hand,
            reserved,
            version,
        };
        tables.insert(("stock", product), Row::Stock(stock));
    }
    let receipts: Vec<(String, String, i32)> = all(
        reader,
        "SELECT receipt_id, product_id, quantity FROM receipt",
    )
    .await?;
    for (id, product, quantity) in receipts {
        let receipt = Receipt {
            receipt_id: ReceiptId::from(&id),
            product_id: ProductId::from(product),
            quantity,
        };
        tables.insert(("receipt", id), Row::Receipt(receipt));
    }
    let waiters: Vec<(String, i64, String)> =
        all(reader, "SELECT product_id, position, order_id FROM waiter").await?;
    for reservation in reservations(reader, &waiters).await? {
        let key = reservation.order_id.to_string();
        tables.insert(
            ("reservation", key),
            Row::Reservation(Box::new(reservation)),
        );
    }
    for (product, position, order) in waiters {
        let key = format!("{product} {position}");
        let row = Row::Waiter(product, position, OrderId::from(order));
        tables.insert(("waiter", key), row);
    }
    let marks: Vec<(String, i64, String)> = all(
        reader,
        "SELECT product_id, sequence, causation_id FROM fulfilment_mark",
    )
    .await?;
    for (product, sequence, causation_id) in marks {
        let mark = Mark {
            sequence,
            causation_id,
        };
        tables.insert(("fulfilment_mark", product), Row::Mark(mark));
    }
    Ok(tables)
}

async fn reservations(
    reader: &SqlitePool,
    waiters: &[(String, i64, String)],
) -> Result<Vec<Reservation>, Error> {
    let stored: Vec<Stored> = all(
        reader,
        "SELECT order_id, order_version, version, status, position, fulfilment, correlation_id,
                traceparent, reserve_by
         FROM reservation",
    )
    .await?;
    let lines: Vec<(String, String, i32)> = all(
        reader,
        "SELECT order_id, line.value ->> 0, line.value ->> 1
         FROM reservation CROSS JOIN json_each(lines) AS line",
    )
    .await?;
    let mut by_order: BTreeMap<String, Lines> = BTreeMap::new();
    for (order, product, quantity) in lines {
        let lines = by_order.entry(order).or_default();
        lines.insert(ProductId::from(product), quantity);
    }
    let reservation = |row: Stored| {
        let (id, order_version, version, status, position, fulfilment, flow, trace, by) = row;
        let queues = waiters.iter().filter(|(_, _, order)| *order == id);
        let short: BTreeSet<_> = queues
            .map(|(product, ..)| ProductId::from(product))
            .collect();
        Reservation {
            order_id: OrderId::from(&id),
            order_version,
            version,
            status: Status::from_name(&status).unwrap(),
            position,
            fulfilment,
            lines: by_order.remove(&id).unwrap_or_default(),
            short,
            reserve_by: by.map(Timestamp),
            flow: Flow {
                correlation_id: flow,
                traceparent: trace,
            },
        }
    };
    Ok(stored.into_iter().map(reservation).collect())
}

async fn all<R>(reader: &SqlitePool, sql: &'static str) -> Result<Vec<R>, Error>
where
    R: for<'r> sqlx::FromRow<'r, sqlx::sqlite::SqliteRow> + Send + Unpin,
{
    sqlx::query_as(sql)
        .fetch_all(reader)
        .await
        .map_err(|source| error("look", source))
}

/// What is not as it was.
pub(super) fn changes(before: &Tables, after: &Tables) -> Vec<Change> {
    let places: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    places
        .into_iter()
        .filter(|place| before.get(place) != after.get(place))
        .map(|place| Change {
            key: place.1.clone(),
            before: before.get(place).cloned(),
            after: after.get(place).cloned(),
        })
        .collect()
}

/// Both services' rows, for the end of a run.
pub(super) fn all_rows(order: Tables, inventory: Tables, said: Said) -> Rows {
    let mut rows = Rows {
        said,
        ..Rows::default()
    };
    for ((_, key), row) in order.into_iter().chain(inventory) {
        match row {
            Row::Order(order) => drop(rows.orders.insert(key, *order)),
            Row::Reservation(found) => drop(rows.reservations.insert(key, *found)),
            Row::Stock(stock) => drop(rows.stock.insert(key, stock)),
            Row::Tombstone(_) | Row::Receipt(_) | Row::Waiter(..) | Row::Mark(_) => {}
        }
    }
    rows
}
