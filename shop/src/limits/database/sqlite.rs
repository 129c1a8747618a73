//! Both databases as files, with the settings of the store's own connections; one connection writes
//! each.

use std::path::Path;
use std::sync::Arc;

use inventory::store::BOOK;
use load::limits::messages::ORDERS;
use load::limits::meter::{Measured, Period};
use messaging::limits;
use messaging::store::sqlite::SqliteStore;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous,
};
use sqlx::{Arguments, AssertSqlSafe, ConnectOptions};
use tokio::sync::Mutex;

use super::{Databases, ON_HAND, Rows, Step, Turn, drive};
use crate::limits::Error;

/// The library's rows. A script is one crossing to the connection's thread.
const BEGIN: &str = "BEGIN IMMEDIATE;
    DELETE FROM outbox WHERE partition = ? AND sequence <= ?;
    INSERT INTO acknowledged (partition, topic, last_offset) VALUES (?, ?, ?)
        ON CONFLICT (partition, topic) DO UPDATE SET last_offset = excluded.last_offset;
    INSERT INTO cursor (shard, topic, next_offset, last_hash) VALUES (?, ?, ?, ?)
        ON CONFLICT (shard, topic) DO UPDATE
        SET next_offset = excluded.next_offset, last_hash = excluded.last_hash;
    INSERT INTO outbox_sequence (partition, next) VALUES (?, ?)
        ON CONFLICT (partition) DO UPDATE SET next = excluded.next;
    INSERT INTO outbox (partition, sequence, topic, records) VALUES (?, ?, ?, ?);";

/// Measures both databases, made in `folder`.
pub(super) async fn measure(
    folder: &Path,
    rows: &Arc<Rows>,
    period: Period,
) -> Result<Measured, Error> {
    let databases = Sqlite::open(folder, rows).await?;
    Ok(drive(vec![databases], rows, period).await?)
}

struct Sqlite {
    order: Mutex<SqliteConnection>,
    inventory: Mutex<SqliteConnection>,
    rows: Arc<Rows>,
    place: Arc<str>,
    hold: Arc<str>,
    reserve: Arc<str>,
}

impl Sqlite {
    async fn open(folder: &Path, rows: &Arc<Rows>) -> Result<Self, Error> {
        let order = folder.join("order.db");
        let inventory = folder.join("inventory.db");
        Ok(Self {
            order: open(&order, &order::store::sqlite::MIGRATIONS).await?,
            inventory: open(&inventory, &inventory::store::sqlite::MIGRATIONS).await?,
            rows: Arc::clone(rows),
            place: place().into(),
            hold: hold(rows).into(),
            reserve: reserve().into(),
        })
    }

    fn arguments(&self, step: Step, turn: &Turn) -> Result<SqliteArguments, sqlx::Error> {
        let mut values = Values::default();
        let effects = self.rows.effects(step, turn);
        values
            .push(effects.shard)
            .push(effects.published)
            .push(effects.shard)
            .push(effects.written)
            .push(effects.acknowledged)
            .push(effects.shard)
            .push(effects.read)
            .push(effects.next_offset)
            .push(&[0_u8; 16][..])
            .push(effects.shard)
            .push(effects.sequence + 1)
            .push(effects.shard)
            .push(effects.sequence)
            .push(effects.written)
            .push(&effects.records[..]);
        match step {
            Step::Place => self.placed(turn, &mut values),
            Step::Hold => self.held(turn, &mut values),
            Step::Reserve => {
                let (first, last) = turn.sequences();
                values.push(turn.at.0).push(first).push(last);
            }
        }
        values.finish()
    }

    fn placed(&self, turn: &Turn, values: &mut Values) {
        let rows = &self.rows;
        values
            .push(&rows.customer_id)
            .push(&rows.currency)
            .push(rows.on_shortage)
            .push(turn.at.0)
            .push(turn.at.0);
        for (order_id, lines) in turn.order_ids.iter().zip(&rows.lines) {
            values.push(order_id).push(lines);
        }
    }

    fn held(&self, turn: &Turn, values: &mut Values) {
        values.push(BOOK).push(ON_HAND);
        for (product, reserved) in self.rows.reserved(turn) {
            values.push(product).push(reserved);
        }
        values.push(BOOK);
        let orders = turn.order_ids.iter().zip(&turn.message_ids);
        for ((order_id, message_id), lines) in orders.zip(&self.rows.held) {
            values.push(order_id).push(message_id).push(lines);
        }
    }
}

impl Databases for Sqlite {
    async fn write(&self, step: Step, turn: &Turn) -> Result<(), sqlx::Error> {
        // Made while another step has the connection.
        let arguments = self.arguments(step, turn)?;
        let (connection, script) = match step {
            Step::Place => (&self.order, &self.place),
            Step::Hold => (&self.inventory, &self.hold),
            Step::Reserve => (&self.order, &self.reserve),
        };
        let mut connection = connection.lock().await;
        sqlx::query_with(AssertSqlSafe(Arc::clone(script)), arguments)
            .execute(&mut *connection)
            .await?;
        Ok(())
    }
}

/// Makes the tables as a service does, and opens a connection as its store does.
async fn open(path: &Path, migrations: &Migrator) -> Result<Mutex<SqliteConnection>, Error> {
    SqliteStore::open(path, migrations, ()).await?.close().await;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .statement_cache_capacity(limits::SQLITE_STATEMENTS)
        .disable_statement_logging();
    Ok(Mutex::new(options.connect().await?))
}

fn place() -> String {
    let orders = values(ORDERS, "(?, ?)");
    format!(
        "{BEGIN}
         INSERT INTO orders (order_id, customer_id, currency, lines, on_shortage, status, version,
                             reservation_version, reason, placed_at, updated_at)
         SELECT column1, ?, ?, column2, ?, 'PENDING', 1, 0, '', ?, ? FROM (VALUES {orders});
         COMMIT;"
    )
}

fn hold(rows: &Rows) -> String {
    let stock = values(rows.taken.len(), "(?, ?)");
    let reservations = values(ORDERS, "(?, ?, ?)");
    format!(
        "{BEGIN}
         INSERT INTO stock (book, product_id, on_hand, reserved, version)
             SELECT ?, column1, ?, column2, 1 FROM (VALUES {stock}) WHERE true
             ON CONFLICT (book, product_id) DO UPDATE SET on_hand = excluded.on_hand,
             reserved = excluded.reserved, version = excluded.version;
         INSERT INTO reservation (order_id, book, order_version, version, status, position,
                                  fulfilment, correlation_id, traceparent, lines)
             SELECT column1, ?, 1, 1, 'HELD', NULL, NULL, column2, NULL, column3
             FROM (VALUES {reservations});
         COMMIT;"
    )
}

fn reserve() -> String {
    format!(
        "{BEGIN}
         UPDATE orders SET status = 'RESERVED', version = 2, reservation_version = 1, reason = '',
             updated_at = ? WHERE sequence BETWEEN ? AND ?;
         COMMIT;"
    )
}

fn values(rows: usize, row: &str) -> String {
    vec![row; rows].join(",")
}

/// Parameters of a script, in order.
#[derive(Default)]
struct Values {
    arguments: SqliteArguments,
    failed: Option<sqlx::error::BoxDynError>,
}

impl Values {
    fn push<'v, V>(&mut self, value: V) -> &mut Self
    where
        V: sqlx::Encode<'v, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
    {
        if let Err(error) = self.arguments.add(value) {
            self.failed.get_or_insert(error);
        }
        self
    }

    fn finish(self) -> Result<SqliteArguments, sqlx::Error> {
        match self.failed {
            None => Ok(self.arguments),
            Some(error) => Err(sqlx::Error::Encode(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use order::domain::Status;
    use order::store::sqlite::{MIGRATIONS, SqliteQueries};
    use order::store::{Filter, Queries as _};
    use sqlx::Row;

    use super::super::tests::{rows, settings};
    use super::*;

    /// Rows of `table` in one of the databases.
    async fn count(connection: &Mutex<SqliteConnection>, table: &str) -> i64 {
        let count = AssertSqlSafe(format!("SELECT count(*) AS rows FROM {table}"));
        let mut connection = connection.lock().await;
        let row = sqlx::query(count)
            .fetch_one(&mut *connection)
            .await
            .unwrap();
        row.get("rows")
    }

    #[tokio::test]
    async fn what_a_batch_leaves_is_what_the_services_leave() {
        let folder = tempfile::tempdir().unwrap();
        let rows = Arc::new(rows(&settings()).await);
        let databases = Sqlite::open(folder.path(), &rows).await.unwrap();
        let partitions = rows.partitions;
        for number in 0..2 * partitions {
            let turn = rows.turn(number);
            for step in [Step::Place, Step::Hold, Step::Reserve] {
                databases.write(step, &turn).await.unwrap();
            }
        }
        let batches = 2 * partitions;
        let orders = batches * i64::try_from(ORDERS).unwrap();
        let Sqlite {
            order, inventory, ..
        } = &databases;
        for (database, table, expected) in [
            (order, "orders WHERE status = 'RESERVED'", orders),
            (order, "orders", orders),
            // The last row of each step is not published yet.
            (order, "outbox", 2 * partitions),
            (order, "cursor", 2 * partitions),
            (order, "acknowledged", partitions),
            (inventory, "reservation", orders),
            (inventory, "outbox", partitions),
            (inventory, "cursor", partitions),
            (inventory, "inbox", 0),
        ] {
            assert_eq!(count(database, table).await, expected, "{table}");
        }
        let path = folder.path().join("order.db");
        let store = SqliteStore::open(&path, &MIGRATIONS, ()).await.unwrap();
        let queries = SqliteQueries::new(store.reader().clone());
        let newest = queries.list(&Filter::default(), None, 1).await.unwrap();
        assert_eq!(newest[0].sequence, orders);
        assert_eq!(newest[0].order.status, Status::Reserved);
        assert_eq!(newest[0].order.version, 2);
        let path = folder.path().join("inventory.db");
        let migrations = &inventory::store::sqlite::MIGRATIONS;
        let store = SqliteStore::open(&path, migrations, ()).await.unwrap();
        let reserved: i64 = sqlx::query_scalar("SELECT sum(reserved) FROM stock")
            .fetch_one(store.reader())
            .await
            .unwrap();
        assert_eq!(reserved, orders);
    }

    #[tokio::test]
    async fn commits_wait_for_the_disk_as_the_stores_do() {
        let folder = tempfile::tempdir().unwrap();
        let rows = Arc::new(rows(&settings()).await);
        let databases = Sqlite::open(folder.path(), &rows).await.unwrap();
        for connection in [&databases.order, &databases.inventory] {
            let mut connection = connection.lock().await;
            let mode: String = sqlx::query_scalar("PRAGMA journal_mode")
                .fetch_one(&mut *connection)
                .await
                .unwrap();
            let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous")
                .fetch_one(&mut *connection)
                .await
                .unwrap();
            // 2 is FULL.
            assert_eq!((mode.as_str(), synchronous), ("wal", 2));
        }
    }

    #[tokio::test]
    async fn a_short_period_has_a_rate() {
        let folder = tempfile::tempdir().unwrap();
        let rows = Arc::new(rows(&settings()).await);
        let period = Period::of(Duration::from_millis(50));
        let measured = measure(folder.path(), &rows, period).await.unwrap();
        assert!(measured.per_second() > 0.0, "{measured:?}");
    }
}
