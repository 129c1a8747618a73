//! Topics and their partitions.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use rskafka::client::error::{Error as ClientError, ProtocolError, RequestError};
use rskafka::client::partition::OffsetAt;
use tokio::time::{Instant, sleep, timeout_at};

use super::failure::{Failure, Phase};
use super::session::{Role, Session, Sessions, in_time, soon};
use crate::limits;
use crate::log::ErrorKind;

/// Waits between looks at the metadata after a topic was created.
const METADATA_POLL: Duration = Duration::from_millis(20);

/// Creates the topic unless it is there, and waits until it can be used.
pub(super) async fn create(
    sessions: &Sessions,
    topic: &str,
    partitions: i32,
    replicas: Option<i16>,
    deadline: Instant,
) -> Result<(), Failure> {
    sessions
        .attempt(deadline, |session| async move {
            if !listed(&session, topic, deadline).await?.is_empty() {
                return Ok(());
            }
            let replicas = match replicas {
                Some(replicas) => replicas..=replicas,
                None => 1..=limits::LOG_REPLICAS,
            };
            request(&session, topic, partitions, replicas, deadline).await?;
            while listed(&session, topic, deadline).await?.is_empty() {
                sleep(METADATA_POLL).await;
            }
            for partition in listed(&session, topic, deadline).await? {
                led(&session, topic, partition, deadline).await?;
            }
            Ok(())
        })
        .await
}

/// Waits until a new partition's leader knows that it leads: an append that comes earlier is
/// refused in words that may also follow a write.
async fn led(
    session: &Session,
    topic: &str,
    partition: i32,
    deadline: Instant,
) -> Result<(), Failure> {
    loop {
        let found = session
            .partition(topic, partition, Role::Prompt, deadline)
            .await;
        let answer = match found {
            Ok(partition) => {
                let next = partition.client().get_offset(OffsetAt::Latest);
                in_time(soon(deadline), Phase::Prepare, next)
                    .await
                    .map(drop)
            }
            Err(failure) => Err(failure),
        };
        match answer {
            Err(failure) if failure.kind == ErrorKind::Retry && Instant::now() < deadline => {
                sleep(METADATA_POLL).await;
            }
            answer => return answer,
        }
    }
}

/// Refuses a compacted topic: compaction drops records, and rskafka stalls at the gaps.
///
/// rskafka cannot ask for a topic's settings. But where records may only be compacted away, Kafka
/// refuses to delete any; and deleting what stands before offset 0 deletes nothing. So
/// `compact,delete` is not noticed, nor anything by a client that may not delete.
pub(super) async fn check(
    sessions: &Sessions,
    topic: &str,
    deadline: Instant,
) -> Result<(), Failure> {
    let timeout_ms = i32::try_from(limits::LOG_CALL_TIMEOUT.as_millis()).unwrap_or(i32::MAX);
    sessions
        .attempt(deadline, |session| async move {
            let partition = session.partition(topic, 0, Role::Prompt, deadline).await?;
            let nothing = partition.client().delete_records(0, timeout_ms);
            let outcome = match timeout_at(deadline, nothing).await {
                Ok(outcome) => outcome,
                Err(_) => return Err(Failure::timeout(Phase::Prepare)),
            };
            match outcome {
                Err(ClientError::ServerError {
                    protocol_error: ProtocolError::PolicyViolation,
                    ..
                }) => Err(Failure::described(
                    ErrorKind::Fatal,
                    "the topic has cleanup.policy=compact, which drops records: set it to delete",
                )),
                // Neither allowed to ask nor told: there is nothing against the topic.
                Ok(())
                | Err(
                    ClientError::ServerError { .. }
                    | ClientError::Request(RequestError::NoVersionMatch { .. }),
                ) => Ok(()),
                Err(error) => Err(Failure::client(Phase::Prepare, error)),
            }
        })
        .await
}

/// The number of partitions, if the topic exists.
pub(super) async fn partitions(
    sessions: &Sessions,
    topic: &str,
    deadline: Instant,
) -> Result<Option<i32>, Failure> {
    sessions
        .attempt(deadline, |session| async move {
            let listed = listed(&session, topic, deadline).await?;
            Ok(i32::try_from(listed.len()).ok().filter(|count| *count > 0))
        })
        .await
}

async fn listed(
    session: &Arc<Session>,
    topic: &str,
    deadline: Instant,
) -> Result<BTreeSet<i32>, Failure> {
    in_time(soon(deadline), Phase::Prepare, session.partitions_of(topic)).await
}

/// Asks the controller, for fewer replicas where there are not brokers enough. A topic that appeared
/// meanwhile is as good.
async fn request(
    session: &Arc<Session>,
    topic: &str,
    partitions: i32,
    replicas: RangeInclusive<i16>,
    deadline: Instant,
) -> Result<(), Failure> {
    let timeout_ms = i32::try_from(limits::LOG_CALL_TIMEOUT.as_millis()).unwrap_or(i32::MAX);
    in_time(deadline, Phase::Prepare, async {
        let controller = session.client().controller_client()?;
        let mut factor = *replicas.end();
        loop {
            let created = controller
                .create_topic(topic, partitions, factor, timeout_ms)
                .await;
            match created {
                Err(ClientError::ServerError {
                    protocol_error: ProtocolError::TopicAlreadyExists,
                    ..
                }) => return Ok(()),
                Err(ClientError::ServerError {
                    protocol_error: ProtocolError::InvalidReplicationFactor,
                    ..
                }) if factor > *replicas.start() => factor -= 1,
                Ok(()) => {
                    tracing::info!(topic, partitions, replicas = factor, "topic created");
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    })
    .await
}
