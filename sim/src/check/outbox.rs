//! Messages from their commit to the log: E1-E4, the outbox's half of S6, and F2.

use std::collections::{BTreeMap, BTreeSet};

use messaging::log::{Consumed, Record};
use messaging::store::{Published, Sequence};

use super::commit::Committed;
use super::decisions::Said;
use super::seen_log::{Home, SeenLog};
use super::told::Told;
use super::violation::{Checked, Violation, require};

/// What a service has committed to say, and what it has said.
#[derive(Clone, Default)]
pub(crate) struct Outbox {
    messages: BTreeMap<String, Message>,
    /// Rows not deleted yet: partition, sequence, ids of the messages.
    rows: BTreeMap<(i32, Sequence), Vec<String>>,
    last: BTreeMap<i32, Sequence>,
    /// The newest version of each aggregate in the log: topic, key.
    newest: BTreeMap<(String, String), i64>,
    /// What the log holds from before the database was replaced by another copy.
    said_before: BTreeMap<String, Record>,
}

/// A committed message.
#[derive(Clone)]
struct Message {
    home: Home,
    record: Record,
    published: bool,
}

impl Outbox {
    /// Takes in the rows of a commit; returns what they say.
    pub(crate) fn add(
        &mut self,
        log: &SeenLog,
        commit: &Committed<'_>,
    ) -> Result<Vec<Said>, Violation> {
        let (rows, batches) = (commit.rows.iter(), commit.effects.outbox.iter());
        require(rows.map(|row| &row.batch).eq(batches), "S6", || {
            "the outbox rows are not the messages of the turn".to_owned()
        })?;
        let mut said = Vec::new();
        for row in commit.rows {
            let partition = row.batch.partition;
            let last = self.last.entry(partition).or_default();
            require(row.sequence.0 == last.0 + 1, "S6", || {
                format!(
                    "outbox row {:?} of partition {partition} follows {last:?}",
                    row.sequence
                )
            })?;
            *last = row.sequence;
            let home = (row.batch.topic.clone(), partition);
            let mut ids = Vec::new();
            for record in &row.batch.records {
                let (id, event) = read(log, &home, record)?;
                self.commit_once(&home, &id, record)?;
                ids.push(id);
                said.push(event);
            }
            self.rows.insert((partition, row.sequence), ids);
        }
        Ok(said)
    }

    fn commit_once(&mut self, home: &Home, id: &str, record: &Record) -> Checked {
        let message = Message {
            home: home.clone(),
            record: record.clone(),
            published: false,
        };
        let before = self.messages.insert(id.to_owned(), message);
        require(before.is_none(), "S6", || {
            format!("message {id} is committed a second time, to {home:?}")
        })
    }

    /// E1-E4 of one appended event; tells whether it was appended before. A partition that has
    /// lost its tail is `excused` from E3.
    pub(crate) fn published(
        &mut self,
        topic: &str,
        partition: i32,
        consumed: &Consumed,
        told: &Told,
        excused: bool,
    ) -> Result<bool, Violation> {
        let place = || format!("{topic}/{partition} offset {}", consumed.offset);
        let Told::Message { envelope, body } = told else {
            return Err(Violation {
                invariant: "E4",
                detail: format!("{} is {told:?}", place()),
            });
        };
        if let Some(before) = self.said_before.get(&envelope.id) {
            require(same(before, &consumed.record), "E2", || {
                format!("{} was published before as {before:?}: {body:?}", place())
            })?;
        }
        let Some(message) = self.messages.get_mut(&envelope.id) else {
            return Err(Violation {
                invariant: "E1",
                detail: format!("{} was never committed: {body:?}", place()),
            });
        };
        let again = message.published;
        let invariant = if again { "E2" } else { "E1" };
        require(same(&message.record, &consumed.record), invariant, || {
            format!("{} is not as it was committed: {body:?}", place())
        })?;
        require(
            message.home == (topic.to_owned(), partition),
            invariant,
            || format!("{} was committed for {:?}", place(), message.home),
        )?;
        message.published = true;
        let version = body.version().unwrap_or_default();
        let aggregate = (topic.to_owned(), body.key().to_owned());
        let newest = self.newest.entry(aggregate).or_default();
        if version > *newest {
            require(excused || version == *newest + 1, "E3", || {
                format!("{} is version {version} after {newest}: {body:?}", place())
            })?;
            *newest = version;
        }
        Ok(again)
    }

    /// Takes the place of `newer`: what that one has said stays said.
    pub(crate) fn replace(&mut self, newer: &Self) {
        self.said_before.extend(newer.said_before.clone());
        let said = newer.messages.iter().filter(|(_, said)| said.published);
        let said = said.map(|(id, said)| (id.clone(), said.record.clone()));
        self.said_before.extend(said);
    }

    /// Where the log holds messages that `older` does not know.
    pub(crate) fn said_since(&self, older: &Self) -> BTreeSet<Home> {
        let said = self.messages.iter().filter(|(_, said)| said.published);
        let unknown = said.filter(|(id, _)| !older.messages.contains_key(*id));
        unknown.map(|(_, said)| said.home.clone()).collect()
    }

    /// F2: a row leaves the outbox only when the log has its messages.
    pub(crate) fn delete(&mut self, log: &SeenLog, published: &[Published]) -> Checked {
        for published in published {
            let partition = published.partition;
            let gone = self
                .rows
                .range((partition, Sequence(i64::MIN))..=(partition, published.up_to));
            let gone: Vec<_> = gone.map(|(key, ids)| (*key, ids.clone())).collect();
            for (key, ids) in gone {
                self.rows.remove(&key);
                for id in &ids {
                    self.require_published(log, id, "deleted from the outbox")?;
                }
            }
        }
        Ok(())
    }

    fn require_published(&self, log: &SeenLog, id: &str, what: &str) -> Checked {
        let Some(message) = self.messages.get(id) else {
            return Ok(());
        };
        let (topic, partition) = &message.home;
        let holds = message.published || log.is_damaged(topic, *partition);
        require(holds, "F2", || {
            format!(
                "message {id} is {what}, but not in {topic}/{partition}: {:?}",
                message.record
            )
        })
    }

    /// F2, once everything has come to rest: nothing is left to say, and everything was said.
    pub(crate) fn settled(&self, log: &SeenLog) -> Checked {
        let left: BTreeSet<_> = self.rows.keys().collect();
        require(left.is_empty(), "F2", || {
            format!("outbox rows are left: {left:?}")
        })?;
        for id in self.messages.keys() {
            self.require_published(log, id, "committed")?;
        }
        Ok(())
    }
}

/// The same key, value and headers: a log may keep its own time.
fn same(one: &Record, other: &Record) -> bool {
    let sorted = |record: &Record| {
        let mut headers = record.headers.clone();
        headers.sort();
        headers
    };
    (&one.key, &one.value) == (&other.key, &other.value) && sorted(one) == sorted(other)
}

/// A committed message's id, and what it says.
fn read(log: &SeenLog, home: &Home, record: &Record) -> Result<(String, Said), Violation> {
    match log.read(record, home.1) {
        Told::Message { envelope, body } => {
            let version = body.version().unwrap_or_default();
            let key = body.key().to_owned();
            Ok((
                envelope.id,
                (home.0.clone(), key, version, envelope.message_type),
            ))
        }
        told => Err(Violation {
            invariant: "E4",
            detail: format!("a message for {home:?} is committed that is {told:?}"),
        }),
    }
}
