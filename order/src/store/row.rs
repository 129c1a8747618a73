//! Orders as rows, in whichever database.

use std::collections::BTreeMap;

use contracts::order::{OnShortage, PlaceOrder, PlaceOrderLine};
use messaging::clock::Timestamp;
use messaging::store::sql::{Get, SqlRow, json};
use sqlx::Error;
use sqlx::error::BoxDynError;

use super::Listed;
use crate::context::{Changed, Loaded, State};
use crate::domain::{Entry, Order, Status, Tombstones};

/// The columns of an order, with its sequence.
macro_rules! columns {
    () => {
        "orders.sequence, orders.order_id, orders.customer_id, orders.currency, orders.lines,
         orders.on_shortage, orders.status, orders.version, orders.reservation_version,
         orders.reason, orders.placed_at, orders.updated_at, orders.reserve_by, orders.deadline"
    };
}
pub(super) use columns;

/// The order in a row of [`columns`].
pub(super) fn order(row: &impl SqlRow) -> Result<Order, Error> {
    let lines: String = row.read("lines")?;
    let on_shortage: String = row.read("on_shortage")?;
    let status: String = row.read("status")?;
    Ok(Order {
        placed: PlaceOrder {
            order_id: row.read("order_id")?,
            customer_id: row.read("customer_id")?,
            currency: row.read("currency")?,
            lines: lines_from_json(&lines).map_err(|source| undecodable("lines", source.into()))?,
            on_shortage: on_shortage_from_name(&on_shortage)
                .ok_or_else(|| undecodable("on_shortage", on_shortage.into()))?,
            reserve_by: row.read("reserve_by")?,
        },
        status: Status::from_name(&status).ok_or_else(|| undecodable("status", status.into()))?,
        version: row.read("version")?,
        reservation_version: row.read("reservation_version")?,
        reason: row.read("reason")?,
        placed_at: Timestamp(row.read("placed_at")?),
        updated_at: Timestamp(row.read("updated_at")?),
        deadline: Get::<Option<i64>>::read(row, "deadline")?.map(Timestamp),
    })
}

/// The orders in rows of [`columns`].
pub(super) fn orders(rows: &[impl SqlRow]) -> Result<Vec<Order>, Error> {
    rows.iter().map(order).collect()
}

/// The orders in rows of [`columns`], with their sequence.
pub(super) fn listed(rows: &[impl SqlRow]) -> Result<Vec<Listed>, Error> {
    rows.iter()
        .map(|row| {
            Ok(Listed {
                sequence: row.read("sequence")?,
                order: order(row)?,
            })
        })
        .collect()
}

/// What the database holds under each `wanted` id: rows of [`columns`], empty where there is no
/// order, one for each `tombstone` (its reason) of an `entombed` customer, or one without.
pub(super) fn state(rows: &[impl SqlRow]) -> Result<State, Error> {
    let mut state = State::default();
    let mut entombed = BTreeMap::<String, Tombstones>::new();
    for row in rows {
        let wanted: String = row.read("wanted")?;
        let sequence: Option<i64> = row.read("sequence")?;
        let tombstone: Option<String> = row.read("tombstone")?;
        match (sequence, tombstone) {
            (Some(sequence), _) => {
                state.insert(
                    wanted,
                    Loaded::Order { sequence },
                    Entry::Known(order(row)?),
                );
            }
            (None, Some(reason)) => {
                let customer_id: String = row.read("entombed")?;
                let customer_id = Some(customer_id).filter(|id| id != ANYBODY);
                entombed
                    .entry(wanted)
                    .or_default()
                    .insert(customer_id, reason);
            }
            (None, None) => state.insert(wanted, Loaded::Nothing, Entry::Unknown),
        }
    }
    for (wanted, tombstones) in entombed {
        let loaded = Loaded::Tombstones(tombstones.len());
        state.insert(wanted, loaded, Entry::Tombstones(tombstones));
    }
    Ok(state)
}

/// The customer of a tombstone for everybody's order; no customer's id is empty.
const ANYBODY: &str = "";

/// The rows that a changed state writes.
#[derive(Debug, Default)]
pub(super) struct Writes<'s> {
    /// Orders to insert.
    pub(super) placed: Vec<&'s Order>,
    /// Orders to update, by their sequence.
    pub(super) updated: Vec<(i64, &'s Order)>,
    /// Tombstones to insert, unless they are there: order id, customer and reason.
    pub(super) entombed: Vec<(&'s str, &'s str, &'s str)>,
    /// Tombstones to delete, of orders that have been placed.
    pub(super) raised: Vec<&'s str>,
}

impl<'s> Writes<'s> {
    pub(super) fn of(state: &'s State) -> Self {
        let mut writes = Self::default();
        for Changed {
            order_id,
            loaded,
            entry,
        } in state.changed()
        {
            match (loaded, entry) {
                (Loaded::Order { sequence }, Entry::Known(order)) => {
                    writes.updated.push((sequence, order));
                }
                (Loaded::Nothing, Entry::Known(order)) => writes.placed.push(order),
                (Loaded::Tombstones(_), Entry::Known(order)) => {
                    writes.placed.push(order);
                    writes.raised.push(order_id);
                }
                (loaded, Entry::Tombstones(tombstones)) if loaded.lacks(tombstones) => {
                    let rows = tombstones.iter().map(|(customer_id, reason)| {
                        let customer_id = customer_id.as_deref().unwrap_or(ANYBODY);
                        (order_id, customer_id, reason.as_str())
                    });
                    writes.entombed.extend(rows);
                }
                // Nothing became of it: a completion of nothing, a second cancellation.
                (_, Entry::Unknown | Entry::Tombstones(_)) => {}
            }
        }
        writes
    }
}

/// `[[product_id, quantity, unit_price_minor], ...]`.
pub(super) fn lines_to_json(lines: &[PlaceOrderLine]) -> String {
    json(
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
