//! Reads beside the writer.

use async_trait::async_trait;
use messaging::clock::Timestamp;
use messaging::store::Error;
use messaging::store::sqlite::{bulk, error};
use sqlx::{QueryBuilder, Sqlite, SqlitePool};

use crate::domain::Order;
use crate::store::{BACKORDERS, Export, Filter, Listed, Queries, Waiting, backorders, row};

/// Reads orders over a pool of read-only connections.
#[derive(Clone, Debug)]
pub struct SqliteQueries {
    reader: SqlitePool,
}

impl SqliteQueries {
    /// Reads over `reader`.
    #[must_use]
    pub fn new(reader: SqlitePool) -> Self {
        Self { reader }
    }
}

#[async_trait]
impl Queries for SqliteQueries {
    async fn get(&self, order_id: &str) -> Result<Option<Order>, Error> {
        let failed = |source| error("get order", source);
        sqlx::query(concat!(
            "SELECT ",
            row::columns!(),
            " FROM orders WHERE order_id = $1"
        ))
        .bind(order_id)
        .fetch_optional(&self.reader)
        .await
        .map_err(failed)?
        .map(|row| row::order(&row))
        .transpose()
        .map_err(failed)
    }

    async fn list(
        &self,
        filter: &Filter,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Listed>, Error> {
        let failed = |source| error("list orders", source);
        let mut query = QueryBuilder::<Sqlite>::new(concat!(
            "SELECT ",
            row::columns!(),
            " FROM orders WHERE sequence < "
        ));
        query.push_bind(before.unwrap_or(i64::MAX));
        if let Some(customer_id) = &filter.customer_id {
            query.push(" AND customer_id = ").push_bind(customer_id);
        }
        if let Some(status) = filter.status {
            // A customer has few orders and a status many: `+` keeps the index to the customer's.
            let column = match filter.customer_id {
                Some(_) => " AND +status = ",
                None => " AND status = ",
            };
            query.push(column).push_bind(status.as_str());
        }
        query.push(" ORDER BY sequence DESC LIMIT ");
        query.push_bind(i64::try_from(limit).unwrap_or(i64::MAX));
        let rows = query.build().fetch_all(&self.reader).await;
        row::listed(&rows.map_err(failed)?).map_err(failed)
    }
}

#[async_trait]
impl Export for SqliteQueries {
    async fn after(&self, after: i64, limit: usize) -> Result<Vec<Listed>, Error> {
        let failed = |source| error("export orders", source);
        let rows = sqlx::query(concat!(
            "SELECT ",
            row::columns!(),
            " FROM orders WHERE sequence > $1 ORDER BY sequence LIMIT $2"
        ))
        .bind(after)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&self.reader)
        .await
        .map_err(failed)?;
        row::listed(&rows).map_err(failed)
    }

    async fn of(&self, order_ids: &[String]) -> Result<Vec<Order>, Error> {
        let failed = |source| error("export named orders", source);
        let rows = sqlx::query(concat!(
            "SELECT ",
            row::columns!(),
            " FROM json_each($1) AS wanted CROSS JOIN orders ON orders.order_id = wanted.value"
        ))
        .bind(bulk::json(order_ids))
        .fetch_all(&self.reader)
        .await
        .map_err(failed)?;
        row::orders(&rows).map_err(failed)
    }
}

#[async_trait]
impl Waiting for SqliteQueries {
    async fn backorders(&self, limit: u32) -> Result<(u32, Option<Timestamp>), Error> {
        let row = sqlx::query_as(BACKORDERS).bind(limit);
        let row = row.fetch_one(&self.reader).await;
        row.map(backorders)
            .map_err(|source| error("count backorders", source))
    }
}
