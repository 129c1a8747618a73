//! How what operators look at is shown.

use std::io::{self, Write};

use contracts::proto::{
    Action, ConflictingMessage, DiscardParkedResponse, GetParkedResponse, ParkedMessage,
    ParkedOutcome, Place, ReplayParkedResponse, Shard,
};

use super::Item;

/// Outcomes of an action that a table shows; JSON has all that the service tells.
const OUTCOMES_SHOWN_MAX: usize = 3;

/// A place as `shop tail` writes it, and as commands take it: `topic/partition@offset`.
#[must_use]
pub(super) fn place(place: Option<&Place>) -> String {
    let place = place.cloned().unwrap_or_default();
    format!("{}/{}@{}", place.topic, place.partition, place.offset)
}

fn time(time: Option<prost_types::Timestamp>) -> String {
    time.map(|time| time.to_string()).unwrap_or_default()
}

/// Text of others, in one line of a table.
fn in_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Item for ParkedMessage {
    const MESSAGE: &'static str = "shop.v1.ParkedMessage";
    const COLUMNS: &'static [&'static str] = &[
        "MESSAGE", "KEY", "TYPE", "REASON", "PARKED", "REPLAYS", "DETAIL",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            place(self.place.as_ref()),
            self.aggregate_id.clone(),
            self.message_type.clone(),
            self.reason.clone(),
            time(self.parked_at),
            self.replays.to_string(),
            in_line(&self.detail),
        ]
    }
}

impl Item for ParkedOutcome {
    const MESSAGE: &'static str = "shop.v1.ParkedOutcome";
    const COLUMNS: &'static [&'static str] = &["MESSAGE", "OUTCOME", "DETAIL"];

    fn cells(&self) -> Vec<String> {
        vec![
            place(self.place.as_ref()),
            self.outcome.clone(),
            in_line(&self.detail),
        ]
    }
}

impl Item for ReplayParkedResponse {
    const MESSAGE: &'static str = "shop.v1.ReplayParkedResponse";
    const COLUMNS: &'static [&'static str] = &["MESSAGES", "STILL PARKED", "ACTION"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.outcome_count.to_string(),
            self.left.to_string(),
            self.action_id.clone(),
        ]
    }
}

impl Item for Action {
    const MESSAGE: &'static str = "shop.v1.Action";
    const COLUMNS: &'static [&'static str] =
        &["ASKED", "BY", "ACTION", "OF", "DONE", "OUTCOME", "REASON"];

    fn cells(&self) -> Vec<String> {
        let of = match &self.place {
            Some(at) => place(Some(at)),
            None => format!("{} {}", self.aggregate_kind, self.aggregate_id),
        };
        vec![
            time(self.requested_at),
            self.operator.clone(),
            self.kind.clone(),
            of,
            time(self.done_at),
            self.outcome(),
            in_line(&self.reason),
        ]
    }
}

/// What came of an action, in a few words.
trait Told {
    fn outcome(&self) -> String;
}

impl Told for Action {
    fn outcome(&self) -> String {
        if self.done_at.is_none() {
            return "open".to_owned();
        }
        let shown = self.outcomes.iter().rev().take(OUTCOMES_SHOWN_MAX).rev();
        let words: Vec<&str> = shown.map(|outcome| outcome.outcome.as_str()).collect();
        match usize::try_from(self.outcome_count).unwrap_or(usize::MAX) {
            0 => "nothing left".to_owned(),
            count if count > words.len() => {
                format!("{count} messages: ... {}", words.join(", "))
            }
            _ => words.join(", "),
        }
    }
}

impl Item for DiscardParkedResponse {
    const MESSAGE: &'static str = "shop.v1.DiscardParkedResponse";
    const COLUMNS: &'static [&'static str] = &["ACTION"];

    fn cells(&self) -> Vec<String> {
        vec![self.action_id.clone()]
    }
}

impl Item for ConflictingMessage {
    const MESSAGE: &'static str = "shop.v1.ConflictingMessage";
    const COLUMNS: &'static [&'static str] = &["MESSAGE", "KEY", "TYPE", "ID", "FOUND"];

    fn cells(&self) -> Vec<String> {
        vec![
            place(self.place.as_ref()),
            self.key.clone(),
            self.message_type.clone(),
            self.message_id.clone(),
            time(self.found_at),
        ]
    }
}

impl Item for Shard {
    const MESSAGE: &'static str = "shop.v1.Shard";
    const COLUMNS: &'static [&'static str] = &[
        "SHARD", "OWNER", "EPOCH", "READ TO", "LAG", "OUTBOX", "OLDEST", "PARKED",
    ];

    fn cells(&self) -> Vec<String> {
        let owner = match self.owner.as_str() {
            "" => "nobody",
            owner => owner,
        };
        let read_to = self.inputs.iter();
        let read_to = read_to.map(|input| format!("{}@{}", input.topic, input.next_offset));
        // Unknown in one topic is unknown altogether.
        let lag: Option<i64> = self.inputs.iter().map(|input| input.lag).sum();
        let oldest = self.outbox_age.as_ref();
        vec![
            self.shard.to_string(),
            owner.to_owned(),
            self.epoch.to_string(),
            read_to.collect::<Vec<_>>().join(" "),
            lag.map_or_else(|| "unknown".to_owned(), |lag| lag.to_string()),
            self.outbox_rows.to_string(),
            oldest
                .map(|age| format!("{}s", age.seconds))
                .unwrap_or_default(),
            self.parked.to_string(),
        ]
    }
}

impl Item for GetParkedResponse {
    const MESSAGE: &'static str = "shop.v1.GetParkedResponse";
    const COLUMNS: &'static [&'static str] = ParkedMessage::COLUMNS;

    fn cells(&self) -> Vec<String> {
        self.message.clone().unwrap_or_default().cells()
    }
}

/// One parked message with all of its record.
///
/// # Errors
/// When `out` cannot be written.
pub fn parked_sheet(
    out: &mut dyn Write,
    service: &str,
    parked: &GetParkedResponse,
) -> io::Result<()> {
    let message = parked.message.clone().unwrap_or_default();
    let key = match message.aggregate_id.as_str() {
        "" => "none: it is parked alone".to_owned(),
        id => format!("{} {id}", message.aggregate_kind),
    };
    let facts = [
        ("message", place(message.place.as_ref())),
        ("service", service.to_owned()),
        ("holds up", key),
        ("reason", message.reason),
        ("detail", in_line(&message.detail)),
        ("parked", time(message.parked_at)),
        ("replays", message.replays.to_string()),
        ("type", message.message_type),
        ("id", message.message_id),
        ("written", time(parked.written_at)),
        ("schema id", parked.schema_id.to_string()),
    ];
    for (name, value) in facts {
        writeln!(out, "{}", format!("{name:<12} {value}").trim_end())?;
    }
    writeln!(out, "\nheaders")?;
    for header in &parked.headers {
        writeln!(out, "  {:<22} {}", header.name, header.value.escape_ascii())?;
    }
    writeln!(out, "key\n  {}", parked.key.escape_ascii())?;
    match parked.undecoded.as_str() {
        "" => writeln!(out, "payload\n  {}", parked.decoded_json),
        why => {
            writeln!(out, "payload, not decoded: {}", in_line(why))?;
            writeln!(out, "  {}", parked.value.escape_ascii())
        }
    }
}

#[cfg(test)]
mod tests {
    use contracts::proto::ShardInput;

    use super::*;

    #[test]
    fn a_shard_that_nobody_owns_behind_a_log_that_is_away() {
        let input = |topic: &str, lag| ShardInput {
            topic: topic.to_owned(),
            next_offset: 7,
            high_watermark: None,
            lag,
        };
        let mut shard = Shard {
            inputs: vec![input("a", Some(2)), input("b", Some(3))],
            ..Shard::default()
        };
        assert_eq!(shard.cells()[1..5], ["nobody", "0", "a@7 b@7", "5"]);
        shard.inputs[1].lag = None;
        assert_eq!(shard.cells()[4], "unknown");
    }

    #[test]
    fn what_came_of_an_action_is_short() {
        let outcome = |word: &str| ParkedOutcome {
            outcome: word.to_owned(),
            ..ParkedOutcome::default()
        };
        let mut action = Action {
            outcomes: ["applied", "applied", "applied", "parked"]
                .map(outcome)
                .to_vec(),
            outcome_count: 4,
            ..Action::default()
        };
        assert_eq!(action.outcome(), "open");
        action.done_at = Some(prost_types::Timestamp::default());
        assert_eq!(action.outcome(), "4 messages: ... applied, applied, parked");
        action.outcomes.truncate(1);
        action.outcome_count = 1;
        assert_eq!(action.outcome(), "applied");
        action.outcome_count = 0;
        assert_eq!(action.outcome(), "nothing left");
    }
}
