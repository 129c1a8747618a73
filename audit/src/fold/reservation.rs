//! Inventory's side of one order, F4, and both sides together, F5.

use contracts::{inventory as messages, order as orders, source};
use inventory::domain::reservation::Status;
use messaging::envelope::event_id;

use super::facts::{Fact, Kind};
use super::history::{History, ReservationRow, Stands};
use super::order::Kept;
use crate::digest::{self, Digest};

/// A reservation as its events leave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Folded {
    status: Status,
    version: i64,
    waited: bool,
    served: bool,
}

/// Judges Inventory's row and events; `tell` gets each offence.
pub(super) fn judge(
    order_id: &str,
    history: &History,
    kept: Kept,
    tell: &mut dyn FnMut(&'static str, String),
) {
    let row = history.reservation_row;
    let published = history.reservation.version();
    if let Some(row) = row.filter(|row| row.version > published && kept.tells(&history.reservation))
    {
        tell(
            "F2",
            format!(
                "its reservation stands at version {} ({}), the log ends with version {published}",
                row.version,
                row.status.as_str()
            ),
        );
        return;
    }
    match kept {
        Kept::Nothing => {}
        Kept::Part => part(history, tell),
        Kept::Whole => whole(order_id, history, tell),
    }
}

/// The beginning is deleted: the row is what the last event says.
fn part(history: &History, tell: &mut dyn FnMut(&'static str, String)) {
    let Some(last) = history.reservation.facts.last() else {
        return;
    };
    let expected = (status_after(last.kind), last.version);
    match history.reservation_row {
        None => tell("F4", "the row of its reservation is gone".to_owned()),
        Some(row) if (row.status, row.version) != expected => tell("F4", other(row, expected)),
        Some(_) => {}
    }
}

fn other(row: ReservationRow, (status, version): (Status, i64)) -> String {
    format!(
        "its reservation's row says {} at version {}, the log says {} at version {version}",
        row.status.as_str(),
        row.version,
        status.as_str()
    )
}

fn status_after(kind: Kind) -> Status {
    match kind {
        Kind::Backordered => Status::Waiting,
        Kind::Refused => Status::Refused,
        Kind::Released => Status::Released,
        Kind::Shipped => Status::Shipped,
        _ => Status::Held,
    }
}

fn whole(order_id: &str, history: &History, tell: &mut dyn FnMut(&'static str, String)) {
    let placed = history
        .order
        .facts
        .iter()
        .find(|fact| fact.kind == Kind::Placed);
    let Some(placed) = placed else {
        if let Some(row) = history.reservation_row {
            tell(
                "F4",
                format!(
                    "it was never placed, and its reservation's row says {}",
                    row.status.as_str()
                ),
            );
        } else if !history.reservation.facts.is_empty() {
            tell(
                "F4",
                "it was never placed, and Inventory tells of its reservation".to_owned(),
            );
        }
        return;
    };
    if history.reservation.facts.is_empty() {
        tell(
            "F4",
            "Inventory has read OrderPlaced and gave no answer".to_owned(),
        );
        return;
    }
    match fold(order_id, history, placed) {
        Err(detail) => tell("F4", detail),
        Ok(folded) => match history.reservation_row {
            None => tell(
                "F4",
                format!(
                    "its reservation is {} in the log, and the database has no row",
                    folded.status.as_str()
                ),
            ),
            Some(row) => {
                if let Some(detail) = difference(history, placed, folded, row) {
                    tell("F4", detail);
                }
            }
        },
    }
}

/// Folds the reservation's events; an error names the one that cannot be.
fn fold(order_id: &str, history: &History, placed: &Fact) -> Result<Folded, String> {
    let mut folded: Option<Folded> = None;
    for fact in &history.reservation.facts {
        let before = folded.map(|folded| folded.status);
        let wrong = |why: &str| {
            Err(format!(
                "{:?} with version {} {why}",
                fact.kind, fact.version
            ))
        };
        let (cause, lines) = match (before, fact.kind) {
            (None, Kind::Reserved) => (Some(placed), placed.lines),
            (None, Kind::Backordered | Kind::Refused) => (Some(placed), 0),
            (Some(Status::Waiting), Kind::Reserved) => (None, placed.lines),
            (Some(Status::Waiting), Kind::Refused) if fact.is_timed_out() => (None, 0),
            (Some(Status::Waiting), Kind::Released) => {
                (ended(history, Kind::Cancelled), digest::lines([]))
            }
            (Some(Status::Held), Kind::Released) => (ended(history, Kind::Cancelled), placed.lines),
            (Some(Status::Held), Kind::Shipped) => (ended(history, Kind::Completed), placed.lines),
            _ => return wrong("cannot follow what was before it"),
        };
        if fact.lines != lines {
            return wrong("has other lines than the order");
        }
        let is_caused = match (before, fact.kind) {
            // What woke a waiter may be any receipt, release or leaving waiter.
            (Some(Status::Waiting), Kind::Reserved) => true,
            (Some(Status::Waiting), Kind::Refused) => fact.cause == wait_of(order_id, fact),
            _ => cause.is_some_and(|cause| fact.cause == id_of(order_id, cause)),
        };
        if !is_caused {
            return wrong("was not caused by this order's event");
        }
        // By the clock of whoever decided, which the event carries.
        let is_late = placed.deadline.is_some_and(|by| by <= fact.time);
        match fact.kind {
            Kind::Reserved | Kind::Backordered if is_late => {
                return wrong("was decided after the order's deadline");
            }
            Kind::Refused if fact.is_timed_out() && !is_late => {
                return wrong("was decided before the order's deadline");
            }
            _ => {}
        }
        let waited = folded.is_some_and(|folded| folded.waited) || fact.kind == Kind::Backordered;
        let served = folded.is_some_and(|folded| folded.served)
            || (before == Some(Status::Waiting) && fact.kind == Kind::Reserved);
        folded = Some(Folded {
            status: status_after(fact.kind),
            version: fact.version,
            waited,
            served,
        });
    }
    folded.ok_or_else(|| "it has no reservation in the log".to_owned())
}

fn ended(history: &History, kind: Kind) -> Option<&Fact> {
    history.order.facts.iter().find(|fact| fact.kind == kind)
}

fn id_of(order_id: &str, fact: &Fact) -> Digest {
    let id = event_id(source::ORDER, orders::AGGREGATE, order_id, fact.version);
    digest::text(&id.to_string())
}

/// The id of the event that began the wait which `fact` ends.
fn wait_of(order_id: &str, fact: &Fact) -> Digest {
    let id = event_id(source::INVENTORY, AGGREGATE, order_id, fact.version - 1);
    digest::text(&id.to_string())
}

fn difference(
    history: &History,
    placed: &Fact,
    folded: Folded,
    row: ReservationRow,
) -> Option<String> {
    if (row.status, row.version) != (folded.status, folded.version) {
        return Some(other(row, (folded.status, folded.version)));
    }
    // Inventory applies what Order tells of beginnings and ends, and remembers the version.
    let kinds = [Kind::Placed, Kind::Cancelled, Kind::Completed];
    let applied = history
        .order
        .facts
        .iter()
        .filter(|fact| kinds.contains(&fact.kind));
    let applied = applied.map(|fact| fact.version).max().unwrap_or(0);
    let ends_with = |kind| ended(history, kind).is_some();
    let waits = row.status == Status::Waiting;
    if row.order_version != applied {
        Some(format!(
            "its reservation's row has applied version {} of the order, the log has {applied}",
            row.order_version
        ))
    } else if row.lines != placed.lines {
        Some("its reservation's row has other lines than OrderPlaced".to_owned())
    } else if row.reserve_by != placed.deadline {
        Some("its reservation's row has another deadline than OrderPlaced".to_owned())
    } else if (row.has_position, row.has_fulfilment) != (folded.waited, folded.served) {
        Some("its reservation's row has a place in the queues or a number of service that its events do not give".to_owned())
    } else if (row.stands == Stands::InItsQueues) != waits || row.stands == Stands::Elsewhere {
        Some(format!(
            "its reservation is {} and stands in the wrong queues",
            row.status.as_str()
        ))
    } else if ends_with(Kind::Cancelled)
        && !matches!(row.status, Status::Released | Status::Refused)
    {
        Some(format!(
            "it was cancelled, and its reservation is still {}",
            row.status.as_str()
        ))
    } else if ends_with(Kind::Completed) && row.status != Status::Shipped {
        Some(format!(
            "it was completed, and its reservation is {}",
            row.status.as_str()
        ))
    } else {
        None
    }
}

/// F5: where the order stands and how its reservation stands belong together.
pub(super) fn agree(history: &History, tell: &mut dyn FnMut(&'static str, String)) {
    use order::domain::Status as Order;
    let (Some(order), reservation) = (history.order_row, history.reservation_row) else {
        if let Some(row) = history.reservation_row {
            let detail = format!("Order has no row, Inventory's is {}", row.status.as_str());
            tell("F5", detail);
        }
        return;
    };
    let status = reservation.map(|row| row.status);
    let fits = match order.status {
        Order::Pending => false,
        Order::Reserved => status == Some(Status::Held),
        Order::Completed => status == Some(Status::Shipped),
        Order::Backordered => status == Some(Status::Waiting),
        Order::Rejected => status == Some(Status::Refused),
        Order::Cancelled => matches!(status, None | Some(Status::Released | Status::Refused)),
    };
    if !fits {
        let reservation = status.map_or("not there", Status::as_str);
        tell(
            "F5",
            format!(
                "the order is {}, its reservation is {reservation}",
                order.status.as_str()
            ),
        );
    }
}

/// The aggregate of a reservation's events.
pub(super) const AGGREGATE: &str = messages::RESERVATION;
