//! Random stories: the messages that Order and a warehouse would send.

use std::collections::BTreeMap;

use contracts::inventory::{Line, ReceiveStock};
use contracts::order::{OnShortage, OrderCancelled, OrderCompleted, OrderPlaced};
use inventory::context::Message;
use inventory::domain::reservation::Status;
use messaging::clock::Timestamp;
use messaging::context::Incoming;
use messaging::envelope::Envelope;
use proptest::prelude::*;

/// One thing that somebody wants to happen.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Place {
        order: u8,
        lines: BTreeMap<u8, i32>,
        on_shortage: OnShortage,
        reserve_by: Option<i64>,
    },
    Cancel {
        order: u8,
    },
    Complete {
        order: u8,
    },
    Receive {
        product: u8,
        quantity: i32,
    },
    /// A message of the past arrives again.
    Again {
        message: prop::sample::Index,
    },
}

/// Few orders and products, so that they meet; quantities that often do not suffice.
pub(crate) fn steps(lines_max: usize) -> impl Strategy<Value = Vec<Step>> {
    let order = 0..16_u8;
    let lines = prop::collection::btree_map(0..4_u8, 1..5_i32, 1..=lines_max);
    let on_shortage = prop_oneof![
        5 => Just(OnShortage::Backorder),
        1 => Just(OnShortage::Reject),
    ];
    // The time of a turn is the number of messages sent so far.
    let reserve_by = prop_oneof![3 => Just(None), 1 => (0..40_i64).prop_map(Some)];
    let place = (order.clone(), lines, on_shortage, reserve_by);
    let step = prop_oneof![
        8 => place.prop_map(|(order, lines, on_shortage, reserve_by)| Step::Place {
            order, lines, on_shortage, reserve_by,
        }),
        3 => order.clone().prop_map(|order| Step::Cancel { order }),
        2 => order.prop_map(|order| Step::Complete { order }),
        4 => (0..4_u8, 1..8_i32).prop_map(|(product, quantity)| Step::Receive { product, quantity }),
        2 => any::<prop::sample::Index>().prop_map(|message| Step::Again { message }),
    ];
    prop::collection::vec(step, 1..60)
}

/// Cuts a story into batches of these sizes, over and over.
pub(crate) fn batches<'s>(steps: &'s [Step], sizes: &[usize]) -> Vec<&'s [Step]> {
    let mut batches = Vec::new();
    let mut rest = steps;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (batch, later) = rest.split_at((*size).min(rest.len()));
        batches.push(batch);
        rest = later;
    }
    batches
}

/// Order and the warehouse, as far as Inventory sees them.
#[derive(Debug, Default)]
pub(crate) struct Senders {
    /// Version and whether the order has ended, of every order placed.
    orders: BTreeMap<u8, (i64, bool)>,
    sent: Vec<Incoming<Message>>,
}

impl Senders {
    /// The message that a step leads to, if by Order's rules it leads to one. `status` is what
    /// Order has heard of the reservation.
    pub(crate) fn send(
        &mut self,
        step: &Step,
        status: impl Fn(&str) -> Option<Status>,
    ) -> Option<Incoming<Message>> {
        let message = match step {
            Step::Place {
                order,
                lines,
                on_shortage,
                reserve_by,
            } => {
                if self.orders.contains_key(order) {
                    return None;
                }
                self.orders.insert(*order, (1, false));
                placed_by(&order_id(*order), lines, *on_shortage, *reserve_by)
            }
            Step::Cancel { order } => {
                let version = self.end(*order, true)?;
                cancelled(&order_id(*order), version)
            }
            Step::Complete { order } => {
                let held = status(&order_id(*order)) == Some(Status::Held);
                let version = self.end(*order, held)?;
                completed(&order_id(*order), version)
            }
            Step::Receive { product, quantity } => {
                let receipt = format!("R{}", self.sent.len());
                receive(&receipt, &product_id(*product), *quantity)
            }
            Step::Again { message } => {
                return (!self.sent.is_empty()).then(|| message.get(&self.sent).clone());
            }
        };
        let incoming = incoming(&format!("message {}", self.sent.len()), message);
        self.sent.push(incoming.clone());
        Some(incoming)
    }

    /// The time: it goes on with each message.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp(i64::try_from(self.sent.len()).unwrap())
    }

    /// The messages of a batch; Order has heard `status` before the first of them.
    pub(crate) fn send_all(
        &mut self,
        batch: &[Step],
        status: impl Fn(&str) -> Option<Status>,
    ) -> Vec<Incoming<Message>> {
        batch
            .iter()
            .filter_map(|step| self.send(step, &status))
            .collect()
    }

    fn end(&mut self, order: u8, allowed: bool) -> Option<i64> {
        let (version, ended) = self.orders.get_mut(&order)?;
        if *ended || !allowed {
            return None;
        }
        *ended = true;
        // Order has changed in between as well: Inventory hears of it, but ignores it.
        *version += 2;
        Some(*version)
    }
}

pub(crate) fn order_id(order: u8) -> String {
    format!("O{order:02}")
}

pub(crate) fn product_id(product: u8) -> String {
    format!("P{product}")
}

pub(crate) fn placed(order: &str, lines: &BTreeMap<u8, i32>, on_shortage: OnShortage) -> Message {
    placed_by(order, lines, on_shortage, None)
}

pub(crate) fn placed_by(
    order: &str,
    lines: &BTreeMap<u8, i32>,
    on_shortage: OnShortage,
    reserve_by: Option<i64>,
) -> Message {
    let line = |(product, quantity): (&u8, &i32)| Line {
        product_id: product_id(*product),
        quantity: *quantity,
    };
    Message::Placed(OrderPlaced {
        order_id: order.to_owned(),
        version: 1,
        lines: lines.iter().map(line).collect(),
        on_shortage,
        reserve_by,
    })
}

pub(crate) fn cancelled(order: &str, version: i64) -> Message {
    Message::Cancelled(OrderCancelled {
        order_id: order.to_owned(),
        version,
        reason: String::new(),
    })
}

pub(crate) fn completed(order: &str, version: i64) -> Message {
    Message::Completed(OrderCompleted {
        order_id: order.to_owned(),
        version,
    })
}

pub(crate) fn receive(receipt: &str, product: &str, quantity: i32) -> Message {
    Message::Receive(ReceiveStock {
        receipt_id: receipt.to_owned(),
        product_id: product.to_owned(),
        quantity,
    })
}

/// The message as it comes from the log, the first of its flow.
pub(crate) fn incoming(id: &str, message: Message) -> Incoming<Message> {
    Incoming {
        message,
        envelope: Envelope::command(id.to_owned(), "test", "/test", "key", Timestamp(0)),
        topic: "test".into(),
        offset: 0,
    }
}
