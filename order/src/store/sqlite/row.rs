//! Orders as rows.

use contracts::order::{OnShortage, PlaceOrder, PlaceOrderLine};
use messaging::clock::Timestamp;
use messaging::store::sqlite::bulk;
use sqlx::error::BoxDynError;
use sqlx::sqlite::SqliteRow;
use sqlx::{Error, Row};

use crate::domain::{Order, Status};

/// The columns of an order, with its sequence.
macro_rules! columns {
    () => {
        "orders.sequence, orders.order_id, orders.customer_id, orders.currency, orders.lines,
         orders.on_shortage, orders.status, orders.version, orders.reservation_version,
         orders.reason, orders.placed_at, orders.updated_at"
    };
}
pub(super) use columns;

/// The order in a row of [`columns`].
pub(super) fn order(row: &SqliteRow) -> Result<Order, Error> {
    let lines: &str = row.try_get("lines")?;
    let on_shortage: &str = row.try_get("on_shortage")?;
    let status: &str = row.try_get("status")?;
    Ok(Order {
        placed: PlaceOrder {
            order_id: row.try_get("order_id")?,
            customer_id: row.try_get("customer_id")?,
            currency: row.try_get("currency")?,
            lines: lines_from_json(lines).map_err(|source| undecodable("lines", source.into()))?,
            on_shortage: on_shortage_from_name(on_shortage)
                .ok_or_else(|| undecodable("on_shortage", on_shortage.into()))?,
        },
        status: Status::from_name(status).ok_or_else(|| undecodable("status", status.into()))?,
        version: row.try_get("version")?,
        reservation_version: row.try_get("reservation_version")?,
        reason: row.try_get("reason")?,
        placed_at: Timestamp(row.try_get("placed_at")?),
        updated_at: Timestamp(row.try_get("updated_at")?),
    })
}

/// `[[product_id, quantity, unit_price_minor], ...]`.
pub(super) fn lines_to_json(lines: &[PlaceOrderLine]) -> String {
    bulk::json(
        lines
            .iter()
            .map(|line| (&line.product_id, line.quantity, line.unit_price_minor)),
    )
}

fn lines_from_json(json: &str) -> Result<Vec<PlaceOrderLine>, serde_json::Error> {
    let lines: Vec<(String, i32, i64)> = serde_json::from_str(json)?;
    let line = |(product_id, quantity, unit_price_minor)| PlaceOrderLine {
        product_id,
        quantity,
        unit_price_minor,
    };
    Ok(lines.into_iter().map(line).collect())
}

fn on_shortage_from_name(name: &str) -> Option<OnShortage> {
    [OnShortage::Backorder, OnShortage::Reject]
        .into_iter()
        .find(|on_shortage| on_shortage.as_str() == name)
}

fn undecodable(column: &str, source: BoxDynError) -> Error {
    Error::ColumnDecode {
        index: format!("orders.{column}"),
        source,
    }
}
