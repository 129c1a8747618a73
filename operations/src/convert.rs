//! Rows as messages.

use contracts::proto;
use messaging::clock::Timestamp;
use messaging::envelope::Envelope;
use messaging::log::Record;
use messaging::shard::ShardId;
use messaging::store::{
    ActionRecord, Conflicting, Outcome, ParkedRow, Place, ShardCheckpoint, Target,
};

/// Where a record stands.
pub(crate) fn place(shard: ShardId, place: &Place) -> proto::Place {
    proto::Place {
        topic: place.topic.clone(),
        partition: shard.0,
        offset: place.offset,
    }
}

/// What is known of a parked message.
pub(crate) fn parked(row: &ParkedRow) -> proto::ParkedMessage {
    let parked = &row.parked;
    let (kind, id) = match &parked.aggregate {
        Some(aggregate) => (aggregate.kind.clone(), aggregate.id.clone()),
        None => Default::default(),
    };
    proto::ParkedMessage {
        place: Some(place(row.shard, &row.place())),
        aggregate_kind: kind,
        aggregate_id: id,
        reason: parked.reason.as_str().to_owned(),
        detail: parked.detail.clone(),
        parked_at: Some(timestamp(parked.at)),
        message_type: header(&parked.record, "ce_type"),
        message_id: header(&parked.record, "ce_id"),
        replays: row.replays,
    }
}

/// A header's text; empty where it is missing or no text. Read on its own, for the other headers
/// may be what is wrong.
fn header(record: &Record, name: &str) -> String {
    let value = record.headers.iter().find(|(known, _)| known == name);
    value
        .and_then(|(_, value)| String::from_utf8(value.to_vec()).ok())
        .unwrap_or_default()
}

/// An action with what became of its messages.
pub(crate) fn action(record: ActionRecord) -> proto::Action {
    let action = record.action;
    let shard = action.shard;
    let (aggregate, at) = match &action.target {
        Target::Aggregate(aggregate) => (Some(aggregate.clone()), None),
        Target::Place(at) => (None, Some(place(shard, at))),
    };
    let (aggregate_kind, aggregate_id) = aggregate
        .map(|aggregate| (aggregate.kind, aggregate.id))
        .unwrap_or_default();
    proto::Action {
        action_id: action.id,
        kind: action.kind.as_str().to_owned(),
        operator: action.operator,
        reason: action.reason,
        requested_at: Some(timestamp(action.at)),
        done_at: record.done_at.map(timestamp),
        outcomes: outcomes(shard, record.outcomes),
        outcome_count: record.outcome_count,
        aggregate_kind,
        aggregate_id,
        place: at,
    }
}

/// What became of messages.
pub(crate) fn outcomes(shard: ShardId, outcomes: Vec<Outcome>) -> Vec<proto::ParkedOutcome> {
    let outcomes = outcomes.into_iter();
    outcomes
        .map(|outcome| proto::ParkedOutcome {
            place: Some(place(shard, &outcome.place)),
            outcome: outcome.kind.as_str().to_owned(),
            detail: outcome.detail,
        })
        .collect()
}

/// A conflict.
pub(crate) fn conflict(row: &Conflicting) -> proto::ConflictingMessage {
    let conflict = &row.conflict;
    proto::ConflictingMessage {
        place: Some(proto::Place {
            topic: conflict.topic.clone(),
            partition: row.shard.0,
            offset: conflict.offset,
        }),
        message_type: conflict.key.message_type.clone(),
        key: conflict.key.key.clone(),
        message_id: Envelope::from_headers(&conflict.record.headers)
            .map_or_else(|_| conflict.key.id.clone(), |envelope| envelope.id),
        found_at: Some(timestamp(conflict.at)),
    }
}

/// How far a shard has come.
pub(crate) fn checkpoint(shard: ShardCheckpoint) -> proto::ShardCheckpoint {
    let cursors = shard.cursors.into_iter();
    proto::ShardCheckpoint {
        shard: shard.shard.0,
        epoch: shard.epoch.0,
        cursors: cursors
            .map(|cursor| proto::TopicCursor {
                topic: cursor.topic,
                next_offset: cursor.next_offset,
            })
            .collect(),
        outbox_rows: shard.outbox_rows,
        outbox_oldest: shard.outbox_oldest.map(timestamp),
        outbox_next_sequence: shard.outbox_next.0,
        parked: shard.parked,
        parked_oldest: shard.parked_oldest.map(timestamp),
        conflicts: shard.conflicts,
    }
}

/// A time on the wire.
pub(crate) fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.0.div_euclid(1_000),
        // Below 1e9 by construction.
        nanos: i32::try_from(time.0.rem_euclid(1_000) * 1_000_000).unwrap_or_default(),
    }
}
