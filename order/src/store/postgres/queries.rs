//! Reads beside the turns.

use async_trait::async_trait;
use messaging::clock::Timestamp;
use messaging::store::Error;
use messaging::store::postgres::{bounded, error};
use sqlx::{PgPool, Postgres, QueryBuilder};

use crate::domain::Order;
use crate::store::{BACKORDERS, Export, Filter, Listed, Queries, Waiting, backorders, row};

/// Reads orders over a pool of read-only connections.
#[derive(Clone, Debug)]
pub struct PostgresQueries {
    reader: PgPool,
}

impl PostgresQueries {
    /// Reads over `reader`.
    #[must_use]
    pub fn new(reader: PgPool) -> Self {
        Self { reader }
    }
}

#[async_trait]
impl Queries for PostgresQueries {
    async fn get(&self, order_id: &str) -> Result<Option<Order>, Error> {
        const OPERATION: &str = "get order";
        let query = sqlx::query(concat!(
            "SELECT ",
            row::columns!(),
            " FROM orders WHERE order_id = $1"
        ))
        .bind(order_id);
        let found = bounded(OPERATION, query.fetch_optional(&self.reader)).await?;
        found
            .map(|found| row::order(&found))
            .transpose()
            .map_err(|source| error(OPERATION, source))
    }

    async fn list(
        &self,
        filter: &Filter,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Listed>, Error> {
        const OPERATION: &str = "list orders";
        let mut query = QueryBuilder::<Postgres>::new(concat!(
            "SELECT ",
            row::columns!(),
            " FROM orders WHERE sequence < "
        ));
        query.push_bind(before.unwrap_or(i64::MAX));
        if let Some(customer_id) = &filter.customer_id {
            query.push(" AND customer_id = ").push_bind(customer_id);
        }
        if let Some(status) = filter.status {
            query.push(" AND status = ").push_bind(status.as_str());
        }
        query.push(" ORDER BY sequence DESC LIMIT ");
        query.push_bind(i64::try_from(limit).unwrap_or(i64::MAX));
        let rows = bounded(OPERATION, query.build().fetch_all(&self.reader)).await?;
        row::listed(&rows).map_err(|source| error(OPERATION, source))
    }
}

#[async_trait]
impl Export for PostgresQueries {
    async fn after(&self, after: i64, limit: usize) -> Result<Vec<Listed>, Error> {
        const OPERATION: &str = "export orders";
        let query = sqlx::query(concat!(
            "SELECT ",
            row::columns!(),
            " FROM orders WHERE sequence > $1 ORDER BY sequence LIMIT $2"
        ))
        .bind(after)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX));
        let rows = bounded(OPERATION, query.fetch_all(&self.reader)).await?;
        row::listed(&rows).map_err(|source| error(OPERATION, source))
    }

    async fn of(&self, order_ids: &[String]) -> Result<Vec<Order>, Error> {
        const OPERATION: &str = "export named orders";
        let query = sqlx::query(concat!(
            "SELECT ",
            row::columns!(),
            " FROM orders WHERE order_id = ANY($1)"
        ))
        .bind(order_ids);
        let rows = bounded(OPERATION, query.fetch_all(&self.reader)).await?;
        row::orders(&rows).map_err(|source| error(OPERATION, source))
    }
}

#[async_trait]
impl Waiting for PostgresQueries {
    async fn backorders(&self, limit: u32) -> Result<(u32, Option<Timestamp>), Error> {
        let query = sqlx::query_as(BACKORDERS).bind(i64::from(limit));
        let row = bounded("count backorders", query.fetch_one(&self.reader)).await;
        row.map(backorders)
    }
}
