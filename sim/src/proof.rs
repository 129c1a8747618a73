//! The end of a run, judged by the audit's fold: both services' rows must be what the log makes of
//! them (F4), and clients must have been told what is true (F1). The rules are those of `shop
//! audit` and of the tests on real processes.

use std::time::Duration;

use audit::fold::{Claims, Told};
use audit::promises::{self, Receipts};
use audit::record::{Body, Message, Record, Topic};
use audit::report::Report;
use audit::snapshot::{Partition, Snapshot};
use messaging::log::{Consumed, Log, ReadLimit};
use messaging::mutant::{self, Layer};

use crate::check::Violation;
use crate::client::Sent;
use crate::databases::Rows;
use crate::edge::Outcome;
use crate::plan::Request;
use crate::world::World;

/// The first promise that was not kept, if any.
pub(crate) async fn check(world: &World, sent: &[Sent], rows: &Rows) -> Result<(), Violation> {
    Case::of(world, sent, rows).await.judge()
}

/// Everything that a verdict needs.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) snapshot: Snapshot,
    pub(crate) receipts: Receipts,
}

impl Case {
    /// A run that has come to rest. No other task runs meanwhile: the log and the registry answer
    /// at once.
    pub(crate) async fn of(world: &World, sent: &[Sent], rows: &Rows) -> Self {
        let mut case = Self {
            snapshot: Snapshot {
                partitions: world.partitions,
                log: log(world).await,
                orders: rows.orders.values().cloned().collect(),
                reservations: rows.reservations.values().cloned().collect(),
                stock: rows.stock.clone().into_iter().collect(),
                checkpoints: rows.said.checkpoints.clone(),
                known: rows.said.known.clone(),
                claims: Claims::new(),
                memory: mutant::without(Layer::InboxHorizon).then_some(Duration::ZERO),
                now: world.now(),
            },
            receipts: Receipts::new(),
        };
        for sent in sent {
            case.claim(sent);
        }
        case.allow_foreign(world);
        case
    }

    /// Several may have sent the same: the best answer counts.
    fn claim(&mut self, sent: &Sent) {
        let told = match sent.outcome {
            Outcome::Ok => Told::Accepted,
            Outcome::Unknown => Told::Unknown,
            Outcome::NotNow | Outcome::Fail => Told::Refused,
        };
        let id = match &sent.request {
            Request::Place(place) => &place.request_id,
            Request::Cancel(cancel) => &cancel.request_id,
            Request::Complete(complete) => &complete.request_id,
            Request::Receive(receive) => {
                let (receipt, product) = (receive.receipt_id.clone(), receive.product_id.clone());
                let receipt = (receipt, product, receive.quantity);
                let known = self.receipts.entry(receipt).or_insert(told);
                *known = told.min(*known);
                return;
            }
        };
        let known = self.snapshot.claims.entry(id.clone()).or_insert(told);
        *known = told.min(*known);
    }

    /// Whoever writes past the gateway is told nothing.
    fn allow_foreign(&mut self, world: &World) {
        let Snapshot { log, claims, .. } = &mut self.snapshot;
        for record in log.iter().flat_map(|partition| &partition.records) {
            let place = record.place;
            let Body::Message { envelope, message } = &record.body else {
                continue;
            };
            if !world.is_foreign(place.topic.name(), place.partition, place.offset) {
                continue;
            }
            match message {
                Message::Receive(receive) => {
                    let id = (receive.receipt_id.clone(), receive.product_id.clone());
                    let receipt = (id.0, id.1, receive.quantity);
                    self.receipts.entry(receipt).or_insert(Told::Unknown);
                }
                _ => drop(claims.entry(envelope.id.clone()).or_insert(Told::Unknown)),
            }
        }
    }

    /// The first offence; nothing may be left open either.
    pub(crate) fn judge(&self) -> Result<(), Violation> {
        let report = self.snapshot.judge();
        let mut offenders = report.offenders.clone();
        offenders.extend(promises::broken(&self.snapshot, &self.receipts));
        if let Some(first) = offenders.first() {
            let more = offenders.len() - 1;
            let detail = format!("{}: {} (and {more} more)", first.what, first.detail);
            return Err(Violation {
                invariant: first.invariant,
                detail,
            });
        }
        settled(&report)
    }
}

/// Everything has come to rest, so that the audit must be able to judge all of it.
fn settled(report: &Report) -> Result<(), Violation> {
    match report.unsettled.first_key_value() {
        None => Ok(()),
        Some((why, what)) => Err(Violation {
            invariant: if why.contains("outbox") { "F2" } else { "F3" },
            detail: format!("the audit cannot judge: {why}: {:?}", what.examples),
        }),
    }
}

/// The topics, whole. Nobody consumes the stock's: what strangers write there is nobody's business.
async fn log(world: &World) -> Vec<Partition> {
    let mut log = Vec::new();
    for topic in Topic::ALL {
        for partition in 0..world.partitions {
            // A topic that nobody has made yet holds nothing.
            let Ok(bounds) = world.log.bounds(topic.name(), partition).await else {
                continue;
            };
            let mut records = Vec::new();
            for consumed in read(world, topic, partition, bounds.first).await {
                let name = topic.name();
                let is_foreign = || world.is_foreign(name, partition, consumed.offset);
                if topic == Topic::InventoryStock && is_foreign() {
                    continue;
                }
                let place = (partition, world.partitions);
                let record = Record::of(topic, place, &consumed, &*world.registry).await;
                records.push(record.expect("the registry answers"));
            }
            log.push(Partition {
                topic,
                partition,
                bounds,
                records,
            });
        }
    }
    log
}

/// A partition from its first record on.
async fn read(world: &World, topic: Topic, partition: i32, first: i64) -> Vec<Consumed> {
    let limit = ReadLimit {
        bytes_max: i32::MAX,
        wait_max: Duration::ZERO,
    };
    let batch = world.log.read(topic.name(), partition, first, limit).await;
    batch.expect("the log answers").records
}

#[cfg(test)]
mod tests;
