//! The log over the Kafka protocol, through rskafka.
//!
//! rskafka is used for its protocol code only. Timeouts, retries and the life of its clients are
//! decided here, because its own would hang on a silent broker, repeat appends behind the
//! caller's back, and skip records: `failure` tells what happened, `session` keeps the clients,
//! `append`, `read` and `topics` are the calls.

mod append;
mod ends;
mod failure;
mod read;
pub mod security;
mod session;
mod topics;

use std::future::Future;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep};

use self::ends::Ends;
use self::failure::{Call, Failure};
use self::security::Security;
use self::session::Sessions;
use super::{Batch, Bounds, Error, ErrorKind, Log, ReadLimit, Record};
use crate::ids::{Ids, SystemIds};
use crate::limits;

/// Where the log is and who asks.
#[derive(Clone, Debug)]
pub struct Config {
    /// Brokers to ask first, as `host:port`; the cluster names the others.
    pub bootstrap: Vec<String>,
    /// Name of this client in the brokers' logs.
    pub client_id: String,
}

/// The Kafka-protocol log: Redpanda, Apache Kafka, or the embedded one.
///
/// It connects with the first call and again after any failure of a connection. It keeps two
/// connections per partition in use, one for long polls and one for everything else, and one for
/// metadata.
#[derive(Debug)]
pub struct KafkaLog {
    sessions: Sessions,
    ends: Ends,
    replicas: Option<i16>,
    call_timeout: Duration,
    probe_after: Duration,
}

impl KafkaLog {
    /// A log that connects with its first call, to brokers that trust the network.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self::secured(config, Security::default())
    }

    /// A log that connects with its first call.
    #[must_use]
    pub fn secured(config: Config, security: Security) -> Self {
        failure::announce_errors();
        Self {
            sessions: Sessions::new(config, security),
            ends: Ends::default(),
            replicas: None,
            call_timeout: limits::LOG_CALL_TIMEOUT,
            probe_after: limits::LOG_PROBE_AFTER,
        }
    }

    /// Creates topics with this many replicas, and with no fewer: until there are as many brokers
    /// the call fails. Without it a topic gets three, or as many as there are brokers.
    #[must_use]
    pub fn with_replicas(self, replicas: Option<i16>) -> Self {
        Self { replicas, ..self }
    }

    /// Another timeout than [`limits::LOG_CALL_TIMEOUT`], for tests that wait for it.
    #[cfg(feature = "test-util")]
    #[must_use]
    pub fn with_call_timeout(self, call_timeout: Duration) -> Self {
        Self {
            call_timeout,
            ..self
        }
    }

    /// Takes every connection for idle, for tests of what follows from that.
    #[cfg(feature = "test-util")]
    #[must_use]
    pub fn with_idle_connections(self) -> Self {
        Self {
            probe_after: Duration::ZERO,
            ..self
        }
    }

    /// Repeats `attempt` while it fails in a way that has certainly done nothing. Half of the
    /// call's time may go into failures, so that the last attempt has the other half.
    async fn persist<T, A, F>(&self, call: Call<'_>, attempt: A) -> Result<T, Error>
    where
        A: Fn(Instant) -> F + Send + Sync,
        F: Future<Output = Result<T, Failure>> + Send,
    {
        let start = Instant::now();
        let deadline = start + self.call_timeout;
        let last_start = start + self.call_timeout / 2;
        let mut backoff = limits::BACKOFF.start();
        loop {
            let failure = match attempt(deadline).await {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            let wait = backoff.next(SystemIds.random());
            if failure.kind != ErrorKind::Retry || Instant::now() + wait > last_start {
                return Err(failure.into_error(call));
            }
            tracing::debug!(operation = call.operation, topic = call.topic, partition = call.partition,
                error = %failure.source, "log call failed, trying again");
            sleep(wait).await;
        }
    }
}

#[async_trait]
impl Log for KafkaLog {
    async fn create_topic(&self, topic: &str, partitions: i32) -> Result<(), Error> {
        self.persist(Call::on_topic("create_topic", topic), |deadline| {
            topics::create(&self.sessions, topic, partitions, self.replicas, deadline)
        })
        .await
    }

    async fn partitions(&self, topic: &str) -> Result<Option<i32>, Error> {
        self.persist(Call::on_topic("partitions", topic), |deadline| {
            topics::partitions(&self.sessions, topic, deadline)
        })
        .await
    }

    async fn check_topic(&self, topic: &str) -> Result<(), Error> {
        self.persist(Call::on_topic("check_topic", topic), |deadline| {
            topics::check(&self.sessions, topic, deadline)
        })
        .await
    }

    async fn append(
        &self,
        topic: &str,
        partition: i32,
        records: Vec<Record>,
    ) -> Result<i64, Error> {
        self.persist(Call::on_partition("append", topic, partition), |deadline| {
            append::append(
                &self.sessions,
                topic,
                partition,
                &records,
                self.probe_after,
                deadline,
            )
        })
        .await
    }

    /// One attempt only: its caller is a loop that retries for ever and reports each failure, so
    /// that health knows at once. But a broker that has lost its lead may not know it yet, and lack
    /// what its successor has given out: "out of range" is believed when fresh connections keep
    /// saying it.
    async fn read(
        &self,
        topic: &str,
        partition: i32,
        from: i64,
        limit: ReadLimit,
    ) -> Result<Batch, Error> {
        let deadline = Instant::now() + limit.wait_max + self.call_timeout;
        let (mut backoff, mut doubted) = (limits::BACKOFF.start(), None);
        loop {
            let read = read::read(&self.sessions, topic, partition, from, limit, deadline).await;
            let failure = match read {
                Ok(batch) => {
                    self.ends.reach(topic, partition, batch.high_watermark);
                    return Ok(batch);
                }
                Err(failure) => failure,
            };
            let wait = backoff.next(SystemIds.random());
            let believed = *doubted.get_or_insert_with(|| Instant::now() + self.call_timeout / 2);
            if failure.kind != ErrorKind::OutOfRange || Instant::now() + wait > believed {
                return Err(failure.into_error(Call::on_partition("read", topic, partition)));
            }
            self.sessions.renew();
            sleep(wait).await;
        }
    }

    /// An end below one that was seen before is doubted as in `read`.
    async fn bounds(&self, topic: &str, partition: i32) -> Result<Bounds, Error> {
        let call = Call::on_partition("bounds", topic, partition);
        let believed = Instant::now() + self.call_timeout / 2;
        let mut backoff = limits::BACKOFF.start();
        loop {
            let bounds = self
                .persist(call, |deadline| {
                    read::bounds(&self.sessions, topic, partition, deadline)
                })
                .await?;
            let wait = backoff.next(SystemIds.random());
            let is_doubtful = self.ends.is_past(topic, partition, bounds.next);
            if !is_doubtful || Instant::now() + wait > believed {
                self.ends.believe(topic, partition, bounds.next);
                return Ok(bounds);
            }
            self.sessions.renew();
            sleep(wait).await;
        }
    }
}
