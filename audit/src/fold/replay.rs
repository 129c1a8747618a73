//! Order's refinement: its events and its row follow from its commands and from Inventory's events
//! through the model that the service runs.
//!
//! Each input topic keeps the sequence of an order's messages, but how the two topics interleaved
//! is in no log. It is searched for: an event carries the id of the message that caused it, so
//! that of all interleavings only those are followed whose every change is the next event of the
//! log, caused by that very message. What is left to choose is where the messages stood that
//! changed nothing; a state is known by how far both inputs and the events have come, so the
//! search ends after at most commands x reservations x events steps, a handful.

use std::collections::HashSet;

use contracts::order::OrderEvent;
use contracts::source;
use messaging::clock::Timestamp;
use messaging::envelope::event_id;
use order::domain::{Defaults, Entry, Order, apply};

use super::facts::{self, Fact, Kind, Step};
use super::history::{History, OrderRow};
use crate::digest::{self, Digest};

/// What the inputs lead to.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Every event of the log is explained, and this is the row.
    Row(Option<OrderRow>),
    /// No interleaving explains more than the first events: this many.
    Unexplained(usize),
    /// Every event of the log is explained, but the inputs say that another must have followed.
    Missing(String),
}

/// Where a search stands.
#[derive(Clone, Debug)]
struct State {
    steps: usize,
    reservations: usize,
    events: usize,
    entry: Entry,
}

/// An input message with what it takes to decide it.
struct Input {
    id: Digest,
    lines: Digest,
    time: Timestamp,
    message: order::domain::Message,
}

/// Folds an order's inputs into its row.
pub(super) fn replay(order_id: &str, history: &History) -> Outcome {
    let steps: Vec<_> = history
        .steps
        .iter()
        .map(|step| of_step(order_id, step))
        .collect();
    let facts = history.reservation.facts.iter();
    let reservations: Vec<_> = facts.map(|fact| of_fact(order_id, fact)).collect();
    let events = &history.order.facts;
    let mut open = vec![State {
        steps: 0,
        reservations: 0,
        events: 0,
        entry: Entry::Unknown,
    }];
    let mut met = HashSet::new();
    let (mut most, mut missing) = (0, None);
    while let Some(state) = open.pop() {
        if !met.insert((state.steps, state.reservations, state.events)) {
            continue;
        }
        most = most.max(state.events);
        let step = steps.get(state.steps);
        let reservation = reservations.get(state.reservations);
        if step.is_none() && reservation.is_none() && state.events == events.len() {
            return Outcome::Row(row(&state.entry));
        }
        for (input, is_step) in [(step, true), (reservation, false)] {
            let Some(input) = input else { continue };
            match follow(&state, input, events) {
                Next::Event(entry) => open.push(state.after(entry, is_step, 1)),
                Next::Nothing(entry) => open.push(state.after(entry, is_step, 0)),
                Next::Untold(event) => missing = missing.or(Some(event)),
                Next::Never => {}
            }
        }
    }
    match missing {
        Some(event) if most == events.len() => Outcome::Missing(event),
        _ => Outcome::Unexplained(most),
    }
}

enum Next {
    /// The message makes the next event of the log.
    Event(Entry),
    /// The message changes nothing, and the log does not say otherwise.
    Nothing(Entry),
    /// The message makes an event, and the log ends.
    Untold(String),
    /// It did not happen like that.
    Never,
}

fn follow(state: &State, input: &Input, events: &[Fact]) -> Next {
    let next = events.get(state.events);
    let defaults = Defaults::default();
    match apply(state.entry.clone(), &input.message, input.time, defaults) {
        // Told of an order that is not placed yet: it was placed before.
        Err(_) => Next::Never,
        Ok((entry, None)) => match next {
            Some(next) if next.cause == input.id => Next::Never,
            _ => Next::Nothing(entry),
        },
        Ok((entry, Some(event))) => match next {
            Some(next) if is_told(&event, input, next) => Next::Event(in_force(entry, next)),
            Some(_) => Next::Never,
            None => Next::Untold(describe(&event)),
        },
    }
}

/// The entry with the deadline that its placement tells: where the client left it open, the store's own
/// was in force, which is in no log but there.
fn in_force(entry: Entry, fact: &Fact) -> Entry {
    match entry {
        Entry::Known(order) if fact.kind == Kind::Placed => Entry::Known(Order {
            deadline: fact.deadline,
            ..order
        }),
        _ => entry,
    }
}

/// Whether `fact` is `event`, caused by `input`.
fn is_told(event: &OrderEvent, input: &Input, fact: &Fact) -> bool {
    fact.cause == input.id
        && fact.version == event.version()
        && fact.kind == facts::kind_of(event)
        && fact.body == facts::body(event)
        && match event {
            OrderEvent::Placed(placed) => {
                let asked = placed.reserve_by.map(Timestamp);
                fact.lines == input.lines && (asked.is_none() || fact.deadline == asked)
            }
            _ => true,
        }
}

fn describe(event: &OrderEvent) -> String {
    format!(
        "{:?} with version {}",
        facts::kind_of(event),
        event.version()
    )
}

impl State {
    fn after(&self, entry: Entry, is_step: bool, events: usize) -> Self {
        Self {
            steps: self.steps + usize::from(is_step),
            reservations: self.reservations + usize::from(!is_step),
            events: self.events + events,
            entry,
        }
    }
}

fn of_step(order_id: &str, step: &Step) -> Input {
    Input {
        id: step.id,
        lines: step.lines,
        time: step.time,
        message: step.message(order_id),
    }
}

fn of_fact(order_id: &str, fact: &Fact) -> Input {
    let aggregate = contracts::inventory::RESERVATION;
    let id = event_id(source::INVENTORY, aggregate, order_id, fact.version);
    Input {
        id: digest::text(&id.to_string()),
        lines: fact.lines,
        time: fact.time,
        message: fact.message(order_id),
    }
}

/// The row of a model's order, whose currency is the content's digest.
fn row(entry: &Entry) -> Option<OrderRow> {
    let Entry::Known(order) = entry else {
        return None;
    };
    Some(OrderRow {
        content: Digest::from_str_radix(&order.placed.currency, 16).unwrap_or_default(),
        ..OrderRow::from(order)
    })
}
