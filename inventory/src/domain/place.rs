//! An order is placed: held whole, made to wait, or refused.

use std::collections::BTreeSet;

use messaging::clock::Timestamp;

use super::book::Book;
use super::event::{Event, Refusal};
use super::ids::{OrderId, ProductId};
use super::reservation::{Flow, Lines, Reservation, Status};
use super::rows::NotLoaded;

/// What the customer wants when something is short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnShortage {
    /// To wait.
    Backorder,
    /// To be told no.
    Reject,
}

/// An order, as far as it concerns the stock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The order.
    pub order_id: OrderId,
    /// The order's version.
    pub order_version: i64,
    /// What it asks for; quantities above zero.
    pub lines: Lines,
    /// What to do when something is short.
    pub on_shortage: OnShortage,
    /// It must be held before this instant.
    pub reserve_by: Option<Timestamp>,
    /// The order's flow.
    pub flow: Flow,
}

/// Why a placement cannot be decided.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A fact is missing.
    #[error(transparent)]
    NotLoaded(#[from] NotLoaded),
    /// An order is placed once; a later version of it cannot place it again.
    #[error("order {order_id} is placed again by version {order_version}")]
    Again {
        /// The order.
        order_id: OrderId,
        /// The version that places it again.
        order_version: i64,
    },
}

/// Decides a placement.
///
/// A line is short when too little is available, or when somebody waits for the product already:
/// nobody passes an earlier waiter. Nothing short: all lines are held. Otherwise nothing is held,
/// and the order stands in the queues of what it is short of, and only of that. After its deadline it
/// gets nothing, whatever there is.
///
/// # Errors
/// See [`Error`].
pub fn place(book: &mut Book, placement: Placement) -> Result<Event, Error> {
    if book.reservation(&placement.order_id)?.is_some() {
        return Err(Error::Again {
            order_id: placement.order_id,
            order_version: placement.order_version,
        });
    }
    let unknown = unknown(book, &placement.lines)?;
    if !unknown.is_empty() {
        return Ok(refuse(book, placement, Refusal::UnknownProduct, unknown));
    }
    let short = short(book, &placement.lines)?;
    if book.is_late(placement.reserve_by) {
        return Ok(refuse(book, placement, Refusal::TimedOut, short));
    }
    if short.is_empty() {
        return Ok(reserve(book, placement)?);
    }
    Ok(match placement.on_shortage {
        OnShortage::Backorder => backorder(book, placement, short),
        OnShortage::Reject => refuse(book, placement, Refusal::OutOfStock, short),
    })
}

fn unknown(book: &Book, lines: &Lines) -> Result<BTreeSet<ProductId>, NotLoaded> {
    let mut unknown = BTreeSet::new();
    for product in lines.keys() {
        if book.stock(product)?.is_none() {
            unknown.insert(product.clone());
        }
    }
    Ok(unknown)
}

fn short(book: &Book, lines: &Lines) -> Result<BTreeSet<ProductId>, NotLoaded> {
    let mut short = BTreeSet::new();
    for (product, quantity) in lines {
        let available = book.stock(product)?.unwrap_or_default().available();
        if available < i64::from(*quantity) || book.queue(product)?.head()?.is_some() {
            short.insert(product.clone());
        }
    }
    Ok(short)
}

fn reserve(book: &mut Book, placement: Placement) -> Result<Event, NotLoaded> {
    hold(book, &placement.lines)?;
    let event = Event::Reserved {
        order_id: placement.order_id.clone(),
        version: 1,
        lines: placement.lines.clone(),
    };
    book.put_reservation(first(placement, Status::Held));
    Ok(event)
}

/// Holds every line; the caller knows that none is short.
pub(super) fn hold(book: &mut Book, lines: &Lines) -> Result<(), NotLoaded> {
    for (product, quantity) in lines {
        let stock = book.stock(product)?.unwrap_or_default();
        book.put_stock(product, stock.hold(*quantity));
    }
    Ok(())
}

fn backorder(book: &mut Book, placement: Placement, short: BTreeSet<ProductId>) -> Event {
    let event = Event::Backordered {
        order_id: placement.order_id.clone(),
        version: 1,
        short: short.iter().cloned().collect(),
    };
    let position = Some(book.take_position());
    book.expect(placement.reserve_by);
    book.put_reservation(Reservation {
        position,
        short,
        ..first(placement, Status::Waiting)
    });
    event
}

fn refuse(
    book: &mut Book,
    placement: Placement,
    reason: Refusal,
    short: BTreeSet<ProductId>,
) -> Event {
    let event = Event::Refused {
        order_id: placement.order_id.clone(),
        version: 1,
        reason,
        short: short.into_iter().collect(),
    };
    book.put_reservation(first(placement, Status::Refused));
    event
}

fn first(placement: Placement, status: Status) -> Reservation {
    Reservation {
        order_id: placement.order_id,
        order_version: placement.order_version,
        version: 1,
        status,
        position: None,
        fulfilment: None,
        lines: placement.lines,
        short: BTreeSet::new(),
        reserve_by: placement.reserve_by,
        flow: placement.flow,
    }
}

#[cfg(test)]
mod tests {
    use super::super::given::{Given, lines, placement, products, reservation, stock, waiters};
    use super::*;

    #[test]
    fn an_order_that_fits_is_held_whole() {
        let mut book = Given::stock(&[("A", 10), ("B", 15)]).book();
        let event = book.place("O1", &[("A", 3), ("B", 2)]);
        assert_eq!(
            event,
            Event::Reserved {
                order_id: OrderId::from("O1"),
                version: 1,
                lines: lines(&[("A", 3), ("B", 2)]),
            }
        );
        assert_eq!((stock(&book, "A"), stock(&book, "B")), ((10, 3), (15, 2)));
        assert_eq!(reservation(&book, "O1").status, Status::Held);
        assert_eq!(reservation(&book, "O1").position, None);
    }

    #[test]
    fn an_order_with_one_short_line_holds_nothing_and_waits_only_there() {
        let mut book = Given::stock(&[("A", 10), ("B", 1)]).book();
        let event = book.place("O1", &[("A", 3), ("B", 2)]);
        assert_eq!(
            event,
            Event::Backordered {
                order_id: OrderId::from("O1"),
                version: 1,
                short: products(&["B"]),
            }
        );
        assert_eq!((stock(&book, "A"), stock(&book, "B")), ((10, 0), (1, 0)));
        assert!(waiters(&book, "A").is_empty());
        assert_eq!(waiters(&book, "B"), ["O1"]);
    }

    #[test]
    fn a_later_order_passes_on_the_lines_that_a_waiter_is_not_short_of() {
        let mut book = Given::stock(&[("A", 10), ("B", 1)]).book();
        book.place("O1", &[("A", 3), ("B", 2)]);
        book.place("O2", &[("A", 10)]);
        assert_eq!(reservation(&book, "O2").status, Status::Held);
    }

    #[test]
    fn nobody_passes_an_earlier_waiter() {
        let mut book = Given::stock(&[("A", 5)]).book();
        book.place("O1", &[("A", 9)]);
        let event = book.place("O2", &[("A", 1)]);
        assert!(matches!(event, Event::Backordered { .. }), "{event:?}");
        assert_eq!(waiters(&book, "A"), ["O1", "O2"]);
    }

    #[test]
    fn an_order_that_will_not_wait_is_told_what_is_short() {
        let mut book = Given::stock(&[("A", 10), ("B", 1), ("C", 0)]).book();
        let event = book.place_or_reject("O1", &[("A", 1), ("B", 2), ("C", 1)]);
        assert_eq!(
            event,
            Event::Refused {
                order_id: OrderId::from("O1"),
                version: 1,
                reason: Refusal::OutOfStock,
                short: products(&["B", "C"]),
            }
        );
        assert_eq!(reservation(&book, "O1").status, Status::Refused);
        assert!(waiters(&book, "B").is_empty());
        assert_eq!(stock(&book, "A"), (10, 0));
    }

    #[test]
    fn waiters_ahead_count_as_short_for_one_that_will_not_wait() {
        let mut book = Given::stock(&[("A", 5)]).book();
        book.place("O1", &[("A", 9)]);
        let event = book.place_or_reject("O2", &[("A", 1)]);
        assert!(matches!(
            event,
            Event::Refused {
                reason: Refusal::OutOfStock,
                ..
            }
        ));
    }

    #[test]
    fn a_product_that_nobody_knows_is_refused_by_name_even_for_one_that_would_wait() {
        let mut book = Given::stock(&[("A", 0)]).book();
        let event = book.place("O1", &[("A", 3), ("X", 1), ("Y", 1)]);
        assert_eq!(
            event,
            Event::Refused {
                order_id: OrderId::from("O1"),
                version: 1,
                reason: Refusal::UnknownProduct,
                short: products(&["X", "Y"]),
            }
        );
    }

    #[test]
    fn an_order_is_placed_once() {
        let mut book = Given::stock(&[("A", 5)]).book();
        book.place("O1", &[("A", 1)]);
        let again = place(&mut book, placement("O1", 2, &[("A", 1)]));
        assert!(matches!(again, Err(Error::Again { .. })));
    }

    #[test]
    fn what_was_not_looked_at_is_not_taken_for_absent() {
        let mut book = Given::stock(&[]).book();
        book.load_reservation(OrderId::from("O1"), None);
        let outcome = place(&mut book, placement("O1", 1, &[("A", 1)]));
        assert!(matches!(outcome, Err(Error::NotLoaded(_))));
    }
}
