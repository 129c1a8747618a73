//! Topics and their partitions.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rskafka::client::error::{Error as ClientError, ProtocolError};
use tokio::time::{Instant, sleep};

use super::failure::{Failure, Phase};
use super::session::{Session, Sessions, in_time};
use crate::limits;

/// The broker's own default (KIP-464): one on a single broker, three on a production cluster.
const REPLICATION_DEFAULT: i16 = -1;
/// Waits between looks at the metadata after a topic was created.
const METADATA_POLL: Duration = Duration::from_millis(20);

/// Creates the topic unless it is there, and waits until the log shows its partitions.
pub(super) async fn create(
    sessions: &Sessions,
    topic: &str,
    partitions: i32,
    deadline: Instant,
) -> Result<(), Failure> {
    sessions
        .attempt(deadline, |session| async move {
            if !listed(&session, topic, deadline).await?.is_empty() {
                return Ok(());
            }
            request(&session, topic, partitions, deadline).await?;
            while listed(&session, topic, deadline).await?.is_empty() {
                sleep(METADATA_POLL).await;
            }
            Ok(())
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
    in_time(deadline, Phase::Prepare, session.partitions_of(topic)).await
}

/// Asks the controller. A topic that appeared meanwhile is as good.
async fn request(
    session: &Arc<Session>,
    topic: &str,
    partitions: i32,
    deadline: Instant,
) -> Result<(), Failure> {
    let timeout_ms = i32::try_from(limits::LOG_CALL_TIMEOUT.as_millis()).unwrap_or(i32::MAX);
    in_time(deadline, Phase::Prepare, async {
        let controller = session.client().controller_client()?;
        let created = controller
            .create_topic(topic, partitions, REPLICATION_DEFAULT, timeout_ms)
            .await;
        match created {
            Err(ClientError::ServerError {
                protocol_error: ProtocolError::TopicAlreadyExists,
                ..
            }) => Ok(()),
            outcome => outcome,
        }
    })
    .await
}
