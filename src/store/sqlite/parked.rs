//! Parked messages and actions: what a shard's owner reads of them, and what its turn writes.

use std::slice;

use sqlx::SqliteConnection;
use sqlx::sqlite::SqlitePool;

use super::bulk::{self, Insert};
use super::{error, reading};
use crate::clock::Timestamp;
use crate::limits;
use crate::shard::ShardId;
use crate::store::sql::library::{ACTION_COLUMNS, PARKED_COLUMNS, bound, bytes_of, parts};
use crate::store::{
    Action, ActionDone, Error, ErrorKind, Outcome, ParkedLevel, ParkedRow, Place, Reparked, Target,
};

const OPERATION: &str = "commit";

/// Open actions of a shard.
pub(super) async fn actions(reader: &SqlitePool, shard: ShardId) -> Result<Vec<Action>, Error> {
    const OPERATION: &str = "actions";
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
        "SELECT {ACTION_COLUMNS} FROM action
         WHERE shard = $1 AND done_at IS NULL ORDER BY number LIMIT $2"
    )))
    .bind(shard.0)
    .bind(bound(limits::ACTIONS_PER_LOOK))
    .fetch_all(reader)
    .await
    .map_err(|source| error(OPERATION, source))?;
    rows.iter()
        .map(|row| reading(OPERATION).action(row))
        .collect()
}

/// The first parked messages of `target`.
pub(super) async fn parked_of(
    reader: &SqlitePool,
    shard: ShardId,
    target: &Target,
    limit: usize,
) -> Result<Vec<ParkedRow>, Error> {
    const OPERATION: &str = "parked_of";
    let (aggregate, place) = parts(target);
    let wanted = match target {
        Target::Aggregate(_) => "aggregate_kind = $2 AND aggregate_id = $3",
        Target::Place(_) => "topic = $4 AND log_offset = $5",
    };
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
        "SELECT {PARKED_COLUMNS} FROM parked WHERE shard = $1 AND {wanted} ORDER BY id LIMIT $6"
    )))
    .bind(shard.0)
    .bind(aggregate.map(|aggregate| aggregate.kind.as_str()))
    .bind(aggregate.map(|aggregate| aggregate.id.as_str()))
    .bind(place.map(|place| place.topic.as_str()))
    .bind(place.map(|place| place.offset))
    .bind(bound(limit))
    .fetch_all(reader)
    .await
    .map_err(|source| error(OPERATION, source))?;
    rows.iter()
        .map(|row| reading(OPERATION).parked_row(row))
        .collect()
}

/// How much a shard has set aside.
pub(super) async fn level(reader: &SqlitePool, shard: ShardId) -> Result<ParkedLevel, Error> {
    let (count, oldest): (i64, Option<i64>) =
        sqlx::query_as("SELECT count(*), min(at) FROM parked WHERE shard = $1")
            .bind(shard.0)
            .fetch_one(reader)
            .await
            .map_err(|source| error("parked_level", source))?;
    Ok(ParkedLevel {
        count,
        oldest: oldest.map(Timestamp),
    })
}

/// Takes rows out of `parked`; all of them must be there.
pub(super) async fn unpark(
    tx: &mut SqliteConnection,
    shard: ShardId,
    places: &[Place],
) -> Result<(), Error> {
    if places.is_empty() {
        return Ok(());
    }
    let gone = bulk::json(places.iter().map(|place| (&place.topic, place.offset)));
    let deleted = sqlx::query(
        "DELETE FROM parked WHERE id IN (
             SELECT parked.id FROM json_each($2) AS gone
             CROSS JOIN parked ON parked.shard = $1 AND parked.topic = gone.value ->> 0
                              AND parked.log_offset = gone.value ->> 1)",
    )
    .bind(shard.0)
    .bind(gone)
    .execute(tx)
    .await
    .map_err(|source| error(OPERATION, source))?;
    let found = usize::try_from(deleted.rows_affected()).unwrap_or(usize::MAX);
    if found == places.len() {
        return Ok(());
    }
    moved(format!("{found} of {} messages are parked", places.len()))
}

/// Notes that messages were replayed in vain.
pub(super) async fn repark(
    tx: &mut SqliteConnection,
    shard: ShardId,
    reparked: &[Reparked],
) -> Result<(), Error> {
    for again in reparked {
        let changed = sqlx::query(
            "UPDATE parked SET reason = $4, detail = $5, replays = replays + 1
             WHERE shard = $1 AND topic = $2 AND log_offset = $3",
        )
        .bind(shard.0)
        .bind(&again.place.topic)
        .bind(again.place.offset)
        .bind(again.reason.as_str())
        .bind(&again.detail)
        .execute(&mut *tx)
        .await
        .map_err(|source| error(OPERATION, source))?;
        if changed.rows_affected() == 0 {
            return moved(format!("{:?} is not parked", again.place));
        }
    }
    Ok(())
}

/// Adds to the trail what became of open actions.
pub(super) async fn note_done(
    tx: &mut SqliteConnection,
    shard: ShardId,
    done: &[ActionDone],
) -> Result<(), Error> {
    for action in done {
        let count = bound(action.outcomes.len());
        let row: Option<(i64, i64)> = sqlx::query_as(
            "UPDATE action SET done_at = $3, outcomes = outcomes + $4
             WHERE id = $1 AND shard = $2 AND done_at IS NULL RETURNING number, outcomes",
        )
        .bind(&action.id)
        .bind(shard.0)
        .bind(action.at.map(|at| at.0))
        .bind(count)
        .fetch_optional(&mut *tx)
        .await
        .map_err(|source| error(OPERATION, source))?;
        let Some((number, outcomes)) = row else {
            return moved(format!("action {} is not open", action.id));
        };
        let numbered: Vec<(i64, &Outcome)> =
            (outcomes - count + 1..).zip(&action.outcomes).collect();
        save_outcomes(tx, number, &numbered).await?;
    }
    Ok(())
}

async fn save_outcomes(
    tx: &mut SqliteConnection,
    action: i64,
    outcomes: &[(i64, &Outcome)],
) -> Result<(), Error> {
    Insert {
        into: "action_outcome (action, number, topic, log_offset, outcome, detail, record)",
        columns: 7,
        then: "",
    }
    .rows(tx, OPERATION, outcomes, |(number, outcome), values| {
        let record = outcome.record.as_ref();
        values
            .push(action)
            .push(*number)
            .push(&outcome.place.topic)
            .push(outcome.place.offset)
            .push(outcome.kind.as_str())
            .push(&outcome.detail)
            .push(record.map(|record| bytes_of(slice::from_ref(record))));
    })
    .await
}

fn moved(detail: String) -> Result<(), Error> {
    Err(Error::new(ErrorKind::CursorMoved, OPERATION, detail))
}
