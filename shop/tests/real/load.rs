//! Customers and the warehouse at work, with everything that makes it hard: repetitions, conflicts,
//! cancellations before and after, shortages, clients that give up.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use contracts::proto::order::{OnShortage, Status};
use contracts::proto::{Order, OrderLine, ReceiveStockRequest};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::client::{Answer, Client, What};
use super::dice::Dice;

/// Callers at the same time.
const CALLERS: usize = 16;
/// Products that are received. One more is ordered, and nobody has ever heard of it.
pub(crate) const PRODUCTS: usize = 12;
/// Pieces that a delivery has at most; on average somewhat less than what is ordered meanwhile.
const DELIVERY_MAX: usize = 64;
/// How often a command is sent at most until its client gives up.
const TRIES_MAX: usize = 8;
/// A call's deadline.
const DEADLINE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(4));
/// How long a client waits before it tries again, at most.
const RETRY_MAX: Duration = Duration::from_millis(300);
/// How long a client in a hurry thinks before its next command, at most.
pub(crate) const THINK_MAX: Duration = Duration::from_millis(10);
/// The latest commands, whose orders repetitions, cancellations and reads are about.
const RECENT: usize = 200;
/// The latest commands, whose orders may be reserved by now, and are shipped or given back.
const SHIPPED: usize = 2_000;

/// A command and what its client knows of it.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    /// Its id; stock receipts have none.
    pub(crate) request_id: String,
    pub(crate) what: What,
    pub(crate) answer: Answer,
    /// How often it was sent.
    pub(crate) tries: usize,
}

/// What was asked and answered.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) sent: Vec<Sent>,
    /// What no client should ever see.
    pub(crate) complaints: Vec<String>,
    /// Reads of orders that were answered.
    pub(crate) reads: usize,
}

/// The callers and what they share.
#[derive(Debug)]
pub(crate) struct Load {
    gateways: Vec<String>,
    /// How long a client thinks before its next command, at most.
    think_max: Duration,
    orders: AtomicUsize,
    receipts: AtomicUsize,
    history: Mutex<History>,
    /// The newest version that anybody was shown, per order: all reads are of one database.
    shown: Mutex<HashMap<String, i64>>,
}

impl Load {
    /// Callers of gateways that stand side by side.
    pub(crate) fn new(gateways: Vec<String>, think_max: Duration) -> Arc<Self> {
        Arc::new(Self {
            gateways,
            think_max,
            orders: AtomicUsize::new(0),
            receipts: AtomicUsize::new(0),
            history: Mutex::default(),
            shown: Mutex::default(),
        })
    }

    /// Calls until `stop`; returns once every caller has finished what it had begun.
    pub(crate) async fn run(self: &Arc<Self>, dice: &mut Dice, stop: &CancellationToken) {
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            let client = self.client(caller);
            callers.spawn(Arc::clone(self).caller(client, dice.fork(), stop.clone()));
        }
        callers.join_all().await;
    }

    /// How many orders were placed for the first time.
    pub(crate) fn orders(&self) -> usize {
        self.orders.load(Ordering::Relaxed)
    }

    /// What was asked and answered.
    pub(crate) fn history(&self) -> History {
        std::mem::take(&mut self.history.lock().unwrap())
    }

    /// The first delivery of every product.
    pub(crate) async fn stock_up(&self, dice: &mut Dice) {
        let mut client = self.client(0);
        for product in 0..PRODUCTS {
            let what = What::Receive(self.delivery(product, dice));
            self.command(&mut client, what, TRIES_MAX, dice).await;
        }
    }

    fn client(&self, caller: usize) -> Client {
        Client::new(self.gateways[caller % self.gateways.len()].clone())
    }

    async fn caller(self: Arc<Self>, mut client: Client, mut dice: Dice, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if dice.percent(10) {
                self.read(&mut client, &mut dice).await;
            } else {
                let what = self.next(&mut dice);
                let tries = 1 + dice.below(TRIES_MAX);
                let cancelled_first = match &what {
                    What::Place(order, _) if dice.percent(2) => Some(order.order_id.clone()),
                    _ => None,
                };
                if let Some(order_id) = cancelled_first {
                    let cancel = What::Cancel { order_id };
                    self.command(&mut client, cancel, tries, &mut dice).await;
                }
                self.command(&mut client, what, tries, &mut dice).await;
            }
            tokio::time::sleep(dice.between(Duration::ZERO, self.think_max)).await;
        }
    }

    /// Sends a command until it is accepted or `tries` are used up.
    async fn command(&self, client: &mut Client, what: What, tries: usize, dice: &mut Dice) {
        let mut sent = Sent {
            request_id: dice.uuid().to_string(),
            what,
            answer: Answer::Fail,
            tries: 0,
        };
        while sent.tries < tries && sent.answer < Answer::Ok {
            if sent.tries > 0 {
                tokio::time::sleep(dice.between(Duration::ZERO, RETRY_MAX)).await;
            }
            sent.tries += 1;
            let deadline = dice.between(DEADLINE.0, DEADLINE.1);
            match client.send(&sent.request_id, &sent.what, deadline).await {
                Ok(answer) => sent.answer = sent.answer.max(answer),
                Err(complaint) => {
                    sent.answer = sent.answer.max(Answer::Unknown);
                    self.complain(format!("{:?}: {complaint}", sent.what));
                }
            }
        }
        self.history.lock().unwrap().sent.push(sent);
    }

    /// Reads an order: it must not be older than what was shown before.
    async fn read(&self, client: &mut Client, dice: &mut Dice) {
        let Some(order_id) = self.recent(RECENT, dice).map(|order| order.order_id) else {
            return;
        };
        let before = self.shown.lock().unwrap().get(&order_id).copied();
        match client.version(&order_id, DEADLINE.1).await {
            Err(complaint) => self.complain(complaint),
            Ok(None) => {}
            Ok(Some(version)) => {
                if version < before.unwrap_or(0) {
                    let before = before.unwrap_or(0);
                    self.complain(format!("{order_id} was shown as {before}, then {version}"));
                }
                self.history.lock().unwrap().reads += 1;
                let mut shown = self.shown.lock().unwrap();
                let newest = shown.entry(order_id).or_default();
                *newest = version.max(*newest);
            }
        }
    }

    fn complain(&self, complaint: String) {
        self.history.lock().unwrap().complaints.push(complaint);
    }

    fn next(&self, dice: &mut Dice) -> What {
        let chance = dice.below(100);
        // Half of the cancellations come so late that they give stock back.
        let latest = match chance {
            17..37 => SHIPPED,
            _ => RECENT,
        };
        let recent = self.recent(latest, dice);
        match (chance, recent) {
            (0..8, Some(order)) => What::Place(order, None),
            (8..12, Some(order)) => What::Place(other_content(order), waiting(dice)),
            (12..22, Some(order)) => What::Cancel {
                order_id: order.order_id,
            },
            (22..37, Some(order)) => What::Complete {
                order_id: order.order_id,
            },
            (37..43, _) => {
                let product = dice.below(PRODUCTS);
                What::Receive(self.delivery(product, dice))
            }
            (43..46, _) => What::Receive(self.delivery_again(dice)),
            _ => What::Place(self.order(dice), waiting(dice)),
        }
    }

    /// One of the orders placed by the `latest` commands.
    fn recent(&self, latest: usize, dice: &mut Dice) -> Option<Order> {
        let history = self.history.lock().unwrap();
        let first = history.sent.len().saturating_sub(latest);
        let placed: Vec<_> = history.sent[first..]
            .iter()
            .filter_map(|sent| match &sent.what {
                What::Place(order, _) => Some(order),
                _ => None,
            })
            .collect();
        (!placed.is_empty()).then(|| (*dice.pick(&placed)).clone())
    }

    fn order(&self, dice: &mut Dice) -> Order {
        let number = self.orders.fetch_add(1, Ordering::Relaxed);
        let mut products: Vec<_> = (0..PRODUCTS).collect();
        dice.shuffle(&mut products);
        if dice.percent(1) {
            products[0] = PRODUCTS;
        }
        let count = 1 + dice.below(3);
        let lines = products[..count].iter().map(|product| OrderLine {
            product_id: product_id(*product),
            quantity: 1 + i32::try_from(dice.below(4)).unwrap(),
            unit_price_minor: 250,
        });
        Order {
            order_id: format!("ORDER_{number:06}"),
            customer_id: "CUSTOMER_001".to_owned(),
            currency: "GBP".to_owned(),
            lines: lines.collect(),
            on_shortage: if number.is_multiple_of(4) {
                OnShortage::Reject.into()
            } else {
                OnShortage::Backorder.into()
            },
            ..Order::default()
        }
    }

    fn delivery(&self, product: usize, dice: &mut Dice) -> ReceiveStockRequest {
        let number = self.receipts.fetch_add(1, Ordering::Relaxed);
        ReceiveStockRequest {
            receipt_id: format!("RECEIPT_{number:05}"),
            product_id: product_id(product),
            quantity: 1 + i32::try_from(dice.below(DELIVERY_MAX)).unwrap(),
        }
    }

    /// A receipt again, with the same content as far as anybody remembers, or with another.
    fn delivery_again(&self, dice: &mut Dice) -> ReceiveStockRequest {
        let history = self.history.lock().unwrap();
        let received: Vec<_> = history
            .sent
            .iter()
            .filter_map(|sent| match &sent.what {
                What::Receive(receipt) => Some(receipt),
                _ => None,
            })
            .collect();
        let mut receipt = (*dice.pick(&received)).clone();
        if dice.percent(30) {
            receipt.quantity += 1;
        }
        receipt
    }
}

pub(crate) fn product_id(product: usize) -> String {
    if product < PRODUCTS {
        format!("PRODUCT_{product:02}")
    } else {
        "NEVER_HEARD_OF".to_owned()
    }
}

fn other_content(mut order: Order) -> Order {
    order.lines[0].quantity += 1;
    order
}

/// Some clients wait for what becomes of their order.
fn waiting(dice: &mut Dice) -> Option<Status> {
    dice.percent(5).then_some(Status::Backordered)
}
