//! Inventory's databases, each owned by a test.

use std::collections::BTreeMap;
use std::path::PathBuf;

use inventory::context::{InventoryContext, Message};
use inventory::domain::book::Counters;
use inventory::domain::ids::{OrderId, ProductId, ReceiptId};
use inventory::domain::marks::Mark;
use inventory::domain::receive::Receipt;
use inventory::domain::reservation::{Flow, Lines, Reservation, Status};
use inventory::domain::stock::Stock;
use inventory::limits::Bounds;
use inventory::store::memory::Holdings;
use inventory::store::postgres::{PostgresQueries, PostgresTables};
use inventory::store::sqlite::{SqliteQueries, SqliteTables};
use inventory::store::{Export, Queries, postgres, sqlite};
use messaging::clock::Timestamp;
use messaging::context::Incoming;
use messaging::shard::Epoch;
use messaging::store::Store;
use messaging::store::postgres::{Location, PostgresStore, migrate, scratch};
use messaging::store::sql::{Get, SqlRow};
use messaging::store::sqlite::SqliteStore;
use sqlx::migrate::Migrator;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Executor};

use crate::world::{NEVER, SHARD, Turned, turn};

/// A kind of database.
pub(crate) trait Kind {
    /// Where one is.
    type Place;
    type Store: Store<InventoryContext>;
    type Row: SqlRow;
    type Queries: Queries + Export + Clone;

    async fn open(place: &Self::Place, bounds: Bounds) -> Self::Store;
    /// Makes the tables as they were after migration `last`.
    async fn make(place: &Self::Place, last: i64);
    async fn close(store: &Self::Store);
    async fn highest_epoch(store: &Self::Store) -> Epoch;
    async fn rows(store: &Self::Store, sql: &'static str) -> Vec<Self::Row>;
    fn queries(store: &Self::Store) -> Self::Queries;
    /// Runs a statement behind the store's back.
    async fn execute(place: &Self::Place, sql: &str) -> Result<(), sqlx::Error>;
}

pub(crate) struct SqliteFile;

impl Kind for SqliteFile {
    type Place = PathBuf;
    type Store = SqliteStore<SqliteTables>;
    type Row = SqliteRow;
    type Queries = SqliteQueries;

    async fn open(place: &PathBuf, bounds: Bounds) -> Self::Store {
        let tables = SqliteTables::within(bounds);
        SqliteStore::open(place, &sqlite::MIGRATIONS, tables)
            .await
            .unwrap()
    }

    async fn make(place: &PathBuf, last: i64) {
        let migrations = until(&sqlite::MIGRATIONS, last);
        let store = SqliteStore::open(place, &migrations, ()).await.unwrap();
        store.close().await;
    }

    async fn close(store: &Self::Store) {
        store.close().await;
    }

    async fn highest_epoch(store: &Self::Store) -> Epoch {
        store.highest_epoch().await.unwrap()
    }

    async fn rows(store: &Self::Store, sql: &'static str) -> Vec<SqliteRow> {
        sqlx::query(sql).fetch_all(store.reader()).await.unwrap()
    }

    fn queries(store: &Self::Store) -> SqliteQueries {
        SqliteQueries::new(store.reader().clone())
    }

    async fn execute(place: &PathBuf, sql: &str) -> Result<(), sqlx::Error> {
        let url = format!("sqlite:{}", place.display());
        let writer = sqlx::SqlitePool::connect(&url).await?;
        let sql = AssertSqlSafe(sql.to_owned());
        sqlx::query(sql).execute(&writer).await.map(drop)
    }
}

pub(crate) struct PostgresServer;

impl Kind for PostgresServer {
    type Place = Location;
    type Store = PostgresStore<PostgresTables>;
    type Row = PgRow;
    type Queries = PostgresQueries;

    async fn open(place: &Location, bounds: Bounds) -> Self::Store {
        migrate(place, &postgres::MIGRATIONS).await.unwrap();
        let tables = PostgresTables::within(bounds);
        PostgresStore::open(place, "test", &postgres::MIGRATIONS, tables)
            .await
            .unwrap()
    }

    async fn make(place: &Location, last: i64) {
        let migrations = until(&postgres::MIGRATIONS, last);
        migrate(place, &migrations).await.unwrap();
    }

    async fn close(store: &Self::Store) {
        store.close().await;
    }

    async fn highest_epoch(store: &Self::Store) -> Epoch {
        store.highest_epoch().await.unwrap()
    }

    async fn rows(store: &Self::Store, sql: &'static str) -> Vec<PgRow> {
        sqlx::query(sql).fetch_all(store.reader()).await.unwrap()
    }

    fn queries(store: &Self::Store) -> PostgresQueries {
        PostgresQueries::new(store.reader().clone())
    }

    async fn execute(place: &Location, sql: &str) -> Result<(), sqlx::Error> {
        let mut connection = scratch::connect(place).await;
        let sql = AssertSqlSafe(sql.to_owned());
        connection.execute(sql).await.map(drop)
    }
}

/// Inventory's database, owned by this test.
pub(crate) struct Database<K: Kind> {
    store: K::Store,
    bounds: Bounds,
    epoch: Epoch,
}

fn until(migrations: &Migrator, last: i64) -> Migrator {
    let known = migrations.iter().filter(|one| one.version <= last);
    Migrator::with_migrations(known.cloned().collect())
}

fn asked(lines: &str) -> Lines {
    let lines: Vec<(String, i32)> = serde_json::from_str(lines).unwrap();
    let line = |(product, quantity)| (ProductId::from(product), quantity);
    lines.into_iter().map(line).collect()
}

fn text(row: &impl SqlRow, column: &'static str) -> String {
    row.read(column).unwrap()
}

fn deadline(row: &impl SqlRow, column: &'static str) -> Option<Timestamp> {
    let millis: Option<i64> = row.read(column).unwrap();
    millis.map(Timestamp)
}

impl<K: Kind> Database<K> {
    pub(crate) async fn open(place: &K::Place, bounds: Bounds) -> Self {
        let store = K::open(place, bounds).await;
        let epoch = K::highest_epoch(&store).await.next();
        store.claim(SHARD, epoch).await.unwrap();
        Self {
            store,
            bounds,
            epoch,
        }
    }

    pub(crate) async fn close(self) {
        K::close(&self.store).await;
    }

    pub(crate) async fn turn(&self, messages: &[Incoming<Message>]) -> Turned {
        self.turn_at(NEVER, messages).await
    }

    pub(crate) async fn turn_at(&self, now: Timestamp, messages: &[Incoming<Message>]) -> Turned {
        turn(&self.store, self.epoch, self.bounds, now, messages).await
    }

    pub(crate) fn queries(&self) -> K::Queries {
        K::queries(&self.store)
    }

    /// Every row.
    pub(crate) async fn dump(&self) -> Holdings {
        let waiters = self.waiters().await;
        let mut reservations = self.reservations().await;
        for ((product, _), order) in &waiters {
            let waiting = reservations.get_mut(order).unwrap();
            waiting.short.insert(product.clone());
        }
        Holdings {
            counters: self.counters().await,
            stock: self.stock().await,
            receipts: self.receipts().await,
            reservations,
            waiters,
            marks: self.marks().await,
        }
    }

    async fn rows(&self, sql: &'static str) -> Vec<K::Row> {
        K::rows(&self.store, sql).await
    }

    async fn counters(&self) -> Counters {
        let rows = self.rows("SELECT * FROM stock_book").await;
        assert_eq!(rows.len(), 1, "there is one book");
        Counters {
            position: rows[0].read("next_position").unwrap(),
            fulfilment: rows[0].read("next_fulfilment").unwrap(),
            mark: rows[0].read("next_mark").unwrap(),
            due: deadline(&rows[0], "next_deadline"),
        }
    }

    async fn stock(&self) -> BTreeMap<ProductId, Stock> {
        let rows = self.rows("SELECT * FROM stock").await;
        let rows = rows.iter().map(|row| {
            let stock = Stock {
                on_hand: row.read("on_hand").unwrap(),
                reserved: row.read("reserved").unwrap(),
                version: row.read("version").unwrap(),
            };
            (ProductId::from(text(row, "product_id")), stock)
        });
        rows.collect()
    }

    async fn receipts(&self) -> BTreeMap<ReceiptId, Receipt> {
        let rows = self.rows("SELECT * FROM receipt").await;
        let rows = rows.iter().map(|row| {
            let receipt = Receipt {
                receipt_id: ReceiptId::from(text(row, "receipt_id")),
                product_id: ProductId::from(text(row, "product_id")),
                quantity: row.read("quantity").unwrap(),
            };
            (receipt.receipt_id.clone(), receipt)
        });
        rows.collect()
    }

    async fn reservations(&self) -> BTreeMap<OrderId, Reservation> {
        let mut found = BTreeMap::new();
        for row in &self.rows("SELECT * FROM reservation").await {
            let order_id = OrderId::from(text(row, "order_id"));
            let reservation = Reservation {
                order_id: order_id.clone(),
                order_version: row.read("order_version").unwrap(),
                version: row.read("version").unwrap(),
                status: Status::from_name(&text(row, "status")).unwrap(),
                position: row.read("position").unwrap(),
                fulfilment: row.read("fulfilment").unwrap(),
                lines: asked(&text(row, "lines")),
                short: Default::default(),
                flow: Flow {
                    correlation_id: row.read("correlation_id").unwrap(),
                    traceparent: row.read("traceparent").unwrap(),
                },
                reserve_by: deadline(row, "reserve_by"),
            };
            found.insert(order_id, reservation);
        }
        found
    }

    async fn waiters(&self) -> BTreeMap<(ProductId, i64), OrderId> {
        let rows = self.rows("SELECT * FROM waiter").await;
        let rows = rows.iter().map(|row| {
            let product = ProductId::from(text(row, "product_id"));
            let order = OrderId::from(text(row, "order_id"));
            ((product, row.read("position").unwrap()), order)
        });
        rows.collect()
    }

    async fn marks(&self) -> BTreeMap<ProductId, Mark> {
        let rows = self.rows("SELECT * FROM fulfilment_mark").await;
        let rows = rows.iter().map(|row| {
            let mark = Mark {
                sequence: row.read("sequence").unwrap(),
                causation_id: row.read("causation_id").unwrap(),
            };
            (ProductId::from(text(row, "product_id")), mark)
        });
        rows.collect()
    }
}
