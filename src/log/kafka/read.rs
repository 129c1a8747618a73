//! Reading and bounds.

use std::time::Duration;

use bytes::Bytes;
use rskafka::client::partition::{OffsetAt, PartitionClient};
use rskafka::record::RecordAndOffset;
use tokio::time::Instant;

use super::failure::{Failure, Phase};
use super::session::{Role, Sessions, in_time};
use crate::clock::Timestamp;
use crate::envelope::header_name;
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
            let partition = session
                .partition(topic, partition, Role::Poll, deadline)
                .await?;
            let client = partition.client();
            let (mut records, high_watermark) = match fetch(client, from, limit, deadline).await {
                Err(failure) if failure.kind == ErrorKind::Fatal => {
                    first_batch(client, from, deadline).await?
                }
                outcome => outcome?,
            };
            if records.is_empty() && from > high_watermark {
                within(client, from, deadline).await?;
            }
            if records.is_empty() && from < high_watermark {
                records = withheld(client, from, deadline).await?;
            }
            Ok(Batch {
                records: records.into_iter().map(consumed).collect(),
                high_watermark,
                connection: session.number(),
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
            let partition = session
                .partition(topic, partition, Role::Prompt, deadline)
                .await?;
            let client = partition.client();
            let first = client.get_offset(OffsetAt::Earliest);
            let first = in_time(deadline, Phase::Read, first).await?;
            let next = client.get_offset(OffsetAt::Latest);
            let next = in_time(deadline, Phase::Read, next).await?;
            partition.answered();
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

/// The log said that it goes on beyond `from`, and delivered nothing. Records may have come just
/// after it looked; if not, rskafka has dropped a batch that breaks off in the middle. Saying so
/// stops the reader from asking again and again at full speed.
async fn withheld(
    client: &PartitionClient,
    from: i64,
    deadline: Instant,
) -> Result<Vec<RecordAndOffset>, Failure> {
    let (records, high_watermark) = first_batch(client, from, deadline).await?;
    if records.is_empty() {
        return Err(Failure::described(
            ErrorKind::Retry,
            format!(
                "no record can be read at offset {from}, although the log ends at {high_watermark}"
            ),
        ));
    }
    Ok(records)
}

async fn fetch(
    client: &PartitionClient,
    from: i64,
    limit: ReadLimit,
    deadline: Instant,
) -> Result<(Vec<RecordAndOffset>, i64), Failure> {
    // rskafka takes the exclusive end of a range and sends one less.
    let bytes = 1..limit.bytes_max.max(1).saturating_add(1);
    let wait_ms = i32::try_from(limit.wait_max.as_millis()).unwrap_or(i32::MAX);
    let fetched = client.fetch_records(from, bytes, wait_ms);
    in_time(deadline, Phase::Read, fetched).await
}

/// One batch that rskafka cannot decode (a null header, a transaction marker) spoils a whole
/// answer. The shortest answer holds the first batch only: so everything before the spoilt batch
/// is read, and the failure names the offset that an operator has to look at.
async fn first_batch(
    client: &PartitionClient,
    from: i64,
    deadline: Instant,
) -> Result<(Vec<RecordAndOffset>, i64), Failure> {
    let shortest = ReadLimit {
        bytes_max: 1,
        wait_max: Duration::ZERO,
    };
    fetch(client, from, shortest, deadline)
        .await
        .map_err(|failure| match failure.kind {
            ErrorKind::Fatal => Failure {
                source: format!(
                    "the batch at offset {from} cannot be read ({}): find out who wrote it, and \
                     move the cursor past it",
                    failure.source
                )
                .into(),
                ..failure
            },
            _ => failure,
        })
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
                .map(|(name, value)| (header_name(name), Bytes::from(value)))
                .collect(),
            timestamp: Timestamp(record.timestamp.timestamp_millis()),
        },
    }
}
