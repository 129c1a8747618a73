//! Messages set aside, and operators' actions on them: the statements.

use std::slice;

use sqlx::postgres::PgPool;
use sqlx::{AssertSqlSafe, PgConnection};

use super::bulk::{column, write};
use super::effects::prose;
use super::{bounded, error, reading};
use crate::clock::Timestamp;
use crate::limits;
use crate::shard::ShardId;
use crate::store::sql::library::{ACTION_COLUMNS, PARKED_COLUMNS, bound, bytes_of, parts};
use crate::store::{
    Action, ActionDone, Error, ErrorKind, Outcome, ParkedLevel, ParkedRow, Place, Reparked, Target,
};

const OPERATION: &str = "commit";

/// Open actions of a shard.
pub(super) async fn actions(reader: &PgPool, shard: ShardId) -> Result<Vec<Action>, Error> {
    const OPERATION: &str = "actions";
    let open = sqlx::query(AssertSqlSafe(format!(
        "SELECT {ACTION_COLUMNS} FROM action
         WHERE shard = $1 AND done_at IS NULL ORDER BY number LIMIT $2"
    )))
    .bind(shard.0)
    .bind(bound(limits::ACTIONS_PER_LOOK));
    let rows = bounded(OPERATION, open.fetch_all(reader)).await?;
    rows.iter()
        .map(|row| reading(OPERATION).action(row))
        .collect()
}

/// The first parked messages of `target`.
pub(super) async fn parked_of(
    reader: &PgPool,
    shard: ShardId,
    target: &Target,
    limit: usize,
) -> Result<Vec<ParkedRow>, Error> {
    const OPERATION: &str = "parked_of";
    let (aggregate, place) = parts(target);
    let wanted = match target {
        Target::Aggregate(_) => "aggregate_kind = $2 AND sha256(aggregate_id) = sha256($3)",
        Target::Place(_) => "topic = $2 AND log_offset = $3",
    };
    let query = AssertSqlSafe(format!(
        "SELECT {PARKED_COLUMNS} FROM parked WHERE shard = $1 AND {wanted} ORDER BY id LIMIT $4"
    ));
    let mut query = sqlx::query(query).bind(shard.0);
    if let Some(aggregate) = aggregate {
        query = query.bind(&aggregate.kind).bind(aggregate.id.as_bytes());
    }
    if let Some(place) = place {
        query = query.bind(prose(&place.topic)).bind(place.offset);
    }
    let rows = bounded(OPERATION, query.bind(bound(limit)).fetch_all(reader)).await?;
    rows.iter()
        .map(|row| reading(OPERATION).parked_row(row))
        .collect()
}

/// How much a shard has set aside.
pub(super) async fn level(reader: &PgPool, shard: ShardId) -> Result<ParkedLevel, Error> {
    let level =
        sqlx::query_as("SELECT count(*), min(at) FROM parked WHERE shard = $1").bind(shard.0);
    let (count, oldest): (i64, Option<i64>) =
        bounded("parked_level", level.fetch_one(reader)).await?;
    Ok(ParkedLevel {
        count,
        oldest: oldest.map(Timestamp),
    })
}

/// Takes rows out of `parked`; all of them must be there.
pub(super) async fn unpark(
    tx: &mut PgConnection,
    shard: ShardId,
    places: &[Place],
) -> Result<(), Error> {
    let delete = sqlx::query(
        "DELETE FROM parked USING unnest($2::text[], $3::bigint[]) AS gone (topic, log_offset)
         WHERE parked.shard = $1 AND parked.topic = gone.topic
           AND parked.log_offset = gone.log_offset",
    )
    .bind(shard.0)
    .bind(column(places, |place| place.topic.as_str()))
    .bind(column(places, |place| place.offset));
    let deleted = write(tx, OPERATION, places, delete).await?;
    all_parked(deleted, places.len())
}

/// Notes that messages were replayed in vain; all of them must be there.
pub(super) async fn repark(
    tx: &mut PgConnection,
    shard: ShardId,
    reparked: &[Reparked],
) -> Result<(), Error> {
    let update = sqlx::query(
        "UPDATE parked SET reason = again.reason, detail = again.detail, replays = replays + 1
         FROM unnest($2::text[], $3::bigint[], $4::text[], $5::text[])
             AS again (topic, log_offset, reason, detail)
         WHERE parked.shard = $1 AND parked.topic = again.topic
           AND parked.log_offset = again.log_offset",
    )
    .bind(shard.0)
    .bind(column(reparked, |again| again.place.topic.as_str()))
    .bind(column(reparked, |again| again.place.offset))
    .bind(column(reparked, |again| again.reason.as_str()))
    .bind(column(reparked, |again| prose(&again.detail)));
    let changed = write(tx, OPERATION, reparked, update).await?;
    all_parked(changed, reparked.len())
}

fn all_parked(found: u64, wanted: usize) -> Result<(), Error> {
    match usize::try_from(found) == Ok(wanted) {
        true => Ok(()),
        false => moved(format!("{found} of {wanted} messages are parked")),
    }
}

/// Adds to the trail what became of open actions.
pub(super) async fn note_done(
    tx: &mut PgConnection,
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
        save_outcomes(tx, number, outcomes - count, &action.outcomes).await?;
    }
    Ok(())
}

/// Outcomes of an action, numbered behind the `before` that it has.
async fn save_outcomes(
    tx: &mut PgConnection,
    action: i64,
    before: i64,
    outcomes: &[Outcome],
) -> Result<(), Error> {
    let insert = sqlx::query(
        "INSERT INTO action_outcome (action, number, topic, log_offset, outcome, detail, record)
         SELECT $1, $2 + number, topic, log_offset, outcome, detail, record
         FROM unnest($3::text[], $4::bigint[], $5::text[], $6::text[], $7::bytea[])
             WITH ORDINALITY AS outcome (topic, log_offset, outcome, detail, record, number)",
    )
    .bind(action)
    .bind(before)
    .bind(column(outcomes, |outcome| outcome.place.topic.as_str()))
    .bind(column(outcomes, |outcome| outcome.place.offset))
    .bind(column(outcomes, |outcome| outcome.kind.as_str()))
    .bind(column(outcomes, |outcome| prose(&outcome.detail)))
    .bind(column(outcomes, |outcome| {
        let record = outcome.record.as_ref();
        record.map(|record| bytes_of(slice::from_ref(record)))
    }));
    write(tx, OPERATION, outcomes, insert).await.map(drop)
}

fn moved(detail: String) -> Result<(), Error> {
    Err(Error::new(ErrorKind::CursorMoved, OPERATION, detail))
}
