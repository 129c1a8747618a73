//! Waiters are served: in order per product, a bounded number at a time.
//!
//! After every turn that ran out of marks, this holds: of each product's queue the first waiter
//! asks for more than is available. So nobody waits while everything it needs is available and
//! nobody is ahead of it. Whatever may break that (goods, a release, a waiter that leaves) marks
//! the product, and a mark goes only when its first waiter has been found short again.

use std::collections::BTreeSet;

use messaging::context::{Cause, Outgoing};

use super::book::Book;
use super::deadline;
use super::event::Event;
use super::ids::{OrderId, ProductId};
use super::place::hold;
use super::reservation::{Reservation, Status};
use super::rows::NotLoaded;

/// What a pass did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pass {
    /// Waiters served, and those found too late, in order.
    pub outgoing: Vec<Outgoing<Event>>,
    /// Whether marks are left.
    pub more: bool,
}

/// Looks at the first waiters of marked products, at most `waiters_max` of them.
///
/// One whose deadline has passed is refused, not served.
///
/// Where the loaded part of the book does not suffice it stops for that product and leaves the
/// mark to a later turn: a pass over a small part serves fewer, never others.
pub fn pass(book: &mut Book, waiters_max: usize) -> Pass {
    let mut outgoing = Vec::new();
    let mut stopped = BTreeSet::new();
    for _ in 0..waiters_max {
        let Some((product, mark)) = book.marks.oldest(&stopped) else {
            break;
        };
        match look(book, &product, &mark.causation_id) {
            Ok(Look::Served(told) | Look::Late(told)) => outgoing.push(told),
            Ok(Look::Moved) => {}
            Ok(Look::Done) => book.marks.clear(&product),
            Err(NotLoaded { .. }) => {
                stopped.insert(product);
            }
        }
    }
    Pass {
        outgoing,
        more: book.marks.any(),
    }
}

enum Look {
    /// The first waiter got everything.
    Served(Outgoing<Event>),
    /// The first waiter's deadline has passed: it has left.
    Late(Outgoing<Event>),
    /// The first waiter is short of something else: it waits there now.
    Moved,
    /// Nobody waits, or the first waiter is still short of this product.
    Done,
}

/// Looks at the first waiter for a product. Nothing changes before every fact is known.
fn look(book: &mut Book, product: &ProductId, causation_id: &str) -> Result<Look, NotLoaded> {
    let Some((position, order_id)) = book.queue(product)?.head()? else {
        return Ok(Look::Done);
    };
    let order_id = order_id.clone();
    let waiter = waiter(book, &order_id)?;
    if book.is_late(waiter.reserve_by) {
        return Ok(Look::Late(deadline::time_out(book, waiter)));
    }
    let short = short(book, &waiter, position)?;
    if short.contains(product) {
        return Ok(Look::Done);
    }
    let left: Vec<_> = waiter.short.difference(&short).cloned().collect();
    let look = if short.is_empty() {
        Look::Served(serve(book, waiter, causation_id)?)
    } else {
        book.put_reservation(Reservation { short, ..waiter });
        Look::Moved
    };
    for product in left {
        book.mark(&product, causation_id);
    }
    Ok(look)
}

fn waiter(book: &Book, order_id: &OrderId) -> Result<Reservation, NotLoaded> {
    book.reservation(order_id)?
        .cloned()
        .ok_or_else(|| NotLoaded {
            what: "reservation of waiter",
            id: order_id.to_string(),
        })
}

/// What a waiter at `position` is short of: too little available, or somebody stands before it.
fn short(
    book: &Book,
    waiter: &Reservation,
    position: i64,
) -> Result<BTreeSet<ProductId>, NotLoaded> {
    let mut short = BTreeSet::new();
    for (product, quantity) in &waiter.lines {
        let available = book.stock(product)?.unwrap_or_default().available();
        if book.queue(product)?.anyone_before(position)? || available < i64::from(*quantity) {
            short.insert(product.clone());
        }
    }
    Ok(short)
}

fn serve(
    book: &mut Book,
    waiter: Reservation,
    causation_id: &str,
) -> Result<Outgoing<Event>, NotLoaded> {
    hold(book, &waiter.lines)?;
    let held = Reservation {
        version: waiter.version + 1,
        status: Status::Held,
        fulfilment: Some(book.take_fulfilment()),
        short: BTreeSet::new(),
        ..waiter
    };
    let served = Outgoing {
        event: Event::Reserved {
            order_id: held.order_id.clone(),
            version: held.version,
            lines: held.lines.clone(),
        },
        cause: Cause {
            causation_id: causation_id.to_owned(),
            correlation_id: held.flow.correlation_id.clone(),
            traceparent: held.flow.traceparent.clone(),
        },
    };
    book.put_reservation(held);
    Ok(served)
}

#[cfg(test)]
mod tests {
    use super::super::given::{Given, reservation, served, stock, waiters};
    use super::*;

    const MANY: usize = 100;

    #[test]
    fn goods_are_held_for_the_first_waiters_they_suffice_for() {
        let mut book = Given::stock(&[("A", 0)]).book();
        book.place("O1", &[("A", 20)]);
        book.place("O2", &[("A", 20)]);
        book.place("O3", &[("A", 1)]);
        book.receive("R2", "A", 30);
        let pass = pass(&mut book, MANY);
        assert_eq!(served(&pass), ["O1"]);
        assert!(!pass.more);
        assert_eq!(stock(&book, "A"), (30, 20));
        assert_eq!(waiters(&book, "A"), ["O2", "O3"], "nobody passes O2");
    }

    #[test]
    fn a_waiter_that_is_served_keeps_its_position_and_gets_a_number() {
        let mut book = Given::stock(&[("A", 0)]).book();
        book.place("O1", &[("A", 1)]);
        book.place("O2", &[("A", 1)]);
        book.receive("R2", "A", 2);
        pass(&mut book, MANY);
        let numbers = |id| {
            let waiter = reservation(&book, id);
            (waiter.position, waiter.fulfilment, waiter.version)
        };
        assert_eq!(numbers("O1"), (Some(1), Some(1), 2));
        assert_eq!(numbers("O2"), (Some(2), Some(2), 2));
    }

    #[test]
    fn an_event_belongs_to_the_orders_flow_and_to_what_woke_it() {
        let mut book = Given::stock(&[("A", 0)]).book();
        book.place("O1", &[("A", 1)]);
        book.receive("R2", "A", 2);
        let pass = pass(&mut book, MANY);
        assert_eq!(
            pass.outgoing[0].cause,
            Cause {
                causation_id: "receive R2".to_owned(),
                correlation_id: "flow of O1".to_owned(),
                traceparent: None,
            }
        );
    }

    #[test]
    fn a_cancelled_waiter_frees_the_one_behind_it() {
        let mut book = Given::stock(&[("A", 1)]).book();
        book.place("O1", &[("A", 3)]);
        book.place("O2", &[("A", 1)]);
        book.cancel("O1");
        assert_eq!(served(&pass(&mut book, MANY)), ["O2"]);
    }

    #[test]
    fn a_release_serves_the_next() {
        let mut book = Given::stock(&[("A", 3)]).book();
        book.place("O1", &[("A", 3)]);
        book.place("O2", &[("A", 2)]);
        book.cancel("O1");
        assert_eq!(served(&pass(&mut book, MANY)), ["O2"]);
        assert_eq!(stock(&book, "A"), (3, 2));
    }

    #[test]
    fn a_waiter_still_short_elsewhere_leaves_the_queue_to_others() {
        let mut book = Given::stock(&[("A", 0), ("B", 0)]).book();
        book.place("O1", &[("A", 1), ("B", 1)]);
        book.place("O2", &[("A", 1)]);
        book.receive("R2", "A", 1);
        assert_eq!(served(&pass(&mut book, MANY)), ["O2"]);
        assert!(waiters(&book, "A").is_empty());
        assert_eq!(waiters(&book, "B"), ["O1"]);
    }

    #[test]
    fn a_waiter_goes_back_to_its_place_where_it_has_become_short_again() {
        let mut book = Given::stock(&[("A", 0), ("B", 0)]).book();
        book.place("O1", &[("A", 1), ("B", 1)]);
        book.place("O2", &[("A", 1)]);
        book.receive("R2", "A", 1);
        pass(&mut book, MANY);
        book.place("O3", &[("A", 1)]);
        book.receive("R3", "B", 1);
        assert_eq!(served(&pass(&mut book, MANY)), [""; 0]);
        assert_eq!(
            waiters(&book, "A"),
            ["O1", "O3"],
            "O1 stands where it always stood"
        );
        assert!(waiters(&book, "B").is_empty());
    }

    #[test]
    fn a_waiter_served_by_one_queue_leaves_the_others_and_wakes_them() {
        // O1 is short of both; O2 waits behind it for B, of which there is enough.
        let mut book = Given::stock(&[("A", 0), ("B", 2)]).book();
        book.place("O0", &[("B", 9)]);
        book.place("O1", &[("A", 1), ("B", 1)]);
        book.place("O2", &[("B", 1)]);
        book.receive("R2", "A", 1);
        book.cancel("O0");
        assert_eq!(served(&pass(&mut book, MANY)), ["O1", "O2"]);
        assert_eq!(stock(&book, "B"), (2, 2));
    }

    #[test]
    fn a_waiter_that_is_served_marks_the_queues_it_leaves() {
        let mut book = Given::stock(&[("A", 1), ("B", 1)])
            .order("O1", Status::Waiting, &[("A", 1), ("B", 1)])
            .book();
        for product in ["A", "B"].map(ProductId::from) {
            let waiters = [(1, OrderId::from("O1")), (2, OrderId::from("O2"))];
            book.load_queue(product, waiters, false);
        }
        book.mark(&ProductId::from("A"), "a receipt");
        assert_eq!(served(&pass(&mut book, 1)), ["O1"]);
        assert_eq!(book.marked(), ["A", "B"].map(ProductId::from));
    }

    #[test]
    fn a_bounded_pass_leaves_the_mark_and_says_so() {
        let mut book = Given::stock(&[("A", 0)]).book();
        for order in ["O1", "O2", "O3"] {
            book.place(order, &[("A", 1)]);
        }
        book.receive("R2", "A", 9);
        let first = pass(&mut book, 2);
        assert_eq!(
            (served(&first), first.more),
            (vec!["O1".into(), "O2".into()], true)
        );
        let second = pass(&mut book, 2);
        assert_eq!((served(&second), second.more), (vec!["O3".into()], false));
    }

    #[test]
    fn a_pass_stops_where_the_book_is_not_loaded_and_changes_nothing_there() {
        let mut book = Given::stock(&[("A", 5)]).book();
        book.load_queue(ProductId::from("A"), [(1, OrderId::from("O1"))], true);
        book.mark(&ProductId::from("A"), "a receipt");
        let before = book.clone();
        let stopped = pass(&mut book, MANY);
        assert_eq!((stopped.outgoing.len(), stopped.more), (0, true));
        assert_eq!(book.marked(), before.marked());
        assert_eq!(stock(&book, "A"), (5, 0));
    }
}
