//! Appending.

use std::time::Duration;

use rskafka::chrono::DateTime;
use rskafka::client::partition::{Compression, OffsetAt};
use rskafka::record::Record as WireRecord;
use tokio::time::Instant;

use super::failure::{Failure, Phase};
use super::session::{Role, Sessions, in_time, soon};
use crate::log::{ErrorKind, Record};

/// The records as rskafka takes them: it keeps what it sends.
fn to_wire(records: &[Record]) -> Result<Vec<WireRecord>, Failure> {
    records
        .iter()
        .map(|record| {
            let timestamp =
                DateTime::from_timestamp_millis(record.timestamp.0).ok_or_else(|| {
                    Failure::described(
                        ErrorKind::Fatal,
                        format!("timestamp {} is out of range", record.timestamp.0),
                    )
                })?;
            Ok(WireRecord {
                key: record.key.as_deref().map(Vec::from),
                value: record.value.as_deref().map(Vec::from),
                headers: record
                    .headers
                    .iter()
                    .map(|(name, value)| (String::from(&**name), Vec::from(&value[..])))
                    .collect(),
                timestamp,
            })
        })
        .collect()
}

/// One attempt; the offset of the last record.
///
/// A connection that has been idle for `probe_after` is asked for an offset first: brokers close
/// idle connections and restart, and an append that is the first to notice could not tell whether
/// it has arrived.
pub(super) async fn append(
    sessions: &Sessions,
    topic: &str,
    partition: i32,
    records: &[Record],
    probe_after: Duration,
    deadline: Instant,
) -> Result<i64, Failure> {
    sessions
        .attempt(deadline, |session| async move {
            let partition = session
                .partition(topic, partition, Role::Prompt, deadline)
                .await?;
            let client = partition.client();
            if partition.idle() >= probe_after {
                let probe = client.get_offset(OffsetAt::Latest);
                in_time(soon(deadline), Phase::Prepare, probe).await?;
            }
            let produce = client.produce(to_wire(records)?, Compression::NoCompression);
            let offsets = in_time(deadline, Phase::Append, produce).await?;
            partition.answered();
            offsets.last().copied().ok_or_else(|| {
                Failure::described(ErrorKind::Fatal, "an append needs at least one record")
            })
        })
        .await
}
