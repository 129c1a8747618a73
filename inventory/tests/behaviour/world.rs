//! Turns over tables: what the runtime does, without the log.

use std::collections::BTreeMap;

use futures::executor::block_on;
use inventory::context::{InventoryContext, Message};
use inventory::domain::book::Book;
use inventory::domain::changes::Changes;
use inventory::domain::event::Event;
use inventory::limits::Bounds;
use inventory::store::{BookTables, loading};
use messaging::context::{Context, FollowUp, Incoming, Outgoing, Recognised};

use crate::shelf::Shelf;

/// No pass: marks stay.
pub(crate) const NO_PASS: Bounds = Bounds {
    waiters_per_turn: 0,
    products_per_turn: 50,
    places_per_turn: 400,
};

/// What a turn came to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Turned {
    pub(crate) recognised: Vec<Recognised>,
    pub(crate) outgoing: Vec<Outgoing<Event>>,
    pub(crate) more: bool,
}

/// Inventory on a shelf.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) shelf: Shelf,
    pub(crate) events: Vec<Outgoing<Event>>,
}

impl World {
    /// One turn: the messages, then a pass within `bounds`.
    pub(crate) fn turn(&mut self, bounds: Bounds, messages: &[Incoming<Message>]) -> Turned {
        let wanted: Vec<_> = messages.iter().map(|incoming| &incoming.message).collect();
        let mut book = block_on(loading::load(&mut self.shelf, &wanted)).unwrap();
        let (recognised, outgoing) = decide(&mut book, messages);
        block_on(loading::load_follow_up(&mut self.shelf, &mut book, &bounds)).unwrap();
        let turned = follow_up(&mut book, bounds, recognised, outgoing);
        block_on(self.shelf.write(&Changes::of(&book))).unwrap();
        self.events.extend(turned.outgoing.iter().cloned());
        turned
    }

    /// Turns without messages until nothing is left to do. Each must do something: there is a bound.
    pub(crate) fn quiesce(
        &mut self,
        bounds: Bounds,
        mut watch: impl FnMut(&Shelf, &Turned, &Shelf),
    ) {
        for _ in 0..10_000 {
            let before = self.shelf.clone();
            let turned = self.turn(bounds, &[]);
            watch(&before, &turned, &self.shelf);
            if !turned.more {
                return;
            }
        }
        panic!("the pass does not come to an end: {:?}", self.shelf);
    }

    /// The versions of the events per aggregate, in the order of publication.
    pub(crate) fn versions(&self) -> BTreeMap<String, Vec<i64>> {
        let mut versions: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for outgoing in &self.events {
            let (aggregate, version) = aggregate(&outgoing.event);
            versions.entry(aggregate).or_default().push(version);
        }
        versions
    }
}

/// Recognises and decides each message, as the runtime does.
pub(crate) fn decide(
    book: &mut Book,
    messages: &[Incoming<Message>],
) -> (Vec<Recognised>, Vec<Outgoing<Event>>) {
    let context = InventoryContext::default();
    let (mut recognised, mut outgoing) = (Vec::new(), Vec::new());
    for incoming in messages {
        let known = context.recognise(book, incoming);
        if known == Recognised::New {
            outgoing.extend(context.decide(book, incoming).unwrap());
        }
        recognised.push(known);
    }
    (recognised, outgoing)
}

/// Runs the pass after the messages.
pub(crate) fn follow_up(
    book: &mut Book,
    bounds: Bounds,
    recognised: Vec<Recognised>,
    mut outgoing: Vec<Outgoing<Event>>,
) -> Turned {
    let FollowUp {
        outgoing: served,
        more,
    } = InventoryContext::within(bounds).follow_up(book);
    outgoing.extend(served);
    Turned {
        recognised,
        outgoing,
        more,
    }
}

/// The aggregate of an event, and its version.
pub(crate) fn aggregate(event: &Event) -> (String, i64) {
    match event {
        Event::Reserved {
            order_id, version, ..
        }
        | Event::Backordered {
            order_id, version, ..
        }
        | Event::Refused {
            order_id, version, ..
        }
        | Event::Released {
            order_id, version, ..
        }
        | Event::Shipped {
            order_id, version, ..
        } => (format!("reservation {order_id}"), *version),
        Event::Received {
            product_id,
            version,
            ..
        } => (format!("stock {product_id}"), *version),
    }
}
