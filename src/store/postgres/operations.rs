//! The port for operators, over the same database.

use async_trait::async_trait;
use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgPool, PgRow};

use super::bulk::column;
use super::effects::prose;
use super::{PostgresStore, bounded, checkpoint, reading};
use crate::shard::ShardId;
use crate::store::sql::library::{ACTION_COLUMNS, PARKED_COLUMNS, bound, parts};
use crate::store::{
    Action, ActionRecord, AggregateKey, Checkpoint, Conflicting, Error, Operations, ParkedFilter,
    ParkedRow, Place, Target,
};

#[async_trait]
impl<T: Send + Sync + 'static> Operations for PostgresStore<T> {
    async fn parked(
        &self,
        filter: &ParkedFilter,
        after: i64,
        limit: usize,
    ) -> Result<Vec<ParkedRow>, Error> {
        const OPERATION: &str = "parked";
        let by_key = match filter.aggregate_id {
            Some(_) => "sha256(aggregate_id) = sha256($1)",
            None => "$1::bytea IS NULL",
        };
        let query = AssertSqlSafe(format!(
            "SELECT {PARKED_COLUMNS} FROM parked
             WHERE {by_key} AND ($2::text IS NULL OR reason = $2)
               AND ($3::bigint IS NULL OR at <= $3) AND id > $4
             ORDER BY id LIMIT $5"
        ));
        let query = sqlx::query(query)
            .bind(filter.aggregate_id.as_deref().map(str::as_bytes))
            .bind(filter.reason.map(|reason| reason.as_str()))
            .bind(filter.parked_until.map(|until| until.0))
            .bind(after)
            .bind(bound(limit));
        let rows = bounded(OPERATION, query.fetch_all(&self.reader)).await?;
        rows.iter()
            .map(|row| reading(OPERATION).parked_row(row))
            .collect()
    }

    async fn parked_count(&self, aggregate: &AggregateKey) -> Result<i64, Error> {
        let count = sqlx::query_scalar(
            "SELECT count(*) FROM parked
             WHERE aggregate_kind = $1 AND sha256(aggregate_id) = sha256($2)",
        )
        .bind(&aggregate.kind)
        .bind(aggregate.id.as_bytes());
        bounded("parked_count", count.fetch_one(&self.reader)).await
    }

    async fn parked_at(&self, shard: ShardId, place: &Place) -> Result<Option<ParkedRow>, Error> {
        let target = Target::Place(place.clone());
        let rows = super::parked::parked_of(&self.reader, shard, &target, 1).await?;
        Ok(rows.into_iter().next())
    }

    async fn held_up(&self, id: &str) -> Result<Vec<(ShardId, AggregateKey)>, Error> {
        let query = sqlx::query_as(
            "SELECT DISTINCT shard, aggregate_kind FROM parked
             WHERE sha256(aggregate_id) = sha256($1) ORDER BY aggregate_kind, shard",
        )
        .bind(id.as_bytes());
        let rows: Vec<(i32, String)> = bounded("held_up", query.fetch_all(&self.reader)).await?;
        let aggregate = |kind| AggregateKey {
            kind,
            id: id.to_owned(),
        };
        Ok(rows
            .into_iter()
            .map(|(shard, kind)| (ShardId(shard), aggregate(kind)))
            .collect())
    }

    async fn submit(&self, action: &Action) -> Result<bool, Error> {
        const OPERATION: &str = "submit";
        let (aggregate, place) = parts(&action.target);
        let mut write = self.begin_write(OPERATION).await?;
        let insert = sqlx::query(
            "INSERT INTO action (id, shard, kind, aggregate_kind, aggregate_id, topic, log_offset,
                                 operator, reason, at)
             SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10
             WHERE EXISTS (SELECT FROM parked WHERE shard = $2 AND aggregate_kind = $4
                                                AND sha256(aggregate_id) = sha256($5))
                OR EXISTS (SELECT FROM parked
                           WHERE shard = $2 AND topic = $6 AND log_offset = $7)",
        )
        .bind(&action.id)
        .bind(action.shard.0)
        .bind(action.kind.as_str())
        .bind(aggregate.map(|aggregate| aggregate.kind.as_str()))
        .bind(aggregate.map(|aggregate| aggregate.id.as_bytes()))
        .bind(place.map(|place| prose(&place.topic)))
        .bind(place.map(|place| place.offset))
        .bind(prose(&action.operator))
        .bind(prose(&action.reason))
        .bind(action.at.0);
        let asked = bounded(OPERATION, insert.execute(&mut *write.tx)).await?;
        write.commit(OPERATION).await?;
        Ok(asked.rows_affected() == 1)
    }

    async fn action(&self, id: &str, outcomes: usize) -> Result<Option<ActionRecord>, Error> {
        const OPERATION: &str = "action";
        let query = sqlx::query(AssertSqlSafe(format!(
            "SELECT {ACTION_COLUMNS} FROM action WHERE id = $1"
        )))
        .bind(prose(id));
        let rows = bounded(OPERATION, query.fetch_all(&self.reader)).await?;
        let mut records = with_outcomes(&self.reader, &rows, outcomes, OPERATION).await?;
        Ok(records.pop())
    }

    async fn trail(
        &self,
        before: i64,
        limit: usize,
        outcomes: usize,
    ) -> Result<Vec<ActionRecord>, Error> {
        const OPERATION: &str = "trail";
        let query = sqlx::query(AssertSqlSafe(format!(
            "SELECT {ACTION_COLUMNS} FROM action WHERE number < $1 ORDER BY number DESC LIMIT $2"
        )))
        .bind(before)
        .bind(bound(limit));
        let rows = bounded(OPERATION, query.fetch_all(&self.reader)).await?;
        with_outcomes(&self.reader, &rows, outcomes, OPERATION).await
    }

    async fn conflicts(
        &self,
        key: Option<&str>,
        after: i64,
        limit: usize,
    ) -> Result<Vec<Conflicting>, Error> {
        const OPERATION: &str = "conflicts";
        let by_key = match key {
            Some(_) => "sha256(key) = sha256($1)",
            None => "$1::bytea IS NULL",
        };
        let query = sqlx::query(AssertSqlSafe(format!(
            "SELECT number, shard, topic, log_offset, message_type, key, id, record, at
             FROM conflict WHERE {by_key} AND number > $2 ORDER BY number LIMIT $3"
        )))
        .bind(key.map(str::as_bytes))
        .bind(after)
        .bind(bound(limit));
        let rows = bounded(OPERATION, query.fetch_all(&self.reader)).await?;
        rows.iter()
            .map(|row| reading(OPERATION).conflicting(row))
            .collect()
    }

    async fn checkpoint(&self) -> Result<Checkpoint, Error> {
        checkpoint::read(&self.reader).await
    }
}

/// The actions of `rows` with the last `limit` outcomes of each.
async fn with_outcomes(
    reader: &PgPool,
    rows: &[PgRow],
    limit: usize,
    operation: &'static str,
) -> Result<Vec<ActionRecord>, Error> {
    let mut records = rows
        .iter()
        .map(|row| reading(operation).action_record(row))
        .collect::<Result<Vec<_>, _>>()?;
    let query = sqlx::query(
        "SELECT action_outcome.action, topic, log_offset, outcome, detail, record
         FROM unnest($1::bigint[], $2::bigint[]) AS wanted (action, after)
         JOIN action_outcome ON action_outcome.action = wanted.action
                            AND action_outcome.number > wanted.after
         ORDER BY action_outcome.action, action_outcome.number",
    )
    .bind(column(&records, |record| record.number))
    .bind(column(&records, |record| {
        record.outcome_count.saturating_sub(bound(limit))
    }));
    let outcomes = bounded(operation, query.fetch_all(reader)).await?;
    reading(operation).add_outcomes(&mut records, &outcomes)?;
    Ok(records)
}
