//! What log lines say of messages, once their turn is committed: one line for each that needs a
//! person, and at debug one for every other.

use std::sync::Arc;

use tracing::Level;

use crate::context::Context;
use crate::envelope::Traits;
use crate::log::Record;
use crate::runtime::item::Item;
use crate::store::{Conflict, Effects, ParkReason, Parked};

/// A message that its turn sets aside.
#[derive(Debug)]
pub(super) struct Aside {
    topic: String,
    offset: i64,
    /// `None` for a conflict.
    reason: Option<ParkReason>,
    record: Record,
    by_order: bool,
}

/// Which messages these effects set aside. Their records share memory with the effects'.
pub(super) fn aside<C: Context>(context: &C, effects: &Effects) -> Vec<Aside> {
    let new = |topic: &String, offset, reason, record: &Record| Aside {
        topic: topic.clone(),
        offset,
        reason,
        record: record.clone(),
        by_order: context.keyed_by_order(topic),
    };
    let parked = |one: &Parked| new(&one.topic, one.offset, Some(one.reason), &one.record);
    let conflict = |one: &Conflict| new(&one.topic, one.offset, None, &one.record);
    let parked = effects.parked.iter().map(parked);
    parked
        .chain(effects.conflicts.iter().map(conflict))
        .collect()
}

impl Aside {
    /// A line that names the message, and not what is in it: `shop parked show` does.
    pub(super) fn tell(&self, source: &str, shard: i32) {
        let (topic, offset) = (&*self.topic, self.offset);
        let (order_id, key) = names(self.by_order, &self.record);
        let Traits {
            message_id,
            message_type,
            trace_id,
        } = Traits::of(&self.record.headers);
        match self.reason {
            None => tracing::warn!(
                source,
                shard,
                topic,
                offset,
                order_id,
                key,
                trace_id,
                message_id,
                message_type,
                "conflict recorded: a known id with other content"
            ),
            Some(reason @ ParkReason::Behind) => tracing::warn!(
                source,
                shard,
                topic,
                offset,
                order_id,
                key,
                trace_id,
                message_id,
                message_type,
                reason = reason.as_str(),
                "message parked behind another one"
            ),
            Some(reason) => tracing::error!(
                source,
                shard,
                topic,
                offset,
                order_id,
                key,
                trace_id,
                message_id,
                message_type,
                reason = reason.as_str(),
                "message parked until an operator acts"
            ),
        }
    }
}

/// One line for each message of a committed turn, for who asks for that much.
pub(super) fn each<C: Context>(context: &C, shard: i32, items: &[Item<C::Message>]) {
    if !tracing::enabled!(Level::DEBUG) {
        return;
    }
    let source = context.source();
    for item in items {
        let (topic, offset) = (Arc::as_ref(&item.topic), item.offset);
        let (order_id, key) = names(context.keyed_by_order(topic), &item.record);
        let Traits {
            message_id,
            message_type,
            trace_id,
        } = Traits::of(&item.record.headers);
        tracing::debug!(
            source,
            shard,
            topic,
            offset,
            order_id,
            key,
            trace_id,
            message_id,
            message_type,
            "message committed"
        );
    }
}

/// One line for each message that the log has acknowledged, for who asks for that much.
pub(crate) fn published<C: Context>(context: &C, shard: i32, topic: &str, records: &[Record]) {
    if !tracing::enabled!(Level::DEBUG) {
        return;
    }
    let source = context.source();
    let by_order = context.keyed_by_order(topic);
    for record in records {
        let (order_id, key) = names(by_order, record);
        let Traits {
            message_id,
            message_type,
            trace_id,
        } = Traits::of(&record.headers);
        tracing::debug!(
            source,
            shard,
            topic,
            order_id,
            key,
            trace_id,
            message_id,
            message_type,
            "message published"
        );
    }
}

/// A record's key as `order_id` or as `key`.
fn names(by_order: bool, record: &Record) -> (Option<&str>, Option<&str>) {
    let key = record.key.as_deref();
    let key = key.and_then(|key| std::str::from_utf8(key).ok());
    if by_order { (key, None) } else { (None, key) }
}
