//! Deadlines: an order that is not reserved before its deadline is refused, and waits no longer.
//!
//! The deadline itself is too late already: a decision whose time is at or after it neither reserves
//! nor queues the order. The time is that of the turn, by the clock of whoever decides; so a clock
//! that is ahead refuses early, one that is behind refuses late, and nobody refuses twice, because
//! the reservation waits no more.
//!
//! Whoever waits with a deadline is found by [`Counters::due`](super::book::Counters::due): no waiter's
//! deadline lies before it. It stands in the book's own row, which every turn reads anyhow, so
//! deadlines cost nothing where there are none.

use std::time::Duration;

use contracts::{inventory::RESERVATION, source};
use messaging::clock::Timestamp;
use messaging::context::{Cause, Outgoing};
use messaging::envelope::event_id;
use messaging::mutant::{self, Mutant};

use super::book::Book;
use super::event::{Event, Refusal};
use super::ids::OrderId;
use super::reservation::{Reservation, Status};
use super::rows::NotLoaded;

/// Whoever has not written the next deadline itself looks this much later: who has is at work on it,
/// unless it has gone.
const OTHERS_LATER: Duration = Duration::from_secs(1);

/// Who waits with the earliest deadlines, as the database has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Earliest {
    /// Deadlines that have passed, a bounded number, earliest first.
    pub passed: Vec<OrderId>,
    /// The deadline that comes after these; it may have passed too.
    pub next: Option<Timestamp>,
}

impl Earliest {
    /// What has passed at `now` of the `earliest` deadlines of all waiters, at most `waiters_max`.
    /// There must be one more in `earliest` than that, if there is one.
    #[must_use]
    pub fn at(now: Timestamp, earliest: Vec<(Timestamp, OrderId)>, waiters_max: usize) -> Self {
        let is_passed = |deadline: &Timestamp| *deadline <= now;
        let count = earliest
            .iter()
            .take(waiters_max)
            .take_while(|(deadline, _)| is_passed(deadline))
            .count();
        Self {
            next: earliest.get(count).map(|(deadline, _)| *deadline),
            passed: earliest
                .into_iter()
                .take(count)
                .map(|(_, order_id)| order_id)
                .collect(),
        }
    }
}

/// Refuses the loaded waiters whose deadline has passed; the products that they stood at are marked,
/// because one waiter less may serve those behind.
/// One that is not loaded stays due.
pub fn expire(book: &mut Book) -> Vec<Outgoing<Event>> {
    let Some(Earliest { passed, next }) = book.earliest.take() else {
        return Vec::new();
    };
    let mut outgoing = Vec::new();
    let mut unseen = None;
    for order_id in passed {
        match book.reservation(&order_id).map(Option::<&_>::cloned) {
            Ok(Some(waiter)) if waiter.status == Status::Waiting => {
                outgoing.push(time_out(book, waiter));
            }
            // The turn's messages have ended it.
            Ok(_) => {}
            Err(NotLoaded { .. }) => unseen = book.counters.due,
        }
    }
    let joined = book.reservations.changed().filter_map(|(_, _, now)| {
        let waits = now.status == Status::Waiting;
        now.reserve_by.filter(|_| waits)
    });
    book.counters.due = joined.chain(next).chain(unseen).min();
    outgoing
}

/// When the shard must look again, if no message comes before.
#[must_use]
pub fn alarm(book: &Book) -> Option<Timestamp> {
    if mutant::on(Mutant::NoAlarm) {
        return None;
    }
    let due = book.counters.due?;
    let is_ours = book.counters_stored.due != Some(due);
    Some(if is_ours { due } else { due.plus(OTHERS_LATER) })
}

/// Ends the waiting of an order whose deadline has passed. The wait is what caused it: the event that
/// began it.
pub(super) fn time_out(book: &mut Book, waiter: Reservation) -> Outgoing<Event> {
    let id = |version| {
        let order_id = waiter.order_id.as_str();
        event_id(source::INVENTORY, RESERVATION, order_id, version).to_string()
    };
    let (began, ended) = (id(waiter.version), id(waiter.version + 1));
    let stood = waiter.short.clone();
    let refused = Reservation {
        version: waiter.version + 1,
        status: Status::Refused,
        short: match mutant::on(Mutant::TimeoutKeepsPlace) {
            true => waiter.short.clone(),
            false => Default::default(),
        },
        ..waiter
    };
    let outgoing = Outgoing {
        event: Event::Refused {
            order_id: refused.order_id.clone(),
            version: refused.version,
            reason: Refusal::TimedOut,
            short: stood.iter().cloned().collect(),
        },
        cause: Cause {
            causation_id: began,
            correlation_id: refused.flow.correlation_id.clone(),
            traceparent: refused.flow.traceparent.clone(),
        },
    };
    book.put_reservation(refused);
    for product in stood {
        book.mark(&product, &ended);
    }
    outgoing
}

#[cfg(test)]
mod tests {
    use super::super::fulfilment::pass;
    use super::super::given::{Given, reservation, served, stock, waiters};
    use super::super::ids::ProductId;
    use super::*;

    const DEADLINE: Timestamp = Timestamp(1_000);

    fn at(book: &mut Book, now: i64) {
        book.tell_time(Timestamp(now));
    }

    /// The waiters with deadlines are loaded as a turn loads them.
    fn look(book: &mut Book, earliest: &[(i64, &str)]) -> Vec<String> {
        let earliest = earliest
            .iter()
            .map(|(deadline, id)| (Timestamp(*deadline), OrderId::from(*id)))
            .collect();
        book.load_earliest(Earliest::at(book.now(), earliest, 2));
        let outgoing = expire(book);
        let id = |one: &Outgoing<Event>| match &one.event {
            Event::Refused {
                order_id, reason, ..
            } => {
                assert_eq!(*reason, Refusal::TimedOut);
                order_id.to_string()
            }
            other => panic!("only refusals: {other:?}"),
        };
        outgoing.iter().map(id).collect()
    }

    #[test]
    fn a_waiter_is_refused_at_its_deadline_and_not_before() {
        let mut book = Given::stock(&[("A", 0)]).book();
        book.place_by("O1", &[("A", 1)], DEADLINE);
        assert_eq!(book.counters.due, Some(DEADLINE));
        at(&mut book, 999);
        assert_eq!(look(&mut book, &[(1_000, "O1")]), [""; 0]);
        assert_eq!(book.counters.due, Some(DEADLINE));
        at(&mut book, 1_000);
        assert_eq!(look(&mut book, &[(1_000, "O1")]), ["O1"]);
        assert_eq!(reservation(&book, "O1").status, Status::Refused);
        assert!(waiters(&book, "A").is_empty());
        assert_eq!(book.counters.due, None);
        assert_eq!(look(&mut book, &[(1_000, "O1")]), [""; 0], "never twice");
    }

    #[test]
    fn a_waiter_that_times_out_frees_the_one_behind_it() {
        let mut book = Given::stock(&[("A", 1)]).book();
        book.place_by("O1", &[("A", 3)], DEADLINE);
        book.place("O2", &[("A", 1)]);
        at(&mut book, 1_000);
        look(&mut book, &[(1_000, "O1")]);
        assert_eq!(book.marked(), [ProductId::from("A")]);
        let pass = pass(&mut book, 10);
        assert_eq!(served(&pass), ["O2"]);
        let ended = event_id(source::INVENTORY, RESERVATION, "O1", 2).to_string();
        assert_eq!(pass.outgoing[0].cause.causation_id, ended);
    }

    #[test]
    fn goods_that_come_too_late_go_to_the_next() {
        let mut book = Given::stock(&[("A", 0)]).book();
        book.place_by("O1", &[("A", 1)], DEADLINE);
        book.place("O2", &[("A", 1)]);
        at(&mut book, 1_000);
        // Nobody has looked for deadlines in this turn.
        book.receive("R2", "A", 1);
        let events: Vec<_> = pass(&mut book, 10)
            .outgoing
            .into_iter()
            .map(|one| one.event)
            .collect();
        assert!(
            matches!(
                &events[..],
                [
                    Event::Refused {
                        reason: Refusal::TimedOut,
                        ..
                    },
                    Event::Reserved { .. }
                ]
            ),
            "{events:?}"
        );
        assert_eq!(stock(&book, "A"), (1, 1));
    }

    #[test]
    fn a_placement_after_its_deadline_is_refused_at_once() {
        let mut book = Given::stock(&[("A", 9)]).book();
        at(&mut book, 1_000);
        let event = book.place_by("O1", &[("A", 1)], DEADLINE);
        assert!(
            matches!(
                event,
                Event::Refused {
                    reason: Refusal::TimedOut,
                    ..
                }
            ),
            "{event:?}"
        );
        assert_eq!(stock(&book, "A"), (9, 0));
        let event = book.place_by("O2", &[("A", 1)], Timestamp(1_001));
        assert!(matches!(event, Event::Reserved { .. }), "{event:?}");
        assert_eq!(book.counters.due, None, "who holds stock has no deadline");
    }

    #[test]
    fn a_bounded_number_is_refused_and_the_rest_is_due_at_once() {
        let mut book = Given::stock(&[("A", 0)]).book();
        for order in ["O1", "O2", "O3"] {
            book.place_by(order, &[("A", 1)], DEADLINE);
        }
        at(&mut book, 5_000);
        let all = [(1_000, "O1"), (1_000, "O2"), (1_000, "O3")];
        assert_eq!(look(&mut book, &all), ["O1", "O2"]);
        assert!(book.is_due());
        assert_eq!(look(&mut book, &all[2..]), ["O3"]);
        assert!(!book.is_due());
    }

    #[test]
    fn a_waiter_that_has_left_in_this_turn_is_left_alone() {
        let mut book = Given::stock(&[("A", 0)]).book();
        book.place_by("O1", &[("A", 1)], DEADLINE);
        book.cancel("O1");
        at(&mut book, 1_000);
        assert_eq!(look(&mut book, &[(1_000, "O1")]), [""; 0]);
        assert_eq!(reservation(&book, "O1").status, Status::Released);
    }

    #[test]
    fn who_has_written_the_next_deadline_looks_first() {
        let mut book = Given::stock(&[("A", 0)]).book();
        assert_eq!(alarm(&book), None);
        book.place_by("O1", &[("A", 1)], DEADLINE);
        assert_eq!(alarm(&book), Some(DEADLINE));
        book.counters_stored = book.counters;
        assert_eq!(alarm(&book), Some(Timestamp(2_000)));
    }
}
