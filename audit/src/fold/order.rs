//! Order's side of one order: F1, F2 and F4.

use std::fmt::Write as _;

use super::facts::{Fact, Kind};
use super::history::{History, OrderRow, Story};
use super::replay::{self, Outcome};
use crate::report::Counts;

/// What is known about the deletion of an order's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// All of them are there.
    Whole,
    /// The beginning is deleted.
    Part,
    /// None is left.
    Nothing,
}

impl Kept {
    /// Whether the newest event of `story` is in the log, if there ever was one.
    pub(super) fn tells(self, story: &Story) -> bool {
        match self {
            Self::Whole => true,
            Self::Part => !story.facts.is_empty(),
            Self::Nothing => false,
        }
    }
}

/// Judges Order's row and events; `tell` gets each offence.
pub(super) fn judge(
    order_id: &str,
    history: &History,
    kept: Kept,
    counts: &mut Counts,
    tell: &mut dyn FnMut(&'static str, String),
) {
    let row = history.order_row;
    let published = history.order.version();
    if let Some(row) = row.filter(|row| row.version > published && kept.tells(&history.order)) {
        let missing = match row.version - published {
            1 => format!("version {} is", row.version),
            _ => format!("versions {} to {} are", published + 1, row.version),
        };
        if published == 0 && history.steps.is_empty() {
            tell(
                "F4",
                format!(
                    "{} stands in the database, but no command asked for it",
                    status(&row)
                ),
            );
        } else {
            tell(
                "F2",
                format!(
                    "stands at version {} ({}); {missing} not in the log",
                    row.version,
                    status(&row)
                ),
            );
        }
        return;
    }
    match kept {
        Kept::Nothing => {}
        Kept::Part => part(history, tell),
        Kept::Whole => whole(order_id, history, counts, tell),
    }
}

fn status(row: &OrderRow) -> &'static str {
    row.status.as_str()
}

/// The beginning is deleted: the row is what the last event says.
fn part(history: &History, tell: &mut dyn FnMut(&'static str, String)) {
    let Some(last) = history.order.facts.last() else {
        return;
    };
    match history.order_row {
        None => tell(
            "F4",
            format!(
                "the log ends with version {}, the row is gone",
                last.version
            ),
        ),
        Some(row) if row.version != last.version || status_after(last) != row.status => tell(
            "F4",
            format!(
                "the row says {} at version {}, the log ends with {:?} at version {}",
                status(&row),
                row.version,
                last.kind,
                last.version
            ),
        ),
        Some(_) => {}
    }
}

/// Where an order stands after its event.
fn status_after(fact: &Fact) -> order::domain::Status {
    use order::domain::Status;
    match fact.kind {
        Kind::Reserved => Status::Reserved,
        Kind::Backordered => Status::Backordered,
        Kind::Rejected => Status::Rejected,
        Kind::Cancelled => Status::Cancelled,
        Kind::Completed => Status::Completed,
        Kind::Placed | Kind::Refused | Kind::Released | Kind::Shipped => Status::Pending,
    }
}

fn whole(
    order_id: &str,
    history: &History,
    counts: &mut Counts,
    tell: &mut dyn FnMut(&'static str, String),
) {
    match replay::replay(order_id, history) {
        Outcome::Row(expected) => {
            tally(history, counts);
            compare(expected, history.order_row, tell);
        }
        Outcome::Missing(event) => {
            let step = history.steps.iter().find(|step| step.is_place());
            match (history.order_row, step) {
                (None, Some(step)) if history.order.facts.is_empty() => tell(
                    "F1",
                    format!(
                        "{} at offset {} was consumed and has no outcome: no row, no event, not parked",
                        step.name(),
                        step.offset
                    ),
                ),
                (_, Some(_)) => tell(
                    "F4",
                    format!(
                        "its messages make {event}, which is neither in the log nor in the row"
                    ),
                ),
                (_, None) => tell(
                    "F4",
                    format!("its messages make {event}, which is not in the log"),
                ),
            }
        }
        Outcome::Unexplained(explained) => {
            let Some(fact) = history.order.facts.get(explained) else {
                tell("F4", "Inventory tells of a reservation of an order that was never placed, and nothing is parked".to_owned());
                return;
            };
            if repeats_a_cause(history, fact) {
                tell(
                    "F1",
                    format!(
                        "{:?} with version {} is a second outcome of one message",
                        fact.kind, fact.version
                    ),
                );
            } else {
                tell(
                    "F4",
                    format!(
                        "{:?} with version {} does not follow from its commands and from Inventory's events",
                        fact.kind, fact.version
                    ),
                );
            }
        }
    }
}

/// Whether an earlier event has the same cause.
fn repeats_a_cause(history: &History, fact: &Fact) -> bool {
    let facts = history.order.facts.iter();
    facts.filter(|other| other.cause == fact.cause).count() > 1
}

/// Counts new commands by their outcome: each caused an event, or nothing.
fn tally(history: &History, counts: &mut Counts) {
    for step in &history.steps {
        let applied = history.order.facts.iter().any(|fact| fact.cause == step.id);
        *(if applied {
            &mut counts.applied
        } else {
            &mut counts.nothing
        }) += 1;
    }
}

fn compare(
    expected: Option<OrderRow>,
    found: Option<OrderRow>,
    tell: &mut dyn FnMut(&'static str, String),
) {
    match (expected, found) {
        (Some(expected), Some(found)) if expected != found => {
            tell(
                "F4",
                format!(
                    "the row is not what its messages make:{}",
                    difference(&expected, &found)
                ),
            );
        }
        (Some(expected), None) => {
            let detail = format!(
                "its messages make {} at version {}, and the database has no row",
                status(&expected),
                expected.version
            );
            tell("F4", detail);
        }
        (None, Some(found)) => {
            tell(
                "F4",
                format!(
                    "its messages make no order, and the row says {}",
                    status(&found)
                ),
            );
        }
        (Some(_), Some(_)) | (None, None) => {}
    }
}

/// For comparison: no time is 0.
fn deadline(row: &OrderRow) -> i64 {
    row.deadline.map_or(0, |deadline| deadline.0)
}

/// The fields that differ, in words.
fn difference(expected: &OrderRow, found: &OrderRow) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    if expected.status != found.status {
        let _ = write!(text, " status {}, not {};", status(found), status(expected));
    }
    for (name, expected, found) in [
        ("version", expected.version, found.version),
        (
            "reservation_version",
            expected.reservation_version,
            found.reservation_version,
        ),
        ("placed_at", expected.placed_at.0, found.placed_at.0),
        ("updated_at", expected.updated_at.0, found.updated_at.0),
        ("deadline", deadline(expected), deadline(found)),
    ] {
        if expected != found {
            let _ = write!(text, " {name} {found}, not {expected};");
        }
    }
    if expected.content != found.content {
        text.push_str(" what was ordered is not what the winning command says;");
    }
    if expected.reason != found.reason {
        text.push_str(" the reason is another one;");
    }
    text.pop();
    text
}
