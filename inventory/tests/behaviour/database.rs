//! SQLite holds exactly what the rules say, and gives it back.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use contracts::order::OnShortage;
use contracts::proto::inventory_audit_service_server::InventoryAuditService;
use contracts::proto::{ExportReservationsRequest, ReservationRow};
use futures::StreamExt;
use inventory::context::{InventoryContext, Message};
use inventory::domain::book::Counters;
use inventory::domain::ids::{OrderId, ProductId, ReceiptId};
use inventory::domain::marks::Mark;
use inventory::domain::receive::Receipt;
use inventory::domain::reservation::{Flow, Lines, Reservation, Status};
use inventory::domain::stock::Stock;
use inventory::limits::Bounds;
use inventory::service::export::ReservationExport;
use inventory::store::Queries;
use inventory::store::memory::Holdings;
use inventory::store::sqlite::{MIGRATIONS, SqliteQueries, SqliteTables};
use messaging::context::{Incoming, Recognised};
use messaging::shard::Epoch;
use messaging::store::Store;
use messaging::store::sqlite::SqliteStore;
use proptest::prelude::*;
use sqlx::Row;
use tonic::Request;

use crate::story::{
    Senders, Step, batches, cancelled, completed, incoming, placed, receive, steps,
};
use crate::world::{NO_PASS, SHARD, Turned, World, turn};

/// Inventory's database in a file, owned by this test.
struct Database {
    store: SqliteStore<SqliteTables>,
    bounds: Bounds,
    epoch: Epoch,
}

impl Database {
    async fn open(path: &Path, bounds: Bounds) -> Self {
        let tables = SqliteTables::within(bounds);
        let store = SqliteStore::open(path, &MIGRATIONS, tables).await.unwrap();
        let epoch = store.highest_epoch().await.unwrap().next();
        Store::<InventoryContext>::claim(&store, SHARD, epoch)
            .await
            .unwrap();
        Self {
            store,
            bounds,
            epoch,
        }
    }

    async fn turn(&self, messages: &[Incoming<Message>]) -> Turned {
        turn(&self.store, self.epoch, self.bounds, messages).await
    }

    fn queries(&self) -> SqliteQueries {
        SqliteQueries::new(self.store.reader().clone())
    }

    /// Every row.
    async fn dump(&self) -> Holdings {
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

    async fn rows(&self, sql: &'static str) -> Vec<sqlx::sqlite::SqliteRow> {
        sqlx::query(sql)
            .fetch_all(self.store.reader())
            .await
            .unwrap()
    }

    async fn counters(&self) -> Counters {
        let rows = self.rows("SELECT * FROM stock_book").await;
        assert_eq!(rows.len(), 1, "there is one book");
        Counters {
            position: rows[0].get("next_position"),
            fulfilment: rows[0].get("next_fulfilment"),
            mark: rows[0].get("next_mark"),
        }
    }

    async fn stock(&self) -> BTreeMap<ProductId, Stock> {
        let rows = self.rows("SELECT * FROM stock").await;
        let rows = rows.iter().map(|row| {
            let stock = Stock {
                on_hand: row.get("on_hand"),
                reserved: row.get("reserved"),
                version: row.get("version"),
            };
            (ProductId::from(row.get::<String, _>("product_id")), stock)
        });
        rows.collect()
    }

    async fn receipts(&self) -> BTreeMap<ReceiptId, Receipt> {
        let rows = self.rows("SELECT * FROM receipt").await;
        let rows = rows.iter().map(|row| {
            let receipt = Receipt {
                receipt_id: ReceiptId::from(row.get::<String, _>("receipt_id")),
                product_id: ProductId::from(row.get::<String, _>("product_id")),
                quantity: row.get("quantity"),
            };
            (receipt.receipt_id.clone(), receipt)
        });
        rows.collect()
    }

    async fn reservations(&self) -> BTreeMap<OrderId, Reservation> {
        let mut found = BTreeMap::new();
        for row in self.rows("SELECT * FROM reservation").await {
            let order_id = OrderId::from(row.get::<String, _>("order_id"));
            let reservation = Reservation {
                order_id: order_id.clone(),
                order_version: row.get("order_version"),
                version: row.get("version"),
                status: Status::from_name(row.get("status")).unwrap(),
                position: row.get("position"),
                fulfilment: row.get("fulfilment"),
                lines: Lines::new(),
                short: Default::default(),
                flow: Flow {
                    correlation_id: row.get("correlation_id"),
                    traceparent: row.get("traceparent"),
                },
            };
            found.insert(order_id, reservation);
        }
        for row in self.rows("SELECT * FROM reservation_line").await {
            let order_id = OrderId::from(row.get::<String, _>("order_id"));
            let product = ProductId::from(row.get::<String, _>("product_id"));
            let reservation: &mut Reservation = found.get_mut(&order_id).unwrap();
            reservation.lines.insert(product, row.get("quantity"));
        }
        found
    }

    async fn waiters(&self) -> BTreeMap<(ProductId, i64), OrderId> {
        let rows = self.rows("SELECT * FROM waiter").await;
        let rows = rows.iter().map(|row| {
            let product = ProductId::from(row.get::<String, _>("product_id"));
            let order = OrderId::from(row.get::<String, _>("order_id"));
            ((product, row.get("position")), order)
        });
        rows.collect()
    }

    async fn marks(&self) -> BTreeMap<ProductId, Mark> {
        let rows = self.rows("SELECT * FROM fulfilment_mark").await;
        let rows = rows.iter().map(|row| {
            let mark = Mark {
                sequence: row.get("sequence"),
                causation_id: row.get("causation_id"),
            };
            (ProductId::from(row.get::<String, _>("product_id")), mark)
        });
        rows.collect()
    }
}

fn order(id: &str, product: u8, quantity: i32) -> Incoming<Message> {
    let lines = BTreeMap::from([(product, quantity)]);
    incoming(
        &format!("place {id}"),
        placed(id, &lines, OnShortage::Backorder),
    )
}

fn goods(receipt: &str, product: &str, quantity: i32) -> Incoming<Message> {
    incoming(
        &format!("receive {receipt}"),
        receive(receipt, product, quantity),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// The same story in SQLite and in memory: the same events, the same rows, turn by turn. Every
    /// turn loads afresh, so what one writes is what the next one reads.
    #[test]
    fn sqlite_and_memory_agree(
        steps in steps(3),
        sizes in prop::collection::vec(1..10_usize, 1..20),
        (waiters_per_turn, products_per_turn, places_per_turn) in (1..4_usize, 1..4_usize, 1..6_usize),
    ) {
        let bounds = Bounds { waiters_per_turn, products_per_turn, places_per_turn };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let database = runtime.block_on(Database::open(&folder.path().join("i.db"), bounds));
        let mut plain = World::default();
        let mut senders = Senders::default();
        let mut turn = |batch: &[Step]| {
            let messages = senders.send_all(batch, |order| plain.holdings.status(order));
            let expected = plain.turn(bounds, &messages);
            let found = runtime.block_on(database.turn(&messages));
            prop_assert_eq!(&found, &expected);
            prop_assert_eq!(&runtime.block_on(database.dump()), &plain.holdings);
            Ok(expected.more)
        };
        for batch in batches(&steps, &sizes) {
            turn(batch)?;
        }
        while turn(&[])? {}
    }
}

#[tokio::test]
async fn what_a_batch_led_to_stands_in_the_rows() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&folder.path().join("i.db"), Bounds::default()).await;
    let turned = database
        .turn(&[
            goods("R1", "P1", 10),
            order("O1", 1, 3),
            order("O2", 1, 20),
            incoming("complete O1", completed("O1", 3)),
        ])
        .await;
    assert_eq!(turned.outgoing.len(), 4);
    let rows = database.dump().await;
    let product = ProductId::from("P1");
    let stock = rows.stock[&product];
    assert_eq!((stock.on_hand, stock.reserved, stock.version), (7, 0, 1));
    assert_eq!(rows.status("O1"), Some(Status::Shipped));
    assert_eq!(rows.status("O2"), Some(Status::Waiting));
    assert_eq!(rows.waiters[&(product, 1)], OrderId::from("O2"));
}

#[tokio::test]
async fn a_pass_that_was_cut_short_goes_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("i.db");
    let database = Database::open(&path, NO_PASS).await;
    database.turn(&[goods("R1", "P1", 1)]).await;
    database.turn(&[order("O1", 1, 5), order("O2", 1, 5)]).await;
    let cut_short = database.turn(&[goods("R2", "P1", 9)]).await;
    assert_eq!((cut_short.outgoing.len(), cut_short.more), (1, true));
    database.store.close().await;

    let database = Database::open(&path, Bounds::default()).await;
    let turned = database.turn(&[]).await;
    assert_eq!((turned.outgoing.len(), turned.more), (2, false));
    assert_eq!(turned.outgoing[0].cause.causation_id, "receive R2");
    assert_eq!(turned.outgoing[0].cause.correlation_id, "place O1");
    let rows = database.dump().await;
    assert_eq!(rows.stock[&ProductId::from("P1")].available(), 0);
    assert!(rows.marks.is_empty() && rows.waiters.is_empty());
}

#[tokio::test]
async fn a_receipt_counts_once_and_other_content_under_its_id_is_a_conflict() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&folder.path().join("i.db"), Bounds::default()).await;
    let first = goods("R1", "P1", 10);
    database.turn(std::slice::from_ref(&first)).await;
    let turned = database
        .turn(&[first, goods("R1", "P1", 11), goods("R1", "P2", 10)])
        .await;
    assert_eq!(
        turned.recognised,
        [
            Recognised::Duplicate,
            Recognised::Conflict,
            Recognised::Conflict
        ]
    );
    assert!(turned.outgoing.is_empty());
    let rows = database.dump().await;
    assert_eq!(rows.stock.len(), 1);
    assert_eq!(rows.stock[&ProductId::from("P1")].on_hand, 10);
}

#[tokio::test]
async fn repeats_of_an_orders_events_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&folder.path().join("i.db"), Bounds::default()).await;
    let story = [
        goods("R1", "P1", 10),
        order("O1", 1, 3),
        incoming("cancel O1", cancelled("O1", 2)),
    ];
    database.turn(&story).await;
    let before = database.dump().await;
    let again = database.turn(&story).await;
    assert_eq!(again.recognised, [Recognised::Duplicate; 3]);
    assert_eq!(database.dump().await, before);
}

#[tokio::test]
async fn queries_see_what_is_committed_page_by_page() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&folder.path().join("i.db"), Bounds::default()).await;
    let queries = database.queries();
    assert_eq!(queries.stock("P1").await.unwrap(), None);
    let receipts = ["P1", "P3", "P2"].map(|product| goods(product, product, 4));
    database.turn(&receipts).await;
    database.turn(&[order("O1", 1, 3)]).await;
    let stock = queries.stock("P1").await.unwrap().unwrap();
    assert_eq!((stock.on_hand, stock.reserved, stock.version), (4, 3, 1));
    let ids = |page: Vec<(ProductId, Stock)>| -> Vec<String> {
        page.iter()
            .map(|(product, _)| product.to_string())
            .collect()
    };
    assert_eq!(ids(queries.page("", 2).await.unwrap()), ["P1", "P2"]);
    assert_eq!(ids(queries.page("P2", 2).await.unwrap()), ["P3"]);
}

/// What an export of these orders holds (all if there are none named), and in how many answers.
async fn exported(database: &Database, order_ids: &[&str]) -> (Vec<ReservationRow>, usize) {
    let export = ReservationExport::new(Arc::new(database.queries()));
    let order_ids = order_ids.iter().map(|id| (*id).to_owned()).collect();
    let request = Request::new(ExportReservationsRequest { order_ids });
    let answers = export.export_reservations(request).await.unwrap();
    let answers: Vec<_> = answers.into_inner().map(Result::unwrap).collect().await;
    let count = answers.len();
    (
        answers.into_iter().flat_map(|one| one.rows).collect(),
        count,
    )
}

#[tokio::test]
async fn an_export_gives_every_reservation_once_and_named_ones_with_their_places() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&folder.path().join("i.db"), Bounds::default()).await;
    assert_eq!(exported(&database, &[]).await, (vec![], 0));
    database.turn(&[goods("R1", "P1", 1)]).await;
    let ids: Vec<_> = (0..450).map(|number| format!("O{number:03}")).collect();
    let orders: Vec<_> = ids.iter().map(|id| order(id, 1, 1)).collect();
    database.turn(&orders).await;
    let (rows, answers) = exported(&database, &[]).await;
    let found: Vec<_> = rows.iter().map(|row| row.order_id.clone()).collect();
    assert_eq!((found, answers), (ids, 3));
    assert_eq!((rows[0].status.as_str(), rows[0].position), ("HELD", 0));
    assert_eq!((rows[2].status.as_str(), rows[2].position), ("WAITING", 2));
    assert!(rows.iter().all(|row| row.places.is_empty()));
    let (named, _) = exported(&database, &["O002", "NOBODY", "O000"]).await;
    let places: Vec<_> = named
        .iter()
        .map(|row| (row.order_id.as_str(), &row.short[..], &row.places[..]))
        .collect();
    let p1 = ["P1".to_owned()];
    assert_eq!(places, [("O000", &[][..], &[][..]), ("O002", &p1, &[2])]);
}

#[tokio::test]
async fn the_database_itself_refuses_more_reserved_than_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("i.db");
    let database = Database::open(&path, Bounds::default()).await;
    database.turn(&[goods("R1", "P1", 10)]).await;
    let writer = sqlx::SqlitePool::connect(&format!("sqlite:{}", path.display()))
        .await
        .unwrap();
    for broken in ["reserved = 11", "reserved = -1", "on_hand = -1"] {
        let sql = format!("UPDATE stock SET {broken}");
        let outcome = sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&writer).await;
        assert!(outcome.is_err(), "{broken}");
    }
}
