//! rskafka's clients, kept while they work and all thrown away when one does not.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::select_ok;
use rskafka::BackoffConfig;
use rskafka::client::error::Error as ClientError;
use rskafka::client::partition::{PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder};
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep, timeout_at};

use super::Config;
use super::failure::{Failure, Phase};
use super::security::Security;
use crate::ids::{Ids, SystemIds};
use crate::limits;
use crate::log::ErrorKind;

/// Retries off. rskafka's would repeat an append whose answer was lost. The other values only
/// have to be valid.
const NO_RETRIES: BackoffConfig = BackoffConfig {
    init_backoff: Duration::from_millis(20),
    max_backoff: Duration::from_secs(1),
    base: 2.0,
    deadline: Some(Duration::ZERO),
};

/// What a partition's connection is for. A long poll holds up every later request on its
/// connection, so it has one of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Role {
    /// Fetches, which may wait for records.
    Poll,
    /// Appends and offsets, which are answered at once.
    Prompt,
}

type PartitionKey = (String, i32, Role);
type PartitionCell = Arc<OnceCell<Arc<Partition>>>;

/// rskafka's client of one partition: one connection.
#[derive(Debug)]
pub(super) struct Partition {
    client: PartitionClient,
    /// When the broker was last known to answer on this connection.
    answered: Mutex<Instant>,
}

/// A client of the cluster and its clients of partitions.
#[derive(Debug)]
pub(super) struct Session {
    /// Rises with every session of this process.
    number: u64,
    client: Client,
    partitions: Mutex<HashMap<PartitionKey, PartitionCell>>,
}

/// The current session.
///
/// A session that has met a broken or silent connection is discarded whole: its metadata
/// connection may be half open too, its list of brokers is never corrected, and the bootstrap
/// list is read by a new client only. Calls in flight on it run to their own end.
#[derive(Debug)]
pub(super) struct Sessions {
    config: Config,
    security: Security,
    opened: AtomicU64,
    current: Mutex<Arc<OnceCell<Arc<Session>>>>,
}

impl Sessions {
    pub(super) fn new(config: Config, security: Security) -> Self {
        Self {
            config,
            security,
            opened: AtomicU64::new(0),
            current: Mutex::default(),
        }
    }

    /// Runs one attempt on the current session; discards that session when its connections can
    /// no longer be trusted.
    pub(super) async fn attempt<T, A, F>(&self, deadline: Instant, attempt: A) -> Result<T, Failure>
    where
        A: FnOnce(Arc<Session>) -> F,
        F: Future<Output = Result<T, Failure>>,
    {
        let cell = Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner));
        let mut outcome = match in_time(
            deadline,
            Phase::Prepare,
            cell.get_or_try_init(|| self.connect()),
        )
        .await
        {
            Ok(session) => attempt(Arc::clone(session)).await,
            Err(failure) => Err(failure),
        };
        if let Err(failure) = &mut outcome {
            // Who was let in before will be again: a password or a certificate is being changed.
            if failure.refused && self.opened.load(Ordering::Relaxed) > 0 {
                failure.kind = ErrorKind::Retry;
            }
            if failure.broken {
                self.discard(&cell);
            }
        }
        outcome
    }

    /// A client of the cluster, by the bootstrap broker that answers first. rskafka would ask one
    /// after the other, and wait for ever on one whose machine is gone.
    async fn connect(&self) -> Result<Arc<Session>, ClientError> {
        let mut brokers = self.config.bootstrap.clone();
        let first = SystemIds.random() % u64::try_from(brokers.len()).unwrap_or(1).max(1);
        brokers.rotate_left(usize::try_from(first).unwrap_or(0));
        let client = if brokers.len() < 2 {
            self.client(brokers).await?
        } else {
            let tries = brokers.into_iter().zip(0..).map(|(broker, place)| {
                Box::pin(async move {
                    sleep(limits::LOG_HEAD_START * place).await;
                    self.client(vec![broker]).await
                })
            });
            select_ok(tries).await?.0
        };
        Ok(Arc::new(Session {
            number: self.opened.fetch_add(1, Ordering::Relaxed),
            client,
            partitions: Mutex::default(),
        }))
    }

    async fn client(&self, bootstrap: Vec<String>) -> Result<Client, ClientError> {
        let builder = ClientBuilder::new(bootstrap)
            .client_id(self.config.client_id.as_str())
            .backoff_config(NO_RETRIES);
        self.security.apply(builder).build().await
    }

    /// Lets the next call connect anew.
    pub(super) fn renew(&self) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::default();
    }

    /// Puts an empty session in the place of `cell`, unless another caller has done so.
    fn discard(&self, cell: &Arc<OnceCell<Arc<Session>>>) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&current, cell) {
            *current = Arc::default();
        }
    }
}

impl Session {
    /// Tells this session from those before and after it.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// The partition numbers of `topic`, asked afresh; empty when there is no such topic.
    pub(super) async fn partitions_of(&self, topic: &str) -> Result<BTreeSet<i32>, ClientError> {
        let topics = self.client.list_topics().await?;
        Ok(topics
            .into_iter()
            .find(|listed| listed.name == topic)
            .map(|listed| listed.partitions)
            .unwrap_or_default())
    }

    /// The client of one partition. It is created only for partitions that exist: rskafka's own
    /// look-up would ask the broker to create the topic.
    pub(super) async fn partition(
        &self,
        topic: &str,
        partition: i32,
        role: Role,
        deadline: Instant,
    ) -> Result<Arc<Partition>, Failure> {
        let cell = self.cell(topic, partition, role);
        let open = cell.get_or_try_init(|| async {
            let known = self.partitions_of(topic);
            let known = in_time(soon(deadline), Phase::Prepare, known).await?;
            if !known.contains(&partition) {
                return Err(Failure::described(
                    ErrorKind::UnknownTopic,
                    "no such partition in the log",
                ));
            }
            let leader =
                self.client
                    .partition_client(topic, partition, UnknownTopicHandling::Error);
            in_time(soon(deadline), Phase::Prepare, leader)
                .await
                .map(|client| Arc::new(Partition::new(client)))
                .map_err(Failure::of_leader)
        });
        timeout_at(deadline, open)
            .await
            .unwrap_or_else(|_| Err(Failure::timeout(Phase::Prepare)))
            .cloned()
    }

    fn cell(&self, topic: &str, partition: i32, role: Role) -> PartitionCell {
        let mut partitions = self
            .partitions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Arc::clone(
            partitions
                .entry((topic.to_owned(), partition, role))
                .or_default(),
        )
    }
}

impl Partition {
    fn new(client: PartitionClient) -> Self {
        Self {
            client,
            answered: Mutex::new(Instant::now()),
        }
    }

    pub(super) fn client(&self) -> &PartitionClient {
        &self.client
    }

    /// Notes that the broker has answered on this connection.
    pub(super) fn answered(&self) {
        *self.answered.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// How long ago the broker was last known to answer on this connection.
    pub(super) fn idle(&self) -> Duration {
        self.answered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .elapsed()
    }
}

/// The end of the time for a request that brokers answer at once.
pub(super) fn soon(deadline: Instant) -> Instant {
    deadline.min(Instant::now() + limits::LOG_PREPARE_TIMEOUT)
}

/// Awaits a call of rskafka, which has no timeout of its own.
pub(super) async fn in_time<T>(
    deadline: Instant,
    phase: Phase,
    call: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, Failure> {
    match timeout_at(deadline, call).await {
        Ok(outcome) => outcome.map_err(|error| Failure::client(phase, error)),
        Err(_) => Err(Failure::timeout(phase)),
    }
}
