//! Orders in SQLite: loaded and saved for a whole batch at a time.

mod queries;

use std::collections::BTreeSet;

use messaging::store::sqlite::bulk::{self, Insert, Script};
use messaging::store::sqlite::error;
use messaging::store::{Error, Tables};
use sqlx::SqliteConnection;
use sqlx::migrate::Migrator;

pub use queries::SqliteQueries;

use super::row::{self, Writes};
use crate::context::{OrderContext, State};
use crate::domain::{Message, Order};

/// The tables' migrations, versions 1000 and up.
pub static MIGRATIONS: Migrator = sqlx::migrate!("src/store/sqlite/migrations");

/// Order's tables.
#[derive(Clone, Copy, Debug, Default)]
pub struct OrderTables;

impl Tables<OrderContext, SqliteConnection> for OrderTables {
    async fn load(&self, tx: &mut SqliteConnection, messages: &[&Message]) -> Result<State, Error> {
        let ids: BTreeSet<&str> = messages.iter().map(|message| message.key()).collect();
        load(tx, &ids).await
    }

    async fn save(&self, tx: &mut SqliteConnection, state: &State) -> Result<(), Error> {
        let writes = Writes::of(state);
        let mut script = Script::new(tx, "save orders");
        insert(&mut script, &writes.placed).await?;
        update(&mut script, &writes.updated);
        entomb(&mut script, &writes.entombed).await?;
        raise(&mut script, &writes.raised);
        script.run().await.map(|_| ())
    }
}

/// One row per id with the order, or with neither that nor tombstones; else one per tombstone.
async fn load(tx: &mut SqliteConnection, ids: &BTreeSet<&str>) -> Result<State, Error> {
    const OPERATION: &str = "load orders";
    let failed = |source| error(OPERATION, source);
    let rows = sqlx::query(concat!(
        "SELECT wanted.value AS wanted, tombstones.reason AS tombstone,
             tombstones.customer_id AS entombed, ",
        row::columns!(),
        " FROM json_each($1) AS wanted
          LEFT JOIN orders ON orders.order_id = wanted.value
          LEFT JOIN tombstones ON tombstones.order_id = wanted.value"
    ))
    .bind(bulk::json(ids))
    .fetch_all(tx)
    .await
    .map_err(failed)?;
    row::state(&rows).map_err(failed)
}

async fn insert(script: &mut Script<'_>, placed: &[&Order]) -> Result<(), Error> {
    let insert = Insert {
        into: "orders (order_id, customer_id, currency, lines, on_shortage, status, version,
               reservation_version, reason, placed_at, updated_at, reserve_by, deadline)",
        columns: 13,
        then: "",
    };
    let rows = script.insert(insert, placed, |order, values| {
        values
            .push(&order.placed.order_id)
            .push(&order.placed.customer_id)
            .push(&order.placed.currency)
            .push(row::lines_to_json(&order.placed.lines))
            .push(order.placed.on_shortage.as_str())
            .push(order.status.as_str())
            .push(order.version)
            .push(order.reservation_version)
            .push(&order.reason)
            .push(order.placed_at.0)
            .push(order.updated_at.0)
            .push(order.placed.reserve_by)
            .push(order.deadline.map(|deadline| deadline.0));
    });
    rows.await
}

/// Only what ever changes is written.
fn update(script: &mut Script<'_>, updated: &[(i64, &Order)]) {
    if updated.is_empty() {
        return;
    }
    let changes = updated.iter().map(|(sequence, order)| {
        (
            sequence,
            order.status.as_str(),
            order.version,
            order.reservation_version,
            &order.reason,
            order.updated_at.0,
        )
    });
    script.add(
        "UPDATE orders SET status = change.value ->> 1, version = change.value ->> 2,
             reservation_version = change.value ->> 3, reason = change.value ->> 4,
             updated_at = change.value ->> 5
         FROM json_each(?) AS change WHERE orders.sequence = change.value ->> 0",
        |values| {
            values.push(bulk::json(changes));
        },
    );
}

async fn entomb(script: &mut Script<'_>, entombed: &[(&str, &str, &str)]) -> Result<(), Error> {
    let insert = Insert {
        into: "tombstones (order_id, customer_id, reason)",
        columns: 3,
        then: "ON CONFLICT DO NOTHING",
    };
    let rows = script.insert(
        insert,
        entombed,
        |(order_id, customer_id, reason), values| {
            values.push(*order_id).push(*customer_id).push(*reason);
        },
    );
    rows.await
}

/// Removes the tombstones of orders that have been placed.
fn raise(script: &mut Script<'_>, raised: &[&str]) {
    if raised.is_empty() {
        return;
    }
    script.add(
        "DELETE FROM tombstones WHERE order_id IN (SELECT value FROM json_each(?))",
        |values| {
            values.push(bulk::json(raised));
        },
    );
}
