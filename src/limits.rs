//! Every limit and timeout, in one place, each with its reason.

use std::time::Duration;

use crate::retry::Policy;

/// Records of one batch that a turn takes at most: large enough that a commit's fixed cost
/// vanishes, small enough that a turn stays below tens of milliseconds.
pub const TURN_RECORDS_MAX: usize = 500;
/// Bytes of records from which on a turn takes no more: one large record stays possible.
pub const TURN_BYTES_MAX: usize = 1 << 20;
/// Bytes of records that a shard's readers have ready beside its turn.
pub const READ_AHEAD_BYTES_MAX: usize = 1 << 19;
/// Records up to which a turn was a small one: most of its cost was fixed.
pub const TURN_RECORDS_SMALL: usize = 200;
/// How long a shard rests after a small turn at most: less than anybody waits for an order.
pub const TURN_REST_MAX: Duration = Duration::from_millis(100);
/// Bytes of one fetch response, about a full turn: what is fetched beyond waits in memory. Far below
/// rskafka's message limit (100 MiB); one batch of records comes whole whatever its size.
pub const FETCH_BYTES_MAX: i32 = 1 << 18;
/// Long poll of a fetch: an idle reader asks this often.
pub const FETCH_WAIT_MAX: Duration = Duration::from_secs(2);

/// Bytes of records in one outbox row and one append: below the log's `message.max.bytes` (1 MiB
/// on Kafka and Redpanda) with room for batch overhead.
pub const APPEND_BYTES_MAX: usize = 800 * 1024;
/// Records in one append.
pub const APPEND_RECORDS_MAX: usize = 1_000;
/// Records below which an append was a small one: most of its cost was fixed.
pub const APPEND_RECORDS_SMALL: usize = 64;
/// How long an appender rests after a small append that several callers shared. Much shorter than an
/// acknowledgement by brokers that keep replicas takes.
pub const APPEND_REST: Duration = Duration::from_millis(1);
/// Records that wait for their append, per partition of an appender; callers beyond wait outside.
pub const APPEND_QUEUE_MAX: usize = 4_000;
/// Outbox rows of the own partition above which a shard stops consuming.
pub const OUTBOX_ROWS_MAX: i64 = 1_000;

/// Own timeout of each call on the log, added to a long poll; rskafka has none.
pub const LOG_CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout of what a call on the log needs first (the metadata, a connection to the leader), which
/// brokers answer at once: whoever waits for one that stands still would miss its successor.
pub const LOG_PREPARE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a bootstrap broker has to itself before the next one is asked as well: a machine that is
/// gone answers nothing at all.
pub const LOG_HEAD_START: Duration = Duration::from_millis(250);
/// Replicas of a topic that the library creates, where there are as many brokers: one may be lost,
/// and one more be down for maintenance.
pub const LOG_REPLICAS: i16 = 3;
/// After this much silence a connection to the log is tried with a harmless request before an
/// append: brokers close idle connections (after 10 minutes by default) and restart.
pub const LOG_PROBE_AFTER: Duration = Duration::from_secs(1);
/// Timeout of each call on the schema registry.
pub const REGISTRY_CALL_TIMEOUT: Duration = Duration::from_secs(2);
/// How long an answer "no such schema" is believed before the registry is asked again.
pub const REGISTRY_NOT_FOUND_TTL: Duration = Duration::from_millis(200);
/// Bytes that the decoding of one datum may allocate for a single value, whatever length the datum
/// announces: a record is at most 1 MiB.
pub const DATUM_ALLOCATION_MAX: usize = 1 << 20;
/// How often a schema id that the registry does not know is asked for before its record is parked:
/// a registry that lags behind its writers gets this many chances.
pub const REGISTRY_NOT_FOUND_TRIES: u32 = 3;
/// How long SQLite waits for another connection's lock.
pub const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Read connections of a SQLite store.
pub const SQLITE_READERS: u32 = 4;
/// Prepared statements that a SQLite connection keeps: inserts come in nine sizes each, alone or in
/// scripts.
pub const SQLITE_STATEMENTS: usize = 256;
/// Size up to which a SQLite file is checked for damage at start: half a second, at 125 MB per second.
pub const SQLITE_CHECK_BYTES_MAX: u64 = 1 << 26;

/// How long a statement waits for a row that another transaction has locked: below
/// [`IDLE_IN_TRANSACTION_TIMEOUT`], so that a waiter tells its owner before the holder is given up.
pub const LOCK_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a transaction may rest between two statements: half the lease time, so that a paused
/// holder of row locks does not stall the shard's next owner.
pub const IDLE_IN_TRANSACTION_TIMEOUT: Duration = Duration::from_secs(5);

/// How long one statement may run: half the lease time, as [`IDLE_IN_TRANSACTION_TIMEOUT`].
pub const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);
/// Own timeout of each call on Postgres, which covers several statements and a server that does not
/// answer at all; sqlx has none.
pub const POSTGRES_CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a call waits for a connection: longer, and "all are busy" looks like "it hangs".
pub const POSTGRES_ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long connecting and looking the database over may take at start.
pub const POSTGRES_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// After this much silence a connection is tried before it is used: servers restart, and firewalls
/// forget. Trying each time would cost a round trip per call.
pub const POSTGRES_PROBE_AFTER: Duration = Duration::from_secs(1);
/// How long a connection may take to answer when it is tried, or to undo a turn that was dropped,
/// before it is closed.
pub const POSTGRES_PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// Turns that go side by side in a Postgres database: see `Pacing`. More would be smaller.
pub const POSTGRES_TURNS_AT_ONCE: usize = 2;
/// How many times as long as it took an instance rests after a small turn in Postgres: what brings
/// two instances to the work per order of one.
pub const POSTGRES_REST_FACTOR: u32 = 6;
/// Connections of a Postgres store that write: those of turns, and of what is written beside them.
pub const POSTGRES_TURNS: u32 = 8;
/// Connections of a Postgres store that read beside the turns.
pub const POSTGRES_READERS: u32 = 8;
/// Prepared statements that a Postgres connection keeps: more than there are texts.
pub const POSTGRES_STATEMENTS: usize = 128;
/// TCP keepalive of the server's end: a client that has vanished holds its locks no longer than
/// [`IDLE_IN_TRANSACTION_TIMEOUT`], and its connection no longer than three of these.
pub const POSTGRES_KEEPALIVE: Duration = Duration::from_secs(5);
/// How long migrations wait for those of another process.
pub const POSTGRES_MIGRATION_WAIT: Duration = Duration::from_secs(60);
/// Outbox rows that one read of Postgres brings at most, whatever their size.
pub const OUTBOX_READ_ROWS_MAX: i64 = 1_000;

/// Waits between tries after a failure of log, database or registry.
pub const BACKOFF: Policy = Policy {
    first: Duration::from_millis(20),
    max: Duration::from_secs(1),
};

/// How often a shard that waits for a time of the day looks at the clock, so that one which jumps
/// ahead is noticed as soon; a look costs nothing but waking up.
pub const ALARM_LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long acknowledged outbox rows wait for a turn to ride in before they are deleted alone.
pub const DELETE_ALONE_AFTER: Duration = Duration::from_millis(200);
/// How often a publisher looks into the outbox unasked, for rows of other instances.
pub const OUTBOX_POLL: Duration = Duration::from_millis(500);
/// How often a shard's owner looks for operators' actions unasked: those submitted at another
/// instance.
pub const ACTION_POLL: Duration = Duration::from_secs(1);
/// Actions that one look finds at most; the others are found by the next.
pub const ACTIONS_PER_LOOK: usize = 16;
/// Parked messages that one turn replays at most; an action on more takes several turns.
pub const REPLAY_RECORDS_MAX: usize = 200;

/// How long the shards of an instance that is gone wait for others at most.
pub const LEASE_TIME: Duration = Duration::from_secs(10);
/// How often shards are renewed and free ones looked for.
pub const LEASE_HEARTBEAT: Duration = Duration::from_secs(2);
/// How long a grant lasts without renewal: what remains of [`LEASE_TIME`] is for the next instance
/// to look (a heartbeat) and to take over. Longer than [`IDLE_IN_TRANSACTION_TIMEOUT`], so that the
/// locks of an owner that stands still are gone by then.
pub const LEASE_GRANT_LASTS: Duration = Duration::from_secs(7);
/// Own timeout of each call on the lease: two may fail in a row before anything is lost.
pub const LEASE_CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the topics are expected to keep records; an unread record of half this age is alarming.
pub const TOPIC_RETENTION: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Inbox horizon: ids are kept this long, one day longer than the topics' retention (7 days).
///
/// The ids of commands that came too early to have an effect are kept for good: one small row for
/// each command that was sent, however often it was delivered. So they grow with what clients ask
/// for, as the contexts' own tables do. Nobody removes them when what they are about has come to its
/// end; pruning never meets them.
pub const INBOX_HORIZON: Duration = Duration::from_secs(8 * 24 * 60 * 60);
/// How often a shard prunes its inbox; with [`INBOX_PRUNE_ROWS`] this bounds the rate at which ids
/// can leave, which must be above the rate at which they come.
pub const INBOX_PRUNE_EVERY: Duration = Duration::from_secs(1);
/// Inbox entries that one turn prunes at most.
pub const INBOX_PRUNE_ROWS: u32 = 1_000;

/// Default and longest deadline of a unary call, and the longest life of a connection for metrics and
/// readiness, which carries one request.
pub const CALL_DEADLINE_MAX: Duration = Duration::from_secs(30);
/// Largest decoded gRPC request.
pub const REQUEST_BYTES_MAX: usize = 1 << 20;
/// Streams open on one connection.
pub const STREAMS_PER_CONNECTION_MAX: u32 = 100;
/// Server-made resets on one connection before it is closed (hyper's default is 1,024; tonic
/// passes none).
pub const LOCAL_RESETS_MAX: usize = 256;
/// HTTP/2 header list of one request.
pub const HEADER_LIST_BYTES_MAX: u32 = 16 * 1024;
/// How long a new connection may take for the TLS handshake, if there is one, and to send the HTTP/2
/// preface or the head of an HTTP/1 request.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Keepalive ping after this much silence, and how long its answer may take.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// See [`KEEPALIVE_INTERVAL`].
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection's age at which it is asked to go away, so that load spreads over new instances.
pub const CONNECTION_AGE_MAX: Duration = Duration::from_secs(60 * 60);
/// How long calls on an aged connection may go on.
pub const CONNECTION_AGE_GRACE: Duration = Duration::from_secs(60);
/// Connections open at one time.
pub const CONNECTIONS_MAX: usize = 1_024;
/// Calls with one answer in flight at one time over all connections; more are shed with
/// RESOURCE_EXHAUSTED.
pub const CALLS_IN_FLIGHT_MAX: usize = 1_024;
/// Calls that answer with a stream open at one time over all connections, counted apart: they last as
/// long as their clients like, and whoever holds all of them takes nobody's other calls away.
pub const STREAMS_IN_FLIGHT_MAX: usize = 1_024;
/// How long a client may take to accept an answer, other than a stream, before its connection is closed:
/// without room in its HTTP/2 window the answer stays in memory, and its call in flight.
pub const ANSWER_TAKEN_MAX: Duration = Duration::from_secs(30);
/// When a shed or unavailable caller is told to come back (RetryInfo).
pub const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How long a stream may go on once its server has been told to stop; then it ends with
/// UNAVAILABLE, so that a watch that lasts for hours does not hold up the drain.
pub const STREAM_DRAIN_MAX: Duration = Duration::from_secs(2);
/// How long a server waits for calls in flight once it has been told to stop.
pub const DRAIN_MAX: Duration = Duration::from_secs(10);
/// How often files of certificates are looked at again, when connections are made: a new one is used
/// this much later at most, and a flood of connections does not read them each time.
pub const TLS_RELOAD_EVERY: Duration = Duration::from_secs(2);

/// How far the clocks of an issuer and of this machine may be apart: `exp` and `nbf` of a token count
/// that much later and earlier.
pub const AUTH_SKEW: Duration = Duration::from_secs(30);
/// How often an open stream looks whether its token has expired: clocks may jump.
pub const AUTH_LOOK_EVERY: Duration = Duration::from_secs(30);
/// Largest token: half of [`HEADER_LIST_BYTES_MAX`], which it travels in.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// Verified tokens that a server remembers, about 1 MiB; then it begins again.
pub const TOKENS_REMEMBERED_MAX: usize = 4_096;
/// Largest key set: that of an issuer with many keys and certificates beside them.
pub const JWKS_BYTES_MAX: usize = 64 * 1024;
/// Keys of one set; issuers have two or three.
pub const JWKS_KEYS_MAX: usize = 32;
/// Shortest RSA modulus: 2,048 bits (RFC 7518, section 3.3).
pub const RSA_BYTES_MIN: usize = 2_048 / 8;
/// Longest RSA modulus: verifying with a longer one would take milliseconds.
pub const RSA_BYTES_MAX: usize = 8_192 / 8;
/// How long reading a key set may take; calls wait for it.
pub const JWKS_CALL_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a key set is read from a file: a changed one counts within this time.
pub const JWKS_FILE_EVERY: Duration = Duration::from_secs(5);
/// How often a key set is read from a URL: a key that was withdrawn counts no longer than this.
pub const JWKS_URL_EVERY: Duration = Duration::from_secs(5 * 60);
/// How long a key set is not read again, whoever asks: tokens with made-up key ids must not become
/// requests to the issuer.
pub const JWKS_ASK_GAP: Duration = Duration::from_secs(5);

/// Spans that wait for the collector, about 4 MiB; more are dropped and counted.
pub const TRACE_QUEUE_SPANS: usize = 8_192;
/// Spans in one request to the collector: below the 4 MiB that gRPC servers take unless told otherwise.
pub const TRACE_BATCH_SPANS: usize = 1_024;
/// How long the exporter waits for more after the first span of a batch.
pub const TRACE_GATHER: Duration = Duration::from_millis(200);
/// How long one request to the collector may take.
pub const TRACE_CALL_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a batch is tried before it is dropped and counted.
pub const TRACE_TRY_MAX: Duration = Duration::from_secs(5);
/// How long a program that ends waits for the collector to take the last spans.
pub const TRACE_DRAIN_MAX: Duration = Duration::from_secs(2);
/// Links that one span carries, as in OpenTelemetry's SDKs; of more messages the first.
pub const TRACE_LINKS_MAX: usize = 128;
