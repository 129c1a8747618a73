//! Orders in Postgres: loaded and saved for a whole batch at a time.

mod queries;

use std::collections::BTreeSet;

use messaging::store::postgres::bulk::{column, write};
use messaging::store::postgres::error;
use messaging::store::{Error, Tables};
use sqlx::PgConnection;
use sqlx::migrate::Migrator;

pub use queries::PostgresQueries;

use super::row::{self, Writes};
use crate::context::{OrderContext, State};
use crate::domain::{Message, Order};

/// The tables' migrations, versions 1000 and up.
pub static MIGRATIONS: Migrator = sqlx::migrate!("src/store/postgres/migrations");

/// Order's tables.
#[derive(Clone, Copy, Debug, Default)]
pub struct OrderTables;

impl Tables<OrderContext, PgConnection> for OrderTables {
    /// One row per id with the order, or with neither that nor tombstones; else one per tombstone. An order belongs to one shard, whose
    /// row this turn has locked, so its rows are nobody else's to change.
    async fn load(&self, tx: &mut PgConnection, messages: &[&Message]) -> Result<State, Error> {
        let failed = |source| error("load orders", source);
        let ids: BTreeSet<&str> = messages.iter().map(|message| message.key()).collect();
        let rows = sqlx::query(concat!(
            "SELECT wanted.order_id AS wanted, tombstones.reason AS tombstone,
                    tombstones.customer_id AS entombed, ",
            row::columns!(),
            " FROM unnest($1::text[]) AS wanted (order_id)
              LEFT JOIN orders ON orders.order_id = wanted.order_id
              LEFT JOIN tombstones ON tombstones.order_id = wanted.order_id"
        ))
        .bind(Vec::from_iter(ids))
        .fetch_all(tx)
        .await
        .map_err(failed)?;
        row::state(&rows).map_err(failed)
    }

    async fn save(&self, tx: &mut PgConnection, state: &State) -> Result<(), Error> {
        let writes = Writes::of(state);
        insert(tx, &writes.placed).await?;
        update(tx, &writes.updated).await?;
        entomb(tx, &writes.entombed).await?;
        raise(tx, &writes.raised).await
    }
}

async fn insert(tx: &mut PgConnection, placed: &[&Order]) -> Result<(), Error> {
    let statement = sqlx::query(
        "INSERT INTO orders (order_id, customer_id, currency, lines, on_shortage, status, version,
                             reservation_version, reason, placed_at, updated_at, reserve_by,
                             deadline)
         SELECT order_id, customer_id, currency, lines, on_shortage, status, version,
                reservation_version, reason, placed_at, updated_at, reserve_by, deadline
         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
                     $7::bigint[], $8::bigint[], $9::text[], $10::bigint[], $11::bigint[],
                     $12::bigint[], $13::bigint[])
             WITH ORDINALITY AS placed (order_id, customer_id, currency, lines, on_shortage, status,
                 version, reservation_version, reason, placed_at, updated_at, reserve_by, deadline,
                 number)
         ORDER BY number",
    )
    .bind(column(placed, |order| order.placed.order_id.as_str()))
    .bind(column(placed, |order| order.placed.customer_id.as_str()))
    .bind(column(placed, |order| order.placed.currency.as_str()))
    .bind(column(placed, |order| {
        row::lines_to_json(&order.placed.lines)
    }))
    .bind(column(placed, |order| order.placed.on_shortage.as_str()))
    .bind(column(placed, |order| order.status.as_str()))
    .bind(column(placed, |order| order.version))
    .bind(column(placed, |order| order.reservation_version))
    .bind(column(placed, |order| order.reason.as_str()))
    .bind(column(placed, |order| order.placed_at.0))
    .bind(column(placed, |order| order.updated_at.0))
    .bind(column(placed, |order| order.placed.reserve_by))
    .bind(column(placed, |order| {
        order.deadline.map(|deadline| deadline.0)
    }));
    write(tx, "insert orders", placed, statement)
        .await
        .map(drop)
}

/// Only what ever changes is written.
async fn update(tx: &mut PgConnection, updated: &[(i64, &Order)]) -> Result<(), Error> {
    let statement = sqlx::query(
        "UPDATE orders SET status = change.status, version = change.version,
             reservation_version = change.reservation_version, reason = change.reason,
             updated_at = change.updated_at
         FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::text[],
                     $6::bigint[])
             AS change (sequence, status, version, reservation_version, reason, updated_at)
         WHERE orders.sequence = change.sequence",
    )
    .bind(column(updated, |(sequence, _)| *sequence))
    .bind(column(updated, |(_, order)| order.status.as_str()))
    .bind(column(updated, |(_, order)| order.version))
    .bind(column(updated, |(_, order)| order.reservation_version))
    .bind(column(updated, |(_, order)| order.reason.as_str()))
    .bind(column(updated, |(_, order)| order.updated_at.0));
    write(tx, "update orders", updated, statement)
        .await
        .map(drop)
}

async fn entomb(tx: &mut PgConnection, entombed: &[(&str, &str, &str)]) -> Result<(), Error> {
    let statement = sqlx::query(
        "INSERT INTO tombstones (order_id, customer_id, reason)
         SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) ON CONFLICT DO NOTHING",
    )
    .bind(column(entombed, |(order_id, ..)| *order_id))
    .bind(column(entombed, |(_, customer_id, _)| *customer_id))
    .bind(column(entombed, |(.., reason)| *reason));
    write(tx, "insert tombstones", entombed, statement)
        .await
        .map(drop)
}

/// Removes the tombstones of orders that have been placed.
async fn raise(tx: &mut PgConnection, raised: &[&str]) -> Result<(), Error> {
    let statement =
        sqlx::query("DELETE FROM tombstones WHERE order_id = ANY($1::text[])").bind(raised);
    write(tx, "delete tombstones", raised, statement)
        .await
        .map(drop)
}
