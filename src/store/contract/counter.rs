//! A context small enough to check stores with: counters that are added to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{PgConnection, SqlSafeStr, SqliteConnection};

use crate::codec::{self, Schema};
use crate::context::{
    Cause, ContentHash, Context, Deduplication, Incoming, Input, Interest, Outgoing, Recognised,
    Undecidable,
};
use crate::message::{self, Encoded, Event, Message, Registration, Writer};
use crate::store::memory::Tx;
use crate::store::postgres;
use crate::store::postgres::bulk::{column, write};
use crate::store::sqlite::{self, bulk};
use crate::store::{Error, ErrorKind, Tables};

/// The command: adds `amount` to the counter `key`; a total below zero is refused by the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Add {
    /// The counter.
    pub key: String,
    /// What to add; may be negative.
    pub amount: i64,
}

impl Message for Add {
    const TYPE: &'static str = "toy.Add";
    const TOPIC: &'static str = "toy.commands";
    const SCHEMA: &'static str = r#"{"type": "record", "name": "Add", "namespace": "toy", "fields": [
        {"name": "key", "type": "string"}, {"name": "amount", "type": "long"}]}"#;

    fn key(&self) -> &str {
        &self.key
    }
}

/// The event: a counter has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// The counter.
    pub key: String,
    /// Its total after the change.
    pub total: i64,
    /// Its version after the change.
    pub version: i64,
}

impl Message for Counted {
    const TYPE: &'static str = "toy.Counted";
    const TOPIC: &'static str = "toy.events";
    const SCHEMA: &'static str = r#"{"type": "record", "name": "Counted", "namespace": "toy", "fields": [
        {"name": "key", "type": "string"}, {"name": "total", "type": "long"},
        {"name": "version", "type": "long"}]}"#;

    fn key(&self) -> &str {
        &self.key
    }
}

impl Event for Counted {
    const AGGREGATE: &'static str = "counter";

    fn version(&self) -> i64 {
        self.version
    }
}

/// One counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// The sum of what was added.
    pub total: i64,
    /// How often.
    pub version: i64,
}

/// The counters that a batch concerns.
pub type Counters = BTreeMap<String, Count>;

/// The context: it adds, and remembers each command by its id.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counter;

impl Context for Counter {
    type Message = Add;
    type Event = Counted;
    type State = Counters;

    fn source(&self) -> &'static str {
        "/counter"
    }

    fn inputs(&self) -> &'static [Input] {
        &[Input {
            topic: Add::TOPIC,
            aggregate: Counted::AGGREGATE,
        }]
    }

    fn writes(&self) -> &'static [Registration] {
        const { &[Registration::of::<Counted>()] }
    }

    fn interest(&self, message_type: &str) -> Interest {
        match message_type {
            Add::TYPE => Interest::Handled,
            Counted::TYPE => Interest::Ignored,
            _ => Interest::Unknown,
        }
    }

    fn decode(&self, _: &str, schema: &Schema, datum: &[u8]) -> Result<Add, codec::Error> {
        message::decode(schema, datum)
    }

    fn key<'m>(&self, message: &'m Add) -> &'m str {
        &message.key
    }

    fn deduplication(&self, message: &Add) -> Deduplication {
        let content = format!("{}\n{}", message.key, message.amount);
        Deduplication::Inbox(ContentHash::of(content.as_bytes()))
    }

    fn recognise(&self, _: &Counters, _: &Incoming<Add>) -> Recognised {
        Recognised::New
    }

    fn decide(
        &self,
        state: &mut Counters,
        incoming: &Incoming<Add>,
    ) -> Result<Vec<Outgoing<Counted>>, Undecidable> {
        let Add { key, amount } = &incoming.message;
        let count = state.entry(key.clone()).or_default();
        count.total = count
            .total
            .checked_add(*amount)
            .ok_or_else(|| Undecidable(format!("{key} would overflow")))?;
        count.version += 1;
        let event = Counted {
            key: key.clone(),
            total: count.total,
            version: count.version,
        };
        let cause = Cause::of(&incoming.envelope);
        Ok(vec![Outgoing { event, cause }])
    }

    fn encode(&self, writer: &Writer, event: &Counted) -> Result<Encoded, codec::Error> {
        writer.event(event)
    }
}

/// The table in memory: the counter's key -> [`Count`].
pub const COUNTER: &str = "counter";

/// The counters' own table, in every database that has an adapter.
#[derive(Clone, Copy, Debug, Default)]
pub struct CounterTables;

impl CounterTables {
    /// The migrations of a SQLite database.
    #[must_use]
    pub fn migrations() -> Migrator {
        migrator(
            "CREATE TABLE counter (
                key TEXT PRIMARY KEY,
                total INTEGER NOT NULL CHECK (total >= 0),
                version INTEGER NOT NULL
            ) STRICT",
        )
    }

    /// The migrations of a Postgres database.
    #[must_use]
    pub fn postgres_migrations() -> Migrator {
        migrator(
            "CREATE TABLE counter (
                key TEXT COLLATE \"C\" PRIMARY KEY,
                total BIGINT NOT NULL CHECK (total >= 0),
                version BIGINT NOT NULL
            )",
        )
    }
}

fn migrator(table: &'static str) -> Migrator {
    Migrator::with_migrations(vec![Migration::new(
        1_000,
        "counter".into(),
        MigrationType::Simple,
        table.into_sql_str(),
        false,
    )])
}

impl Tables<Counter, SqliteConnection> for CounterTables {
    async fn load(&self, tx: &mut SqliteConnection, messages: &[&Add]) -> Result<Counters, Error> {
        let keys = bulk::json(messages.iter().map(|add| &add.key));
        let rows: Vec<(String, i64, i64)> = sqlx::query_as(
            "SELECT key, total, version FROM counter
             WHERE key IN (SELECT value FROM json_each($1))",
        )
        .bind(keys)
        .fetch_all(tx)
        .await
        .map_err(|source| sqlite::error("load", source))?;
        Ok(rows
            .into_iter()
            .map(|(key, total, version)| (key, Count { total, version }))
            .collect())
    }

    async fn save(&self, tx: &mut SqliteConnection, state: &Counters) -> Result<(), Error> {
        let rows: Vec<_> = state.iter().collect();
        bulk::Insert {
            into: "counter (key, total, version)",
            columns: 3,
            then: "ON CONFLICT (key) DO UPDATE
                   SET total = excluded.total, version = excluded.version",
        }
        .rows(tx, "save", &rows, |(key, count), values| {
            values.push(*key).push(count.total).push(count.version);
        })
        .await
    }
}

impl Tables<Counter, PgConnection> for CounterTables {
    async fn load(&self, tx: &mut PgConnection, messages: &[&Add]) -> Result<Counters, Error> {
        let rows: Vec<(String, i64, i64)> =
            sqlx::query_as("SELECT key, total, version FROM counter WHERE key = ANY($1)")
                .bind(column(messages, |add| add.key.as_str()))
                .fetch_all(tx)
                .await
                .map_err(|source| postgres::error("load", source))?;
        Ok(rows
            .into_iter()
            .map(|(key, total, version)| (key, Count { total, version }))
            .collect())
    }

    async fn save(&self, tx: &mut PgConnection, state: &Counters) -> Result<(), Error> {
        let rows: Vec<_> = state.iter().collect();
        let upsert = sqlx::query(
            "INSERT INTO counter (key, total, version)
             SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[])
             ON CONFLICT (key) DO UPDATE SET total = excluded.total, version = excluded.version",
        )
        .bind(column(&rows, |(key, _)| key.as_str()))
        .bind(column(&rows, |(_, count)| count.total))
        .bind(column(&rows, |(_, count)| count.version));
        write(tx, "save", &rows, upsert).await.map(drop)
    }
}

impl Tables<Counter, Tx> for CounterTables {
    async fn load(&self, tx: &mut Tx, messages: &[&Add]) -> Result<Counters, Error> {
        tx.select(|rows| {
            let mut counters = Counters::new();
            for add in messages {
                if let Some(count) = rows.get::<Count>(COUNTER, add.key.as_bytes())? {
                    counters.insert(add.key.clone(), *count);
                }
            }
            Ok(counters)
        })
        .await
    }

    async fn save(&self, tx: &mut Tx, state: &Counters) -> Result<(), Error> {
        if let Some((key, _)) = state.iter().find(|(_, count)| count.total < 0) {
            let detail = format!("the total of {key} is below zero");
            return Err(Error::new(ErrorKind::Rejected, "save", detail));
        }
        let rows = state
            .iter()
            .map(|(key, count)| (key.as_bytes().to_vec(), *count));
        tx.put_all(COUNTER, rows).await
    }
}
