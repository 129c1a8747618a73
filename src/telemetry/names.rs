//! Every metric of the library: its name, kind, labels and meaning, in one place.
//!
//! Names and units follow Prometheus: base units (seconds, bytes) last, `_total` for counters. Labels
//! have few values: parts of the program, never ids. `source` is the context (`/order`), so that
//! services that share a process can be told from one another.

use metrics::{describe_counter, describe_gauge, describe_histogram};

/// What a metric counts or measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// Whether it rises, stands, or is spread out.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it tells; one sentence.
    pub help: &'static str,
    /// What must have happened before it has a value; empty if it has one in every running store.
    pub after: &'static str,
}

/// The kinds of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Rises from zero with the process.
    Counter,
    /// A value as it stands.
    Gauge,
    /// Values spread over buckets: `_bucket`, `_sum`, `_count`.
    Histogram,
}

impl Metric {
    /// A counter that every running store has.
    #[must_use]
    pub const fn counter(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self::of(Kind::Counter, name, labels, help)
    }

    /// A gauge that every running store has.
    #[must_use]
    pub const fn gauge(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self::of(Kind::Gauge, name, labels, help)
    }

    /// A histogram that every store has which has handled an order.
    #[must_use]
    pub const fn histogram(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self::of(Kind::Histogram, name, labels, help)
    }

    const fn of(
        kind: Kind,
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self {
            name,
            kind,
            labels,
            help,
            after: "",
        }
    }

    /// The same, with a value only after what `after` says.
    #[must_use]
    pub const fn only_after(self, after: &'static str) -> Self {
        Self { after, ..self }
    }
}

/// Puts what these metrics mean beside their values in `/metrics`.
pub fn describe(metrics: &[Metric]) {
    for metric in metrics {
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, metric.help),
            Kind::Gauge => describe_gauge!(metric.name, metric.help),
            Kind::Histogram => describe_histogram!(metric.name, metric.help),
        }
    }
}

/// The library's metrics, in the order of a message's way.
pub const METRICS: &[Metric] = &[
    Metric::gauge(
        "build_info",
        &["version"],
        "Always 1; the label tells the version that runs.",
    ),
    Metric::gauge(
        "service_ready",
        &["service"],
        "1 while every part of the service can make progress, else 0: what /readyz says.",
    ),
    Metric::gauge(
        "consumer_lag_records",
        &["source", "topic", "shard"],
        "Records of the topic that the shard had not read when it last asked.",
    ),
    Metric::gauge(
        "consumer_lag_seconds",
        &["source", "topic", "shard"],
        "Age of the oldest record of the topic that the shard had not handled when it last asked or failed.",
    ),
    Metric::counter(
        "turns_total",
        &["source", "shard"],
        "Transactions in which a shard handled messages, known to be committed.",
    ),
    Metric::counter(
        "turn_failures_total",
        &["source", "kind"],
        "Turns that did not commit, by what the database said: retry, unknown, fenced, cursor_moved, rejected, fatal.",
    ),
    Metric::histogram(
        "turn_messages",
        &["source"],
        "Messages that one committed turn handled: the size of a batch.",
    ),
    Metric::histogram(
        "turn_step_seconds",
        &["source", "step"],
        "Time of each step of a turn: read, decode, wait (for a slot), begin, look (duplicates, parked), load, decide, follow_up, encode, commit (save and COMMIT).",
    ),
    Metric::counter(
        "messages_total",
        &["source", "shard", "outcome"],
        "Messages handled by committed turns: applied, duplicate, conflict, ignored, parked.",
    ),
    Metric::counter(
        "replayed_messages_total",
        &["source", "shard", "outcome"],
        "Parked messages that an operator had decided again, by outcome as in messages_total.",
    ),
    Metric::counter(
        "events_total",
        &["source", "type"],
        "Events written by committed turns, by message type; those of /order are the outcomes of orders.",
    ),
    Metric::gauge(
        "parked_messages",
        &["source", "shard"],
        "Messages set aside until an operator acts.",
    ),
    Metric::gauge(
        "parked_oldest_age_seconds",
        &["source", "shard"],
        "Time since the oldest parked message was set aside.",
    ),
    Metric::counter(
        "published_messages_total",
        &["topic"],
        "Events of the outbox that the log has acknowledged.",
    ),
    Metric::gauge(
        "shards_expected",
        &["source"],
        "Shards that the service has, over all its instances.",
    ),
    Metric::gauge(
        "shards_owned",
        &["source"],
        "Shards that this process works on.",
    ),
    Metric::counter(
        "shards_fenced_total",
        &["source"],
        "Shards whose owner here found that another one had taken them.",
    ),
    Metric::counter(
        "log_errors_total",
        &["kind"],
        "Calls on the log that failed: retry, ambiguous, out_of_range, unknown_topic, fatal.",
    ),
    Metric::counter(
        "store_errors_total",
        &["kind"],
        "Calls on a database that failed: retry, unknown (the answer to a COMMIT was lost), rejected (by a constraint), fatal.",
    ),
    Metric::counter("store_turns_total", &[], "Turns begun in a database."),
    Metric::counter(
        "store_transactions_total",
        &["outcome"],
        "Write transactions that have ended: committed, rolled_back, unknown.",
    ),
    Metric::histogram(
        "store_commit_seconds",
        &[],
        "Time of COMMIT alone: until it is on disk.",
    ),
    Metric::counter(
        "registry_lookups_total",
        &["outcome"],
        "Schemas asked for by id: hit if known in memory, else miss.",
    ),
    Metric::counter(
        "registry_errors_total",
        &["kind"],
        "Calls on the schema registry that failed: retry, not_found (also asked at every start), incompatible, invalid.",
    ),
    Metric::counter(
        "grpc_server_calls_total",
        &["method", "code"],
        "gRPC calls that have ended, by status; Cancelled if the client went away, method unknown for what is not served.",
    ),
    Metric::histogram(
        "grpc_server_answer_seconds",
        &["method", "code"],
        "Time from a gRPC call to the beginning of its answer; of a stream to its first sign of life.",
    ),
    Metric::gauge(
        "grpc_server_connections",
        &[],
        "Connections to the gRPC servers that are open.",
    ),
    Metric::counter(
        "grpc_server_shed_total",
        &[],
        "Calls refused with RESOURCE_EXHAUSTED because too many were in flight.",
    ),
    Metric::gauge(
        "tls_certificate_expiry_timestamp_seconds",
        &["file"],
        "When a certificate of the process's own ends, in seconds since 1970; an alarm on it comes before \
         the certificate is refused.",
    )
    .only_after("TLS is asked for"),
    Metric::counter(
        "trace_spans_exported_total",
        &[],
        "Spans that the collector has taken.",
    )
    .only_after("spans are sent (--otlp-endpoint)"),
    Metric::counter(
        "trace_spans_dropped_total",
        &["reason"],
        "Spans that were not delivered: queue_full, export_failed (the collector was away, slow or refused them), rejected (it took the others).",
    )
    .only_after("spans are sent (--otlp-endpoint)"),
    Metric::gauge(
        "process_resident_memory_bytes",
        &[],
        "Memory of the process that is in RAM (Linux).",
    ),
    Metric::gauge(
        "process_open_fds",
        &[],
        "Open file descriptors of the process (Linux).",
    ),
];
