//! The lines of an explanation: for people, and for programs.

use std::io::{self, Write};

use contracts::proto::Order;
use serde::Serialize;

use super::facts::{Facts, Place, Said, Told};
use super::marks::{Mark, version};
use super::notes::notes;
use super::timeline::{Cause, Step, timeline};
use super::verdict::{Waiting, verdict};
use super::words;
use crate::output::{Format, Table};

/// The headings of the timeline.
const COLUMNS: [&str; 6] = ["#", "TIME", "WHERE", "WHAT", "SINCE ITS CAUSE", "SAYS"];

/// Writes the explanation.
///
/// # Errors
/// When `out` cannot be written.
pub fn write(out: &mut dyn Write, facts: &Facts, format: Format) -> io::Result<()> {
    let steps = timeline(facts);
    let waiting = verdict(facts, &steps);
    match format {
        Format::Table => for_people(out, facts, &steps, &waiting),
        Format::Json => for_programs(out, facts, &steps, &waiting),
    }
}

fn for_people(
    out: &mut dyn Write,
    facts: &Facts,
    steps: &[Step<'_>],
    waiting: &[Waiting],
) -> io::Result<()> {
    for (name, value) in head(facts) {
        writeln!(out, "{name:<12} {value}")?;
    }
    writeln!(out)?;
    if steps.is_empty() && facts.partition.is_some() {
        writeln!(out, "no message of this order was found in the log")?;
    } else if !steps.is_empty() {
        write_steps(out, steps)?;
    }
    let notes = notes(facts);
    if !notes.is_empty() {
        writeln!(out)?;
    }
    for note in notes {
        writeln!(out, "note: {note}")?;
    }
    writeln!(out)?;
    for line in waiting {
        writeln!(out, "{} {line}", facts.order_id)?;
    }
    Ok(())
}

fn head(facts: &Facts) -> Vec<(&'static str, String)> {
    let mut head = vec![("order", facts.order_id.clone()), ("status", status(facts))];
    if let Told::Is(row) = &facts.reservation {
        let reservation = format!("{}, version {}", row.status, row.version);
        head.push(("reservation", reservation));
    }
    if let Some(partition) = facts.partition {
        head.push(("partition", partition.to_string()));
    }
    head
}

fn status(facts: &Facts) -> String {
    match &facts.order {
        Told::Is(order) => status_of(order),
        Told::Nothing => "order does not know it".to_owned(),
        Told::Unknown(_) => {
            let events = facts
                .messages
                .iter()
                .filter(|message| matches!(message.said, Said::Order(_)));
            let newest = events.max_by_key(|message| version(message));
            newest.map_or("not known".to_owned(), |event| {
                format!("not known; the log's last word is {}", words::name(event))
            })
        }
    }
}

fn status_of(order: &Order) -> String {
    let status = order.status().as_str_name();
    let reason = match order.reason.as_str() {
        "" => String::new(),
        reason => format!(": {reason}"),
    };
    format!("{status}, version {}{reason}", order.version)
}

/// One line per message, and one below it per mark.
fn write_steps(out: &mut dyn Write, steps: &[Step<'_>]) -> io::Result<()> {
    let rows: Vec<_> = steps
        .iter()
        .enumerate()
        .map(|(index, step)| row(index + 1, step))
        .collect();
    let mut table = Vec::new();
    Table::default().page(&mut table, &COLUMNS, &rows)?;
    let table = String::from_utf8_lossy(&table);
    let mut lines = table.lines();
    writeln!(out, "{}", lines.next().unwrap_or_default())?;
    for (line, step) in lines.zip(steps) {
        writeln!(out, "{line}")?;
        for mark in &step.marks {
            writeln!(out, "     ^ {}", mark_text(mark))?;
        }
    }
    Ok(())
}

fn row(number: usize, step: &Step<'_>) -> Vec<String> {
    vec![
        number.to_string(),
        step.message.time.to_string(),
        step.message.place.to_string(),
        words::name(step.message).to_owned(),
        step.cause.map_or(String::new(), cause_text),
        words::summary(step.message),
    ]
}

fn cause_text(cause: Cause) -> String {
    match cause {
        Cause::Step { number, latency_ms } => format!("{latency_ms:+} ms after {number}"),
        Cause::Elsewhere => "cause not shown".to_owned(),
    }
}

/// The mark as people read it, the word to look for first.
#[must_use]
pub fn mark_text(mark: &Mark) -> String {
    let of = |of: &Option<Place>| match of {
        Some(place) => place.to_string(),
        None => "a message that is no longer in the log".to_owned(),
    };
    match mark {
        Mark::Republished { of } => {
            format!("REPEATED: the same event as {of}, published again; changes nothing")
        }
        Mark::Altered { of } => {
            format!(
                "ALTERED: has the id of {of} and other content; this must not be, run: shop audit"
            )
        }
        Mark::Duplicate { of: first } => {
            format!("DUPLICATE of {}: changes nothing", of(first))
        }
        Mark::Conflict { of: first } => {
            format!(
                "CONFLICT: other content than {}; changes nothing",
                of(first)
            )
        }
        Mark::Parked {
            service,
            reason,
            detail,
        } => format!("PARKED by {service} ({reason}): {detail}"),
        Mark::Handled {
            service,
            operator,
            reason,
            outcome,
        } => {
            let what = match outcome.as_str() {
                "discarded" => "DISCARDED: it has no effect".to_owned(),
                outcome => format!("REPLAYED after {service} had set it aside: {outcome}"),
            };
            let who = match operator.as_str() {
                "" => String::new(),
                operator => format!("; by {operator}"),
            };
            let why = match reason.as_str() {
                "" => String::new(),
                reason => format!(" ({reason})"),
            };
            format!("{what}{who}{why}")
        }
        Mark::Unread { service, ahead: 0 } => format!("UNREAD: {service} reads it next"),
        Mark::Unread { service, ahead } => {
            format!("UNREAD: {service} has not come so far; {ahead} before it")
        }
        Mark::Early => {
            "EARLY: the order was not placed yet; its placement is cancelled at once".to_owned()
        }
        Mark::NoEffect => "NO EFFECT: there was nothing to change".to_owned(),
        Mark::Gap { expected } => {
            format!("GAP: version {expected} is missing; this must not be, run: shop audit")
        }
    }
}

/// What is known of the order.
#[derive(Serialize)]
struct HeadLine<'f> {
    line: &'static str,
    order_id: &'f str,
    status: Option<&'static str>,
    version: Option<i64>,
    reason: Option<&'f str>,
    reservation: Option<&'f str>,
    reservation_version: Option<i64>,
    partition: Option<i32>,
    text: String,
}

/// A message.
#[derive(Serialize)]
struct MessageLine<'f> {
    line: &'static str,
    number: usize,
    time: String,
    #[serde(flatten)]
    place: &'f Place,
    #[serde(rename = "type")]
    name: Option<&'f str>,
    id: Option<&'f str>,
    cause: Option<&'f str>,
    cause_number: Option<usize>,
    since_cause_ms: Option<i64>,
    version: Option<i64>,
    text: String,
    marks: Vec<MarkLine<'f>>,
}

/// A mark: its facts and the sentence.
#[derive(Serialize)]
struct MarkLine<'f> {
    #[serde(flatten)]
    mark: &'f Mark,
    text: String,
}

/// Something that could not be had.
#[derive(Serialize)]
struct NoteLine {
    line: &'static str,
    text: String,
}

/// What the order waits for: the facts and the sentence.
#[derive(Serialize)]
struct WaitingLine<'w> {
    line: &'static str,
    #[serde(flatten)]
    waiting: &'w Waiting,
    text: String,
}

/// One object per line; `line` says what it is.
fn for_programs(
    out: &mut dyn Write,
    facts: &Facts,
    steps: &[Step<'_>],
    waiting: &[Waiting],
) -> io::Result<()> {
    write_line(out, &head_line(facts))?;
    for (index, step) in steps.iter().enumerate() {
        write_line(out, &message_line(index + 1, step))?;
    }
    for text in notes(facts) {
        write_line(out, &NoteLine { line: "note", text })?;
    }
    for waiting in waiting {
        let line = WaitingLine {
            line: "waiting",
            waiting,
            text: waiting.to_string(),
        };
        write_line(out, &line)?;
    }
    Ok(())
}

fn write_line(out: &mut dyn Write, line: &impl Serialize) -> io::Result<()> {
    writeln!(out, "{}", serde_json::to_string(line)?)
}

fn head_line(facts: &Facts) -> HeadLine<'_> {
    let order = facts.order.known();
    let reservation = facts.reservation.known();
    HeadLine {
        line: "order",
        order_id: &facts.order_id,
        status: order.map(|order| order.status().as_str_name()),
        version: order.map(|order| order.version),
        reason: order.map(|order| order.reason.as_str()),
        reservation: reservation.map(|row| row.status.as_str()),
        reservation_version: reservation.map(|row| row.version),
        partition: facts.partition,
        text: status(facts),
    }
}

fn message_line<'f>(number: usize, step: &'f Step<'_>) -> MessageLine<'f> {
    let message = step.message;
    let (cause_number, since_cause_ms) = match step.cause {
        Some(Cause::Step { number, latency_ms }) => (Some(number), Some(latency_ms)),
        Some(Cause::Elsewhere) | None => (None, None),
    };
    let mark = |mark| MarkLine {
        mark,
        text: mark_text(mark),
    };
    MessageLine {
        line: "message",
        number,
        time: message.time.to_string(),
        place: &message.place,
        name: message.name.as_deref(),
        id: message.id.as_deref(),
        cause: message.cause.as_deref(),
        cause_number,
        since_cause_ms,
        version: version(message),
        text: words::summary(message),
        marks: step.marks.iter().map(mark).collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::given::{Given, command, place_order};
    use super::*;

    fn written(given: Given, format: Format) -> String {
        let mut out = Vec::new();
        write(&mut out, &given.facts(), format).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// A backordered order that somebody has placed again with other content.
    fn story() -> Given {
        Given::backordered("O1", 2, 4).said(command(1, "c2", place_order("O1", &[("A", 4)])))
    }

    #[test]
    fn people_read_the_timeline_and_then_what_is_waited_for() {
        assert_eq!(
            written(story(), Format::Table),
            "\
order        O1
status       BACKORDERED, version 2: waiting for A
reservation  WAITING, version 1
partition    3

#  TIME                      WHERE                 WHAT              SINCE ITS CAUSE  SAYS
1  1970-01-01T00:00:00.000Z  order.commands/3@0    PlaceOrder                         3 A for CUSTOMER_001
2  1970-01-01T00:00:00.010Z  order.events/3@0      OrderPlaced       +10 ms after 1   version 1
3  1970-01-01T00:00:00.030Z  inventory.events/3@0  StockBackordered  +20 ms after 2   version 1: short of A
4  1970-01-01T00:00:00.035Z  order.events/3@1      OrderBackordered  +5 ms after 3    version 2: short of A
5  1970-01-01T00:00:01.000Z  order.commands/3@1    PlaceOrder                         4 A for CUSTOMER_001
     ^ CONFLICT: other content than order.commands/3@0; changes nothing

O1 waits for stock of A: 2 available, 3 needed; position 4 in the queue, and nobody passes
"
        );
    }

    #[test]
    fn programs_read_one_object_per_line_that_says_what_it_is() {
        let text = written(story(), Format::Json);
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let kinds: Vec<_> = lines
            .iter()
            .map(|line| line["line"].as_str().unwrap())
            .collect();
        let messages = ["message"; 5];
        assert_eq!(kinds, [&["order"], &messages[..], &["waiting"]].concat());
        assert_eq!(lines[0]["status"], "BACKORDERED");
        assert_eq!(lines[2]["since_cause_ms"], 10);
        assert_eq!(lines[2]["cause_number"], 1);
        assert_eq!(lines[5]["marks"][0]["mark"], "conflict");
        assert_eq!(lines[5]["marks"][0]["of"]["offset"], 0);
        assert_eq!(lines[6]["for"], "stock");
        assert_eq!(
            (&lines[6]["available"], &lines[6]["place"]),
            (&2.into(), &4.into())
        );
    }

    #[test]
    fn a_gap_in_what_is_known_is_a_note() {
        let given = Given::reserved("O1").kept_from("order.commands", 7);
        let text = written(given, Format::Table);
        assert!(
            text.contains("note: retention has deleted order.commands/3"),
            "{text}"
        );
        assert!(text.contains("cause not shown"), "{text}");
    }

    #[test]
    fn an_order_row_without_messages_is_shown() {
        let given = Given::new("O1").order(contracts::proto::order::Status::Completed, 3, "");
        let text = written(given, Format::Table);
        assert!(
            text.contains("no message of this order was found in the log"),
            "{text}"
        );
        assert!(
            text.ends_with("O1 waits for nothing: COMPLETED is final\n"),
            "{text}"
        );
    }
}
