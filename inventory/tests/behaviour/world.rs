//! Turns over tables: what the runtime does, without the log.

use std::collections::BTreeMap;

use futures::executor::block_on;
use inventory::context::{InventoryContext, Message};
use inventory::domain::book::Book;
use inventory::domain::event::Event;
use inventory::domain::reservation::Status;
use inventory::limits::Bounds;
use inventory::store::memory::{Holdings, MemoryTables, holdings};
use messaging::clock::Timestamp;
use messaging::context::{Context, FollowUp, Incoming, Outgoing, Recognised};
use messaging::shard::{Epoch, ShardId};
use messaging::store::memory::MemoryStore;
use messaging::store::{Effects, Store, Turn};

pub(crate) const SHARD: ShardId = ShardId(0);
const EPOCH: Epoch = Epoch(1);
/// Before every deadline.
pub(crate) const NEVER: Timestamp = Timestamp(i64::MIN);

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

/// Inventory in memory.
#[derive(Debug)]
pub(crate) struct World {
    store: MemoryStore<MemoryTables>,
    /// All rows after the last turn.
    pub(crate) holdings: Holdings,
    pub(crate) events: Vec<Outgoing<Event>>,
    /// The time of the turns; while it is [`NEVER`] no deadline passes.
    pub(crate) now: Timestamp,
}

impl Default for World {
    fn default() -> Self {
        let store = MemoryStore::new(MemoryTables::default());
        block_on(Store::<InventoryContext>::claim(&store, SHARD, EPOCH)).unwrap();
        Self {
            store,
            holdings: Holdings::default(),
            events: Vec::new(),
            now: NEVER,
        }
    }
}

impl World {
    /// One turn: the messages, then a pass within `bounds`.
    pub(crate) fn turn(&mut self, bounds: Bounds, messages: &[Incoming<Message>]) -> Turned {
        block_on(self.turn_beside(bounds, messages))
    }

    /// As [`World::turn`], inside a runtime.
    pub(crate) async fn turn_beside(
        &mut self,
        bounds: Bounds,
        messages: &[Incoming<Message>],
    ) -> Turned {
        let store = self.store.connect(MemoryTables::within(bounds));
        let turned = turn(&store, EPOCH, bounds, self.now, messages).await;
        self.holdings = holdings(&self.store.reader()).unwrap();
        self.events.extend(turned.outgoing.iter().cloned());
        turned
    }

    /// Turns without messages until nothing is left to do. Each must do something: there is a bound.
    pub(crate) fn quiesce(
        &mut self,
        bounds: Bounds,
        mut watch: impl FnMut(&Holdings, &Turned, &Holdings),
    ) {
        for _ in 0..10_000 {
            let before = self.holdings.clone();
            let turned = self.turn(bounds, &[]);
            watch(&before, &turned, &self.holdings);
            if !turned.more {
                return;
            }
        }
        panic!("the pass does not come to an end: {:?}", self.holdings);
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

/// One turn of [`SHARD`] over a store whose tables load within `bounds`.
pub(crate) async fn turn(
    store: &impl Store<InventoryContext>,
    epoch: Epoch,
    bounds: Bounds,
    now: Timestamp,
    messages: &[Incoming<Message>],
) -> Turned {
    let mut turn = store.begin(SHARD, epoch).await.unwrap();
    let wanted: Vec<_> = messages.iter().map(|incoming| &incoming.message).collect();
    let mut book = turn.load(&wanted).await.unwrap();
    InventoryContext::default().tell_time(&mut book, now);
    let (recognised, outgoing) = decide(&mut book, messages);
    turn.load_follow_up(&mut book).await.unwrap();
    let turned = follow_up(&mut book, bounds, recognised, outgoing);
    turn.commit(Some(&book), Effects::default()).await.unwrap();
    turned
}

/// Recognises and decides each message, as the runtime does.
fn decide(
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
fn follow_up(
    book: &mut Book,
    bounds: Bounds,
    recognised: Vec<Recognised>,
    mut outgoing: Vec<Outgoing<Event>>,
) -> Turned {
    let FollowUp {
        outgoing: served,
        more,
        ..
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

/// Whether nobody waits whose deadline has passed (F6c).
pub(crate) fn nobody_is_late(world: &World) -> bool {
    let mut waiting = world.holdings.reservations.values();
    !waiting.any(|waiter| {
        waiter.status == Status::Waiting && waiter.reserve_by.is_some_and(|by| by <= world.now)
    })
}
