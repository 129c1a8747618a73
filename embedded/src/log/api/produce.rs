//! Producing: each batch is checked, then acknowledged once it is synced.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures::future::join_all;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::produce_request::PartitionProduceData;
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{
    InitProducerIdRequest, InitProducerIdResponse, ProduceRequest, ProduceResponse, ProducerId,
};

use super::{Broker, blocking};
use crate::log::records::{self, Refusal};
use crate::log::store::AppendError;

/// Appends batches; tells whether the client wants the answer (acks=0 does not).
///
/// Sequence numbers of idempotent producers are stored but not checked: a batch sent twice is
/// stored twice, and consumers apply it once.
pub(super) async fn produce(
    broker: &Arc<Broker>,
    request: ProduceRequest,
) -> (ProduceResponse, bool) {
    let acks_known = matches!(request.acks, -1..=1);
    let refused = if !acks_known {
        Some(ResponseError::InvalidRequiredAcks)
    } else if request.transactional_id.is_some() {
        Some(ResponseError::TransactionalIdAuthorizationFailed)
    } else {
        None
    };
    let topics = request.topic_data.into_iter().map(|topic| async move {
        let name = topic.name.clone();
        let partitions = topic.partition_data.into_iter().map(|data| {
            let name = &name;
            async move {
                let response = PartitionProduceResponse::default().with_index(data.index);
                let appended = match refused {
                    Some(error) => Err(error),
                    None => append(broker, name, data).await,
                };
                match appended {
                    Ok((base_offset, start)) => response
                        .with_base_offset(base_offset)
                        .with_log_start_offset(start),
                    Err(error) => response.with_base_offset(-1).with_error_code(error.code()),
                }
            }
        });
        let responses = join_all(partitions).await;
        TopicProduceResponse::default()
            .with_name(topic.name)
            .with_partition_responses(responses)
    });
    let responses = join_all(topics).await;
    (
        ProduceResponse::default().with_responses(responses),
        request.acks != 0,
    )
}

async fn append(
    broker: &Arc<Broker>,
    topic: &str,
    data: PartitionProduceData,
) -> Result<(i64, i64), ResponseError> {
    let partition = broker
        .topics
        .partition(topic, data.index)
        .ok_or(ResponseError::UnknownTopicOrPartition)?;
    let batch = data.records.unwrap_or_default();
    if let Err(refusal) = check(batch.clone()).await? {
        tracing::warn!(topic, partition = data.index, error = %refusal, "refused a batch");
        return Err(refusal_code(refusal));
    }
    match partition.append(batch).await {
        Ok(base_offset) => Ok((base_offset, partition.bounds().start)),
        Err(error) => {
            tracing::error!(topic, partition = data.index, %error, "cannot append");
            Err(match *error {
                AppendError::Closed => ResponseError::UnknownTopicOrPartition,
                AppendError::Io(_) | AppendError::Failed => ResponseError::KafkaStorageError,
            })
        }
    }
}

/// Small batches are checked on the spot; unpacking or reading a large one would hold up others.
async fn check(batch: Bytes) -> Result<Result<(), Refusal>, ResponseError> {
    const ON_THE_SPOT_BYTES_MAX: usize = 32 << 10;
    let compressed = batch
        .get(22)
        .is_some_and(|attributes| attributes & 0b111 != 0);
    if batch.len() <= ON_THE_SPOT_BYTES_MAX && !compressed {
        return Ok(records::check(&batch).map(drop));
    }
    let checked = blocking(move || records::check(&batch).map(drop)).await;
    checked.ok_or(ResponseError::UnknownServerError)
}

fn refusal_code(refusal: Refusal) -> ResponseError {
    match refusal {
        Refusal::Damaged => ResponseError::CorruptMessage,
        Refusal::OldFormat => ResponseError::UnsupportedForMessageFormat,
        Refusal::TooLarge => ResponseError::MessageTooLarge,
        Refusal::Compression => ResponseError::UnsupportedCompressionType,
        Refusal::Invalid(_) => ResponseError::InvalidRecord,
    }
}

/// Gives out a producer id, so that idempotent producers can start. Transactions are refused.
pub(super) fn init_producer_id(
    broker: &Broker,
    request: &InitProducerIdRequest,
) -> InitProducerIdResponse {
    if request.transactional_id.is_some() {
        return InitProducerIdResponse::default()
            .with_error_code(ResponseError::TransactionalIdAuthorizationFailed.code())
            .with_producer_id(ProducerId(-1));
    }
    let id = broker.next_producer_id.fetch_add(1, Ordering::Relaxed);
    InitProducerIdResponse::default().with_producer_id(ProducerId(id))
}
