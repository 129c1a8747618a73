//! Every limit of the log, in one place.

use std::time::Duration;

/// Longest request frame, in bytes; a longer one closes the connection before it is read.
pub(super) const FRAME_BYTES_MAX: usize = 4 << 20;
/// Bytes of requests that arrive or are being answered, of all connections together (queued.max.request.bytes);
/// a connection's first [`FRAME_BYTES_SMALL`] do not count, so that what is small never waits.
pub(super) const REQUESTS_BYTES_MAX: usize = 64 << 20;
/// See [`REQUESTS_BYTES_MAX`]: also the portions in which a larger request asks for room.
pub(super) const FRAME_BYTES_SMALL: usize = 64 << 10;
/// Longest record batch: 1 MiB of payload and the overhead of its headers (message.max.bytes).
pub(super) const BATCH_BYTES_MAX: usize = (1 << 20) + (16 << 10);
/// Longest record batch once decompressed; more would burden every consumer.
pub(super) const BATCH_BYTES_UNCOMPRESSED_MAX: usize = 16 << 20;
/// Most record bytes in one fetch response, except that a first batch is always sent whole.
pub(super) const FETCH_BYTES_MAX: usize = 4 << 20;
/// Most bytes that one fsync covers.
pub(super) const GROUP_COMMIT_BYTES_MAX: usize = 4 << 20;
/// Newest bytes of a partition that are kept in memory: what comes within a long turn of a consumer.
pub(super) const TAIL_BYTES_MAX: usize = 256 << 10;
/// Bytes read from a socket at once.
pub(super) const SOCKET_BUFFER_BYTES: usize = 8 << 10;
/// Most connections; further ones are closed at once.
pub(super) const CONNECTIONS_MAX: usize = 256;
/// Most partitions of all topics: each keeps a file open.
pub(super) const PARTITIONS_MAX: usize = 512;
/// Most array elements in one request: they take more memory decoded than on the wire.
pub(super) const REQUEST_ELEMENTS_MAX: usize = 20_000;
/// Longest topic name, as in Kafka.
pub(super) const TOPIC_NAME_BYTES_MAX: usize = 249;
/// Longest name of a consumer group or of a member, and longest metadata of a committed offset.
pub(super) const GROUP_TEXT_BYTES_MAX: usize = 4096;
/// Most consumer groups, and most members of one.
pub(super) const GROUPS_MAX: usize = 1000;
/// Most members of a consumer group.
pub(super) const GROUP_MEMBERS_MAX: usize = 100;
/// Longest long poll.
pub(super) const FETCH_WAIT_MAX: Duration = Duration::from_secs(60);
/// A new connection must have sent a whole request within this time; every client does at once.
pub(super) const FIRST_REQUEST_MAX: Duration = Duration::from_secs(10);
/// A connection that sends nothing for this long is closed (connections.max.idle.ms).
pub(super) const IDLE_MAX: Duration = Duration::from_secs(600);
/// A request must arrive, and its response must be taken, within this time.
pub(super) const TRANSFER_MAX: Duration = Duration::from_secs(30);
/// How long connections may take to finish their request when the log is shut down.
pub(super) const DRAIN_MAX: Duration = Duration::from_secs(2);
/// Time between two looks for records to delete.
pub(super) const RETENTION_INTERVAL: Duration = Duration::from_secs(60);
/// Bytes of a segment between two entries of its index.
pub(super) const INDEX_INTERVAL_BYTES: u64 = 16 << 10;
/// Below the stream buffers of clients, so that their large requests do not wait for a delayed
/// acknowledgement.
pub(super) const TCP_SEGMENT_BYTES: u32 = 4096;
