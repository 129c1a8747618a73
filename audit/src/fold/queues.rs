//! Who waited, who was served: F6 and F6b, from the reservations' rows.
//!
//! F6: an order that asks for one product only stands in that product's queue from its placement
//! until it is served. Whoever waits for the product at a later position must be served after it.
//! (Of orders of several products the rows do not tell which queue they stood in at what time.)
//!
//! Positions are numbered through the whole book, so waiters are judged in windows of positions
//! that fit into memory; from one window to the next a product needs one number.

use std::collections::{BTreeMap, BTreeSet};

use inventory::domain::reservation::{Reservation, Status};

use super::products::Products;

/// A waiter, now or once.
#[derive(Clone, Debug)]
struct Waiter {
    order_id: Box<str>,
    /// `None` while it waits.
    fulfilment: Option<i64>,
    products: Vec<Box<str>>,
}

/// The latest service among the earlier waiters for a product alone; one who still waits is later
/// than all.
#[derive(Clone, Debug)]
struct Latest {
    order_id: Box<str>,
    fulfilment: Option<i64>,
}

/// The first waiter of a queue.
#[derive(Clone, Debug)]
struct Head {
    position: i64,
    order_id: Box<str>,
    lines: Vec<(Box<str>, i32)>,
}

/// A waiter that was passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// The product.
    pub product: String,
    /// Who stood in front.
    pub order_id: String,
    /// Its number of service; `None` if it still waited.
    pub fulfilment: Option<i64>,
    /// Who was served before it.
    pub by: String,
    /// With this number.
    pub by_fulfilment: i64,
}

/// The queues, as far as they have been read.
#[derive(Clone, Debug)]
pub(super) struct Queues {
    from: i64,
    /// Positions from here on belong to a later window.
    until: i64,
    window: BTreeMap<i64, Waiter>,
    window_max: usize,
    latest: BTreeMap<Box<str>, Latest>,
    heads: BTreeMap<Box<str>, Head>,
    pub(super) passed: Vec<Passed>,
}

impl Queues {
    pub(super) fn new(window_max: usize) -> Self {
        Self {
            from: 0,
            until: i64::MAX,
            window: BTreeMap::new(),
            window_max: window_max.max(1),
            latest: BTreeMap::new(),
            heads: BTreeMap::new(),
            passed: Vec::new(),
        }
    }

    /// Waiters held.
    pub(super) fn items(&self) -> usize {
        self.window.len()
    }

    /// Takes a row in: every row once per window.
    pub(super) fn row(&mut self, row: &Reservation) {
        let Some(position) = row.position else { return };
        if row.status == Status::Waiting && self.from == 0 {
            self.head(row, position);
        }
        let counts = row.fulfilment.is_some() || row.status == Status::Waiting;
        if !counts || position < self.from || position >= self.until {
            return;
        }
        let waiter = Waiter {
            order_id: row.order_id.as_str().into(),
            fulfilment: row.fulfilment,
            products: row
                .lines
                .keys()
                .map(|product| product.as_str().into())
                .collect(),
        };
        self.window.insert(position, waiter);
        while self.window.len() > self.window_max {
            if let Some((last, _)) = self.window.pop_last() {
                self.until = last;
            }
        }
    }

    /// Only the first of each queue matters to F6b: the others have somebody ahead of them.
    fn head(&mut self, row: &Reservation, position: i64) {
        for product in &row.short {
            let first = self.heads.get(product.as_str());
            if first.is_none_or(|first| position < first.position) {
                let lines = row
                    .lines
                    .iter()
                    .map(|(product, quantity)| (product.as_str().into(), *quantity));
                let head = Head {
                    position,
                    order_id: row.order_id.as_str().into(),
                    lines: lines.collect(),
                };
                self.heads.insert(product.as_str().into(), head);
            }
        }
    }

    /// Begins the window again.
    pub(super) fn begin(&mut self) {
        self.window.clear();
        self.until = i64::MAX;
        if self.from == 0 {
            self.heads.clear();
        }
    }

    /// Ends a window; `true` if the rows must be read again for the next.
    pub(super) fn end_window(&mut self) -> bool {
        for (_, waiter) in std::mem::take(&mut self.window) {
            self.serve(&waiter);
        }
        let more = self.until < i64::MAX;
        self.from = self.until;
        self.until = i64::MAX;
        more
    }

    fn serve(&mut self, waiter: &Waiter) {
        for product in &waiter.products {
            if let (Some(latest), Some(served)) = (self.latest.get(product), waiter.fulfilment)
                && latest.fulfilment.is_none_or(|latest| latest > served)
            {
                self.passed.push(Passed {
                    product: product.to_string(),
                    order_id: latest.order_id.to_string(),
                    fulfilment: latest.fulfilment,
                    by: waiter.order_id.to_string(),
                    by_fulfilment: served,
                });
            }
        }
        let [product] = &waiter.products[..] else {
            return;
        };
        let is_later = match (self.latest.get(product), waiter.fulfilment) {
            (None, _) => true,
            (Some(latest), None) => latest.fulfilment.is_some(),
            (Some(latest), Some(served)) => latest.fulfilment.is_some_and(|latest| served > latest),
        };
        if is_later {
            let latest = Latest {
                order_id: waiter.order_id.clone(),
                fulfilment: waiter.fulfilment,
            };
            self.latest.insert(product.clone(), latest);
        }
    }

    /// Waiters that have nobody ahead of them and everything they need (F6b), with their products.
    pub(super) fn forgotten(&self, products: &Products) -> Vec<(String, Vec<String>)> {
        let mut met = BTreeSet::new();
        let mut forgotten = Vec::new();
        for head in self.heads.values() {
            if !met.insert(head.position) {
                continue;
            }
            let suffices = head.lines.iter().all(|(product, quantity)| {
                let available = products.0.get(product).and_then(|product| product.row);
                let is_first = self
                    .heads
                    .get(product)
                    .is_none_or(|first| first.position >= head.position);
                is_first && available.is_some_and(|stock| stock.available() >= i64::from(*quantity))
            });
            if suffices {
                let lines = head.lines.iter().map(|(product, _)| product.to_string());
                forgotten.push((head.order_id.to_string(), lines.collect()));
            }
        }
        forgotten
    }
}
