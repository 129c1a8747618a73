//! Every field that a log line may carry: the same name for the same thing everywhere.
//!
//! A line has nothing but these (the writer of lines leaves out what other crates add), and
//! `tests/logs.rs` refuses a statement with another name. Left out on purpose: customers, payloads,
//! tokens, keys and SQL. Whose order it is can be asked of the store by those who may know.

/// A field of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name, as it stands in the line.
    pub name: &'static str,
    /// What its value is, as the manual says it.
    pub meaning: &'static str,
}

/// On every line, beside those of [`FIELDS`]: when (RFC 3339, UTC, milliseconds), how grave, which
/// module, and the constant sentence.
pub const ALWAYS: [&str; 4] = ["timestamp", "level", "target", "message"];

/// All of them, in the order of the manual: the message's, the shard's, the call's, the rest.
pub const FIELDS: &[Field] = &[
    field(
        "order_id",
        "the order that the line is about: its messages' key",
    ),
    field(
        "trace_id",
        "32 hexadecimal digits: the trace of the client's `traceparent`, or the one begun for a call with `--otlp-endpoint`",
    ),
    field("message_id", "`ce_id` of the message"),
    field("message_type", "`ce_type` of the message"),
    field(
        "key",
        "the key of a message that is about no order, such as a product",
    ),
    field("topic", "topic of the log"),
    field("partition", "partition of the topic"),
    field("offset", "offset in the partition"),
    field(
        "source",
        "the bounded context at work, as `ce_source` of its events: `/order`, `/inventory`",
    ),
    field("shard", "the shard, which is the number of a partition"),
    field("epoch", "the owner's epoch of the shard"),
    field(
        "action",
        "id of an operator's action, as `shop parked` shows it",
    ),
    field(
        "reason",
        "why a message was set aside, one word as `shop parked list` shows it",
    ),
    field(
        "error",
        "what an adapter said: no SQL, no values of a message",
    ),
    field(
        "why",
        "what is in the way and what to do about it, in words",
    ),
    field(
        "suppressed",
        "lines like this one that were left out since the last one",
    ),
    field("count", "how many things the line is about"),
    field("age_s", "age in seconds"),
    field("service", "the program, or the service that was called"),
    field(
        "part",
        "the part of a process that the line is about, as in `/readyz`",
    ),
    field("room", "the part of a part"),
    field("operation", "the call of a port that failed"),
    field("group", "consumer group of the embedded log"),
    field("peer", "address of the other end of a connection"),
    field("grpc", "address of the gRPC server"),
    field("http", "address of metrics and readiness"),
    field(
        "location",
        "where: a database without its password, or file and line of the code",
    ),
    field("path", "file or folder"),
    field("files", "files, separated by commas"),
    field("position", "length in bytes that a damaged file is cut to"),
    field("partitions", "number of partitions of a topic"),
    field("replicas", "number of replicas of a topic"),
    field("signal", "signal that the process got"),
];

const fn field(name: &'static str, meaning: &'static str) -> Field {
    Field { name, meaning }
}

/// Whether a line may carry a field of this name.
#[must_use]
pub fn known(name: &str) -> bool {
    FIELDS.iter().any(|field| field.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_has_one_name_and_one_meaning() {
        for (index, field) in FIELDS.iter().enumerate() {
            let others = &FIELDS[index + 1..];
            assert!(
                others
                    .iter()
                    .all(|other| other.name != field.name && other.meaning != field.meaning)
            );
            assert!(!ALWAYS.contains(&field.name), "{}", field.name);
        }
        assert!(known("order_id") && !known("customer_id") && !known("db.statement"));
    }
}
