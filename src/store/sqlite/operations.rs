//! The port for operators, over the same file.

use async_trait::async_trait;
use sqlx::AssertSqlSafe;
use sqlx::sqlite::{SqlitePool, SqliteRow};

use super::{SqliteStore, bulk, checkpoint, error, reading};
use crate::shard::ShardId;
use crate::store::sql::library::{ACTION_COLUMNS, PARKED_COLUMNS, bound, parts};
use crate::store::{
    Action, ActionRecord, AggregateKey, Checkpoint, Conflicting, Error, Operations, ParkedFilter,
    ParkedRow, Place, Target,
};

#[async_trait]
impl<T: Send + Sync + 'static> Operations for SqliteStore<T> {
    async fn parked(
        &self,
        filter: &ParkedFilter,
        after: i64,
        limit: usize,
    ) -> Result<Vec<ParkedRow>, Error> {
        const OPERATION: &str = "parked";
        let by_key = match filter.aggregate_id {
            Some(_) => "aggregate_id = $1 AND",
            None => "",
        };
        let rows = sqlx::query(AssertSqlSafe(format!(
            "SELECT {PARKED_COLUMNS} FROM parked
             WHERE {by_key} ($2 IS NULL OR reason = $2) AND ($3 IS NULL OR at <= $3) AND id > $4
             ORDER BY id LIMIT $5"
        )))
        .bind(&filter.aggregate_id)
        .bind(filter.reason.map(|reason| reason.as_str()))
        .bind(filter.parked_until.map(|until| until.0))
        .bind(after)
        .bind(bound(limit))
        .fetch_all(&self.reader)
        .await
        .map_err(|source| error(OPERATION, source))?;
        rows.iter()
            .map(|row| reading(OPERATION).parked_row(row))
            .collect()
    }

    async fn parked_count(&self, aggregate: &AggregateKey) -> Result<i64, Error> {
        sqlx::query_scalar(
            "SELECT count(*) FROM parked WHERE aggregate_kind = $1 AND aggregate_id = $2",
        )
        .bind(&aggregate.kind)
        .bind(&aggregate.id)
        .fetch_one(&self.reader)
        .await
        .map_err(|source| error("parked_count", source))
    }

    async fn parked_at(&self, shard: ShardId, place: &Place) -> Result<Option<ParkedRow>, Error> {
        let target = Target::Place(place.clone());
        let rows = super::parked::parked_of(&self.reader, shard, &target, 1).await?;
        Ok(rows.into_iter().next())
    }

    async fn held_up(&self, id: &str) -> Result<Vec<(ShardId, AggregateKey)>, Error> {
        let rows: Vec<(i32, String)> = sqlx::query_as(
            "SELECT DISTINCT shard, aggregate_kind FROM parked WHERE aggregate_id = $1
             ORDER BY aggregate_kind, shard",
        )
        .bind(id)
        .fetch_all(&self.reader)
        .await
        .map_err(|source| error("held_up", source))?;
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
        let mut write = self.writer.begin(OPERATION).await?;
        let asked = sqlx::query(
            "INSERT INTO action (id, shard, kind, aggregate_kind, aggregate_id, topic, log_offset,
                                 operator, reason, at)
             SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10
             WHERE EXISTS (SELECT 1 FROM parked
                           WHERE shard = $2 AND aggregate_kind = $4 AND aggregate_id = $5)
                OR EXISTS (SELECT 1 FROM parked
                           WHERE shard = $2 AND topic = $6 AND log_offset = $7)",
        )
        .bind(&action.id)
        .bind(action.shard.0)
        .bind(action.kind.as_str())
        .bind(aggregate.map(|aggregate| aggregate.kind.as_str()))
        .bind(aggregate.map(|aggregate| aggregate.id.as_str()))
        .bind(place.map(|place| place.topic.as_str()))
        .bind(place.map(|place| place.offset))
        .bind(&action.operator)
        .bind(&action.reason)
        .bind(action.at.0)
        .execute(write.connection()?)
        .await
        .map_err(|source| error(OPERATION, source))?;
        write.commit(OPERATION).await?;
        Ok(asked.rows_affected() == 1)
    }

    async fn action(&self, id: &str, outcomes: usize) -> Result<Option<ActionRecord>, Error> {
        const OPERATION: &str = "action";
        let row = sqlx::query(AssertSqlSafe(format!(
            "SELECT {ACTION_COLUMNS} FROM action WHERE id = $1"
        )))
        .bind(id)
        .fetch_optional(&self.reader)
        .await
        .map_err(|source| error(OPERATION, source))?;
        let found: Vec<SqliteRow> = row.into_iter().collect();
        let mut records = with_outcomes(&self.reader, &found, outcomes, OPERATION).await?;
        Ok(records.pop())
    }

    async fn trail(
        &self,
        before: i64,
        limit: usize,
        outcomes: usize,
    ) -> Result<Vec<ActionRecord>, Error> {
        const OPERATION: &str = "trail";
        let rows = sqlx::query(AssertSqlSafe(format!(
            "SELECT {ACTION_COLUMNS} FROM action WHERE number < $1 ORDER BY number DESC LIMIT $2"
        )))
        .bind(before)
        .bind(bound(limit))
        .fetch_all(&self.reader)
        .await
        .map_err(|source| error(OPERATION, source))?;
        with_outcomes(&self.reader, &rows, outcomes, OPERATION).await
    }

    async fn conflicts(
        &self,
        key: Option<&str>,
        after: i64,
        limit: usize,
    ) -> Result<Vec<Conflicting>, Error> {
        const OPERATION: &str = "conflicts";
        let by_key = if key.is_some() { "key = $1 AND" } else { "" };
        let rows = sqlx::query(AssertSqlSafe(format!(
            "SELECT rowid AS number, shard, topic, log_offset, message_type, key, id, record, at
             FROM conflict WHERE {by_key} rowid > $2 ORDER BY rowid LIMIT $3"
        )))
        .bind(key)
        .bind(after)
        .bind(bound(limit))
        .fetch_all(&self.reader)
        .await
        .map_err(|source| error(OPERATION, source))?;
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
    reader: &SqlitePool,
    rows: &[SqliteRow],
    limit: usize,
    operation: &'static str,
) -> Result<Vec<ActionRecord>, Error> {
    let mut records = rows
        .iter()
        .map(|row| reading(operation).action_record(row))
        .collect::<Result<Vec<_>, _>>()?;
    let wanted = records
        .iter()
        .map(|record| (record.number, record.outcome_count - bound(limit)));
    let outcomes = sqlx::query(
        "SELECT action_outcome.action, topic, log_offset, outcome, detail, record
         FROM json_each($1) AS wanted
         CROSS JOIN action_outcome ON action_outcome.action = wanted.value ->> 0
                                  AND action_outcome.number > wanted.value ->> 1
         ORDER BY action_outcome.action, action_outcome.number",
    )
    .bind(bulk::json(wanted))
    .fetch_all(reader)
    .await
    .map_err(|source| error(operation, source))?;
    reading(operation).add_outcomes(&mut records, &outcomes)?;
    Ok(records)
}
