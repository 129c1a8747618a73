//! An order ends: a cancelled one gives back what it held, a completed one ships it.

use std::collections::BTreeSet;

use messaging::mutant::{self, Mutant};

use super::book::Book;
use super::event::Event;
use super::ids::OrderId;
use super::reservation::{Lines, Reservation, Status};
use super::rows::NotLoaded;

/// Why an end cannot be decided.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A fact is missing.
    #[error(transparent)]
    NotLoaded(#[from] NotLoaded),
    /// The order's story and this reservation's do not fit: no order gets there by the rules.
    #[error("order {order_id} is {end} but its reservation is {}; compare the two", status.as_str())]
    Unexpected {
        /// The order.
        order_id: OrderId,
        /// How the order ended.
        end: &'static str,
        /// How its reservation stands.
        status: Status,
    },
}

/// The order was cancelled: what it held is available again, its places in the queues are free,
/// and those who wait there are looked at. `causation_id` is the id of the event.
///
/// An order without a reservation, refused or released before has nothing to give.
///
/// # Errors
/// See [`Error`].
pub fn cancel(
    book: &mut Book,
    order_id: &OrderId,
    order_version: i64,
    causation_id: &str,
) -> Result<Option<Event>, Error> {
    let Some(reservation) = book.reservation(order_id)?.cloned() else {
        return Ok(None);
    };
    let held = match reservation.status {
        Status::Held => reservation.lines.clone(),
        Status::Waiting => Lines::new(),
        Status::Refused | Status::Released => {
            note(book, reservation, order_version);
            return Ok(None);
        }
        Status::Shipped => return Err(unexpected(&reservation, "cancelled")),
    };
    let stood: BTreeSet<_> = reservation.short.clone();
    let released = next(reservation, order_version, Status::Released);
    let event = Event::Released {
        order_id: order_id.clone(),
        version: released.version,
        lines: held.clone(),
    };
    book.put_reservation(released);
    for (product, quantity) in &held {
        let stock = book.stock(product)?.unwrap_or_default();
        book.put_stock(product, stock.release(*quantity));
    }
    for product in held.keys().chain(&stood) {
        if mutant::on(Mutant::ReleaseWakesNobody) {
            break;
        }
        book.mark(product, causation_id);
    }
    Ok(Some(event))
}

/// The order was completed: what it held leaves the house. Nothing becomes available by that.
///
/// An order without a reservation has nothing to ship, one that has shipped does not ship again.
///
/// # Errors
/// See [`Error`].
pub fn complete(
    book: &mut Book,
    order_id: &OrderId,
    order_version: i64,
) -> Result<Option<Event>, Error> {
    let Some(reservation) = book.reservation(order_id)?.cloned() else {
        return Ok(None);
    };
    match reservation.status {
        Status::Held => {}
        Status::Shipped => {
            note(book, reservation, order_version);
            return Ok(None);
        }
        Status::Waiting | Status::Refused | Status::Released => {
            return Err(unexpected(&reservation, "completed"));
        }
    }
    for (product, quantity) in &reservation.lines {
        let stock = book.stock(product)?.unwrap_or_default();
        book.put_stock(product, stock.ship(*quantity));
    }
    let shipped = next(reservation, order_version, Status::Shipped);
    let event = Event::Shipped {
        order_id: order_id.clone(),
        version: shipped.version,
        lines: shipped.lines.clone(),
    };
    book.put_reservation(shipped);
    Ok(Some(event))
}

/// Remembers the order's version; the reservation itself does not change.
fn note(book: &mut Book, reservation: Reservation, order_version: i64) {
    book.put_reservation(Reservation {
        order_version,
        ..reservation
    });
}

fn next(reservation: Reservation, order_version: i64, status: Status) -> Reservation {
    Reservation {
        order_version,
        version: reservation.version + 1,
        status,
        short: BTreeSet::new(),
        ..reservation
    }
}

fn unexpected(reservation: &Reservation, end: &'static str) -> Error {
    Error::Unexpected {
        order_id: reservation.order_id.clone(),
        end,
        status: reservation.status,
    }
}

#[cfg(test)]
mod tests {
    use super::super::given::{Given, lines, reservation, stock, waiters};
    use super::*;

    #[test]
    fn a_cancelled_order_gives_back_what_it_held() {
        let mut book = Given::stock(&[("A", 10), ("B", 5)]).book();
        book.place("O1", &[("A", 3), ("B", 2)]);
        let event = book.cancel("O1");
        assert_eq!(
            event,
            Some(Event::Released {
                order_id: OrderId::from("O1"),
                version: 2,
                lines: lines(&[("A", 3), ("B", 2)]),
            })
        );
        assert_eq!((stock(&book, "A"), stock(&book, "B")), ((10, 0), (5, 0)));
    }

    #[test]
    fn a_release_marks_the_products_that_others_wait_for() {
        let mut book = Given::stock(&[("A", 3), ("B", 5)]).book();
        book.place("O1", &[("A", 3), ("B", 2)]);
        book.place("O2", &[("A", 3)]);
        book.cancel("O1");
        assert_eq!(book.marked(), [super::super::ids::ProductId::from("A")]);
    }

    #[test]
    fn a_cancelled_waiter_leaves_its_queues_and_marks_them() {
        let mut book = Given::stock(&[("A", 1)]).book();
        book.place("O1", &[("A", 3)]);
        book.place("O2", &[("A", 1)]);
        let event = book.cancel("O1");
        assert_eq!(
            event,
            Some(Event::Released {
                order_id: OrderId::from("O1"),
                version: 2,
                lines: Lines::new(),
            })
        );
        assert_eq!(waiters(&book, "A"), ["O2"]);
        assert_eq!(book.marked().len(), 1);
        assert_eq!(stock(&book, "A"), (1, 0));
    }

    #[test]
    fn a_completed_order_ships_what_it_held() {
        let mut book = Given::stock(&[("A", 10)]).book();
        book.place("O1", &[("A", 3)]);
        book.place("O2", &[("A", 9)]);
        let event = book.complete("O1").unwrap();
        assert_eq!(
            event,
            Some(Event::Shipped {
                order_id: OrderId::from("O1"),
                version: 2,
                lines: lines(&[("A", 3)]),
            })
        );
        assert_eq!(stock(&book, "A"), (7, 0));
        assert!(book.marked().is_empty(), "nothing became available");
    }

    /// Every (status, end) pair: the event's version, nothing, or a contradiction.
    #[test]
    fn the_table_of_ends_is_total() {
        #[derive(Debug, PartialEq)]
        enum End {
            Change,
            Nothing,
            Contradiction,
        }
        use End::{Change, Contradiction, Nothing};
        let end = |outcome: Result<Option<Event>, Error>| match outcome {
            Ok(Some(_)) => Change,
            Ok(None) => Nothing,
            Err(_) => Contradiction,
        };
        let expected = [
            (Status::Held, Change, Change),
            (Status::Waiting, Change, Contradiction),
            (Status::Refused, Nothing, Contradiction),
            (Status::Released, Nothing, Contradiction),
            (Status::Shipped, Contradiction, Nothing),
        ];
        for (status, on_cancel, on_complete) in expected {
            let given = || {
                Given::stock(&[("A", 10)])
                    .order("O1", status, &[("A", 3)])
                    .book()
            };
            let id = OrderId::from("O1");
            assert_eq!(
                end(cancel(&mut given(), &id, 9, "c")),
                on_cancel,
                "{status:?}"
            );
            assert_eq!(
                end(complete(&mut given(), &id, 9)),
                on_complete,
                "{status:?}"
            );
        }
    }

    #[test]
    fn an_order_that_has_no_reservation_changes_nothing() {
        let mut book = Given::stock(&[("A", 10)]).book();
        assert_eq!(book.cancel("O9"), None);
        assert_eq!(book.complete("O9"), Ok(None));
    }

    #[test]
    fn a_cancel_that_comes_after_the_refusal_is_remembered_without_an_event() {
        let mut book = Given::stock(&[("A", 0)]).book();
        book.place_or_reject("O1", &[("A", 1)]);
        assert_eq!(book.cancel("O1"), None);
        let after = reservation(&book, "O1");
        assert_eq!((after.version, after.order_version), (1, 2));
    }
}
