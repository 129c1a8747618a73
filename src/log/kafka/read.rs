//! Reading and bounds.

use std::time::Duration;

use bytes::Bytes;
use rskafka::client::partition::{OffsetAt, PartitionClient};
use rskafka::record::RecordAndOffset;
use tokio::time::Instant;

use super::failure::{Failure, Phase};
use super::session::{Role, Sessions, in_time};
use crate::clock::Timestamp;
use crate::log::{Batch, Bounds, Consumed, ErrorKind, ReadLimit, Record};

/// One fetch.
pub(super) async fn read(
    sessions: &Sessions,
    topic: &str,
    partition: i32,
    from: i64,
    limit: ReadLimit,
    deadline: Instant,
) -> Result<Batch, Failure> {
    sessions
        .attempt(deadline, |session| async move {
            let client = session
                .partition(topic, partition, Role::Poll, deadline)
                .await?;
            // rskafka takes the exclusive end of a range and sends one less.
            let bytes = 1..limit.bytes_max.max(1).saturating_add(1);
            let fetch = client.fetch_records(from, bytes, millis(limit.wait_max));
            let (records, high_watermark) = in_time(deadline, Phase::Read, fetch)
                .await
                .map_err(|failure| name_poison(failure, from))?;
            if records.is_empty() && from > high_watermark {
                within(&client, from, deadline).await?;
            }
            Ok(Batch {
                records: records.into_iter().map(consumed).collect(),
                high_watermark,
            })
        })
        .await
}

/// The partition's first and next offset.
pub(super) async fn bounds(
    sessions: &Sessions,
    topic: &str,
    partition: i32,
    deadline: Instant,
) -> Result<Bounds, Failure> {
    sessions
        .attempt(deadline, |session| async move {
            let client = session
                .partition(topic, partition, Role::Prompt, deadline)
                .await?;
            let first = client.get_offset(OffsetAt::Earliest);
            let first = in_time(deadline, Phase::Read, first).await?;
            let next = client.get_offset(OffsetAt::Latest);
            let next = in_time(deadline, Phase::Read, next).await?;
            Ok(Bounds { first, next })
        })
        .await
}

/// A high watermark below the offset asked for is not yet proof of a lost tail: a new leader
/// starts with an old one, and then answers "offset not available" to this question.
async fn within(client: &PartitionClient, from: i64, deadline: Instant) -> Result<(), Failure> {
    let next = in_time(deadline, Phase::Read, client.get_offset(OffsetAt::Latest)).await?;
    if from > next {
        return Err(Failure::described(
            ErrorKind::OutOfRange,
            format!("offset {from} lies beyond the log's end {next}"),
        ));
    }
    Ok(())
}

/// A batch that cannot be decoded names the offset that an operator has to look at.
fn name_poison(failure: Failure, from: i64) -> Failure {
    match failure.kind {
        ErrorKind::Fatal => Failure {
            source: format!(
                "the log's answer from offset {from} on cannot be read ({}); if a foreign \
                 producer wrote there, an operator has to move the cursor past it",
                failure.source
            )
            .into(),
            ..failure
        },
        _ => failure,
    }
}

fn consumed(found: RecordAndOffset) -> Consumed {
    let record = found.record;
    Consumed {
        offset: found.offset,
        record: Record {
            key: record.key.map(Bytes::from),
            value: record.value.map(Bytes::from),
            headers: record
                .headers
                .into_iter()
                .map(|(name, value)| (name, Bytes::from(value)))
                .collect(),
            timestamp: Timestamp(record.timestamp.timestamp_millis()),
        },
    }
}

fn millis(span: Duration) -> i32 {
    i32::try_from(span.as_millis()).unwrap_or(i32::MAX)
}
