//! One transaction of a shard's owner.

use std::collections::{HashMap, HashSet};

use sqlx::{Row, SqliteConnection};

use super::writer::Write;
use super::{bulk, effects, error, reading};
use crate::context::Context;
use crate::crash::{self, Point};
use crate::shard::ShardId;
use crate::store::{AggregateKey, Cursor, Effects, Error, InboxKey, OutboxRow, Seen, Tables, Turn};

/// A turn of [`super::SqliteStore`]. Dropping it undoes it.
#[derive(Debug)]
pub struct SqliteTurn<'s, T> {
    write: Write,
    tables: &'s T,
    shard: ShardId,
    cursors: Vec<Cursor>,
}

impl<'s, T> SqliteTurn<'s, T> {
    pub(super) fn new(write: Write, tables: &'s T, shard: ShardId, cursors: Vec<Cursor>) -> Self {
        metrics::counter!("store_turns_total").increment(1);
        Self {
            write,
            tables,
            shard,
            cursors,
        }
    }
}

impl<C: Context, T: Tables<C, SqliteConnection>> Turn<C> for SqliteTurn<'_, T> {
    async fn cursors(&mut self) -> Result<Vec<Cursor>, Error> {
        Ok(self.cursors.clone())
    }

    async fn seen(
        &mut self,
        inbox: &[InboxKey],
        aggregates: &[AggregateKey],
    ) -> Result<Seen, Error> {
        seen(self.write.connection()?, self.shard, inbox, aggregates).await
    }

    async fn load(&mut self, messages: &[&C::Message]) -> Result<C::State, Error> {
        self.tables.load(self.write.connection()?, messages).await
    }

    async fn load_follow_up(&mut self, state: &mut C::State) -> Result<(), Error> {
        self.tables
            .load_follow_up(self.write.connection()?, state)
            .await
    }

    async fn commit(
        mut self,
        state: Option<&C::State>,
        effects: Effects,
    ) -> Result<Vec<OutboxRow>, Error> {
        let tx = self.write.connection()?;
        if let Some(state) = state {
            self.tables.save(tx, state).await?;
        }
        let rows = effects::save(tx, self.shard, effects).await?;
        crash::here(Point::BeforeCommit);
        {
            let _committing = crash::during(Point::InsideCommit);
            self.write.commit("commit").await?;
        }
        crash::here(Point::AfterCommit);
        Ok(rows)
    }

    async fn rehearse(mut self, state: Option<&C::State>, effects: Effects) -> Result<(), Error> {
        let tx = self.write.connection()?;
        if let Some(state) = state {
            self.tables.save(tx, state).await?;
        }
        effects::save(tx, self.shard, effects).await?;
        Ok(())
    }
}

/// Looks up inbox keys and parked aggregates in one statement.
async fn seen(
    tx: &mut SqliteConnection,
    shard: ShardId,
    inbox: &[InboxKey],
    aggregates: &[AggregateKey],
) -> Result<Seen, Error> {
    const OPERATION: &str = "seen";
    let failed = |source| error(OPERATION, source);
    if inbox.is_empty() && aggregates.is_empty() {
        return Ok(Seen::default());
    }
    let keys = inbox
        .iter()
        .map(|key| (&key.message_type, &key.key, &key.id));
    let parked = aggregates.iter().map(|key| (&key.kind, &key.id));
    let rows = sqlx::query(
        "SELECT inbox.message_type, inbox.key, inbox.id, inbox.content
         FROM json_each($2) AS wanted
         CROSS JOIN inbox ON inbox.shard = $1 AND inbox.message_type = wanted.value ->> 0
                         AND inbox.key = wanted.value ->> 1 AND inbox.id = wanted.value ->> 2
         UNION ALL
         SELECT wanted.value ->> 0, NULL, wanted.value ->> 1, NULL
         FROM json_each($3) AS wanted
         WHERE EXISTS (SELECT 1 FROM parked
                       WHERE shard = $1 AND aggregate_kind = wanted.value ->> 0
                         AND aggregate_id = wanted.value ->> 1)",
    )
    .bind(shard.0)
    .bind(bulk::json(keys))
    .bind(bulk::json(parked))
    .fetch_all(tx)
    .await
    .map_err(failed)?;
    let (mut applied, mut held_up) = (HashMap::new(), HashSet::new());
    for row in rows {
        let kind = row.try_get(0).map_err(failed)?;
        let id = row.try_get(2).map_err(failed)?;
        match row.try_get::<Option<Vec<u8>>, _>(3).map_err(failed)? {
            None => {
                held_up.insert(AggregateKey { kind, id });
            }
            Some(content) => {
                let key = InboxKey {
                    message_type: kind,
                    key: row.try_get(1).map_err(failed)?,
                    id,
                };
                applied.insert(key, reading(OPERATION).content(&content)?);
            }
        }
    }
    Ok(Seen {
        inbox: applied,
        parked: held_up,
    })
}
