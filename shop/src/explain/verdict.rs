//! What an order waits for, as far as the facts tell.

use std::fmt;

use contracts::order::{OrderCommand, OrderEvent};
use contracts::proto::order::Status;
use contracts::proto::{Order, ReservationRow};
use contracts::topics;
use serde::Serialize;

use super::facts::{Facts, Message, Place, Said, Told};
use super::marks::Mark;
use super::timeline::Step;
use crate::cli::status::is_terminal;
use crate::services::Service;

/// Something that an order waits for, or that it waits for nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "for", rename_all = "snake_case")]
pub enum Waiting {
    /// For nothing: it has ended.
    Nothing {
        /// Its terminal status.
        status: String,
    },
    /// For somebody to ship or to cancel it.
    Shipment,
    /// For stock of a product.
    Stock {
        /// The product.
        product: String,
        /// How many it needs; `None` if nobody can say.
        needed: Option<i32>,
        /// How many there are; `None` if nobody can say.
        available: Option<i64>,
        /// Its place in the product's queue, from 1; `None` if nobody can say.
        place: Option<i64>,
        /// When its deadline passes; `None` if it has none.
        until: Option<String>,
    },
    /// For an operator to replay or discard what is set aside.
    Operator {
        /// The service that set it aside.
        service: Service,
        /// The first message that is set aside.
        at: Place,
        /// Why.
        reason: String,
        /// The error in words.
        detail: String,
        /// Messages of the order that are set aside behind it.
        behind: usize,
    },
    /// For a service to read a message.
    Reading {
        /// The service.
        service: Service,
        /// The first message that it has not read.
        at: Place,
        /// Records that it has to read before.
        ahead: i64,
    },
    /// For a service that does not answer.
    Service {
        /// The service.
        service: Service,
        /// Where it should answer.
        url: String,
        /// What it has to do.
        task: String,
    },
    /// For a service to publish what it has decided.
    Publishing {
        /// The service.
        service: Service,
        /// Batches that it has decided and not yet published; `None` if nobody can say.
        outbox_rows: Option<i64>,
    },
    /// For its placement: so far it was only cancelled or completed.
    Placement {
        /// A cancellation is kept for it.
        cancelled: bool,
    },
    /// The facts contradict each other.
    Contradiction {
        /// How.
        what: String,
    },
    /// Nobody can say.
    Unknown {
        /// Why not.
        why: String,
    },
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing { status } => write!(f, "waits for nothing: {status} is final"),
            Self::Shipment => f.write_str(
                "waits for nothing here: its stock is held until somebody completes or cancels it",
            ),
            Self::Stock { .. } => self.stock(f),
            Self::Operator {
                service,
                at,
                reason,
                detail,
                behind,
            } => {
                write!(f, "waits for an operator: {service} set {at} aside ")?;
                write!(f, "({reason}: {detail})")?;
                if *behind > 0 {
                    write!(f, ", and {behind} more behind it")?;
                }
                write!(f, "; run: shop parked show {at}")
            }
            Self::Reading { service, at, ahead } => {
                write!(f, "waits for {service}, which has not read {at} yet")?;
                match ahead {
                    0 => f.write_str("; it is the next one"),
                    1 => f.write_str("; one record stands before it"),
                    _ => write!(f, "; {ahead} records stand before it"),
                }
            }
            Self::Service { service, url, task } => {
                write!(
                    f,
                    "waits for {service} to {task}, and nobody answers at {url}"
                )
            }
            Self::Publishing {
                service,
                outbox_rows,
            } => {
                write!(f, "waits for {service} to publish what it has decided")?;
                outbox_rows.map_or(Ok(()), |rows| write!(f, "; {rows} batches in its outbox"))
            }
            Self::Placement { cancelled: true } => f.write_str(
                "waits for nothing: it was never placed; if it is, it is cancelled at once",
            ),
            Self::Placement { cancelled: false } => {
                f.write_str("waits for nothing: it was never placed")
            }
            Self::Contradiction { what } => {
                write!(f, "cannot go on by itself: {what}; run: shop audit")
            }
            Self::Unknown { why } => write!(f, "cannot be judged: {why}"),
        }
    }
}

impl Waiting {
    /// The sentence about stock.
    fn stock(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Stock {
            product,
            needed,
            available,
            place,
            until,
        } = self
        else {
            return Ok(());
        };
        write!(f, "waits for stock of {product}: ")?;
        match available {
            Some(available) => write!(f, "{available} available, ")?,
            None => f.write_str("available unknown, ")?,
        }
        match needed {
            Some(needed) => write!(f, "{needed} needed")?,
            None => f.write_str("needed unknown")?,
        }
        match place {
            Some(1) => f.write_str("; it is the first in the queue")?,
            Some(place) => write!(f, "; position {place} in the queue, and nobody passes")?,
            None => f.write_str("; position in the queue unknown")?,
        }
        match until {
            Some(until) => write!(f, "; it is rejected unless reserved before {until}"),
            None => Ok(()),
        }
    }
}

/// What the order waits for, most pressing first; never empty for an order that anybody knows.
#[must_use]
pub fn verdict(facts: &Facts, steps: &[Step<'_>]) -> Vec<Waiting> {
    let mut waiting: Vec<_> = facts
        .shards()
        .filter_map(|shard| parked(shard.service, shard.parked.known()?))
        .collect();
    waiting.extend(
        Service::ALL
            .into_iter()
            .filter_map(|service| unread(service, steps)),
    );
    match &facts.order {
        Told::Is(order) => known(facts, order, &mut waiting),
        Told::Nothing if waiting.is_empty() => waiting.push(unknown_to_order(facts)),
        Told::Nothing => {}
        Told::Unknown(why) if facts.order_shard.answers => {
            waiting.push(Waiting::Unknown { why: why.clone() });
        }
        Told::Unknown(_) => waiting.push(order_is_silent(facts)),
    }
    waiting
}

/// Order does not answer: what it has to do at least.
fn order_is_silent(facts: &Facts) -> Waiting {
    let is_command = |message: &&Message| matches!(message.said, Said::Command(_));
    let command = facts.messages.iter().find(is_command);
    match command {
        Some(command) if event(facts, |_| true).is_none() => {
            silent(facts, Service::Order, &format!("read {}", command.place))
        }
        _ => Waiting::Unknown {
            why: format!("order does not answer at {}", facts.order_shard.url),
        },
    }
}

/// The first message that `service` has set aside for the order.
fn parked(service: Service, parked: &[contracts::proto::ParkedMessage]) -> Option<Waiting> {
    let first = parked.first()?;
    Some(Waiting::Operator {
        service,
        at: first.place.clone()?.into(),
        reason: first.reason.clone(),
        detail: first.detail.clone(),
        behind: parked.len() - 1,
    })
}

/// The first message that `service` has not come to.
fn unread(service: Service, steps: &[Step<'_>]) -> Option<Waiting> {
    steps.iter().find_map(|step| {
        let ahead = step.marks.iter().find_map(|mark| match mark {
            Mark::Unread {
                service: reader,
                ahead,
            } if *reader == service => Some(*ahead),
            _ => None,
        })?;
        Some(Waiting::Reading {
            service,
            at: step.message.place.clone(),
            ahead,
        })
    })
}

/// Order does not know the order, has read everything, and has set nothing aside.
fn unknown_to_order(facts: &Facts) -> Waiting {
    if facts.order_shard.checkpoint.known().is_none() {
        return Waiting::Unknown {
            why: "order does not know it and does not say how far it has read".to_owned(),
        };
    }
    let commands = || {
        facts
            .messages
            .iter()
            .filter_map(|message| match &message.said {
                Said::Command(command) => Some((message, command)),
                _ => None,
            })
    };
    let placement = commands().find(|(_, command)| matches!(command, OrderCommand::Place(_)));
    if let Some((message, _)) = placement {
        let what = format!(
            "order has read {} and does not know the order",
            message.place
        );
        return Waiting::Contradiction { what };
    }
    if commands().next().is_none() {
        return Waiting::Contradiction {
            what: "there are events of an order that order does not know".to_owned(),
        };
    }
    let mut cancelled = commands();
    Waiting::Placement {
        cancelled: cancelled.any(|(_, command)| matches!(command, OrderCommand::Cancel(_))),
    }
}

/// Order knows the order.
fn known(facts: &Facts, order: &Order, waiting: &mut Vec<Waiting>) {
    let is_held_up = !waiting.is_empty();
    match order.status() {
        Status::Pending if is_held_up => {}
        Status::Pending => waiting.push(pending(facts)),
        Status::Backordered => waiting.extend(backordered(facts, order, is_held_up)),
        Status::Reserved if !is_held_up => waiting.push(reserved(facts, order)),
        status if is_terminal(status) => {
            waiting.extend(unsettled(facts, order, is_held_up));
            waiting.push(Waiting::Nothing {
                status: status.as_str_name().to_owned(),
            });
        }
        _ => {}
    }
}

/// Placed, and Order has read all there is: Inventory's answer is missing.
fn pending(facts: &Facts) -> Waiting {
    let placed = event(facts, |event| matches!(event, OrderEvent::Placed(_)));
    if placed.is_none() && facts.is_whole(topics::ORDER_EVENTS) {
        return publishing(facts, Service::Order);
    }
    let shard = &facts.inventory_shard;
    match &facts.reservation {
        Told::Is(row) if is_published(facts, row) => Waiting::Contradiction {
            what: "order has read what inventory answered and still stands at PENDING".to_owned(),
        },
        Told::Is(_) => publishing(facts, Service::Inventory),
        Told::Nothing if shard.checkpoint.known().is_some() => Waiting::Contradiction {
            what: "inventory has read the placement and has no reservation".to_owned(),
        },
        Told::Nothing | Told::Unknown(_) if shard.answers => Waiting::Unknown {
            why: "inventory has not answered yet, and does not say how far it has come".to_owned(),
        },
        Told::Nothing | Told::Unknown(_) => {
            let task = placed.map_or("answer its placement".to_owned(), |placed| {
                format!("read {}", placed.place)
            });
            silent(facts, Service::Inventory, &task)
        }
    }
}

fn backordered(facts: &Facts, order: &Order, is_held_up: bool) -> Vec<Waiting> {
    match &facts.reservation {
        Told::Is(row) if row.status == "WAITING" => row
            .short
            .iter()
            .enumerate()
            .map(|(index, product)| stock(facts, order, product, row.places.get(index).copied()))
            .collect(),
        Told::Is(_) if is_held_up => Vec::new(),
        Told::Is(row) if !is_published(facts, row) => vec![publishing(facts, Service::Inventory)],
        Told::Is(row) if row.order_version > order.version => vec![Waiting::Unknown {
            why: "the order is changing just now".to_owned(),
        }],
        Told::Is(row) => vec![Waiting::Contradiction {
            what: format!("inventory's reservation is {}", row.status),
        }],
        Told::Nothing | Told::Unknown(_) => last_short(facts)
            .iter()
            .map(|product| stock(facts, order, product, None))
            .collect(),
    }
}

fn stock(facts: &Facts, order: &Order, product: &str, place: Option<i64>) -> Waiting {
    let line = order.lines.iter().find(|line| line.product_id == product);
    let level = facts.stock.get(product).and_then(Told::known);
    Waiting::Stock {
        product: product.to_owned(),
        needed: line.map(|line| line.quantity),
        available: level.map(|level| level.available),
        place,
        until: order.deadline.map(|deadline| deadline.to_string()),
    }
}

fn reserved(facts: &Facts, order: &Order) -> Waiting {
    match facts.reservation.known() {
        Some(row) if row.status != "HELD" && row.order_version <= order.version => {
            Waiting::Contradiction {
                what: format!("inventory's reservation is {}", row.status),
            }
        }
        _ => Waiting::Shipment,
    }
}

/// The order has ended; what Inventory still has to do about it.
fn unsettled(facts: &Facts, order: &Order, is_held_up: bool) -> Option<Waiting> {
    let row = facts.reservation.known()?;
    let is_open = matches!(row.status.as_str(), "HELD" | "WAITING");
    if is_held_up || !is_open || row.order_version >= order.version {
        return None;
    }
    let ended = event(facts, |event| event.version() == order.version);
    if ended.is_none() && facts.is_whole(topics::ORDER_EVENTS) {
        return Some(publishing(facts, Service::Order));
    }
    Some(Waiting::Contradiction {
        what: format!("inventory's reservation is still {}", row.status),
    })
}

/// The products that the order was last said to be short of.
#[must_use]
pub fn last_short(facts: &Facts) -> Vec<String> {
    let backordered = |message: &Message| match &message.said {
        Said::Order(OrderEvent::Backordered(event)) => Some(event.short.clone()),
        _ => None,
    };
    if let Some(row) = facts.reservation.known() {
        return row.short.clone();
    }
    let last = facts.messages.iter().rev().find_map(backordered);
    last.unwrap_or_default()
}

fn event(facts: &Facts, is_meant: impl Fn(&OrderEvent) -> bool) -> Option<&Message> {
    facts.messages.iter().find(|message| match &message.said {
        Said::Order(event) => is_meant(event),
        _ => false,
    })
}

/// Whether the reservation's newest version stands in the log.
fn is_published(facts: &Facts, row: &ReservationRow) -> bool {
    facts.messages.iter().any(|message| match &message.said {
        Said::Reservation(event) => event.version() >= row.version,
        _ => false,
    })
}

fn publishing(facts: &Facts, service: Service) -> Waiting {
    let checkpoint = facts.shard(service).checkpoint.known();
    Waiting::Publishing {
        service,
        outbox_rows: checkpoint.map(|checkpoint| checkpoint.outbox_rows),
    }
}

fn silent(facts: &Facts, service: Service, task: &str) -> Waiting {
    Waiting::Service {
        service,
        url: facts.shard(service).url.clone(),
        task: task.to_owned(),
    }
}

#[cfg(test)]
mod tests;
