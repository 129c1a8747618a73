//! Words for the rules' tests: books given, orders placed, what is found afterwards.

use std::collections::BTreeSet;

use messaging::clock::Timestamp;

use super::book::{Book, Counters};
use super::event::Event;
use super::fulfilment::Pass;
use super::ids::{OrderId, ProductId, ReceiptId};
use super::place::{self, OnShortage, Placement};
use super::receive::{self, Receipt};
use super::reservation::{Flow, Lines, Reservation, Status};
use super::settle;
use super::stock::Stock;

/// A book about to be given to a rule.
pub(crate) struct Given {
    book: Book,
}

impl Given {
    /// Products that were received once.
    pub(crate) fn stock(on_hand: &[(&str, i64)]) -> Self {
        let mut book = Book::new(Counters::default());
        for (product, on_hand) in on_hand {
            let stock = Stock {
                on_hand: *on_hand,
                reserved: 0,
                version: 1,
            };
            book.load_stock(ProductId::from(product), Some(stock));
            book.load_queue(ProductId::from(product), [], false);
        }
        Self { book }
    }

    /// An order that stands in some status.
    pub(crate) fn order(mut self, id: &str, status: Status, asked: &[(&str, i32)]) -> Self {
        let lines = lines(asked);
        for (product, quantity) in &lines {
            if status == Status::Held {
                let stock = self.book.stock(product).unwrap().unwrap();
                self.book.put_stock(product, stock.hold(*quantity));
            }
        }
        let waits = status == Status::Waiting;
        self.book.load_reservation(
            OrderId::from(id),
            Some(Reservation {
                order_id: OrderId::from(id),
                order_version: 1,
                version: 1,
                status,
                position: waits.then_some(1),
                fulfilment: None,
                short: lines.keys().filter(|_| waits).cloned().collect(),
                lines,
                reserve_by: None,
                flow: flow(id),
            }),
        );
        self
    }

    pub(crate) fn book(self) -> Book {
        self.book
    }
}

impl Book {
    pub(crate) fn place(&mut self, order: &str, asked: &[(&str, i32)]) -> Event {
        self.look_at(order, asked);
        place::place(self, placement(order, 1, asked)).unwrap()
    }

    pub(crate) fn place_by(
        &mut self,
        order: &str,
        asked: &[(&str, i32)],
        deadline: Timestamp,
    ) -> Event {
        self.look_at(order, asked);
        let placement = Placement {
            reserve_by: Some(deadline),
            ..placement(order, 1, asked)
        };
        place::place(self, placement).unwrap()
    }

    pub(crate) fn place_or_reject(&mut self, order: &str, asked: &[(&str, i32)]) -> Event {
        self.look_at(order, asked);
        let placement = Placement {
            on_shortage: OnShortage::Reject,
            ..placement(order, 1, asked)
        };
        place::place(self, placement).unwrap()
    }

    pub(crate) fn cancel(&mut self, order: &str) -> Option<Event> {
        self.look_at(order, &[]);
        let cause = format!("cancel {order}");
        settle::cancel(self, &OrderId::from(order), 2, &cause).unwrap()
    }

    pub(crate) fn complete(&mut self, order: &str) -> Result<Option<Event>, settle::Error> {
        self.look_at(order, &[]);
        settle::complete(self, &OrderId::from(order), 2)
    }

    pub(crate) fn receive(&mut self, receipt: &str, product: &str, quantity: i32) -> Event {
        self.look_at("", &[(product, quantity)]);
        let arrived = Receipt {
            receipt_id: ReceiptId::from(receipt),
            product_id: ProductId::from(product),
            quantity,
        };
        receive::receive(self, arrived, &format!("receive {receipt}")).unwrap()
    }

    /// What was never given is not there.
    fn look_at(&mut self, order: &str, asked: &[(&str, i32)]) {
        self.load_reservation(OrderId::from(order), None);
        for (product, _) in asked {
            let product = ProductId::from(product);
            self.load_stock(product.clone(), None);
            if self.queue(&product).is_err() {
                self.load_queue(product, [], false);
            }
        }
    }
}

pub(crate) fn flow(order: &str) -> Flow {
    Flow {
        correlation_id: format!("flow of {order}"),
        traceparent: None,
    }
}

pub(crate) fn placement(order: &str, order_version: i64, asked: &[(&str, i32)]) -> Placement {
    Placement {
        order_id: OrderId::from(order),
        order_version,
        lines: lines(asked),
        on_shortage: OnShortage::Backorder,
        reserve_by: None,
        flow: flow(order),
    }
}

pub(crate) fn lines(asked: &[(&str, i32)]) -> Lines {
    asked
        .iter()
        .map(|(product, quantity)| (ProductId::from(product), *quantity))
        .collect()
}

pub(crate) fn products(ids: &[&str]) -> Vec<ProductId> {
    ids.iter().map(ProductId::from).collect()
}

/// (on hand, reserved).
pub(crate) fn stock(book: &Book, product: &str) -> (i64, i64) {
    let stock = book.stock(&ProductId::from(product)).unwrap().unwrap();
    (stock.on_hand, stock.reserved)
}

pub(crate) fn reservation(book: &Book, order: &str) -> Reservation {
    let found = book.reservation(&OrderId::from(order)).unwrap();
    found.unwrap().clone()
}

pub(crate) fn waiters(book: &Book, product: &str) -> Vec<String> {
    let queue = book.queue(&ProductId::from(product)).unwrap();
    queue.waiters().map(ToString::to_string).collect()
}

pub(crate) fn served(pass: &Pass) -> Vec<String> {
    let orders: Vec<_> = pass
        .outgoing
        .iter()
        .map(|outgoing| match &outgoing.event {
            Event::Reserved { order_id, .. } => order_id.to_string(),
            other => panic!("a pass only reserves: {other:?}"),
        })
        .collect();
    assert_eq!(orders.iter().collect::<BTreeSet<_>>().len(), orders.len());
    orders
}
