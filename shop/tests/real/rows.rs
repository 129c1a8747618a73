//! The services' rows, as the models of their domains. Read here by statements of their own, not
//! by the services' code, which might be wrong in the same way twice.

use std::collections::{BTreeMap, BTreeSet};

use audit::checkpoint::{Checkpoint, Shard};
use audit::record::{Place, Topic};
use contracts::order::{OnShortage, PlaceOrder, PlaceOrderLine};
use inventory::domain::ids::{OrderId, ProductId};
use inventory::domain::reservation::{Flow, Lines, Reservation, Status as Held};
use inventory::domain::stock::Stock;
use messaging::clock::Timestamp;
use order::domain::{Order, Status};
use sqlx::FromRow;

use super::database::Database;

#[derive(FromRow)]
struct OrderRow {
    order_id: String,
    customer_id: String,
    currency: String,
    lines: String,
    on_shortage: String,
    status: String,
    version: i64,
    reservation_version: i64,
    reason: String,
    placed_at: i64,
    updated_at: i64,
    reserve_by: Option<i64>,
    deadline: Option<i64>,
}

/// Order's orders, in the sequence of placement.
pub(crate) async fn orders(database: &mut Database) -> Result<Vec<Order>, sqlx::Error> {
    let rows: Vec<OrderRow> = database
        .rows(
            "SELECT order_id, customer_id, currency, lines, on_shortage, status, version,
                 reservation_version, reason, placed_at, updated_at, reserve_by, deadline
             FROM orders ORDER BY sequence",
        )
        .await?;
    Ok(rows.into_iter().map(order).collect())
}

fn order(row: OrderRow) -> Order {
    let lines: Vec<(String, i32, i64)> = serde_json::from_str(&row.lines).unwrap();
    let line = |(product_id, quantity, unit_price_minor)| PlaceOrderLine {
        product_id,
        quantity,
        unit_price_minor,
    };
    Order {
        placed: PlaceOrder {
            order_id: row.order_id,
            customer_id: row.customer_id,
            currency: row.currency,
            lines: lines.into_iter().map(line).collect(),
            on_shortage: [OnShortage::Backorder, OnShortage::Reject]
                .into_iter()
                .find(|on_shortage| on_shortage.as_str() == row.on_shortage)
                .unwrap(),
            reserve_by: row.reserve_by,
        },
        status: Status::from_name(&row.status).unwrap(),
        version: row.version,
        reservation_version: row.reservation_version,
        reason: row.reason,
        placed_at: Timestamp(row.placed_at),
        updated_at: Timestamp(row.updated_at),
        deadline: row.deadline.map(Timestamp),
    }
}

#[derive(FromRow)]
struct ReservationRow {
    order_id: String,
    order_version: i64,
    version: i64,
    status: String,
    position: Option<i64>,
    fulfilment: Option<i64>,
    lines: String,
    correlation_id: String,
    traceparent: Option<String>,
    reserve_by: Option<i64>,
}

/// Inventory's reservations, by order.
pub(crate) async fn reservations(database: &mut Database) -> Result<Vec<Reservation>, sqlx::Error> {
    let rows: Vec<ReservationRow> = database
        .rows(
            "SELECT order_id, order_version, version, status, position, fulfilment,
                 lines, correlation_id, traceparent, reserve_by
             FROM reservation ORDER BY order_id",
        )
        .await?;
    let waiting: Vec<(String, String)> = database
        .rows("SELECT order_id, product_id FROM waiter")
        .await?;
    let reservation = |row: ReservationRow| {
        let reservation = Reservation {
            order_id: OrderId::from(&row.order_id),
            order_version: row.order_version,
            version: row.version,
            status: Held::from_name(&row.status).unwrap(),
            position: row.position,
            fulfilment: row.fulfilment,
            lines: asked(&row.lines),
            short: BTreeSet::new(),
            reserve_by: row.reserve_by.map(Timestamp),
            flow: Flow {
                correlation_id: row.correlation_id,
                traceparent: row.traceparent,
            },
        };
        (row.order_id, reservation)
    };
    let mut found: BTreeMap<String, Reservation> = rows.into_iter().map(reservation).collect();
    for (order_id, product) in waiting {
        let reservation = found
            .get_mut(&order_id)
            .expect("a waiter has a reservation");
        reservation.short.insert(ProductId::from(product));
    }
    Ok(found.into_values().collect())
}

fn asked(lines: &str) -> Lines {
    let lines: Vec<(String, i32)> = serde_json::from_str(lines).expect("lines are JSON");
    let line = |(product, quantity)| (ProductId::from(product), quantity);
    lines.into_iter().map(line).collect()
}

/// Inventory's stock, by product.
pub(crate) async fn stock(database: &mut Database) -> Result<Vec<(String, Stock)>, sqlx::Error> {
    let rows: Vec<(String, i64, i64, i64)> = database
        .rows("SELECT product_id, on_hand, reserved, version FROM stock ORDER BY product_id")
        .await?;
    let stock = |(product, on_hand, reserved, version)| {
        let stock = Stock {
            on_hand,
            reserved,
            version,
        };
        (product, stock)
    };
    Ok(rows.into_iter().map(stock).collect())
}

/// How far a service has come.
pub(crate) async fn checkpoint(database: &mut Database) -> Result<Checkpoint, sqlx::Error> {
    let mut shards: BTreeMap<i32, Shard> = BTreeMap::new();
    let numbers: Vec<(i32,)> = database.rows("SELECT shard FROM shard").await?;
    for (number,) in numbers {
        shards.insert(number, Shard::default());
    }
    for (number, topic, next) in database.cursors().await? {
        let cursors = &mut shards.entry(number).or_default().cursors;
        cursors.insert(Topic::from_name(&topic).unwrap(), next);
    }
    let waiting: Vec<(i32, i64)> = database
        .rows("SELECT partition, count(*) FROM outbox GROUP BY partition")
        .await?;
    for (partition, rows) in waiting {
        shards.entry(partition).or_default().outbox_rows = rows;
    }
    Ok(Checkpoint { shards })
}

/// The conflicts that a service has recorded, with their keys.
pub(crate) async fn conflicts(
    database: &mut Database,
) -> Result<BTreeMap<Place, String>, sqlx::Error> {
    let query = match database {
        Database::File(_) => "SELECT shard, topic, log_offset, key FROM conflict",
        // Bytes there: its text holds no zero byte.
        Database::Server(_) => {
            "SELECT shard, topic, log_offset, convert_from(key, 'UTF8') FROM conflict"
        }
    };
    let rows: Vec<(i32, String, i64, String)> = database.rows(query).await?;
    let conflict = |(partition, topic, offset, key): (i32, String, i64, String)| {
        let place = Place {
            topic: Topic::from_name(&topic).unwrap(),
            partition,
            offset,
        };
        (place, key)
    };
    Ok(rows.into_iter().map(conflict).collect())
}
