//! The decisions of both contexts: a hundred messages of a kind, over the state that they need.

use std::hint::black_box;

use contracts::inventory::{
    Line, Refusal, ReservationEvent, StockBackordered, StockRefused, StockReleased, StockReserved,
    StockShipped,
};
use contracts::order::{
    CancelOrder, CompleteOrder, OnShortage, OrderCancelled, OrderCommand, OrderCompleted,
    OrderPlaced,
};
use inventory::context::{InventoryContext, Message as Asked};
use inventory::domain::book::{Book, Counters};
use inventory::domain::ids::{OrderId, ProductId, ReceiptId};
use inventory::domain::stock::Stock;
use messaging::context::{Context, Deduplication, Incoming, Outgoing, Recognised};
use messaging::message::Message;
use order::context::{Loaded, OrderContext, State};
use order::domain::{Entry, Message as Told};

use super::inputs::{self, PRODUCTS, incoming, order_id, place_order, product_id};
use super::{Case, Work};

/// Messages of one run, each about an order (or a product) of its own.
const MESSAGES: u64 = 100;
/// Enough for every order.
const PLENTY: i64 = 1_000_000;

/// What a context is told of its `number`th order.
type Telling<M> = fn(number: u64) -> Incoming<M>;

/// Each kind of message of each context, and Inventory's work for those who wait.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = vec![
        of_order("PlaceOrder", &[], place),
        of_order("CancelOrder", &[place], cancel),
        of_order("CompleteOrder", &[place, reserved], complete),
        of_order("StockReserved", &[place], reserved),
        of_order("StockBackordered", &[place], backordered),
        of_order("StockRefused", &[place], refused),
        of_order("StockReleased", &[place, reserved, cancel], released),
        of_order("StockShipped", &[place, reserved, complete], shipped),
        of_inventory("OrderPlaced", PLENTY, &[], placed),
        of_inventory("OrderPlaced, out of stock", 0, &[], placed),
        of_inventory("OrderCancelled", PLENTY, &[placed], cancelled),
        of_inventory("OrderCompleted", PLENTY, &[placed], completed),
        of_inventory("ReceiveStock", 0, &[], received),
    ];
    cases.push(Case::new("inventory serves a waiter", MESSAGES, serving));
    cases
}

fn of_order(name: &str, before: &'static [Telling<Told>], now: Telling<Told>) -> Case {
    Case::new(format!("order decides {name}"), MESSAGES, move || {
        let mut state = State::default();
        for number in 0..MESSAGES {
            state.insert(order_id(number), Loaded::Nothing, Entry::Unknown);
        }
        after(OrderContext::default(), state, before, now)
    })
}

fn of_inventory(
    name: &str,
    on_hand: i64,
    before: &'static [Telling<Asked>],
    now: Telling<Asked>,
) -> Case {
    Case::new(format!("inventory decides {name}"), MESSAGES, move || {
        after(InventoryContext::default(), book(on_hand), before, now)
    })
}

/// A book with so much of each product, and no orders.
fn book(on_hand: i64) -> Book {
    let mut book = Book::new(Counters::default());
    for number in 0..PRODUCTS {
        let stock = Stock {
            on_hand,
            ..Stock::default()
        };
        let product = ProductId::from(product_id(number));
        book.load_stock(product.clone(), Some(stock));
        book.load_queue(product, [], false);
        let receipt = inputs::receive_stock(number).receipt_id;
        book.load_receipt(ReceiptId::from(receipt), None);
    }
    for number in 0..MESSAGES {
        book.load_reservation(OrderId::from(order_id(number)), None);
    }
    book
}

/// Deciding what is told `now`, over a state that was told of `before`.
fn after<C: Context>(
    context: C,
    mut state: C::State,
    before: &[Telling<C::Message>],
    now: Telling<C::Message>,
) -> Work {
    for earlier in before {
        decide(&context, &mut state, &told(*earlier));
    }
    let messages = told(now);
    Box::new(move || {
        let events = black_box(decide(&context, &mut state, &messages));
        Box::new((events, state, messages))
    })
}

fn told<M>(telling: Telling<M>) -> Vec<Incoming<M>> {
    (0..MESSAGES).map(telling).collect()
}

/// Decides message by message, as the runtime does.
fn decide<C: Context>(
    context: &C,
    state: &mut C::State,
    messages: &[Incoming<C::Message>],
) -> Vec<Outgoing<C::Event>> {
    let mut events = Vec::new();
    for incoming in messages {
        match context.deduplication(&incoming.message) {
            Deduplication::Inbox(content) => {
                black_box(content);
            }
            Deduplication::Version | Deduplication::BusinessKey => {
                assert_eq!(context.recognise(state, incoming), Recognised::New);
            }
        }
        let decided = context.decide(state, incoming);
        events.extend(decided.expect("the message can be decided"));
    }
    events
}

/// A hundred orders wait, and what they wait for has come.
fn serving() -> Work {
    let context = InventoryContext::default();
    let mut book = book(0);
    decide(&context, &mut book, &told(placed));
    decide(&context, &mut book, &told(received));
    Box::new(move || {
        let mut served = 0;
        loop {
            let follow_up = context.follow_up(&mut book);
            served += follow_up.outgoing.len() as u64;
            if !follow_up.more {
                break;
            }
        }
        assert_eq!(served, MESSAGES, "everybody who waits is served");
        Box::new(book)
    })
}

fn command<M: Message>(number: u64, message: M) -> Incoming<Told>
where
    OrderCommand: From<M>,
{
    incoming(number, message, |message| {
        Told::Command(OrderCommand::from(message))
    })
}

fn reservation<M: Message>(number: u64, event: M) -> Incoming<Told>
where
    ReservationEvent: From<M>,
{
    incoming(number, event, |event| {
        Told::Reservation(ReservationEvent::from(event))
    })
}

fn place(number: u64) -> Incoming<Told> {
    command(number, place_order(number))
}

fn cancel(number: u64) -> Incoming<Told> {
    let reason = "changed my mind".to_owned();
    let order_id = order_id(number);
    let customer_id = None;
    let cancel = CancelOrder {
        order_id,
        reason,
        customer_id,
    };
    command(number, cancel)
}

fn complete(number: u64) -> Incoming<Told> {
    let order_id = order_id(number);
    command(number, CompleteOrder { order_id })
}

fn lines(number: u64) -> Vec<Line> {
    let lines = place_order(number).lines.into_iter();
    let lines = lines.map(|line| Line {
        product_id: line.product_id,
        quantity: line.quantity,
    });
    lines.collect()
}

fn reserved(number: u64) -> Incoming<Told> {
    let event = StockReserved {
        order_id: order_id(number),
        version: 1,
        lines: lines(number),
    };
    reservation(number, event)
}

fn backordered(number: u64) -> Incoming<Told> {
    let event = StockBackordered {
        order_id: order_id(number),
        version: 1,
        short: vec![product_id(number)],
    };
    reservation(number, event)
}

fn refused(number: u64) -> Incoming<Told> {
    let event = StockRefused {
        order_id: order_id(number),
        version: 1,
        reason: Refusal::OutOfStock,
        short: vec![product_id(number)],
        timed_out: false,
    };
    reservation(number, event)
}

fn released(number: u64) -> Incoming<Told> {
    let event = StockReleased {
        order_id: order_id(number),
        version: 2,
        lines: lines(number),
    };
    reservation(number, event)
}

fn shipped(number: u64) -> Incoming<Told> {
    let event = StockShipped {
        order_id: order_id(number),
        version: 2,
        lines: lines(number),
    };
    reservation(number, event)
}

fn placed(number: u64) -> Incoming<Asked> {
    let event = OrderPlaced {
        order_id: order_id(number),
        version: 1,
        lines: lines(number),
        on_shortage: OnShortage::Backorder,
        reserve_by: None,
    };
    incoming(number, event, Asked::Placed)
}

fn cancelled(number: u64) -> Incoming<Asked> {
    let event = OrderCancelled {
        order_id: order_id(number),
        version: 2,
        reason: String::new(),
    };
    incoming(number, event, Asked::Cancelled)
}

fn completed(number: u64) -> Incoming<Asked> {
    let event = OrderCompleted {
        order_id: order_id(number),
        version: 2,
    };
    incoming(number, event, Asked::Completed)
}

fn received(number: u64) -> Incoming<Asked> {
    incoming(number, inputs::receive_stock(number), Asked::Receive)
}
