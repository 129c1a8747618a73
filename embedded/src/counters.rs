//! What the embedded log counts: every counter's name and meaning, in one place.

/// Its counters: name, label (empty if it has none), meaning.
pub const COUNTERS: [(&str, &str, &str); 4] = [
    (
        "embedded_log_requests_total",
        "api",
        "Requests to the embedded log, by the Kafka protocol's name for them.",
    ),
    (
        "embedded_log_received_bytes_total",
        "",
        "Bytes of requests to the embedded log.",
    ),
    (
        "embedded_log_sent_bytes_total",
        "",
        "Bytes of answers of the embedded log.",
    ),
    (
        "embedded_log_fsyncs_total",
        "",
        "Times that the embedded log made appended records durable.",
    ),
];

/// Puts what they mean beside their values.
pub(crate) fn describe() {
    for (name, _, help) in COUNTERS {
        metrics::describe_counter!(name, help);
    }
}
