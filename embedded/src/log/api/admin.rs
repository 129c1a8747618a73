//! Topics: listing, creating and deleting them, and deleting their records.

use std::net::SocketAddr;
use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{
    CreateTopicsRequest, CreateTopicsResponse, DeleteRecordsRequest, DeleteRecordsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse, MetadataRequest, MetadataResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::{Broker, NODE_ID, blocking, text};
use crate::log::Retention;
use crate::log::store::AppendError;
use crate::log::topics::{Topic, TopicError, is_topic_name};

impl Broker {
    /// Removes what is past retention from every partition. Blocks.
    pub(in crate::log) fn retain(&self, retention: Retention, now_ms: i64) {
        for topic in self.topics.all() {
            for (number, partition) in topic.partitions.iter().enumerate() {
                if let Err(error) = partition.store().retain(retention, now_ms) {
                    tracing::warn!(topic = topic.name, partition = number, %error, "cannot remove old records");
                }
            }
        }
    }

    /// Waits for commits that are under way.
    pub(in crate::log) async fn settle(&self) {
        for topic in self.topics.all() {
            for partition in &topic.partitions {
                partition.settle().await;
            }
        }
    }
}

/// Describes topics; unknown ones are never created.
pub(super) fn metadata(
    broker: &Broker,
    reached: SocketAddr,
    request: MetadataRequest,
    version: i16,
) -> MetadataResponse {
    // In version 0 an empty list asks for all topics, later null does.
    let asked = request
        .topics
        .filter(|topics| version > 0 || !topics.is_empty());
    let topics = match asked {
        None => broker
            .topics
            .all()
            .iter()
            .map(|topic| describe(topic))
            .collect(),
        Some(topics) => topics
            .into_iter()
            .filter_map(|topic| topic.name)
            .map(|name| match broker.topics.get(&name) {
                Some(topic) => describe(&topic),
                None => unknown_topic(name),
            })
            .collect(),
    };
    let this = MetadataResponseBroker::default()
        .with_node_id(NODE_ID)
        .with_host(text(reached.ip()))
        .with_port(i32::from(reached.port()));
    MetadataResponse::default()
        .with_brokers(vec![this])
        .with_cluster_id(Some(StrBytes::from_static_str("embedded")))
        .with_controller_id(NODE_ID)
        .with_topics(topics)
}

fn describe(topic: &Topic) -> MetadataResponseTopic {
    let partition = |number| {
        MetadataResponsePartition::default()
            .with_partition_index(number)
            .with_leader_id(NODE_ID)
            .with_leader_epoch(0)
            .with_replica_nodes(vec![NODE_ID])
            .with_isr_nodes(vec![NODE_ID])
    };
    MetadataResponseTopic::default()
        .with_name(Some(TopicName(text(&topic.name))))
        .with_partitions((0..topic.partitions.len() as i32).map(partition).collect())
}

fn unknown_topic(name: TopicName) -> MetadataResponseTopic {
    let error = if is_topic_name(&name) {
        ResponseError::UnknownTopicOrPartition
    } else {
        ResponseError::InvalidTopicException
    };
    MetadataResponseTopic::default()
        .with_error_code(error.code())
        .with_name(Some(name))
}

/// Creates topics with this log's fixed properties: one replica, records deleted by age.
pub(super) async fn create_topics(
    broker: &Arc<Broker>,
    request: CreateTopicsRequest,
) -> CreateTopicsResponse {
    let mut results = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let result = CreatableTopicResult::default().with_name(topic.name.clone());
        results.push(
            match create_topic(broker, topic, request.validate_only).await {
                Ok(()) => result,
                Err((error, message)) => result
                    .with_error_code(error.code())
                    .with_error_message(Some(message)),
            },
        );
    }
    CreateTopicsResponse::default().with_topics(results)
}

async fn create_topic(
    broker: &Arc<Broker>,
    topic: CreatableTopic,
    validate_only: bool,
) -> Result<(), (ResponseError, StrBytes)> {
    if !topic.assignments.is_empty() {
        let message = "replicas cannot be assigned: there is one broker";
        return Err((ResponseError::InvalidReplicaAssignment, text(message)));
    }
    if !matches!(topic.replication_factor, -1 | 1) {
        let message = "the replication factor must be 1: there is one broker";
        return Err((ResponseError::InvalidReplicationFactor, text(message)));
    }
    for config in &topic.configs {
        let supported =
            &*config.name == "cleanup.policy" && config.value.as_deref() == Some("delete");
        if !supported {
            let message = format!(
                "this log has no {} for a topic, and only deletes by age",
                &*config.name
            );
            return Err((ResponseError::InvalidConfig, text(message)));
        }
    }
    let partitions = if topic.num_partitions == -1 {
        1
    } else {
        topic.num_partitions
    };
    let broker = Arc::clone(broker);
    let created = blocking(move || {
        if validate_only {
            broker.topics.check_new(&topic.name, partitions).map(drop)
        } else {
            broker.topics.create(&topic.name, partitions)
        }
    });
    match created.await {
        Some(Ok(())) => Ok(()),
        Some(Err(error)) => Err((topic_error(&error), text(error))),
        None => Err((
            ResponseError::UnknownServerError,
            text("see the log of the server"),
        )),
    }
}

fn topic_error(error: &TopicError) -> ResponseError {
    match error {
        TopicError::InvalidName => ResponseError::InvalidTopicException,
        TopicError::Exists => ResponseError::TopicAlreadyExists,
        TopicError::Unknown => ResponseError::UnknownTopicOrPartition,
        TopicError::InvalidPartitions => ResponseError::InvalidPartitions,
        TopicError::Files(_) => ResponseError::KafkaStorageError,
    }
}

/// Deletes topics with their records and the offsets committed for them.
pub(super) async fn delete_topics(
    broker: &Arc<Broker>,
    request: DeleteTopicsRequest,
) -> DeleteTopicsResponse {
    let mut responses = Vec::with_capacity(request.topic_names.len());
    for name in request.topic_names {
        let result = DeletableTopicResult::default().with_name(Some(name.clone()));
        let broker = Arc::clone(broker);
        let deleted = blocking(move || {
            broker.topics.delete(&name)?;
            if let Err(error) = broker.offsets.forget_topic(&name) {
                tracing::warn!(topic = &**name, %error, "cannot forget the offsets of a deleted topic");
            }
            Ok(())
        });
        responses.push(match deleted.await {
            Some(Ok(())) => result,
            Some(Err(error)) => result.with_error_code(topic_error(&error).code()),
            None => result.with_error_code(ResponseError::UnknownServerError.code()),
        });
    }
    DeleteTopicsResponse::default().with_responses(responses)
}

/// Removes the records before an offset of each partition; -1 stands for all of them.
pub(super) async fn delete_records(
    broker: &Arc<Broker>,
    request: DeleteRecordsRequest,
) -> DeleteRecordsResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in topic.partitions {
            let number = partition.partition_index;
            let removed = remove_before(broker, &topic.name, number, partition.offset).await;
            let result = DeleteRecordsPartitionResult::default().with_partition_index(number);
            partitions.push(match removed {
                Ok(start) => result.with_low_watermark(start),
                Err(error) => result.with_low_watermark(-1).with_error_code(error.code()),
            });
        }
        topics.push(
            DeleteRecordsTopicResult::default()
                .with_name(topic.name)
                .with_partitions(partitions),
        );
    }
    DeleteRecordsResponse::default().with_topics(topics)
}

async fn remove_before(
    broker: &Arc<Broker>,
    topic: &str,
    number: i32,
    offset: i64,
) -> Result<i64, ResponseError> {
    let partition = broker
        .topics
        .partition(topic, number)
        .ok_or(ResponseError::UnknownTopicOrPartition)?;
    let end = partition.bounds().end;
    let offset = if offset == -1 { end } else { offset };
    if !(0..=end).contains(&offset) {
        return Err(ResponseError::OffsetOutOfRange);
    }
    match blocking(move || partition.remove_before(offset)).await {
        Some(Ok(bounds)) => Ok(bounds.start),
        Some(Err(AppendError::Closed)) => Err(ResponseError::UnknownTopicOrPartition),
        Some(Err(_)) => Err(ResponseError::KafkaStorageError),
        None => Err(ResponseError::UnknownServerError),
    }
}
