//! A store that kept its promises passes; whatever is broken in it is named.

use std::time::Duration;

use contracts::order::{OnShortage, OrderCommand};
use contracts::source;
use inventory::domain::reservation::Status as Reservation;
use messaging::clock::Timestamp;
use messaging::envelope::Envelope;
use order::domain::Status;

use crate::fold::{MEMORY, Told};
use crate::record::{Body, Message, Topic};
use crate::snapshot::Snapshot;
use crate::testing::{World, assert_names, cancellation};

const SEEDS: u64 = 60;
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_store_that_kept_its_promises_is_a_proof_in_one_pass_or_many() {
    for seed in 0..SEEDS {
        let snapshot = World::busy(seed, 40).snapshot();
        let report = snapshot.judge();
        assert!(report.is_proof(), "seed {seed}: {report:#?}");
        let in_parts = snapshot.judge_within(60);
        assert!(in_parts.counts.passes > 3, "{:?}", in_parts.counts);
        assert!(in_parts.is_proof(), "seed {seed}: {in_parts:#?}");
        let same = |report: &crate::report::Report| {
            let mut counts = report.counts.clone();
            (counts.passes, counts.items_max) = (0, 0);
            counts
        };
        assert_eq!(same(&report), same(&in_parts), "seed {seed}");
    }
}

/// Given O1 RESERVED (3 A), O2 BACKORDERED (9 A), O3 COMPLETED (1 A), O4 CANCELLED and stock of A.
fn given() -> World {
    let mut world = World::new(7);
    world.receive("R1", "A", 10);
    world.rest();
    world.place("O1", &[("A", 3)], OnShortage::Backorder);
    world.place("O3", &[("A", 1)], OnShortage::Backorder);
    world.rest();
    world.place("O2", &[("A", 9)], OnShortage::Backorder);
    world.place("O4", &[("A", 8)], OnShortage::Backorder);
    world.complete("O3");
    world.rest();
    world.cancel("O4", "too late");
    world.rest();
    world
}

fn order<'s>(snapshot: &'s mut Snapshot, order_id: &str) -> &'s mut order::domain::Order {
    let mut orders = snapshot.orders.iter_mut();
    orders
        .find(|order| order.placed.order_id == order_id)
        .unwrap()
}

fn reservation<'s>(
    snapshot: &'s mut Snapshot,
    order_id: &str,
) -> &'s mut inventory::domain::reservation::Reservation {
    let mut rows = snapshot.reservations.iter_mut();
    rows.find(|row| row.order_id.as_str() == order_id).unwrap()
}

/// Removes the records that `is_lost` picks; offsets keep their gaps.
fn lose(snapshot: &mut Snapshot, is_lost: impl Fn(&Body, Topic) -> bool) {
    for partition in &mut snapshot.log {
        let topic = partition.topic;
        partition
            .records
            .retain(|record| !is_lost(&record.body, topic));
    }
}

/// Whether a record is `key`'s event of `version` in `topic`.
fn is_event(body: &Body, key: &str, version: i64) -> bool {
    let Body::Message { message, .. } = body else {
        return false;
    };
    let found = match message {
        Message::OrderEvent(event) => event.version(),
        Message::Reservation(event) => event.version(),
        Message::Stock(event) => event.version(),
        Message::Order(_) | Message::Receive(_) => return false,
    };
    message.key() == key && found == version
}

#[test]
fn the_given_store_is_a_proof() {
    let report = given().snapshot().judge();
    assert!(report.is_proof(), "{report:#?}");
    assert_eq!((report.counts.orders, report.counts.reservations), (4, 4));
}

#[test]
fn f1_a_command_that_was_consumed_without_outcome_is_named() {
    let mut snapshot = given().snapshot();
    snapshot
        .orders
        .retain(|order| order.placed.order_id != "O1");
    snapshot
        .reservations
        .retain(|row| row.order_id.as_str() != "O1");
    lose(&mut snapshot, |body, topic| {
        let Body::Message { message, .. } = body else {
            return false;
        };
        topic != Topic::OrderCommands && message.key() == "O1"
    });
    let stock = &mut snapshot.stock[0].1;
    stock.reserved -= 3;
    assert_names(&snapshot.judge(), &["F1 order O1", "F6b order O2"]);
}

#[test]
fn f1_a_receipt_without_outcome_is_named() {
    let mut world = given();
    world.receive("R2", "B", 5);
    let mut snapshot = world.snapshot();
    for partition in snapshot
        .log
        .iter()
        .filter(|one| one.topic == Topic::InventoryCommands)
    {
        let shard = snapshot
            .checkpoints
            .inventory
            .shards
            .get_mut(&partition.partition);
        shard
            .unwrap()
            .cursors
            .insert(partition.topic, partition.bounds.next);
    }
    assert_names(&snapshot.judge(), &["F1 receipt R2"]);
}

/// Given a cancellation that is sent again under its id `after`, with another reason.
fn cancelled_again(after: Duration) -> Snapshot {
    let mut world = given();
    for (at, reason) in [(0, "first"), (after.as_millis(), "second")] {
        let time = Timestamp(i64::try_from(at).unwrap());
        let envelope = Envelope::command("C1".into(), "command", source::GATEWAY, "O1", time);
        let cancel = OrderCommand::from(cancellation("O1", reason, None));
        world.append(Topic::OrderCommands, "O1", envelope, Message::Order(cancel));
        world.rest();
    }
    world.snapshot()
}

#[test]
fn f1_a_conflict_with_an_id_that_may_be_forgotten_may_be_recorded_or_not() {
    for (after, must_be_recorded) in [(MEMORY - SECOND, true), (MEMORY, false)] {
        let mut snapshot = cancelled_again(after);
        assert!(snapshot.judge().is_proof(), "{:#?}", snapshot.judge());
        snapshot.known.conflicts.clear();
        let report = snapshot.judge();
        assert_eq!(report.names("F1", "order O1"), must_be_recorded);
        assert_eq!(report.is_proof(), !must_be_recorded, "{report:#?}");
    }
}

#[test]
fn f1_a_conflict_that_nobody_recorded_is_named_and_so_is_one_that_is_none() {
    let mut world = given();
    world.place("O1", &[("A", 4)], OnShortage::Backorder);
    world.receive("R1", "A", 11);
    world.rest();
    let mut snapshot = world.snapshot();
    assert!(snapshot.judge().is_proof());
    let mut replayed = snapshot.clone();
    replayed.known.set_aside = snapshot.known.conflicts.keys().copied().collect();
    assert!(replayed.judge().is_proof());
    let recorded = std::mem::take(&mut snapshot.known.conflicts);
    assert!(recorded.len() >= 2);
    assert_names(&snapshot.judge(), &["F1 order O1", "F1 receipt R1"]);
    let mut snapshot = given().snapshot();
    let mut records = snapshot.log.iter().flat_map(|one| &one.records);
    let place = records.next().unwrap().place;
    snapshot.known.conflicts.insert(place, "O1".to_owned());
    assert_names(&snapshot.judge(), &[&format!("F1 record {place}")]);
}

#[test]
fn f1_what_clients_were_told_holds() {
    let mut snapshot = given().snapshot();
    snapshot
        .claims
        .insert("request-1".to_owned(), Told::Accepted);
    snapshot
        .claims
        .insert("request-x".to_owned(), Told::Unknown);
    assert!(snapshot.judge().is_proof());
    snapshot
        .claims
        .insert("request-y".to_owned(), Told::Accepted);
    snapshot
        .claims
        .insert("request-2".to_owned(), Told::Refused);
    assert_names(
        &snapshot.judge(),
        &["F1 command request-2", "F1 command request-y"],
    );
}

#[test]
fn f1_what_nobody_can_read_must_be_parked() {
    let mut snapshot = given().snapshot();
    let key = Some("O1".to_owned());
    let record = &mut snapshot
        .log
        .iter_mut()
        .find(|one| !one.records.is_empty())
        .unwrap()
        .records[0];
    record.body = Body::Unreadable {
        key,
        detail: "no frame".to_owned(),
    };
    let place = record.place;
    let report = snapshot.judge();
    assert!(report.names("F1", "order O1"), "{report:#?}");
    snapshot.known.set_aside.insert(place);
    let report = snapshot.judge();
    assert!(!report.names("F1", "order O1"), "{report:#?}");
    assert_eq!(report.counts.left_out, 1);
}

#[test]
fn f2_an_event_that_was_never_published_is_named() {
    // The last versions: what the log holds has no gap.
    for (key, version, expected) in [
        ("O3", 3, "F2 order O3"),
        ("O1", 2, "F2 order O1"),
        ("A", 1, "F2 product A"),
    ] {
        let mut snapshot = given().snapshot();
        let topic = if key == "A" {
            Topic::InventoryStock
        } else {
            Topic::OrderEvents
        };
        lose(&mut snapshot, |body, of| {
            of == topic && is_event(body, key, version)
        });
        let report = snapshot.judge();
        let (invariant, what) = expected.split_once(' ').unwrap();
        assert!(
            report.names(invariant, what),
            "{key} {version}: {report:#?}"
        );
    }
    let mut snapshot = given().snapshot();
    lose(&mut snapshot, |body, of| {
        of == Topic::InventoryEvents && is_event(body, "O4", 2)
    });
    // Order has applied what the log does not hold.
    assert_names(&snapshot.judge(), &["F2 order O4", "F4 order O4"]);
}

#[test]
fn f2_an_old_outbox_row_offends_and_a_young_one_is_not_judged() {
    let mut snapshot = given().snapshot();
    let shard = snapshot.checkpoints.order.shards.get_mut(&1).unwrap();
    (shard.outbox_rows, shard.outbox_oldest) = (2, Some(snapshot.now));
    let report = snapshot.judge();
    assert_names(&report, &[]);
    assert_eq!(
        report.unsettled["outboxes not empty"].examples,
        ["order shard 1"]
    );
    snapshot.now = Timestamp(snapshot.now.0 + 31_000);
    assert_names(&snapshot.judge(), &["F2 order shard 1"]);
}

#[test]
fn e2_a_version_with_two_faces_is_named() {
    let mut snapshot = given().snapshot();
    let events = snapshot.log.iter_mut().find(|one| {
        one.topic == Topic::OrderEvents
            && one
                .records
                .iter()
                .any(|record| is_event(&record.body, "O1", 1))
    });
    let events = events.unwrap();
    let mut again = events
        .records
        .iter()
        .find(|record| is_event(&record.body, "O1", 1))
        .unwrap()
        .clone();
    again.place.offset = events.bounds.next;
    again.bytes += 1;
    events.records.push(again);
    assert_names(&snapshot.judge(), &["E2 order O1"]);
}

#[test]
fn e3_a_version_that_is_left_out_is_named() {
    let mut snapshot = given().snapshot();
    lose(&mut snapshot, |body, topic| {
        topic == Topic::OrderEvents && is_event(body, "O3", 2)
    });
    assert_names(&snapshot.judge(), &["E3 order O3"]);
}

#[test]
fn f3_a_cursor_beyond_the_end_offends_and_one_before_it_is_not_judged() {
    let mut world = given();
    world.cancel("O1", "late");
    let report = world.snapshot().judge();
    assert_names(&report, &[]);
    assert_eq!(report.unsettled["orders in flight"].examples, ["order O1"]);
    let mut snapshot = given().snapshot();
    snapshot
        .checkpoints
        .order
        .shards
        .get_mut(&0)
        .unwrap()
        .cursors
        .insert(Topic::OrderCommands, 999);
    assert_names(&snapshot.judge(), &["F3 order.commands/0"]);
}

#[test]
fn f4_orders_row_is_the_fold_of_its_messages() {
    type Edit = fn(&mut order::domain::Order);
    let edits: [(Edit, &str); 5] = [
        (
            |row| row.placed.lines[0].unit_price_minor = 1,
            "what was ordered",
        ),
        (|row| row.reason = "because".to_owned(), "the reason"),
        (|row| row.updated_at = Timestamp(5), "updated_at 5"),
        (|row| row.reservation_version = 9, "reservation_version 9"),
        (|row| row.version = 1, "version 1, not 2"),
    ];
    for (edit, detail) in edits {
        let mut snapshot = given().snapshot();
        edit(order(&mut snapshot, "O1"));
        let report = snapshot.judge();
        assert_names(&report, &["F4 order O1"]);
        assert!(report.offenders[0].detail.contains(detail), "{report:#?}");
    }
    let mut snapshot = given().snapshot();
    order(&mut snapshot, "O1").status = Status::Completed;
    assert_names(&snapshot.judge(), &["F4 order O1", "F5 order O1"]);
}

#[test]
fn f4_a_row_that_is_gone_and_one_that_nobody_asked_for_are_named() {
    let mut snapshot = given().snapshot();
    let mut alien = snapshot.orders.remove(0);
    assert_eq!(alien.placed.order_id, "O1");
    assert_names(&snapshot.judge(), &["F4 order O1", "F5 order O1"]);
    let mut snapshot = given().snapshot();
    alien.placed.order_id = "O9".to_owned();
    snapshot.orders.push(alien);
    let report = snapshot.judge();
    assert!(report.names("F4", "order O9"), "{report:#?}");
}

#[test]
fn f4_inventorys_row_is_the_fold_of_its_events() {
    type Edit = fn(&mut inventory::domain::reservation::Reservation);
    let edits: [Edit; 6] = [
        |row| row.version += 1,
        |row| row.order_version += 1,
        |row| row.position = Some(77),
        |row| row.fulfilment = Some(77),
        |row| {
            row.short.insert("A".into());
        },
        |row| {
            row.lines.insert("A".into(), 4);
        },
    ];
    for (number, edit) in edits.into_iter().enumerate() {
        let mut snapshot = given().snapshot();
        edit(reservation(&mut snapshot, "O1"));
        let report = snapshot.judge();
        let invariant = if number == 0 { "F2" } else { "F4" };
        assert!(
            report.names(invariant, "order O1"),
            "edit {number}: {report:#?}"
        );
    }
    let mut snapshot = given().snapshot();
    snapshot
        .reservations
        .retain(|row| row.order_id.as_str() != "O4");
    assert_names(&snapshot.judge(), &["F4 order O4"]);
}

#[test]
fn f4_stock_is_the_sum_of_its_events() {
    for edit in 0..3 {
        let mut snapshot = given().snapshot();
        let stock = &mut snapshot.stock[0].1;
        match edit {
            0 => stock.on_hand += 1,
            1 => stock.reserved -= 1,
            _ => stock.version = 0,
        }
        assert_names(&snapshot.judge(), &["F4 product A"]);
    }
    let mut snapshot = given().snapshot();
    snapshot.stock.clear();
    assert_names(&snapshot.judge(), &["F4 product A"]);
}

#[test]
fn f5_both_sides_agree() {
    let mut snapshot = given().snapshot();
    reservation(&mut snapshot, "O1").status = Reservation::Released;
    snapshot.stock[0].1.reserved -= 3;
    let report = snapshot.judge();
    assert!(report.names("F5", "order O1"), "{report:#?}");
}

#[test]
fn f6_a_waiter_that_was_passed_is_named() {
    let mut world = given();
    world.receive("R2", "A", 3);
    world.rest();
    world.place("O5", &[("A", 1)], OnShortage::Backorder);
    world.rest();
    world.receive("R3", "A", 9);
    world.rest();
    let mut snapshot = world.snapshot();
    assert!(snapshot.judge().is_proof(), "{:#?}", snapshot.judge());
    let first = reservation(&mut snapshot, "O2").fulfilment;
    let second = std::mem::replace(&mut reservation(&mut snapshot, "O5").fulfilment, first);
    reservation(&mut snapshot, "O2").fulfilment = second;
    assert!(first < second);
    for window in [1, 1_000_000] {
        assert_names(&snapshot.judge_within(window), &["F6 order O2"]);
    }
}

#[test]
fn f6b_a_waiter_that_was_forgotten_is_named() {
    let mut snapshot = given().snapshot();
    snapshot.stock[0].1.on_hand = 100;
    assert_names(&snapshot.judge(), &["F4 product A", "F6b order O2"]);
}

#[test]
fn after_retention_it_says_from_where_it_judged_and_judges_what_it_can() {
    for seed in 0..SEEDS {
        let world = World::busy(seed, 40);
        let mut snapshot = world.snapshot();
        for partition in &mut snapshot.log {
            let cut = partition.records.len() / 3;
            partition.bounds.first = i64::try_from(cut).unwrap();
            partition.records.drain(..cut);
        }
        let report = snapshot.judge();
        assert!(report.is_proof(), "seed {seed}: {report:#?}");
        assert!(!report.judged_from.is_empty());
        assert!(report.counts.partial + report.counts.before_log > 0);
        let last = snapshot.log.iter().rev().find_map(|one| {
            let is_orders = one.topic == Topic::OrderEvents;
            one.records.last().filter(|_| is_orders).cloned()
        });
        let Body::Message { message, .. } = last.unwrap().body else {
            panic!("a message")
        };
        order(&mut snapshot, message.key()).version = 1_000;
        let what = format!("order {}", message.key());
        assert!(snapshot.judge().names("F2", &what), "seed {seed}");
    }
}

#[test]
fn memory_is_bounded_by_the_limit() {
    let snapshot = World::busy(3, 400).snapshot();
    let whole = snapshot.judge();
    assert!(whole.is_proof(), "{whole:#?}");
    for limit in [200, 400] {
        let report = snapshot.judge_within(limit);
        assert!(report.is_proof());
        // Waiters and a pass stand side by side, each within the limit.
        assert!(
            report.counts.items_max <= 2 * limit + 2,
            "{:?}",
            report.counts
        );
        assert!(whole.counts.items_max > 2 * limit);
    }
}
