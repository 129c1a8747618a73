//! What a failed rskafka call means: has it done something, and can another try succeed.

use std::error::Error as StdError;

use rskafka::BackoffError;
use rskafka::client::error::{Error as ClientError, ProtocolError, RequestError};

use crate::log::{Error, ErrorKind};

/// What a call was about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    pub(super) operation: &'static str,
    pub(super) topic: &'a str,
    pub(super) partition: i32,
}

impl<'a> Call<'a> {
    pub(super) fn on_topic(operation: &'static str, topic: &'a str) -> Self {
        Self::on_partition(operation, topic, -1)
    }

    pub(super) fn on_partition(operation: &'static str, topic: &'a str, partition: i32) -> Self {
        Self {
            operation,
            topic,
            partition,
        }
    }
}

/// What was under way when a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Connecting, metadata, creating a topic: may be repeated freely.
    Prepare,
    /// A produce request: it may have arrived.
    Append,
    /// A fetch or offset request.
    Read,
}

/// A failed attempt.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) kind: ErrorKind,
    /// Whether the session's connections can no longer be trusted.
    pub(super) broken: bool,
    /// Whether the brokers and this client do not trust each other.
    pub(super) refused: bool,
    pub(super) source: Box<dyn StdError + Send + Sync>,
}

impl Failure {
    /// A failure that another try with the same session may not have.
    pub(super) fn described(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            broken: false,
            refused: false,
            source: detail.into().into(),
        }
    }

    /// The time ran out. The connection may be half open: rskafka would wait on it for ever.
    pub(super) fn timeout(phase: Phase) -> Self {
        Self {
            kind: uncertain(phase),
            broken: true,
            refused: false,
            source: "no answer in time".into(),
        }
    }

    pub(super) fn client(phase: Phase, error: ClientError) -> Self {
        if let Some(refusal) = refusal(&error) {
            return Self {
                kind: ErrorKind::Fatal,
                broken: true,
                refused: true,
                source: refusal.into(),
            };
        }
        let (kind, broken) = client_kind(phase, &error);
        Self {
            kind,
            broken,
            refused: false,
            source: plain(&error).into(),
        }
    }

    /// The leader of a partition that is listed cannot be reached, or does not know yet that it
    /// leads. The metadata is fresh and other leaders answer, so the session is kept: a cluster
    /// without one of its brokers would otherwise cost everybody's connections again and again.
    pub(super) fn of_leader(self) -> Self {
        let kind = match self.kind {
            ErrorKind::UnknownTopic => ErrorKind::Retry,
            kind => kind,
        };
        Self {
            kind,
            broken: false,
            ..self
        }
    }

    /// The caller's error, counted: what was tried again inside the call and then worked is not.
    pub(super) fn into_error(self, call: Call<'_>) -> Error {
        errors(self.kind).increment(1);
        Error {
            kind: self.kind,
            operation: call.operation,
            topic: call.topic.to_owned(),
            partition: call.partition,
            source: self.source,
        }
    }
}

/// Failed calls of one kind.
fn errors(kind: ErrorKind) -> metrics::Counter {
    metrics::counter!("log_errors_total", "kind" => kind.label())
}

/// Lets the counters exist before the first error: their rise from nothing would be no rise.
pub(super) fn announce_errors() {
    for kind in ErrorKind::ALL {
        errors(kind).increment(0);
    }
}

/// A request whose answer was lost.
fn uncertain(phase: Phase) -> ErrorKind {
    match phase {
        Phase::Append => ErrorKind::Ambiguous,
        Phase::Prepare | Phase::Read => ErrorKind::Retry,
    }
}

/// The failure without rskafka's remarks about retries, which are off.
fn plain(error: &ClientError) -> String {
    const RETRIES: &str = "Retry exceeded deadline. Source: ";
    let text = error.to_string();
    let text = text.rsplit(RETRIES).next().unwrap_or(&text);
    if text.starts_with("cannot sync versions") && text.ends_with("early eof") {
        return format!("{text} (does the broker expect TLS?)");
    }
    if text.ends_with("tls handshake eof") {
        return format!("{text} (does the broker speak TLS there?)");
    }
    text.to_owned()
}

/// Why the two sides will never agree, if that is why they could not connect. rskafka hands out
/// what it met while it connected as text only.
fn refusal(error: &ClientError) -> Option<String> {
    const LOGIN: &str = "Sasl handshake failed: ";
    const CERTIFICATE: &str = "invalid peer certificate: ";
    const ALERT: &str = "received fatal alert: ";
    let text = match error {
        ClientError::Connection(error) => error.to_string(),
        ClientError::RetryFailed(BackoffError::DeadlineExceded { source, .. }) => {
            return source.downcast_ref::<ClientError>().and_then(refusal);
        }
        _ => return None,
    };
    let after = |mark: &str| text.split_once(mark).map(|(_, rest)| rest);
    if let Some(reason) = after(CERTIFICATE) {
        return Some(format!("the broker's certificate is not trusted: {reason}"));
    }
    if let Some(reason) = after(ALERT) {
        return Some(format!("the broker refuses this client's TLS: {reason}"));
    }
    // A connection that was lost on the way is no refusal.
    after(LOGIN)
        .filter(|reason| !reason.starts_with("Request error"))
        .map(|reason| format!("the broker refuses this client's login: {reason}"))
}

/// The kind, and whether the connections are to be given up.
fn client_kind(phase: Phase, error: &ClientError) -> (ErrorKind, bool) {
    match error {
        // Raised before a request is sent: while connecting or asking for the leader.
        ClientError::Connection(_) => (ErrorKind::Retry, true),
        ClientError::Request(error) => (request_kind(phase, error), true),
        ClientError::ServerError { protocol_error, .. } => server_kind(phase, *protocol_error),
        // With its retries off rskafka wraps what it would have retried.
        ClientError::RetryFailed(BackoffError::DeadlineExceded { source, .. }) => {
            match source.downcast_ref::<ClientError>() {
                Some(inner) => client_kind(phase, inner),
                None => (uncertain(phase), true),
            }
        }
        ClientError::InvalidResponse(_) => match phase {
            Phase::Prepare => (ErrorKind::Retry, true),
            Phase::Append => (ErrorKind::Ambiguous, true),
            // A record whose timestamp cannot be read stays so.
            Phase::Read => (ErrorKind::Fatal, true),
        },
        _ => (uncertain(phase), true),
    }
}

fn request_kind(phase: Phase, error: &RequestError) -> ErrorKind {
    match error {
        // Never sent.
        RequestError::NoVersionMatch { .. }
        | RequestError::WriteError(_)
        | RequestError::WriteMessageError(_) => ErrorKind::Fatal,
        // The answer arrived and cannot be decoded: for a fetch that is a batch that rskafka
        // cannot read (a null header, a transaction marker, an unknown compression), now and on
        // every later try.
        RequestError::ReadError(_)
        | RequestError::ReadVersionedError(_)
        | RequestError::TooMuchData { .. } => match phase {
            Phase::Append => ErrorKind::Ambiguous,
            Phase::Prepare | Phase::Read => ErrorKind::Fatal,
        },
        _ => uncertain(phase),
    }
}

/// The broker's own answers, by <https://kafka.apache.org/protocol#protocol_error_codes>.
fn server_kind(phase: Phase, error: ProtocolError) -> (ErrorKind, bool) {
    use ProtocolError as P;
    match error {
        P::OffsetOutOfRange => (ErrorKind::OutOfRange, false),
        P::UnknownTopicOrPartition => (ErrorKind::UnknownTopic, true),
        // Refused before anything was written.
        P::NotEnoughReplicas
        | P::InvalidReplicationFactor
        | P::CorruptMessage
        | P::ThrottlingQuotaExceeded => (ErrorKind::Retry, false),
        P::LeaderNotAvailable | P::BrokerNotAvailable | P::ReplicaNotAvailable => {
            (ErrorKind::Retry, true)
        }
        P::OffsetNotAvailable => (ErrorKind::Retry, false),
        P::MessageTooLarge
        | P::RecordListTooLarge
        | P::InvalidRecord
        | P::InvalidTimestamp
        | P::UnsupportedCompressionType
        | P::UnsupportedForMessageFormat
        | P::UnsupportedVersion
        | P::InvalidTopicException
        | P::InvalidPartitions
        | P::InvalidConfig
        | P::InvalidRequest
        | P::InvalidRequiredAcks
        | P::PolicyViolation
        | P::TopicAuthorizationFailed
        | P::ClusterAuthorizationFailed
        | P::SaslAuthenticationFailed => (ErrorKind::Fatal, false),
        // RequestTimedOut and NotEnoughReplicasAfterAppend come after the write. So may
        // NotLeaderOrFollower: the leader wrote, lost its place while it waited for the replicas,
        // and its successor may have the records. Codes unknown here are taken as the worst.
        _ => (uncertain(phase), true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rskafka::SaslError;
    use rskafka::client::error::RequestContext;

    fn server(protocol_error: ProtocolError) -> ClientError {
        ClientError::ServerError {
            protocol_error,
            error_message: None,
            request: RequestContext::Partition("t".to_owned(), 0),
            response: None,
            is_virtual: false,
        }
    }

    fn given_up(error: ClientError) -> ClientError {
        ClientError::RetryFailed(BackoffError::DeadlineExceded {
            deadline: std::time::Duration::ZERO,
            source: Box::new(error),
        })
    }

    fn lost() -> ClientError {
        ClientError::Request(RequestError::IO(std::io::ErrorKind::ConnectionReset.into()))
    }

    #[test]
    fn a_lost_answer_is_ambiguous_for_an_append_only() {
        assert_eq!(
            Failure::client(Phase::Append, given_up(lost())).kind,
            ErrorKind::Ambiguous
        );
        assert_eq!(
            Failure::client(Phase::Read, given_up(lost())).kind,
            ErrorKind::Retry
        );
        assert_eq!(Failure::timeout(Phase::Append).kind, ErrorKind::Ambiguous);
        assert_eq!(Failure::timeout(Phase::Prepare).kind, ErrorKind::Retry);
    }

    #[test]
    fn answers_that_come_after_the_write_are_ambiguous() {
        for error in [
            ProtocolError::RequestTimedOut,
            ProtocolError::NotEnoughReplicasAfterAppend,
            ProtocolError::NotLeaderOrFollower,
            ProtocolError::KafkaStorageError,
            ProtocolError::Unknown(9_999),
        ] {
            let failure = Failure::client(Phase::Append, server(error));
            assert_eq!(failure.kind, ErrorKind::Ambiguous, "{error}");
        }
    }

    #[test]
    fn answers_that_come_before_the_write_are_definite() {
        for (error, kind) in [
            (ProtocolError::NotEnoughReplicas, ErrorKind::Retry),
            (ProtocolError::LeaderNotAvailable, ErrorKind::Retry),
            (ProtocolError::MessageTooLarge, ErrorKind::Fatal),
            (
                ProtocolError::UnknownTopicOrPartition,
                ErrorKind::UnknownTopic,
            ),
        ] {
            let failure = Failure::client(Phase::Append, given_up(server(error)));
            assert_eq!(failure.kind, kind, "{error}");
        }
    }

    #[test]
    fn a_refused_login_is_final_and_a_lost_one_is_not() {
        let login = |error: SaslError| {
            Failure::client(Phase::Prepare, ClientError::Connection(error.into()))
        };
        let refused = login(ProtocolError::SaslAuthenticationFailed.into());
        assert_eq!(refused.kind, ErrorKind::Fatal);
        let line = refused.source.to_string();
        assert!(line.contains("login"), "{line}");
        assert!(line.contains("SaslAuthenticationFailed"), "{line}");
        assert_eq!(
            login(SaslError::UnsupportedSaslMechanism).kind,
            ErrorKind::Fatal
        );
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let lost = login(RequestError::IO(reset).into());
        assert_eq!(lost.kind, ErrorKind::Retry);
        assert!(lost.broken);
    }

    #[test]
    fn a_leader_that_is_away_costs_nobody_else_a_connection() {
        let failures = [
            given_up(server(ProtocolError::LeaderNotAvailable)),
            given_up(server(ProtocolError::NotLeaderOrFollower)),
            server(ProtocolError::UnknownTopicOrPartition),
            given_up(lost()),
        ]
        .map(|error| Failure::client(Phase::Prepare, error));
        for failure in failures
            .into_iter()
            .chain([Failure::timeout(Phase::Prepare)])
        {
            let failure = failure.of_leader();
            assert_eq!((failure.kind, failure.broken), (ErrorKind::Retry, false));
        }
    }

    #[test]
    fn an_offset_out_of_range_leaves_the_connections_alone() {
        let failure = Failure::client(Phase::Read, server(ProtocolError::OffsetOutOfRange));
        assert_eq!(failure.kind, ErrorKind::OutOfRange);
        assert!(!failure.broken);
    }
}
