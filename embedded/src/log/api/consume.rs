//! Consuming: fetches with long polls, and offsets by position or time.

use std::sync::Arc;
use std::time::Duration;

use futures::future::select_all;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::{
    FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse, TopicName,
};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::{Broker, blocking};
use crate::log::limits::{FETCH_BYTES_MAX, FETCH_WAIT_MAX};
use crate::log::partition::Partition;
use crate::log::read::{Read, ReadError};
use crate::log::store::Bounds;

/// The offset that stands for the end of the log in ListOffsets.
const LATEST: i64 = -1;
/// The offset that stands for the start of the log in ListOffsets.
const EARLIEST: i64 = -2;

/// One partition of a fetch.
#[derive(Clone)]
struct Wanted {
    number: i32,
    offset: i64,
    bytes_max: usize,
    partition: Option<Arc<Partition>>,
}

/// What a fetch asks for, resolved.
struct Plan {
    bytes_min: usize,
    bytes_max: usize,
    topics: Vec<(TopicName, Vec<Wanted>)>,
}

/// Reads records, waiting until there are `min_bytes` of them, an error to report, or
/// `max_wait_ms` are over. New records wake it at once.
pub(super) async fn fetch(broker: &Arc<Broker>, request: FetchRequest) -> FetchResponse {
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    let deadline = Instant::now() + wait.min(FETCH_WAIT_MAX);
    let plan = Arc::new(plan(broker, request));
    // Registered before the first look, so that nothing that comes in between is missed.
    let mut ends: Vec<watch::Receiver<i64>> = plan
        .topics
        .iter()
        .flat_map(|(_, wanted)| wanted.iter().filter_map(|w| w.partition.as_ref()))
        .map(|partition| partition.watch_end())
        .collect();
    loop {
        let Some(look) = look(&plan).await else {
            return FetchResponse::default()
                .with_error_code(ResponseError::UnknownServerError.code());
        };
        if look.final_ || look.bytes >= plan.bytes_min || ends.is_empty() {
            return FetchResponse::default().with_responses(look.responses);
        }
        let woken = select_all(ends.iter_mut().map(|end| Box::pin(end.changed())));
        match timeout_at(deadline, woken).await {
            // The topic was deleted while we waited: say what there is.
            Ok((Err(_), _, _)) | Err(_) => {
                return FetchResponse::default().with_responses(look.responses);
            }
            Ok((Ok(()), _, _)) => {}
        }
    }
}

fn plan(broker: &Broker, request: FetchRequest) -> Plan {
    let bytes = |wanted: i32| usize::try_from(wanted).unwrap_or(0).min(FETCH_BYTES_MAX);
    let topics = request.topics.into_iter().map(|topic| {
        let wanted = topic.partitions.iter().map(|partition| Wanted {
            number: partition.partition,
            offset: partition.fetch_offset,
            bytes_max: bytes(partition.partition_max_bytes),
            partition: broker.topics.partition(&topic.topic, partition.partition),
        });
        let wanted = wanted.collect();
        (topic.topic, wanted)
    });
    Plan {
        bytes_min: bytes(request.min_bytes),
        bytes_max: bytes(request.max_bytes),
        topics: topics.collect(),
    }
}

/// What one look at all partitions found.
struct Look {
    responses: Vec<FetchableTopicResponse>,
    bytes: usize,
    /// There is nothing to wait for: an error is to be reported, or the response is full.
    final_: bool,
}

/// Looks in memory, and into the files only if that is not enough: consumers that keep up find
/// everything in memory, and need no other thread. `None` if the look panicked.
async fn look(plan: &Arc<Plan>) -> Option<Look> {
    let in_memory =
        |partition: &Partition, offset, bytes, one| partition.read_recent(offset, bytes, one);
    if let Some(look) = look_with(plan, in_memory) {
        return Some(look);
    }
    let in_files =
        |partition: &Partition, offset, bytes, one| Some(partition.read(offset, bytes, one));
    let plan = Arc::clone(plan);
    blocking(move || look_with(&plan, in_files)).await.flatten()
}

/// Looks at all partitions by `read`; `None` as soon as that cannot tell.
fn look_with(
    plan: &Plan,
    read: impl Fn(&Partition, i64, usize, bool) -> Option<Result<Read, ReadError>>,
) -> Option<Look> {
    let mut look = Look {
        responses: Vec::new(),
        bytes: 0,
        final_: false,
    };
    for (name, wanted) in &plan.topics {
        let mut partitions = Vec::with_capacity(wanted.len());
        for wanted in wanted {
            let room = plan.bytes_max.saturating_sub(look.bytes);
            let (bytes_max, at_least_one) = (room.min(wanted.bytes_max), look.bytes == 0);
            let found = match &wanted.partition {
                Some(partition) => Some(read(partition, wanted.offset, bytes_max, at_least_one)?),
                None => None,
            };
            let data = data(wanted, found);
            look.final_ |= data.error_code != 0;
            look.bytes += data.records.as_ref().map_or(0, bytes::Bytes::len);
            partitions.push(data);
        }
        let response = FetchableTopicResponse::default().with_topic(name.clone());
        look.responses.push(response.with_partitions(partitions));
    }
    look.final_ |= look.bytes >= plan.bytes_max;
    Some(look)
}

/// What was found, as a response says it; nothing if there is no such partition.
fn data(wanted: &Wanted, found: Option<Result<Read, ReadError>>) -> PartitionData {
    let data = PartitionData::default()
        .with_partition_index(wanted.number)
        .with_records(Some(bytes::Bytes::new()));
    let (Some(partition), Some(found)) = (&wanted.partition, found) else {
        return data
            .with_error_code(ResponseError::UnknownTopicOrPartition.code())
            .with_high_watermark(-1);
    };
    match found {
        Ok(Read { batches, bounds }) => with_bounds(data, bounds).with_records(Some(batches)),
        Err(ReadError::OutOfRange(bounds)) => {
            with_bounds(data, bounds).with_error_code(ResponseError::OffsetOutOfRange.code())
        }
        Err(ReadError::Io(error)) => {
            tracing::error!(partition = wanted.number, offset = wanted.offset, %error, "cannot read");
            with_bounds(data, partition.bounds())
                .with_error_code(ResponseError::KafkaStorageError.code())
        }
    }
}

fn with_bounds(data: PartitionData, bounds: Bounds) -> PartitionData {
    data.with_high_watermark(bounds.end)
        .with_last_stable_offset(bounds.end)
        .with_log_start_offset(bounds.start)
}

/// The start, the end, or the first offset at or after a time, of each partition.
pub(super) async fn list_offsets(
    broker: &Arc<Broker>,
    request: ListOffsetsRequest,
) -> ListOffsetsResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in topic.partitions {
            let found = find(broker, &topic.name, asked.partition_index, asked.timestamp).await;
            let response =
                ListOffsetsPartitionResponse::default().with_partition_index(asked.partition_index);
            partitions.push(match found {
                Ok((offset, timestamp)) => response.with_offset(offset).with_timestamp(timestamp),
                Err(error) => response.with_offset(-1).with_error_code(error.code()),
            });
        }
        let response = ListOffsetsTopicResponse::default().with_name(topic.name);
        topics.push(response.with_partitions(partitions));
    }
    ListOffsetsResponse::default().with_topics(topics)
}

/// Offset and timestamp; -1 and -1 if no record is as late as that.
async fn find(
    broker: &Broker,
    topic: &str,
    number: i32,
    at: i64,
) -> Result<(i64, i64), ResponseError> {
    let partition = broker
        .topics
        .partition(topic, number)
        .ok_or(ResponseError::UnknownTopicOrPartition)?;
    match at {
        LATEST => Ok((partition.bounds().end, -1)),
        EARLIEST => Ok((partition.bounds().start, -1)),
        timestamp if timestamp >= 0 => {
            match blocking(move || partition.find_time(timestamp)).await {
                Some(Ok(found)) => Ok(found.unwrap_or((-1, -1))),
                Some(Err(error)) => {
                    tracing::error!(topic, partition = number, %error, "cannot look up a time");
                    Err(ResponseError::KafkaStorageError)
                }
                None => Err(ResponseError::UnknownServerError),
            }
        }
        _ => Err(ResponseError::InvalidRequest),
    }
}
