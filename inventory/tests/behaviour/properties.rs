//! Random stories keep the invariants of CHECKS.md, whatever the batches and bounds.

use std::collections::{BTreeMap, BTreeSet};

use contracts::order::OnShortage;
use inventory::context::Message;
use inventory::domain::event::{Event, Refusal};
use inventory::domain::ids::{OrderId, ProductId};
use inventory::domain::reservation::{Reservation, Status};
use inventory::limits::Bounds;
use inventory::store::memory::Holdings;
use messaging::context::{Incoming, Recognised};
use proptest::prelude::*;

use crate::story::{Senders, batches, steps};
use crate::world::{NO_PASS, Turned, World, nobody_is_late};

/// One look at one waiter of one product per turn, seeing one place of each queue.
const ONE_LOOK: Bounds = Bounds {
    waiters_per_turn: 1,
    products_per_turn: 1,
    places_per_turn: 1,
};

fn bounds() -> impl Strategy<Value = Bounds> {
    let small = (1..4_usize, 1..4_usize, 1..6_usize);
    small.prop_map(
        |(waiters_per_turn, products_per_turn, places_per_turn)| Bounds {
            waiters_per_turn,
            products_per_turn,
            places_per_turn,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// S1, S2, S3, F6, F6b, one event per version, REJECT never waits: checked at every message
    /// and at every single look of the pass.
    #[test]
    fn one_look_at_a_time(steps in steps(3)) {
        let mut world = World::default();
        let mut senders = Senders::default();
        for step in &steps {
            let Some(message) = senders.send(step, |order| world.holdings.status(order)) else {
                continue;
            };
            let before = world.holdings.clone();
            let turned = world.turn(NO_PASS, std::slice::from_ref(&message));
            stock_is_conserved(&world.holdings);
            repeats_change_nothing(&before, &turned, &world.holdings);
            nobody_is_passed(&before, &turned);
            will_not_wait(&message, &world.holdings);
            world.quiesce(ONE_LOOK, |before, turned, after| {
                stock_is_conserved(after);
                nobody_is_passed(before, turned);
            });
            nobody_is_forgotten(&world.holdings);
        }
        versions_rise_by_one(&world);
    }

    /// The same invariants where several messages and a bounded pass share a turn.
    #[test]
    fn any_batches_and_any_bounds(
        steps in steps(3),
        sizes in prop::collection::vec(1..8_usize, 1..20),
        bounds in bounds(),
    ) {
        let mut world = World::default();
        let mut senders = Senders::default();
        for batch in batches(&steps, &sizes) {
            let batch = senders.send_all(batch, |order| world.holdings.status(order));
            world.now = senders.now();
            let turned = world.turn(bounds, &batch);
            stock_is_conserved(&world.holdings);
            nobody_is_reserved_late(&world, &turned);
        }
        let end = world.now;
        world.quiesce(bounds, |_, _, after| stock_is_conserved(after));
        prop_assert!(nobody_is_late(&world), "at {end}: {:?}", world.holdings);
        nobody_is_forgotten(&world.holdings);
        versions_rise_by_one(&world);
    }

    /// F6 where it can be read off the rows: orders of one line are served in the order they came.
    #[test]
    fn single_lines_are_served_in_the_order_they_queued(
        steps in steps(1),
        sizes in prop::collection::vec(1..8_usize, 1..20),
        bounds in bounds(),
    ) {
        let mut world = World::default();
        let mut senders = Senders::default();
        for batch in batches(&steps, &sizes) {
            let batch = senders.send_all(batch, |order| world.holdings.status(order));
            world.turn(bounds, &batch);
            served_in_order(&world.holdings);
        }
        world.quiesce(bounds, |_, _, after| served_in_order(after));
    }

    /// What a batch decides is what its messages decide one by one, each on freshly loaded rows.
    #[test]
    fn a_batch_is_its_messages_one_by_one(
        steps in steps(3),
        sizes in prop::collection::vec(1..12_usize, 1..20),
        bounds in bounds(),
    ) {
        let (mut whole, mut single) = (World::default(), World::default());
        let mut senders = Senders::default();
        for batch in batches(&steps, &sizes) {
            let batch = senders.send_all(batch, |order| whole.holdings.status(order));
            whole.turn(NO_PASS, &batch);
            for message in &batch {
                single.turn(NO_PASS, std::slice::from_ref(message));
            }
            prop_assert_eq!(&whole.holdings, &single.holdings);
            prop_assert_eq!(&whole.events, &single.events);
            whole.quiesce(bounds, |_, _, _| {});
            single.quiesce(bounds, |_, _, _| {});
        }
    }
}

/// S1 and S2, all or nothing (what is held is whole orders), and places that fit the reservations.
fn stock_is_conserved(holdings: &Holdings) {
    let mut reserved: BTreeMap<&ProductId, i64> = BTreeMap::new();
    let mut on_hand: BTreeMap<&ProductId, i64> = BTreeMap::new();
    for receipt in holdings.receipts.values() {
        *on_hand.entry(&receipt.product_id).or_default() += i64::from(receipt.quantity);
    }
    for reservation in holdings.reservations.values() {
        for (product, quantity) in &reservation.lines {
            match reservation.status {
                Status::Held => *reserved.entry(product).or_default() += i64::from(*quantity),
                Status::Shipped => *on_hand.entry(product).or_default() -= i64::from(*quantity),
                _ => {}
            }
        }
    }
    for (product, stock) in &holdings.stock {
        assert!(stock.on_hand >= 0 && stock.reserved >= 0 && stock.available() >= 0);
        assert_eq!(
            stock.reserved,
            reserved.remove(product).unwrap_or(0),
            "{product}"
        );
        assert_eq!(
            stock.on_hand,
            on_hand.remove(product).unwrap_or(0),
            "{product}"
        );
    }
    assert_eq!(
        (reserved.len(), on_hand.len()),
        (0, 0),
        "of products without stock"
    );
    for ((product, position), order) in &holdings.waiters {
        let waiter = &holdings.reservations[order];
        assert_eq!(
            (waiter.status, waiter.position),
            (Status::Waiting, Some(*position))
        );
        assert!(waiter.lines.contains_key(product));
    }
}

/// F6b, and what makes it so: the first of every queue asks for more than is available.
fn nobody_is_forgotten(holdings: &Holdings) {
    assert!(holdings.marks.is_empty());
    let waiting = holdings
        .reservations
        .values()
        .filter(|r| r.status == Status::Waiting);
    for waiter in waiting {
        assert!(
            waiter.lines.iter().any(|(product, quantity)| {
                holdings.available(product) < i64::from(*quantity)
                    || is_behind(holdings, waiter, product)
            }),
            "{} could be served",
            waiter.order_id
        );
        assert!(
            holdings
                .waiters
                .values()
                .any(|order| *order == waiter.order_id),
            "{} stands in no queue",
            waiter.order_id
        );
    }
    for product in holdings.stock.keys() {
        if let Some((_, first)) = holdings.queue(product).next() {
            assert!(
                holdings.available(product)
                    < i64::from(holdings.reservations[first].lines[product]),
                "{first} waits for {product}, which is there"
            );
        }
    }
}

fn is_behind(holdings: &Holdings, waiter: &Reservation, product: &ProductId) -> bool {
    let position = waiter.position.unwrap();
    holdings
        .queue(product)
        .next()
        .is_some_and(|(first, _)| first < position)
}

/// F6: whoever is reserved had nobody before it in the queue of any product it asked for.
fn nobody_is_passed(before: &Holdings, turned: &Turned) {
    for outgoing in &turned.outgoing {
        let Event::Reserved {
            order_id, lines, ..
        } = &outgoing.event
        else {
            continue;
        };
        let waited = before
            .reservations
            .get(order_id)
            .and_then(|waiter| waiter.position);
        let position = waited.unwrap_or(i64::MAX);
        for product in lines.keys() {
            let earlier = before.queue(product).find(|(at, _)| *at < position);
            assert!(
                earlier.is_none(),
                "{order_id} passes {earlier:?} for {product}"
            );
        }
    }
}

/// S11: whoever is reserved or queues is in time, and whoever times out is not.
fn nobody_is_reserved_late(world: &World, turned: &Turned) {
    for outgoing in &turned.outgoing {
        let (order_id, timed_out) = match &outgoing.event {
            Event::Reserved { order_id, .. } | Event::Backordered { order_id, .. } => {
                (order_id, false)
            }
            Event::Refused {
                order_id, reason, ..
            } if *reason == Refusal::TimedOut => (order_id, true),
            _ => continue,
        };
        let by = world.holdings.reservations[order_id].reserve_by;
        let is_late = by.is_some_and(|by| by <= world.now);
        assert_eq!(
            is_late, timed_out,
            "{order_id} at {}: {outgoing:?}",
            world.now
        );
    }
}

/// S8: what is not new changes nothing at all.
fn repeats_change_nothing(before: &Holdings, turned: &Turned, after: &Holdings) {
    if turned.recognised != [Recognised::New] {
        assert_eq!(turned.recognised, [Recognised::Duplicate]);
        assert_eq!((before, turned.outgoing.len()), (after, 0));
    }
}

fn will_not_wait(message: &Incoming<Message>, holdings: &Holdings) {
    if let Message::Placed(placed) = &message.message
        && placed.on_shortage == OnShortage::Reject
    {
        assert_ne!(holdings.status(&placed.order_id), Some(Status::Waiting));
    }
}

/// S7 and E3: each aggregate's events carry 1, 2, 3, ..., and its row the last of them.
fn versions_rise_by_one(world: &World) {
    let versions = world.versions();
    for (aggregate, versions) in &versions {
        let expected: Vec<_> = (1..).take(versions.len()).collect();
        assert_eq!(*versions, expected, "{aggregate}");
    }
    for (order, reservation) in &world.holdings.reservations {
        let last = versions[&format!("reservation {order}")].last();
        assert_eq!(last, Some(&reservation.version));
    }
    for (product, stock) in &world.holdings.stock {
        let last = versions[&format!("stock {product}")].last();
        assert_eq!(last, Some(&stock.version));
    }
}

/// Per product, those served have rising positions, and nobody before them still waits.
fn served_in_order(holdings: &Holdings) {
    let mut products: BTreeMap<&ProductId, Vec<&Reservation>> = BTreeMap::new();
    for reservation in holdings.reservations.values() {
        if reservation.position.is_some() {
            let product = reservation.lines.keys().next().unwrap();
            products.entry(product).or_default().push(reservation);
        }
    }
    let mut numbers = BTreeSet::new();
    for waiters in products.values_mut() {
        waiters.retain(|waiter| waiter.fulfilment.is_some() || waiter.status == Status::Waiting);
        // Those that still wait count as served last.
        waiters.sort_by_key(|waiter| waiter.fulfilment.unwrap_or(i64::MAX));
        let positions: Vec<_> = waiters.iter().map(|waiter| waiter.position).collect();
        let served = waiters
            .iter()
            .filter(|waiter| waiter.fulfilment.is_some())
            .count();
        assert!(positions[..served].is_sorted());
        let last = positions[..served].last().copied().flatten().unwrap_or(0);
        assert!(
            positions[served..]
                .iter()
                .all(|position| position.unwrap() > last)
        );
        numbers.extend(waiters.iter().filter_map(|waiter| waiter.fulfilment));
    }
    let served = holdings
        .reservations
        .values()
        .filter(|r| r.fulfilment.is_some());
    assert_eq!(
        served.count(),
        numbers.len(),
        "a number belongs to one order"
    );
}

#[test]
fn a_turn_with_one_look_makes_progress_even_when_waiters_leave_in_it() {
    let mut world = World::default();
    let orders: Vec<String> = (0..5).map(crate::story::order_id).collect();
    let mut number = 0;
    let mut send = |message| {
        number += 1;
        crate::story::incoming(&format!("message {number}"), message)
    };
    let first = send(crate::story::receive("R1", "P0", 1));
    world.turn(ONE_LOOK, &[first]);
    for order in &orders {
        let lines = BTreeMap::from([(0, 2)]);
        let placed = send(crate::story::placed(order, &lines, OnShortage::Backorder));
        world.turn(ONE_LOOK, &[placed]);
    }
    let last = [
        send(crate::story::cancelled(&orders[0], 2)),
        send(crate::story::cancelled(&orders[1], 2)),
        send(crate::story::receive("R2", "P0", 3)),
    ];
    let turned = world.turn(ONE_LOOK, &last);
    let served = turned.outgoing.iter().any(|outgoing| {
        matches!(&outgoing.event, Event::Reserved { order_id, .. }
            if *order_id == OrderId::from(&orders[2]))
    });
    assert!(served, "{turned:?}");
}

#[test]
fn whether_somebody_waits_is_known_after_every_message_of_a_batch() {
    let mut world = World::default();
    let order = |number: u8, quantity: i32| {
        let id = crate::story::order_id(number);
        let lines = BTreeMap::from([(0, quantity)]);
        let message = crate::story::placed(&id, &lines, OnShortage::Backorder);
        crate::story::incoming(&format!("place {id}"), message)
    };
    let cancel = |number: u8| {
        let id = crate::story::order_id(number);
        let message = crate::story::cancelled(&id, 2);
        crate::story::incoming(&format!("cancel {id}"), message)
    };
    let goods = crate::story::incoming("goods", crate::story::receive("R1", "P0", 1));
    world.turn(NO_PASS, &[goods, order(0, 2), order(1, 2)]);
    let batch = [cancel(0), order(2, 1), cancel(1), cancel(2), order(3, 1)];
    world.turn(NO_PASS, &batch);
    assert_eq!(world.holdings.status("O02"), Some(Status::Released));
    let waited = world.holdings.reservations[&OrderId::from("O02")].position;
    assert!(waited.is_some(), "O01 was still before it");
    assert_eq!(
        world.holdings.status("O03"),
        Some(Status::Held),
        "nobody was left"
    );
}
