//! What could not be had, so that nobody takes silence for an answer.

use std::collections::BTreeMap;

use super::facts::{Extent, Facts, Shard, TOPICS};
use crate::services::Service;

/// A sentence each about what is missing; empty when everything was found out.
#[must_use]
pub fn notes(facts: &Facts) -> Vec<String> {
    let mut notes = unread(facts);
    notes.extend(TOPICS.iter().filter_map(|&topic| extent(facts, topic)));
    if facts.left_out > 0 {
        notes.push(format!(
            "{} more messages of this order are not shown",
            facts.left_out
        ));
    }
    for shard in facts.shards() {
        if shard.answers {
            unanswered(facts, shard, &mut notes);
        } else {
            notes.push(silent(shard));
        }
    }
    notes
}

/// Topics that could not be read for the same reason share a sentence.
fn unread(facts: &Facts) -> Vec<String> {
    let mut unread: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for topic in TOPICS {
        if let Some(Extent::Unread(why)) = facts.extents.get(topic) {
            unread.entry(why).or_default().push(topic);
        }
    }
    let sentence = |(why, topics): (&str, Vec<&str>)| {
        format!("{} could not be read: {why}", topics.join(", "))
    };
    unread.into_iter().map(sentence).collect()
}

fn extent(facts: &Facts, topic: &str) -> Option<String> {
    match facts.extents.get(topic)? {
        Extent::Read { first: 0, .. } | Extent::Unread(_) => None,
        Extent::Read { first, .. } => {
            let partition = facts.partition.unwrap_or_default();
            Some(format!(
                "retention has deleted {topic}/{partition} below offset {first}: what stood there \
                 is not shown"
            ))
        }
        Extent::NoTopic => Some(format!("the log has no topic {topic} yet")),
    }
}

fn silent(shard: &Shard) -> String {
    let (service, url) = (shard.service, &shard.url);
    let row = match service {
        Service::Order => "the order's row",
        Service::Inventory => "the reservation, stock",
    };
    format!(
        "{service} does not answer at {url}: {row}, messages set aside, conflicts and how far it \
         has read are not known"
    )
}

/// Questions that got the same kind of no answer share a sentence.
fn unanswered(facts: &Facts, shard: &Shard, notes: &mut Vec<String>) {
    let service = shard.service;
    let row = match service {
        Service::Order => ("the order's row", facts.order.unknown()),
        Service::Inventory => ("the reservation", facts.reservation.unknown()),
    };
    let mut questions: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (question, why) in [
        row,
        ("messages set aside", shard.parked.unknown()),
        ("conflicts", shard.conflicts.unknown()),
        ("operators' actions", shard.handled.unknown()),
        ("how far it has read", shard.checkpoint.unknown()),
    ] {
        if let Some(why) = why {
            questions.entry(why).or_default().push(question.to_owned());
        }
    }
    let stock = facts.stock.iter();
    for (product, level) in stock.filter(|_| service == Service::Inventory) {
        if let Some(why) = level.unknown() {
            let question = format!("the stock of {product}");
            questions.entry(why).or_default().push(question);
        }
    }
    let sentences = questions
        .into_iter()
        .map(|(why, questions)| format!("{service} does not tell {}: {why}", questions.join(", ")));
    notes.extend(sentences);
}

#[cfg(test)]
mod tests {
    use super::super::facts::Told;
    use super::super::given::Given;
    use super::*;

    #[test]
    fn when_everything_was_found_out_there_is_nothing_to_say() {
        assert_eq!(notes(&Given::reserved("O1").facts()), [""; 0]);
    }

    #[test]
    fn what_retention_has_deleted_is_said() {
        let facts = Given::reserved("O1").kept_from("order.commands", 7).facts();
        assert_eq!(
            notes(&facts),
            [
                "retention has deleted order.commands/3 below offset 7: what stood there is not \
                 shown"
            ]
        );
    }

    #[test]
    fn a_topic_that_is_not_there_or_cannot_be_read_is_said() {
        let mut facts = Given::placed("O1").facts();
        facts.extents.insert("inventory.events", Extent::NoTopic);
        for topic in ["order.commands", "order.events"] {
            let why = "log bounds failed: no broker".to_owned();
            facts.extents.insert(topic, Extent::Unread(why));
        }
        assert_eq!(
            notes(&facts),
            [
                "order.commands, order.events could not be read: log bounds failed: no broker",
                "the log has no topic inventory.events yet",
            ]
        );
    }

    #[test]
    fn a_service_that_is_down_is_one_sentence() {
        let facts = Given::backordered("O1", 1, 1)
            .silent(Service::Inventory)
            .facts();
        assert_eq!(
            notes(&facts),
            [
                "inventory does not answer at http://inventory.test:8901: the reservation, stock, \
                 messages set aside, conflicts and how far it has read are not known"
            ]
        );
    }

    #[test]
    fn questions_without_an_answer_are_told_by_reason() {
        let mut facts = Given::backordered("O1", 1, 1).facts();
        let old = || "its version has no such call".to_owned();
        facts.reservation = Told::Unknown(old());
        facts.inventory_shard.parked = Told::Unknown(old());
        facts.stock = [(
            "A".to_owned(),
            Told::Unknown("UNAVAILABLE: busy".to_owned()),
        )]
        .into();
        assert_eq!(
            notes(&facts),
            [
                "inventory does not tell the stock of A: UNAVAILABLE: busy",
                "inventory does not tell the reservation, messages set aside: its version has no \
                 such call",
            ]
        );
    }

    #[test]
    fn messages_that_are_left_out_are_counted() {
        let mut facts = Given::placed("O1").facts();
        facts.left_out = 12;
        assert_eq!(
            notes(&facts),
            ["12 more messages of this order are not shown"]
        );
    }
}
