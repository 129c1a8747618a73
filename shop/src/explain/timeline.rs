//! The messages of an order in the sequence of causes.
//!
//! Each partition keeps the sequence of its offsets, and no message stands before the one that
//! caused it, whatever the clocks of the services say; apart from that the times decide.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::facts::{Facts, Message, TOPICS};
use super::marks::{self, Mark};

/// One message of the timeline.
#[derive(Clone, Debug)]
pub struct Step<'f> {
    /// The message.
    pub message: &'f Message,
    /// What caused it; `None` for the first of a flow.
    pub cause: Option<Cause>,
    /// What is noticeable about it.
    pub marks: Vec<Mark>,
}

/// What caused a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// An earlier message of the timeline.
    Step {
        /// Its number, from 1.
        number: usize,
        /// Milliseconds from its time to this one's; negative where clocks differ.
        latency_ms: i64,
    },
    /// A message that is not among these: about another order, or no longer in the log.
    Elsewhere,
}

/// The timeline of what was found.
#[must_use]
pub fn timeline(facts: &Facts) -> Vec<Step<'_>> {
    let messages = in_sequence(&facts.messages);
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    let mut steps = Vec::with_capacity(messages.len());
    for (index, &message) in messages.iter().enumerate() {
        let cause = message.cause.as_deref().map(|id| match numbers.get(id) {
            Some(&number) => Cause::Step {
                number,
                latency_ms: message.time.0 - messages[number - 1].time.0,
            },
            None => Cause::Elsewhere,
        });
        if let Some(id) = &message.id {
            numbers.entry(id).or_insert(index + 1);
        }
        steps.push(Step {
            message,
            cause,
            marks: Vec::new(),
        });
    }
    let marks = marks::of(facts, &messages);
    for (step, marks) in steps.iter_mut().zip(marks) {
        step.marks = marks;
    }
    steps
}

/// Always the earliest of the partitions' next messages whose cause has had its turn.
fn in_sequence(messages: &[Message]) -> Vec<&Message> {
    let mut lanes: BTreeMap<(usize, &str, i32), VecDeque<&Message>> = BTreeMap::new();
    let mut to_come: HashMap<&str, usize> = HashMap::new();
    for message in messages {
        let topic = message.place.topic.as_str();
        let rank = TOPICS.iter().position(|&known| known == topic);
        let lane = (rank.unwrap_or(TOPICS.len()), topic, message.place.partition);
        lanes.entry(lane).or_default().push_back(message);
        if let Some(id) = &message.id {
            *to_come.entry(id).or_default() += 1;
        }
    }
    let repeated = to_come.clone();
    let mut sequence = Vec::with_capacity(messages.len());
    loop {
        let has_to_wait = |message: &Message| {
            let first_to_come =
                |id| to_come.get(id) == repeated.get(id) && to_come.contains_key(id);
            message.cause.as_deref().is_some_and(first_to_come)
        };
        let heads = lanes
            .iter()
            .filter_map(|(&lane, lane_messages)| Some((lane, *lane_messages.front()?)));
        let next = heads.min_by_key(|&(lane, message)| (has_to_wait(message), message.time, lane));
        let Some((lane, message)) = next else {
            return sequence;
        };
        if let Some(left) = message.id.as_deref().and_then(|id| to_come.get_mut(id)) {
            *left -= 1;
        }
        if let Some(lane) = lanes.get_mut(&lane) {
            lane.pop_front();
        }
        sequence.push(message);
    }
}

#[cfg(test)]
mod tests {
    use super::super::given::{self, Given, place_order};
    use super::*;

    fn shown(steps: &[Step<'_>]) -> Vec<String> {
        let cause = |step: &Step<'_>| match step.cause {
            Some(Cause::Step { number, latency_ms }) => format!(" {latency_ms:+} after {number}"),
            Some(Cause::Elsewhere) => " elsewhere".to_owned(),
            None => String::new(),
        };
        steps
            .iter()
            .map(|step| format!("{}{}", step.message.place, cause(step)))
            .collect()
    }

    #[test]
    fn an_order_is_told_from_cause_to_cause() {
        let facts = Given::reserved("O1").facts();
        assert_eq!(
            shown(&timeline(&facts)),
            [
                "order.commands/3@0",
                "order.events/3@0 +10 after 1",
                "inventory.events/3@0 +20 after 2",
                "order.events/3@1 +5 after 3",
            ]
        );
    }

    #[test]
    fn a_clock_that_goes_slow_puts_no_effect_before_its_cause() {
        let mut facts = Given::reserved("O1").facts();
        let slow = facts
            .messages
            .iter_mut()
            .find(|message| message.place.topic == "inventory.events")
            .unwrap();
        slow.time.0 -= 1_000;
        let shown = shown(&timeline(&facts));
        assert_eq!(shown[2], "inventory.events/3@0 -980 after 2");
        assert_eq!(shown[3], "order.events/3@1 +1005 after 3");
    }

    #[test]
    fn a_cause_that_is_not_there_is_elsewhere() {
        let mut facts = Given::reserved("O1").facts();
        facts
            .messages
            .retain(|message| message.place.topic != "order.commands");
        assert_eq!(shown(&timeline(&facts))[0], "order.events/3@0 elsewhere");
    }

    #[test]
    fn messages_that_cause_one_another_still_come_out() {
        let mut given = Given::new("O1");
        let mut one = given::command(0, "a", place_order("O1", &[("A", 1)]));
        one.cause = Some("b".to_owned());
        let mut other = given::command(1, "b", place_order("O1", &[("A", 1)]));
        other.cause = Some("a".to_owned());
        given = given.said(one).said(other);
        assert_eq!(timeline(&given.facts()).len(), 2);
    }
}
