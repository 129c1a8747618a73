//! Every database holds exactly what the rules say, and gives it back.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use contracts::order::OnShortage;
use contracts::proto::inventory_audit_service_server::InventoryAuditService;
use contracts::proto::{ExportReservationsRequest, ReservationRow};
use futures::StreamExt;
use inventory::context::Message;
use inventory::domain::ids::{OrderId, ProductId};
use inventory::domain::reservation::Status;
use inventory::domain::stock::Stock;
use inventory::limits::Bounds;
use inventory::service::export::ReservationExport;
use inventory::store::Queries;
use messaging::clock::Timestamp;
use messaging::context::{Incoming, Recognised};
use messaging::store::postgres::scratch;
use proptest::prelude::*;
use tonic::Request;

use crate::databases::{Database, Kind, PostgresServer, SqliteFile};
use crate::story::{
    Senders, Step, batches, cancelled, completed, incoming, placed, placed_by, receive, steps,
};
use crate::world::{NO_PASS, World, nobody_is_late};

/// Each test, once for each database.
macro_rules! on_every_database {
    ($($test:ident,)*) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $test() {
                let folder = tempfile::tempdir().unwrap();
                super::$test::<super::SqliteFile>(folder.path().join("i.db")).await;
            })*
        }

        mod postgres_server {
            $(#[tokio::test]
            #[ignore = "set MESSAGING_TEST_POSTGRES=postgres://..., see tests/postgres"]
            async fn $test() {
                super::scratch::with(async |location| {
                    super::$test::<super::PostgresServer>(location).await;
                })
                .await;
            })*
        }
    };
}

on_every_database! {
    what_a_batch_led_to_stands_in_the_rows,
    a_pass_that_was_cut_short_goes_on_after_a_restart,
    a_receipt_counts_once_and_other_content_under_its_id_is_a_conflict,
    repeats_of_an_orders_events_change_nothing,
    a_deadline_that_passes_between_two_turns_is_found_after_a_restart,
    queries_see_what_is_committed_page_by_page,
    an_export_gives_every_reservation_once_and_named_ones_with_their_places,
    the_database_itself_refuses_more_reserved_than_there_is,
    lines_that_stood_apart_are_with_their_reservations,
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

/// The same story in a database and in memory: the same events, the same rows, turn by turn. Every
/// turn loads afresh, so what one writes is what the next one reads.
async fn agrees_with_memory<K: Kind>(
    place: K::Place,
    mut plain: World,
    bounds: Bounds,
    batches: Vec<Vec<Step>>,
) -> Result<(), TestCaseError> {
    let database = Database::<K>::open(&place, bounds).await;
    let mut senders = Senders::default();
    // Then the pass goes on until nothing is left to do.
    let rest = std::iter::repeat_n(Vec::new(), 10_000);
    let told = batches.len();
    for (number, batch) in batches.into_iter().chain(rest).enumerate() {
        let messages = senders.send_all(&batch, |order| plain.holdings.status(order));
        // In the end every deadline has passed.
        let long_after = Duration::from_secs(u64::from(number >= told));
        plain.now = senders.now().plus(long_after);
        let expected = plain.turn_beside(bounds, &messages).await;
        let found = database.turn_at(plain.now, &messages).await;
        prop_assert_eq!(&found, &expected);
        prop_assert_eq!(&database.dump().await, &plain.holdings);
        if number >= told && !expected.more {
            break;
        }
    }
    prop_assert!(nobody_is_late(&plain));
    database.close().await;
    Ok(())
}

fn run<V>(test: impl Future<Output = V>) -> V {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(test)
}

/// A story in batches, and the bounds of its turns.
fn stories() -> impl Strategy<Value = (Bounds, Vec<Vec<Step>>)> {
    let sizes = prop::collection::vec(1..10_usize, 1..20);
    let bounds = (1..4_usize, 1..4_usize, 1..6_usize);
    (steps(3), sizes, bounds).prop_map(|(steps, sizes, bounds)| {
        let (waiters_per_turn, products_per_turn, places_per_turn) = bounds;
        let bounds = Bounds {
            waiters_per_turn,
            products_per_turn,
            places_per_turn,
        };
        let batches = batches(&steps, &sizes)
            .into_iter()
            .map(|batch| batch.to_vec());
        (bounds, batches.collect())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn sqlite_and_memory_agree((bounds, batches) in stories()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("i.db");
        let plain = World::default();
        run(agrees_with_memory::<SqliteFile>(path, plain, bounds, batches))?;
    }

    #[test]
    #[ignore = "set MESSAGING_TEST_POSTGRES=postgres://..., see tests/postgres"]
    fn postgres_and_memory_agree((bounds, batches) in stories()) {
        let plain = World::default();
        run(scratch::with(|location| {
            agrees_with_memory::<PostgresServer>(location, plain, bounds, batches)
        }))?;
    }
}

async fn what_a_batch_led_to_stands_in_the_rows<K: Kind>(place: K::Place) {
    let database = Database::<K>::open(&place, Bounds::default()).await;
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

async fn a_pass_that_was_cut_short_goes_on_after_a_restart<K: Kind>(place: K::Place) {
    let database = Database::<K>::open(&place, NO_PASS).await;
    database.turn(&[goods("R1", "P1", 1)]).await;
    database.turn(&[order("O1", 1, 5), order("O2", 1, 5)]).await;
    let cut_short = database.turn(&[goods("R2", "P1", 9)]).await;
    assert_eq!((cut_short.outgoing.len(), cut_short.more), (1, true));
    database.close().await;

    let database = Database::<K>::open(&place, Bounds::default()).await;
    let turned = database.turn(&[]).await;
    assert_eq!((turned.outgoing.len(), turned.more), (2, false));
    assert_eq!(turned.outgoing[0].cause.causation_id, "receive R2");
    assert_eq!(turned.outgoing[0].cause.correlation_id, "place O1");
    let rows = database.dump().await;
    assert_eq!(rows.stock[&ProductId::from("P1")].available(), 0);
    assert!(rows.marks.is_empty() && rows.waiters.is_empty());
}

async fn a_receipt_counts_once_and_other_content_under_its_id_is_a_conflict<K: Kind>(
    place: K::Place,
) {
    let database = Database::<K>::open(&place, Bounds::default()).await;
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

async fn repeats_of_an_orders_events_change_nothing<K: Kind>(place: K::Place) {
    let database = Database::<K>::open(&place, Bounds::default()).await;
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

async fn a_deadline_that_passes_between_two_turns_is_found_after_a_restart<K: Kind>(
    place: K::Place,
) {
    let by = |id: &str, quantity, reserve_by| {
        let lines = BTreeMap::from([(1, quantity)]);
        let message = placed_by(id, &lines, OnShortage::Backorder, reserve_by);
        incoming(&format!("place {id}"), message)
    };
    let one_at_a_time = Bounds {
        waiters_per_turn: 1,
        ..Bounds::default()
    };
    let database = Database::<K>::open(&place, one_at_a_time).await;
    let start = Timestamp(1_000);
    database.turn_at(start, &[goods("R1", "P1", 1)]).await;
    let batch = [
        by("O1", 2, Some(5_000)),
        by("O2", 2, Some(4_000)),
        by("O3", 2, Some(9_000)),
        by("O4", 1, None),
        by("O5", 1, Some(500)),
    ];
    let turned = database.turn_at(start, &batch).await;
    assert_eq!(turned.outgoing.len(), 5);
    let status = async |database: &Database<K>, id| database.dump().await.status(id);
    assert_eq!(status(&database, "O5").await, Some(Status::Refused));
    assert_eq!(
        database.dump().await.counters.due,
        Some(Timestamp(4_000)),
        "whoever comes next can see when to wake up"
    );
    database.close().await;

    let database = Database::<K>::open(&place, one_at_a_time).await;
    let late = Timestamp(5_000);
    for id in ["O2", "O1"] {
        database.turn_at(late, &[]).await;
        assert_eq!(status(&database, id).await, Some(Status::Refused), "{id}");
    }
    assert_eq!(
        database.dump().await.counters.due,
        Some(Timestamp(9_000)),
        "O3's is the next"
    );
    database.turn_at(Timestamp(9_000), &[]).await;
    while database.turn_at(Timestamp(9_000), &[]).await.more {}
    assert_eq!(status(&database, "O3").await, Some(Status::Refused));
    assert_eq!(status(&database, "O4").await, Some(Status::Held));
    let rows = database.dump().await;
    assert!(rows.waiters.is_empty());
    assert_eq!(rows.counters.due, None);
}

async fn queries_see_what_is_committed_page_by_page<K: Kind>(place: K::Place) {
    let database = Database::<K>::open(&place, Bounds::default()).await;
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
async fn exported<K: Kind>(
    database: &Database<K>,
    order_ids: &[&str],
) -> (Vec<ReservationRow>, usize) {
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

async fn an_export_gives_every_reservation_once_and_named_ones_with_their_places<K: Kind>(
    place: K::Place,
) {
    let database = Database::<K>::open(&place, Bounds::default()).await;
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

async fn the_database_itself_refuses_more_reserved_than_there_is<K: Kind>(place: K::Place) {
    let database = Database::<K>::open(&place, Bounds::default()).await;
    database.turn(&[goods("R1", "P1", 10)]).await;
    for broken in ["reserved = 11", "reserved = -1", "on_hand = -1"] {
        let outcome = K::execute(&place, &format!("UPDATE stock SET {broken}")).await;
        assert!(outcome.is_err(), "{broken}");
    }
    K::execute(&place, "UPDATE stock SET reserved = 10")
        .await
        .unwrap();
}

/// Until migration 1002, the lines of reservations had a table of their own.
async fn lines_that_stood_apart_are_with_their_reservations<K: Kind>(place: K::Place) {
    K::make(&place, 1001).await;
    for row in [
        "INSERT INTO stock (book, product_id, on_hand, reserved, version)
         VALUES ('main', 'P0', 9, 3, 1), ('main', 'P1', 2, 2, 1)",
        "INSERT INTO reservation (order_id, book, order_version, version, status, correlation_id)
         VALUES ('A', 'main', 1, 1, 'HELD', 'a'), ('B', 'main', 1, 1, 'HELD', 'b')",
        "INSERT INTO reservation_line (order_id, product_id, quantity)
         VALUES ('B', 'P1', 2), ('B', 'P0', 1), ('A', 'P0', 2)",
    ] {
        K::execute(&place, row).await.unwrap();
    }
    let database = Database::<K>::open(&place, Bounds::default()).await;
    let holdings = database.dump().await;
    let lines = |order: &str| &holdings.reservations[&OrderId::from(order)].lines;
    let line = |product: &str, quantity| (ProductId::from(product), quantity);
    assert_eq!(*lines("A"), BTreeMap::from([line("P0", 2)]));
    assert_eq!(*lines("B"), BTreeMap::from([line("P0", 1), line("P1", 2)]));
    let completed = incoming("complete B", completed("B", 2));
    database.turn(&[completed]).await;
    let stock = database.queries().stock("P1").await.unwrap().unwrap();
    assert_eq!((stock.on_hand, stock.reserved), (0, 0), "it was loaded");
    database.close().await;
}
