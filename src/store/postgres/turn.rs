//! One transaction of a shard's owner.

use std::collections::{HashMap, HashSet};

use sha2::{Digest, Sha256};
use sqlx::{PgConnection, Row};

use super::bulk::column;
use super::{Write, bounded, cursors, effects, error, in_time, reading};
use crate::context::Context;
use crate::crash::{self, Point};
use crate::shard::ShardId;
use crate::store::{AggregateKey, Cursor, Effects, Error, InboxKey, OutboxRow, Seen, Tables, Turn};

/// A turn of [`super::PostgresStore`]. Dropping it undoes it.
#[derive(Debug)]
pub struct PostgresTurn<'s, T> {
    write: Write,
    tables: &'s T,
    shard: ShardId,
}

impl<'s, T> PostgresTurn<'s, T> {
    pub(super) fn new(write: Write, tables: &'s T, shard: ShardId) -> Self {
        metrics::counter!("store_turns_total").increment(1);
        Self {
            write,
            tables,
            shard,
        }
    }

    /// Writes everything; what is left is to commit it.
    async fn save<C: Context>(
        &mut self,
        state: Option<&C::State>,
        effects: Effects,
    ) -> Result<Vec<OutboxRow>, Error>
    where
        T: Tables<C, PgConnection>,
    {
        let tx = &mut *self.write.tx;
        if let Some(state) = state {
            in_time("save", self.tables.save(tx, state)).await?;
        }
        in_time("commit", effects::save(tx, self.shard, effects)).await
    }
}

impl<C: Context, T: Tables<C, PgConnection>> Turn<C> for PostgresTurn<'_, T> {
    async fn cursors(&mut self) -> Result<Vec<Cursor>, Error> {
        cursors(&mut self.write.tx, self.shard, "cursors").await
    }

    async fn seen(
        &mut self,
        inbox: &[InboxKey],
        aggregates: &[AggregateKey],
    ) -> Result<Seen, Error> {
        seen(&mut self.write.tx, self.shard, inbox, aggregates).await
    }

    async fn load(&mut self, messages: &[&C::Message]) -> Result<C::State, Error> {
        in_time("load", self.tables.load(&mut self.write.tx, messages)).await
    }

    async fn load_follow_up(&mut self, state: &mut C::State) -> Result<(), Error> {
        let tx = &mut *self.write.tx;
        in_time("load follow-up", self.tables.load_follow_up(tx, state)).await
    }

    async fn commit(
        mut self,
        state: Option<&C::State>,
        effects: Effects,
    ) -> Result<Vec<OutboxRow>, Error> {
        let rows = self.save(state, effects).await?;
        crash::here(Point::BeforeCommit);
        {
            let _committing = crash::during(Point::InsideCommit);
            self.write.commit("commit").await?;
        }
        crash::here(Point::AfterCommit);
        Ok(rows)
    }

    async fn rehearse(mut self, state: Option<&C::State>, effects: Effects) -> Result<(), Error> {
        self.save(state, effects).await?;
        Ok(())
    }
}

/// Looks up inbox keys and parked aggregates in one statement.
async fn seen(
    tx: &mut PgConnection,
    shard: ShardId,
    inbox: &[InboxKey],
    aggregates: &[AggregateKey],
) -> Result<Seen, Error> {
    const OPERATION: &str = "seen";
    let failed = |source| error(OPERATION, source);
    if inbox.is_empty() && aggregates.is_empty() {
        return Ok(Seen::default());
    }
    let digests = column(inbox, digest);
    let look = sqlx::query(
        "SELECT wanted.number, inbox.content
         FROM unnest($2::bytea[]) WITH ORDINALITY AS wanted (digest, number)
         JOIN inbox ON inbox.shard = $1 AND inbox.digest = wanted.digest
         UNION ALL
         SELECT wanted.number, NULL
         FROM unnest($3::text[], $4::bytea[]) WITH ORDINALITY AS wanted (kind, id, number)
         WHERE EXISTS (SELECT FROM parked
                       WHERE shard = $1 AND aggregate_kind = wanted.kind
                         AND sha256(aggregate_id) = sha256(wanted.id))",
    )
    .bind(shard.0)
    .bind(column(&digests, |digest| &digest[..]))
    .bind(column(aggregates, |aggregate| aggregate.kind.as_str()))
    .bind(column(aggregates, |aggregate| aggregate.id.as_bytes()));
    let rows = bounded(OPERATION, look.fetch_all(tx)).await?;
    let (mut applied, mut held_up) = (HashMap::new(), HashSet::new());
    for row in rows {
        let number: i64 = row.try_get(0).map_err(failed)?;
        let index = usize::try_from(number - 1).unwrap_or(usize::MAX);
        match row.try_get::<Option<&[u8]>, _>(1).map_err(failed)? {
            None => held_up.extend(aggregates.get(index).cloned()),
            Some(content) => {
                let content = reading(OPERATION).content(content)?;
                applied.extend(inbox.get(index).map(|key| (key.clone(), content)));
            }
        }
    }
    Ok(Seen {
        inbox: applied,
        parked: held_up,
    })
}

/// What an inbox entry is found by: of one size, however long the client's ids are.
pub(super) fn digest(key: &InboxKey) -> [u8; 32] {
    let mut digest = Sha256::new();
    for part in [&key.message_type, &key.key, &key.id] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_differ_only_in_where_one_part_ends_have_different_digests() {
        let of = |message_type: &str, key: &str, id: &str| {
            digest(&InboxKey {
                message_type: message_type.to_owned(),
                key: key.to_owned(),
                id: id.to_owned(),
            })
        };
        let digests = HashSet::from([of("ab", "c", ""), of("a", "bc", ""), of("a", "b", "c")]);
        assert_eq!(digests.len(), 3);
    }
}
