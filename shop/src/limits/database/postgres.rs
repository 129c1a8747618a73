//! Both databases on a server, each in a schema of its own that is dropped at the end. Each step is
//! one statement, and so one transaction and one round trip.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use inventory::store::BOOK;
use load::limits::meter::{Measured, Period};
use messaging::ids::{Ids, SystemIds};
use messaging::store::postgres::{Location, migrate};
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, Postgres};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::{Databases, ON_HAND, Rows, Step, Turn, drive};
use crate::limits::{Error, until};

/// Pairs of connections that write side by side: as many turns as a store has under way.
const LANES: usize = messaging::limits::POSTGRES_TURNS_AT_ONCE;

/// The library's rows.
macro_rules! effects {
    () => {
        "WITH gone AS (DELETE FROM outbox WHERE partition = $1 AND sequence <= $2),
         reached AS (
             INSERT INTO acknowledged (partition, topic, last_offset) VALUES ($1, $3, $4)
             ON CONFLICT (partition, topic) DO UPDATE SET last_offset = excluded.last_offset),
         moved AS (
             INSERT INTO cursor (shard, topic, next_offset, last_hash) VALUES ($1, $5, $6, $7)
             ON CONFLICT (shard, topic) DO UPDATE
             SET next_offset = excluded.next_offset, last_hash = excluded.last_hash),
         taken AS (
             INSERT INTO outbox_sequence (partition, next) VALUES ($1, $8 + 1)
             ON CONFLICT (partition) DO UPDATE SET next = excluded.next),
         saved AS (
             INSERT INTO outbox (partition, sequence, topic, bytes, records)
             VALUES ($1, $8, $3, length($9), $9))"
    };
}

const PLACE: &str = concat!(
    effects!(),
    " INSERT INTO orders (sequence, order_id, customer_id, currency, lines, on_shortage, status,
                          version, reservation_version, reason, placed_at, updated_at)
      OVERRIDING SYSTEM VALUE
      SELECT $10 + number, order_id, $11, $12, lines, $13, 'PENDING', 1, 0, '', $14, $14
      FROM unnest($15::text[], $16::text[]) WITH ORDINALITY AS placed (order_id, lines, number)"
);

const HOLD: &str = concat!(
    effects!(),
    ", stocked AS (
          INSERT INTO stock (book, product_id, on_hand, reserved, version)
          SELECT $10, product_id, $11, reserved, 1
          FROM unnest($12::text[], $13::bigint[]) AS stock (product_id, reserved)
          ON CONFLICT (book, product_id) DO UPDATE SET on_hand = excluded.on_hand,
              reserved = excluded.reserved, version = excluded.version)
      INSERT INTO reservation (order_id, book, order_version, version, status, lines,
                               correlation_id)
      SELECT order_id, $10, 1, 1, 'HELD', lines, correlation_id
      FROM unnest($14::text[], $15::text[], $16::text[]) AS held (order_id, lines, correlation_id)"
);

const RESERVE: &str = concat!(
    effects!(),
    " UPDATE orders SET status = 'RESERVED', version = 2, reservation_version = 1, reason = '',
          updated_at = $10
      WHERE sequence BETWEEN $11 AND $12"
);

/// A database server, by the URL of a database in which schemas may be made. Its text form leaves the
/// password out.
#[derive(Clone)]
pub struct Server {
    options: PgConnectOptions,
    location: Location,
}

/// The text is no URL of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write postgres://USER:PASSWORD@HOST:PORT/DATABASE")]
pub struct NoServer;

impl FromStr for Server {
    type Err = NoServer;

    fn from_str(url: &str) -> Result<Self, NoServer> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(NoServer);
        }
        Ok(Self {
            options: PgConnectOptions::from_str(url).map_err(|_| NoServer)?,
            location: Location::new(url),
        })
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.location.fmt(f)
    }
}

/// Measures both databases, made on `server` and dropped again whatever happens.
pub(super) async fn measure(
    server: &Server,
    rows: &Arc<Rows>,
    period: Period,
    stop: &CancellationToken,
) -> Result<Measured, Error> {
    let run = SystemIds.fresh().simple();
    let schemas = ["order", "inventory"].map(|service| format!("shop_limits_{run}_{service}"));
    let mut connection = server.options.clone().connect().await?;
    for schema in &schemas {
        let create = AssertSqlSafe(format!("CREATE SCHEMA {schema}"));
        connection.execute(create).await?;
    }
    let measured = until(stop, within(server, &schemas, rows, period)).await;
    for schema in &schemas {
        let drop = AssertSqlSafe(format!("DROP SCHEMA {schema} CASCADE"));
        connection.execute(drop).await?;
    }
    // It has done its work, and a server that does not say farewell is no failure.
    let _ = connection.close().await;
    measured?
}

async fn within(
    server: &Server,
    schemas: &[String; 2],
    rows: &Arc<Rows>,
    period: Period,
) -> Result<Measured, Error> {
    let [order, inventory] = schemas;
    for (schema, migrations) in [
        (order, &order::store::postgres::MIGRATIONS),
        (inventory, &inventory::store::postgres::MIGRATIONS),
    ] {
        let location = server.location.with("options[search_path]", schema);
        migrate(&location, migrations).await?;
    }
    let mut lanes = Vec::new();
    for _ in 0..LANES {
        lanes.push(OnServer {
            order: server.connection(order).await?,
            inventory: server.connection(inventory).await?,
            rows: Arc::clone(rows),
        });
    }
    Ok(drive(lanes, rows, period).await?)
}

impl Server {
    /// Commits wait for the disk, and statements find their rows by keys, as in a store.
    async fn connection(&self, schema: &str) -> Result<Mutex<PgConnection>, sqlx::Error> {
        let options = self.options.clone().options([
            ("search_path", schema),
            ("synchronous_commit", "on"),
            ("plan_cache_mode", "force_generic_plan"),
            ("jit", "off"),
            ("enable_seqscan", "off"),
        ]);
        let connection = options.disable_statement_logging().connect().await?;
        Ok(Mutex::new(connection))
    }
}

struct OnServer {
    order: Mutex<PgConnection>,
    inventory: Mutex<PgConnection>,
    rows: Arc<Rows>,
}

impl Databases for OnServer {
    async fn write(&self, step: Step, turn: &Turn) -> Result<(), sqlx::Error> {
        let (connection, statement) = match step {
            Step::Place => (&self.order, self.place(turn)),
            Step::Hold => (&self.inventory, self.hold(turn)),
            Step::Reserve => (&self.order, self.reserve(turn)),
        };
        let mut connection = connection.lock().await;
        statement.execute(&mut *connection).await?;
        Ok(())
    }
}

type Statement<'q> = Query<'q, Postgres, PgArguments>;

impl OnServer {
    fn place<'q>(&'q self, turn: &'q Turn) -> Statement<'q> {
        let (first, _) = turn.sequences();
        let rows = &self.rows;
        self.effects(PLACE, Step::Place, turn)
            .bind(first - 1)
            .bind(&rows.customer_id)
            .bind(&rows.currency)
            .bind(rows.on_shortage)
            .bind(turn.at.0)
            .bind(&turn.order_ids)
            .bind(&rows.lines)
    }

    fn hold<'q>(&'q self, turn: &'q Turn) -> Statement<'q> {
        let (products, reserved): (Vec<_>, Vec<_>) = self.rows.reserved(turn).unzip();
        self.effects(HOLD, Step::Hold, turn)
            .bind(BOOK)
            .bind(ON_HAND)
            .bind(products)
            .bind(reserved)
            .bind(&turn.order_ids)
            .bind(&self.rows.held)
            .bind(&turn.message_ids)
    }

    fn reserve<'q>(&'q self, turn: &'q Turn) -> Statement<'q> {
        let (first, last) = turn.sequences();
        self.effects(RESERVE, Step::Reserve, turn)
            .bind(turn.at.0)
            .bind(first)
            .bind(last)
    }

    /// `statement` with the parameters of the library's rows.
    fn effects<'q>(&self, statement: &'static str, step: Step, turn: &Turn) -> Statement<'q> {
        let effects = self.rows.effects(step, turn);
        sqlx::query(statement)
            .bind(i32::try_from(effects.shard).unwrap_or(i32::MAX))
            .bind(effects.published)
            .bind(effects.written)
            .bind(effects.acknowledged)
            .bind(effects.read)
            .bind(effects.next_offset)
            .bind([0_u8; 16])
            .bind(effects.sequence)
            .bind(Vec::from(effects.records))
    }
}
