//! The transition table.
//!
//! | | Place | Cancel | Complete | Reserved | Backordered | Refused | Released, Shipped |
//! |---|---|---|---|---|---|---|---|
//! | unknown | PENDING | tombstone | - | error | error | error | error |
//! | tombstone | CANCELLED | tombstone | - | error | error | error | error |
//! | PENDING | - | CANCELLED | - | RESERVED | BACKORDERED | REJECTED | - |
//! | BACKORDERED | - | CANCELLED | - | RESERVED | - | REJECTED | - |
//! | RESERVED | - | CANCELLED | COMPLETED | - | - | - | - |
//! | terminal | - | - | - | - | - | - | - |
//!
//! Inventory refuses an order that waits once its deadline has passed.
//!
//! `-` is "nothing": no change, no event; of a reservation only its version is remembered. An
//! outcome that arrives after a cancellation is nothing, because Inventory releases what it
//! holds when it hears of the cancellation.
//!
//! A cancellation that names its customer is nothing for another customer's order, whenever it comes:
//! a tombstone cancels the placement of its own customer, and stands in nobody else's way.

use contracts::inventory::{ReservationEvent, StockRefused};
use contracts::order::{
    CancelOrder, Line, OrderBackordered, OrderCancelled, OrderCompleted, OrderEvent, OrderPlaced,
    OrderRejected, OrderReserved, PlaceOrder,
};
use contracts::shared::refusal_text;
use messaging::clock::Timestamp;

use super::{Defaults, Entry, NeverPlaced, Order, Status, Tombstones};

/// A rule's answer: the new entry, and the event of the change if there was one.
type Outcome = (Entry, Option<OrderEvent>);

/// Somebody places an order.
pub(super) fn place(
    entry: Entry,
    place: &PlaceOrder,
    at: Timestamp,
    defaults: Defaults,
) -> Outcome {
    let (status, reason) = match entry {
        Entry::Known(_) => return (entry, None),
        Entry::Unknown => (Status::Pending, String::new()),
        Entry::Tombstones(tombstones) => match reason_for(tombstones, &place.customer_id) {
            Some(reason) => (Status::Cancelled, reason),
            None => (Status::Pending, String::new()),
        },
    };
    let order = Order {
        placed: place.clone().sorted(),
        status,
        version: 1,
        reservation_version: 0,
        reason,
        placed_at: at,
        updated_at: at,
        deadline: match status {
            Status::Pending => deadline(place, at, defaults),
            _ => None,
        },
    };
    let event = match status {
        Status::Cancelled => cancelled(&order),
        _ => placed(&order),
    };
    (Entry::Known(order), Some(event))
}

/// The deadline in force: what the client gave comes before what the store would give.
fn deadline(place: &PlaceOrder, at: Timestamp, defaults: Defaults) -> Option<Timestamp> {
    let default = || Some(at.plus(defaults.reserve_within?));
    place.reserve_by.map(Timestamp).or_else(default)
}

/// Somebody cancels an order.
pub(super) fn cancel(entry: Entry, cancel: &CancelOrder, at: Timestamp) -> Outcome {
    let mut tombstones = match entry {
        Entry::Known(order) => return cancel_known(order, cancel, at),
        Entry::Unknown => Tombstones::new(),
        Entry::Tombstones(tombstones) => tombstones,
    };
    // One for everybody leaves nothing to add.
    if !tombstones.contains_key(&None) {
        let first = tombstones.entry(cancel.customer_id.clone());
        first.or_insert_with(|| cancel.reason.clone());
    }
    (Entry::Tombstones(tombstones), None)
}

fn cancel_known(mut order: Order, cancel: &CancelOrder, at: Timestamp) -> Outcome {
    let customer_id = cancel.customer_id.as_ref();
    if customer_id.is_some_and(|customer_id| *customer_id != order.placed.customer_id) {
        return (Entry::Known(order), None);
    }
    match order.status {
        Status::Pending | Status::Backordered | Status::Reserved => {
            order.change(Status::Cancelled, cancel.reason.clone(), at);
            let event = cancelled(&order);
            (Entry::Known(order), Some(event))
        }
        Status::Completed | Status::Rejected | Status::Cancelled => (Entry::Known(order), None),
    }
}

/// Why a placement of `customer_id` is cancelled at once, if it is: the customer's own reason first.
fn reason_for(mut tombstones: Tombstones, customer_id: &str) -> Option<String> {
    let own = tombstones.remove(&Some(customer_id.to_owned()));
    own.or_else(|| tombstones.remove(&None))
}

/// Somebody ships an order.
pub(super) fn complete(entry: Entry, at: Timestamp) -> Outcome {
    match entry {
        Entry::Known(mut order) if order.status == Status::Reserved => {
            order.change(Status::Completed, String::new(), at);
            let event = OrderCompleted {
                order_id: order.placed.order_id.clone(),
                version: order.version,
            };
            (Entry::Known(order), Some(event.into()))
        }
        Entry::Unknown | Entry::Tombstones(_) | Entry::Known(_) => (entry, None),
    }
}

/// Inventory tells of the order's reservation.
pub(super) fn reservation(
    entry: Entry,
    event: &ReservationEvent,
    at: Timestamp,
) -> Result<Outcome, NeverPlaced> {
    let Entry::Known(mut order) = entry else {
        return Err(NeverPlaced {
            order_id: event.key().to_owned(),
            version: event.version(),
        });
    };
    order.reservation_version = event.version();
    let event = match (order.status, event) {
        (Status::Pending | Status::Backordered, ReservationEvent::Reserved(_)) => {
            Some(order.reserve(at))
        }
        (Status::Pending, ReservationEvent::Backordered(event)) => {
            Some(order.backorder(&event.short, at))
        }
        (Status::Pending | Status::Backordered, ReservationEvent::Refused(event)) => {
            Some(order.reject(event, at))
        }
        // An answer that came too late, or that Order has no use for.
        (
            _,
            ReservationEvent::Reserved(_)
            | ReservationEvent::Backordered(_)
            | ReservationEvent::Refused(_)
            | ReservationEvent::Released(_)
            | ReservationEvent::Shipped(_),
        ) => None,
    };
    Ok((Entry::Known(order), event))
}

impl Order {
    /// The one place where an order changes.
    fn change(&mut self, status: Status, reason: String, at: Timestamp) {
        self.status = status;
        self.reason = reason;
        self.version += 1;
        self.updated_at = at;
    }

    fn reserve(&mut self, at: Timestamp) -> OrderEvent {
        self.change(Status::Reserved, String::new(), at);
        let reserved = OrderReserved {
            order_id: self.placed.order_id.clone(),
            version: self.version,
        };
        reserved.into()
    }

    fn backorder(&mut self, short: &[String], at: Timestamp) -> OrderEvent {
        let reason = format!("waiting for {}", short.join(", "));
        self.change(Status::Backordered, reason, at);
        let backordered = OrderBackordered {
            order_id: self.placed.order_id.clone(),
            version: self.version,
            short: short.to_vec(),
        };
        backordered.into()
    }

    fn reject(&mut self, refused: &StockRefused, at: Timestamp) -> OrderEvent {
        let reason = refusal_text(refused.why(), &refused.short);
        self.change(Status::Rejected, reason, at);
        let rejected = OrderRejected {
            order_id: self.placed.order_id.clone(),
            version: self.version,
            reason: refused.reason,
            short: refused.short.clone(),
            timed_out: refused.timed_out,
        };
        rejected.into()
    }
}

fn placed(order: &Order) -> OrderEvent {
    let line = |line: &contracts::order::PlaceOrderLine| Line {
        product_id: line.product_id.clone(),
        quantity: line.quantity,
    };
    let placed = OrderPlaced {
        order_id: order.placed.order_id.clone(),
        version: order.version,
        lines: order.placed.lines.iter().map(line).collect(),
        on_shortage: order.placed.on_shortage,
        reserve_by: order.deadline.map(|deadline| deadline.0),
    };
    placed.into()
}

fn cancelled(order: &Order) -> OrderEvent {
    let cancelled = OrderCancelled {
        order_id: order.placed.order_id.clone(),
        version: order.version,
        reason: order.reason.clone(),
    };
    cancelled.into()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Message;
    use super::*;
    use crate::domain::testing::{
        BEFORE, NOW, backordered, cancel, cancel_of, complete, known, place, placement, refused,
        released, reserved, shipped, timed_out, tombstone,
    };

    fn apply(given: Entry, when: &Message, at: Timestamp) -> Result<Outcome, NeverPlaced> {
        super::super::apply(given, when, at, Defaults::default())
    }

    /// What follows from `message` in a given entry: the new status and the event, by name.
    fn outcome(given: Entry, when: &Message) -> (Option<Status>, Option<&'static str>) {
        let (entry, event) = apply(given, when, NOW).unwrap();
        let status = match entry {
            Entry::Known(order) => Some(order.status),
            Entry::Unknown | Entry::Tombstones(_) => None,
        };
        let name = |event| match event {
            OrderEvent::Placed(_) => "placed",
            OrderEvent::Reserved(_) => "reserved",
            OrderEvent::Backordered(_) => "backordered",
            OrderEvent::Rejected(_) => "rejected",
            OrderEvent::Cancelled(_) => "cancelled",
            OrderEvent::Completed(_) => "completed",
        };
        (status, event.map(name))
    }

    #[test]
    fn every_pair_of_status_and_message_has_its_answer() {
        use Status::{Backordered, Cancelled, Completed, Pending, Rejected, Reserved};
        let messages = [
            ("place", place()),
            ("cancel", cancel("changed my mind")),
            ("complete", complete()),
            ("reserved", reserved(9)),
            ("backordered", backordered(9)),
            ("refused", refused(9)),
            ("released", released(9)),
            ("shipped", shipped(9)),
        ];
        let changes = [
            (Pending, "cancel", Cancelled, "cancelled"),
            (Pending, "reserved", Reserved, "reserved"),
            (Pending, "backordered", Backordered, "backordered"),
            (Pending, "refused", Rejected, "rejected"),
            (Backordered, "cancel", Cancelled, "cancelled"),
            (Backordered, "reserved", Reserved, "reserved"),
            (Backordered, "refused", Rejected, "rejected"),
            (Reserved, "cancel", Cancelled, "cancelled"),
            (Reserved, "complete", Completed, "completed"),
        ];
        for given in Status::ALL {
            for (name, when) in &messages {
                let change = changes
                    .iter()
                    .find(|(from, message, ..)| (*from, *message) == (given, *name));
                let then = change.map_or((given, None), |(_, _, to, event)| (*to, Some(*event)));
                assert_eq!(
                    outcome(known(given), when),
                    (Some(then.0), then.1),
                    "{given:?} and {name}"
                );
            }
        }
    }

    #[test]
    fn given_nothing_when_placed_then_pending_and_inventory_is_asked() {
        let (entry, event) = apply(Entry::Unknown, &place(), NOW).unwrap();
        let Entry::Known(order) = entry else {
            panic!("no order")
        };
        assert_eq!((order.status, order.version), (Status::Pending, 1));
        assert_eq!((order.placed_at, order.updated_at), (NOW, NOW));
        assert_eq!(order.reason, "");
        let Some(OrderEvent::Placed(placed)) = event else {
            panic!("not placed: {event:?}")
        };
        let lines: Vec<_> = placed
            .lines
            .iter()
            .map(|line| (line.product_id.as_str(), line.quantity))
            .collect();
        assert_eq!(lines, [("P1", 3), ("P2", 2)], "sorted, without prices");
        assert_eq!(placed.version, 1);
    }

    #[test]
    fn given_nothing_when_cancelled_and_then_placed_then_cancelled_with_one_event() {
        let (entry, event) = apply(Entry::Unknown, &cancel("too late"), BEFORE).unwrap();
        assert_eq!(event, None);
        assert_eq!(entry, tombstone("too late"));
        let (entry, event) = apply(entry, &cancel("again"), BEFORE).unwrap();
        assert_eq!(event, None);
        assert_eq!(entry, tombstone("too late"), "the first reason stays");
        let (entry, event) = apply(entry, &place(), NOW).unwrap();
        let Entry::Known(order) = entry else {
            panic!("no order")
        };
        assert_eq!((order.status, order.version), (Status::Cancelled, 1));
        assert_eq!(order.reason, "too late");
        let cancelled = OrderCancelled {
            order_id: "O1".to_owned(),
            version: 1,
            reason: "too late".to_owned(),
        };
        assert_eq!(event, Some(cancelled.into()));
    }

    #[test]
    fn given_an_order_when_another_customer_cancels_then_nothing() {
        for given in Status::ALL {
            let foreign = cancel_of("C2", "mine now");
            let then = apply(known(given), &foreign, NOW);
            assert_eq!(then, Ok((known(given), None)), "{given:?}");
        }
        let own = outcome(known(Status::Reserved), &cancel_of("C1", "no money"));
        assert_eq!(own, (Some(Status::Cancelled), Some("cancelled")));
    }

    #[test]
    fn given_cancellations_before_the_placement_then_only_the_owners_counts() {
        let after = |cancels: &[Message]| {
            let entomb = |entry, cancel| apply(entry, cancel, BEFORE).unwrap().0;
            let given = cancels.iter().fold(Entry::Unknown, entomb);
            match apply(given, &place(), NOW).unwrap() {
                (Entry::Known(order), Some(_)) => (order.status, order.reason),
                other => panic!("no order: {other:?}"),
            }
        };
        let (foreign, own, anybody) = (
            cancel_of("C2", "not mine"),
            cancel_of("C1", "mine"),
            cancel("by hand"),
        );
        let pending = (Status::Pending, String::new());
        let cancelled = |reason: &str| (Status::Cancelled, reason.to_owned());
        assert_eq!(after(std::slice::from_ref(&foreign)), pending);
        assert_eq!(after(&[foreign.clone(), own.clone()]), cancelled("mine"));
        assert_eq!(after(&[own.clone(), foreign.clone()]), cancelled("mine"));
        assert_eq!(after(&[foreign, anybody.clone()]), cancelled("by hand"));
        assert_eq!(after(&[own.clone(), anybody.clone()]), cancelled("mine"));
        assert_eq!(after(&[anybody, own]), cancelled("by hand"));
    }

    #[test]
    fn given_nothing_when_completed_then_nothing() {
        assert_eq!(
            apply(Entry::Unknown, &complete(), NOW),
            Ok((Entry::Unknown, None))
        );
        let cancelled = tombstone("x");
        assert_eq!(
            apply(cancelled.clone(), &complete(), NOW),
            Ok((cancelled, None))
        );
    }

    #[test]
    fn given_no_order_when_inventory_tells_of_it_then_it_cannot_be_decided() {
        for entry in [Entry::Unknown, tombstone("x")] {
            for event in [
                reserved(1),
                backordered(1),
                refused(1),
                released(1),
                shipped(1),
            ] {
                let error = apply(entry.clone(), &event, NOW).unwrap_err();
                assert_eq!(error.order_id, "O1");
            }
        }
    }

    #[test]
    fn a_change_raises_the_version_by_one_and_dates_it() {
        let (entry, event) = apply(known(Status::Pending), &reserved(1), NOW).unwrap();
        let Entry::Known(order) = entry else {
            panic!("no order")
        };
        assert_eq!(order.version, 2);
        assert_eq!(event.unwrap().version(), 2);
        assert_eq!((order.placed_at, order.updated_at), (BEFORE, NOW));
        assert_eq!(order.reservation_version, 1);
    }

    #[test]
    fn no_change_leaves_all_but_the_reservations_version() {
        let Entry::Known(before) = known(Status::Cancelled) else {
            panic!("no order")
        };
        let (entry, event) = apply(Entry::Known(before.clone()), &released(7), NOW).unwrap();
        assert_eq!(event, None);
        let after = Order {
            reservation_version: 7,
            ..before
        };
        assert_eq!(entry, Entry::Known(after));
    }

    #[test]
    fn people_read_why() {
        let reason = |given, when| match apply(known(given), &when, NOW).unwrap().0 {
            Entry::Known(order) => order.reason,
            entry => panic!("no order: {entry:?}"),
        };
        assert_eq!(reason(Status::Pending, refused(1)), "OUT_OF_STOCK: P1, P2");
        assert_eq!(reason(Status::Backordered, timed_out(2)), "TIMED_OUT: P1");
        assert_eq!(reason(Status::Pending, backordered(1)), "waiting for P1");
        assert_eq!(reason(Status::Backordered, reserved(1)), "");
        assert_eq!(reason(Status::Reserved, cancel("no money")), "no money");
    }

    #[test]
    fn the_clients_deadline_comes_before_the_stores_and_inventory_hears_of_either() {
        let store = Defaults {
            reserve_within: Some(Duration::from_secs(5)),
        };
        let mut hurried = placement();
        hurried.reserve_by = Some(2_500);
        for (place, defaults, then) in [
            (placement(), Defaults::default(), None),
            (placement(), store, Some(7_000)),
            (hurried.clone(), store, Some(2_500)),
            (hurried, Defaults::default(), Some(2_500)),
        ] {
            let given = place.reserve_by;
            let message = Message::Command(place.into());
            let (entry, event) =
                super::super::apply(Entry::Unknown, &message, NOW, defaults).unwrap();
            let Entry::Known(order) = entry else {
                panic!("no order")
            };
            assert_eq!(order.deadline, then.map(Timestamp));
            assert_eq!(
                order.placed.reserve_by, given,
                "the content stays the client's"
            );
            let Some(OrderEvent::Placed(placed)) = event else {
                panic!("not placed: {event:?}")
            };
            assert_eq!(placed.reserve_by, then);
        }
    }
}
