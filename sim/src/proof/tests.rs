//! The judging is judged: whatever is changed in a run at rest is named by its own invariant.

use std::sync::Arc;
use std::sync::OnceLock;

use audit::record::Place;
use inventory::domain::reservation::Status as Held;
use order::domain::Status;

use super::*;
use crate::dice::Dice;
use crate::fleet::Fleet;
use crate::memory::InMemory;
use crate::plan::{Event, Garbage, Plan};
use crate::run;
use crate::weather::Weather;

const SEED: u64 = 3;

/// A run in which nothing goes wrong but that offsets have gaps and strangers write garbage.
fn quiet() -> (Plan, Dice) {
    let mut dice = Dice::new(SEED);
    let mut plan = Plan::draw(&mut dice);
    plan.weather = Weather::calm();
    let at = plan.faults_for / 2;
    let on_every_topic = |topic| {
        let gap = Event::Gap {
            topic,
            partition: 0,
            count: 3,
        };
        let garbage = Event::Garbage {
            topic,
            garbage: Garbage::NoFrame,
        };
        [(at, gap), (at, garbage)]
    };
    plan.events = contracts::topics::ALL
        .into_iter()
        .flat_map(on_every_topic)
        .collect();
    (plan, dice)
}

/// The run at rest.
fn case() -> Case {
    static CASE: OnceLock<Case> = OnceLock::new();
    CASE.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let (plan, mut dice) = quiet();
            let world = World::new(dice.fork(), plan.partitions, false, Vec::new());
            let databases = Arc::new(InMemory::new(&world));
            let fleet = Fleet::start(&world, &plan, &databases);
            let rest = run::come_to_rest(&world, &fleet, &plan, &databases).await;
            let rest = rest.unwrap();
            Case::of(&world, &rest.sent, &rest.rows).await
        })
    })
    .clone()
}

/// What is said of the run once `change` was made to it.
fn broken(change: impl FnOnce(&mut Case)) -> (&'static str, String) {
    let mut case = case();
    change(&mut case);
    let violation = case.judge().expect_err("the change must be seen");
    (violation.invariant, violation.detail)
}

#[test]
fn a_run_that_nobody_has_touched_is_a_proof() {
    let case = case();
    assert_eq!(case.judge(), Ok(()));
    let counts = case.snapshot.judge().counts;
    let met = [
        counts.orders,
        counts.reservations,
        counts.products,
        counts.receipts,
        counts.duplicates,
        counts.conflicts,
    ];
    assert!(met.iter().all(|met| *met > 0), "{counts:?}");
    assert!(!case.snapshot.known.set_aside.is_empty());
}

#[test]
fn a_row_of_an_order_that_its_messages_do_not_make_is_f4() {
    let (invariant, detail) = broken(|case| {
        let mut orders = case.snapshot.orders.iter_mut();
        let order = orders.find(|order| order.status == Status::Backordered);
        order.unwrap().status = Status::Cancelled;
    });
    assert_eq!(invariant, "F4", "{detail}");
    let (invariant, detail) = broken(|case| drop(case.snapshot.orders.pop()));
    assert_eq!(invariant, "F4", "{detail}");
}

#[test]
fn a_row_of_a_reservation_that_its_events_do_not_make_is_f4() {
    let (invariant, detail) = broken(|case| {
        let mut rows = case.snapshot.reservations.iter_mut();
        let held = rows.find(|row| row.status == Held::Held);
        held.unwrap().status = Held::Released;
    });
    assert_eq!(invariant, "F4", "{detail}");
}

#[test]
fn stock_that_the_events_do_not_make_is_f4() {
    let (invariant, detail) = broken(|case| case.snapshot.stock[0].1.on_hand += 1);
    assert_eq!(invariant, "F4", "{detail}");
    let (invariant, detail) = broken(|case| case.snapshot.stock[0].1.reserved -= 1);
    assert_eq!(invariant, "F4", "{detail}");
}

#[test]
fn an_accepted_command_that_is_not_in_the_log_is_f1() {
    let (invariant, detail) = broken(|case| {
        let id = "00000000-0000-4000-8000-000000000000".to_owned();
        case.snapshot.claims.insert(id, Told::Accepted);
    });
    assert_eq!(invariant, "F1", "{detail}");
}

#[test]
fn a_command_that_nobody_sent_is_f1() {
    let (invariant, detail) = broken(|case| {
        let claims = &mut case.snapshot.claims;
        let accepted = claims.iter().filter(|(_, told)| **told == Told::Accepted);
        let id = accepted.map(|(id, _)| id).min().unwrap().clone();
        claims.remove(&id);
    });
    assert_eq!(invariant, "F1", "{detail}");
}

#[test]
fn a_command_that_was_refused_and_is_in_the_log_is_f1() {
    let (invariant, detail) = broken(|case| {
        let told = case.snapshot.claims.values_mut();
        let mut accepted = told.filter(|told| **told == Told::Accepted);
        *accepted.next().unwrap() = Told::Refused;
    });
    assert_eq!(invariant, "F1", "{detail}");
}

#[test]
fn a_receipt_is_held_against_what_its_clients_were_told() {
    let (invariant, detail) = broken(|case| {
        let receipt = ("RECEIPT".to_owned(), "PRODUCT_0".to_owned(), 1);
        case.receipts.insert(receipt, Told::Accepted);
    });
    assert_eq!(invariant, "F1", "{detail}");
    let (invariant, detail) = broken(|case| drop(case.receipts.pop_first()));
    assert_eq!(invariant, "F1", "{detail}");
}

#[test]
fn a_conflict_that_is_not_recorded_is_f1() {
    let (invariant, detail) = broken(|case| drop(case.snapshot.known.conflicts.pop_first()));
    assert_eq!(invariant, "F1", "{detail}");
}

#[test]
fn garbage_that_is_not_parked_is_f1() {
    let (invariant, detail) = broken(|case| case.snapshot.known.set_aside.clear());
    assert_eq!(invariant, "F1", "{detail}");
}

#[test]
fn an_order_of_which_a_message_was_set_aside_is_left_out() {
    let mut case = case();
    let order = case.snapshot.orders[0].placed.order_id.clone();
    case.snapshot.orders[0].status = Status::Rejected;
    assert_eq!(case.judge().unwrap_err().invariant, "F4");
    let records = case.snapshot.log.iter().flat_map(|log| &log.records);
    let mut commands = records.filter_map(|record| match &record.body {
        Body::Message { message, .. } if message.key() == order => Some(record.place),
        _ => None,
    });
    let place: Place = commands.next().unwrap();
    case.snapshot.known.set_aside.insert(place);
    assert_eq!(case.judge(), Ok(()));
}

#[test]
fn what_is_not_consumed_is_f3_and_what_is_not_published_is_f2() {
    let (invariant, detail) = broken(|case| {
        let shards = &mut case.snapshot.checkpoints.order.shards;
        let mut cursors = shards.values_mut().flat_map(|shard| &mut shard.cursors);
        *cursors.find(|(_, next)| **next > 0).unwrap().1 -= 1;
    });
    assert_eq!(invariant, "F3", "{detail}");
    let (invariant, detail) = broken(|case| {
        let shards = &mut case.snapshot.checkpoints.inventory.shards;
        shards.first_entry().unwrap().get_mut().outbox_rows = 1;
    });
    assert_eq!(invariant, "F2", "{detail}");
}
