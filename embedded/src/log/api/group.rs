//! Consumer groups: membership and committed offsets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::offset_commit_request::OffsetCommitRequestPartition;
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponsePartition, OffsetFetchResponseTopic,
};
use kafka_protocol::messages::{
    FindCoordinatorRequest, FindCoordinatorResponse, HeartbeatRequest, HeartbeatResponse,
    JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse,
    OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse,
    SyncGroupRequest, SyncGroupResponse, TopicName,
};

use super::{Broker, NODE_ID, blocking, text};
use crate::log::groups::Join;
use crate::log::limits::{GROUP_TEXT_BYTES_MAX, GROUPS_MAX};
use crate::log::offsets::{Commit, Committed};

/// The coordinator is this broker, for groups; there are no transactions.
pub(super) fn find_coordinator(
    reached: SocketAddr,
    request: &FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    if request.key_type != 0 {
        return FindCoordinatorResponse::default()
            .with_error_code(ResponseError::CoordinatorNotAvailable.code());
    }
    FindCoordinatorResponse::default()
        .with_node_id(NODE_ID)
        .with_host(text(reached.ip()))
        .with_port(i32::from(reached.port()))
}

/// Joins a group; waits for the rebalance.
pub(super) async fn join(
    broker: &Arc<Broker>,
    client_id: &str,
    request: JoinGroupRequest,
) -> JoinGroupResponse {
    let millis = |ms: i32| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    let session_timeout = millis(request.session_timeout_ms);
    let join = Join {
        group: request.group_id.to_string(),
        member: request.member_id.to_string(),
        client_id: client_id.to_owned(),
        protocol_type: request.protocol_type.to_string(),
        protocols: request
            .protocols
            .into_iter()
            .map(|protocol| (protocol.name.to_string(), protocol.metadata))
            .collect(),
        session_timeout,
        // Version 0 has none: the codec leaves -1.
        rebalance_timeout: millis(request.rebalance_timeout_ms).max(session_timeout),
    };
    match broker.groups.join(join).await {
        Ok(joined) => {
            let members = joined.members.into_iter().map(|(id, subscription)| {
                JoinGroupResponseMember::default()
                    .with_member_id(text(id))
                    .with_metadata(subscription)
            });
            JoinGroupResponse::default()
                .with_generation_id(joined.generation)
                .with_protocol_name(Some(text(joined.protocol)))
                .with_leader(text(joined.leader))
                .with_member_id(text(joined.member))
                .with_members(members.collect())
        }
        Err(error) => JoinGroupResponse::default()
            .with_error_code(error.code())
            .with_protocol_name(Some(text("")))
            .with_member_id(request.member_id),
    }
}

/// Hands in the leader's assignment, or waits for it.
pub(super) async fn sync(broker: &Arc<Broker>, request: SyncGroupRequest) -> SyncGroupResponse {
    let assignments = request
        .assignments
        .into_iter()
        .map(|assignment| (assignment.member_id.to_string(), assignment.assignment))
        .collect();
    let synced = broker
        .groups
        .sync(
            &request.group_id,
            &request.member_id,
            request.generation_id,
            assignments,
        )
        .await;
    match synced {
        Ok(assignment) => SyncGroupResponse::default().with_assignment(assignment),
        Err(error) => SyncGroupResponse::default().with_error_code(error.code()),
    }
}

/// Says that a member is alive.
pub(super) fn heartbeat(broker: &Broker, request: &HeartbeatRequest) -> HeartbeatResponse {
    let alive =
        broker
            .groups
            .heartbeat(&request.group_id, &request.member_id, request.generation_id);
    HeartbeatResponse::default().with_error_code(code(alive))
}

/// Removes members.
pub(super) fn leave(
    broker: &Broker,
    request: &LeaveGroupRequest,
    version: i16,
) -> LeaveGroupResponse {
    if version < 3 {
        let left = broker.groups.leave(&request.group_id, &request.member_id);
        return LeaveGroupResponse::default().with_error_code(code(left));
    }
    let members = request.members.iter().map(|member| {
        let left = broker.groups.leave(&request.group_id, &member.member_id);
        MemberResponse::default()
            .with_member_id(member.member_id.clone())
            .with_group_instance_id(member.group_instance_id.clone())
            .with_error_code(code(left))
    });
    LeaveGroupResponse::default().with_members(members.collect())
}

/// Commits offsets; durable when answered.
pub(super) async fn offset_commit(
    broker: &Arc<Broker>,
    request: OffsetCommitRequest,
) -> OffsetCommitResponse {
    let group = request.group_id.to_string();
    let generation = request.generation_id_or_member_epoch;
    let mut allowed = broker
        .groups
        .may_commit(&group, &request.member_id, generation);
    if group.is_empty() || group.len() > GROUP_TEXT_BYTES_MAX {
        allowed = Err(ResponseError::InvalidGroupId);
    } else if broker.offsets.groups() >= GROUPS_MAX && broker.offsets.of_group(&group).is_empty() {
        allowed = Err(ResponseError::GroupMaxSizeReached);
    }
    let mut commits = Vec::new();
    let mut topics = Vec::new();
    for topic in request.topics {
        let mut checked = Vec::new();
        for partition in topic.partitions {
            let number = partition.partition_index;
            let result = allowed.and_then(|()| commit_of(broker, &topic.name, partition));
            checked.push((number, result.as_ref().err().copied()));
            commits.extend(result.ok());
        }
        topics.push((topic.name, checked));
    }
    let (offsets, for_group) = (Arc::clone(&broker.offsets), group.clone());
    let stored = if commits.is_empty() {
        None
    } else {
        match blocking(move || offsets.commit(&for_group, commits)).await {
            Some(Ok(())) => None,
            Some(Err(error)) => {
                tracing::error!(group, %error, "cannot commit offsets");
                Some(ResponseError::KafkaStorageError)
            }
            None => Some(ResponseError::UnknownServerError),
        }
    };
    let topics = topics.into_iter().map(|(name, checked)| {
        let partitions = checked.into_iter().map(|(number, refused)| {
            OffsetCommitResponsePartition::default()
                .with_partition_index(number)
                .with_error_code(refused.or(stored).map_or(0, |error| error.code()))
        });
        OffsetCommitResponseTopic::default()
            .with_name(name)
            .with_partitions(partitions.collect())
    });
    OffsetCommitResponse::default().with_topics(topics.collect())
}

fn commit_of(
    broker: &Broker,
    topic: &TopicName,
    partition: OffsetCommitRequestPartition,
) -> Result<Commit, ResponseError> {
    let number = partition.partition_index;
    if broker.topics.partition(topic, number).is_none() {
        return Err(ResponseError::UnknownTopicOrPartition);
    }
    let metadata = partition.committed_metadata.unwrap_or_default().to_string();
    if metadata.len() > GROUP_TEXT_BYTES_MAX {
        return Err(ResponseError::OffsetMetadataTooLarge);
    }
    let committed = Committed {
        offset: partition.committed_offset,
        metadata,
    };
    Ok(Commit {
        topic: topic.to_string(),
        partition: number,
        committed,
    })
}

/// Committed offsets; -1 where there is none.
pub(super) fn offset_fetch(broker: &Broker, request: OffsetFetchRequest) -> OffsetFetchResponse {
    let group = &*request.group_id;
    let topics = match request.topics {
        Some(topics) => topics
            .into_iter()
            .map(|topic| {
                let partitions = topic.partition_indexes.iter().map(|number| {
                    let committed = broker.offsets.get(group, &topic.name, *number);
                    fetched(*number, committed)
                });
                let partitions = partitions.collect();
                OffsetFetchResponseTopic::default()
                    .with_name(topic.name)
                    .with_partitions(partitions)
            })
            .collect(),
        None => broker
            .offsets
            .of_group(group)
            .into_iter()
            .map(|commit| {
                OffsetFetchResponseTopic::default()
                    .with_name(TopicName(text(commit.topic)))
                    .with_partitions(vec![fetched(commit.partition, Some(commit.committed))])
            })
            .collect(),
    };
    OffsetFetchResponse::default().with_topics(topics)
}

fn fetched(number: i32, committed: Option<Committed>) -> OffsetFetchResponsePartition {
    let committed = committed.unwrap_or(Committed {
        offset: -1,
        metadata: String::new(),
    });
    OffsetFetchResponsePartition::default()
        .with_partition_index(number)
        .with_committed_offset(committed.offset)
        .with_committed_leader_epoch(-1)
        .with_metadata(Some(text(committed.metadata)))
}

fn code(result: Result<(), ResponseError>) -> i16 {
    result.map_or_else(|error| error.code(), |()| 0)
}
