//! Orders at a steady rate, whatever becomes of the earlier ones, and how long each took.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use contracts::proto::order::Status;
use contracts::proto::{Order, OrderLine, ReceiveStockRequest};
use messaging::partitioner::partition_of;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at};
use tokio_util::sync::CancellationToken;

use crate::real::PARTITIONS;
use crate::real::client::{Answer, Client, What};
use crate::real::dice::Dice;
use crate::real::load::{History, Sent};

/// Callers at the same time, each as often as [`EVERY`]: together 20 orders a second.
const CALLERS: u32 = 16;
/// How often each caller places an order.
const EVERY: Duration = Duration::from_millis(800);
/// How long a call may take.
const DEADLINE: Duration = Duration::from_secs(20);
/// What is ordered; more is in stock than anybody orders.
const PRODUCT: &str = "PRODUCT_00";
const STOCK: i32 = 1_000_000;

/// An order that was placed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed {
    pub(crate) at: Instant,
    /// Until it was accepted; until it was RESERVED, where its caller waited for that.
    pub(crate) took: Duration,
    pub(crate) until_reserved: bool,
}

/// The orders so far.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    gateway: String,
    /// The partition whose orders may have to wait: their callers do not.
    patient: i32,
    placed: Mutex<Vec<Placed>>,
    history: Mutex<History>,
}

impl Rate {
    /// Orders through `gateway`, whose callers wait until they are RESERVED except for those of the
    /// partition `patient`.
    pub(crate) fn new(gateway: String, patient: i32) -> Arc<Self> {
        Arc::new(Self {
            gateway,
            patient,
            ..Self::default()
        })
    }

    /// Receives what all orders need.
    pub(crate) async fn stock_up(&self, dice: &mut Dice) {
        let receipt = ReceiveStockRequest {
            receipt_id: "RECEIPT_00".to_owned(),
            product_id: PRODUCT.to_owned(),
            quantity: STOCK,
        };
        let mut client = Client::new(self.gateway.clone());
        self.send(&mut client, What::Receive(receipt), dice).await;
    }

    /// Places orders until `stop`.
    pub(crate) async fn run(self: &Arc<Self>, dice: &mut Dice, stop: &CancellationToken) {
        let mut callers = JoinSet::new();
        let start = Instant::now();
        for caller in 0..CALLERS {
            let first = start + EVERY * caller / CALLERS;
            let (rate, dice, stop) = (Arc::clone(self), dice.fork(), stop.clone());
            callers.spawn(async move { rate.caller(caller, first, dice, stop).await });
        }
        callers.join_all().await;
    }

    async fn caller(&self, caller: u32, first: Instant, mut dice: Dice, stop: CancellationToken) {
        let mut client = Client::new(self.gateway.clone());
        let mut ticks = interval_at(first, EVERY);
        for number in 0.. {
            if stop.run_until_cancelled(ticks.tick()).await.is_none() {
                return;
            }
            let order = order(&format!("ORDER_{caller:02}_{number:04}"));
            let partition = partition_of(order.order_id.as_bytes(), PARTITIONS);
            let wait_for = (partition != self.patient).then_some(Status::Reserved);
            let at = Instant::now();
            let what = What::Place(order, wait_for);
            if self.send(&mut client, what, &mut dice).await == Answer::Ok {
                self.placed.lock().unwrap().push(Placed {
                    at,
                    took: at.elapsed(),
                    until_reserved: wait_for.is_some(),
                });
            }
        }
    }

    /// Sends a command once: nothing here is a reason to send it again.
    async fn send(&self, client: &mut Client, what: What, dice: &mut Dice) -> Answer {
        let request_id = dice.uuid().to_string();
        let answer = client.send(&request_id, &what, DEADLINE).await;
        let mut history = self.history.lock().unwrap();
        match &answer {
            Ok(Answer::Ok) => {}
            Ok(other) => history.complaints.push(format!("{what:?}: {other:?}")),
            Err(why) => history.complaints.push(format!("{what:?}: {why}")),
        }
        let answer = answer.unwrap_or(Answer::Unknown);
        history.sent.push(Sent {
            request_id,
            what,
            answer,
            tries: 1,
        });
        answer
    }

    /// The orders that were accepted between the two.
    pub(crate) fn between(&self, from: Instant, to: Instant) -> Vec<Placed> {
        let placed = self.placed.lock().unwrap();
        let during = placed
            .iter()
            .filter(|placed| (from..to).contains(&placed.at));
        during.copied().collect()
    }

    /// What was asked and answered.
    pub(crate) fn history(&self) -> History {
        std::mem::take(&mut self.history.lock().unwrap())
    }
}

/// An order of one piece.
pub(crate) fn order(order_id: &str) -> Order {
    let line = OrderLine {
        product_id: PRODUCT.to_owned(),
        quantity: 1,
        unit_price_minor: 250,
    };
    Order {
        order_id: order_id.to_owned(),
        customer_id: "CUSTOMER_001".to_owned(),
        currency: "GBP".to_owned(),
        lines: vec![line],
        ..Order::default()
    }
}
