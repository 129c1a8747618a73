-- The messaging library's own tables (migrations 1 to 999 belong to it).
-- Times are milliseconds since the Unix epoch, UTC. `records` and `record` are in the byte form of
-- `messaging::store::outbox`. A shard is also the partition number of everything it reads.

-- The number of partitions that this database was made for: one row, never changed.
CREATE TABLE partitions (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    count INTEGER NOT NULL CHECK (count > 0)
) STRICT;

-- Who owns a shard: the epoch of its last acquisition. Every turn proves itself here.
CREATE TABLE shard (
    shard INTEGER PRIMARY KEY,
    epoch INTEGER NOT NULL
) STRICT;

-- Where a shard goes on reading a topic, and the hash of the record before that.
CREATE TABLE cursor (
    shard INTEGER NOT NULL,
    topic TEXT NOT NULL,
    next_offset INTEGER NOT NULL CHECK (next_offset >= 0),
    last_hash BLOB NOT NULL CHECK (length(last_hash) = 16),
    PRIMARY KEY (shard, topic)
) STRICT, WITHOUT ROWID;

-- Messages already applied, of the types that nothing else deduplicates. Keys are the clients',
-- so they land all over the tree; pruning keeps it as small as the horizon allows.
CREATE TABLE inbox (
    shard INTEGER NOT NULL,
    message_type TEXT NOT NULL,
    key TEXT NOT NULL,
    id TEXT NOT NULL,
    content BLOB NOT NULL CHECK (length(content) = 32),
    at INTEGER NOT NULL,
    PRIMARY KEY (shard, message_type, key, id)
) STRICT, WITHOUT ROWID;

-- For pruning, oldest first.
CREATE INDEX inbox_at ON inbox (shard, at);

-- Committed and not yet known to be in the log. A row can be as large as an append, so it stays
-- out of the key's tree.
CREATE TABLE outbox (
    partition INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    topic TEXT NOT NULL,
    records BLOB NOT NULL,
    PRIMARY KEY (partition, sequence)
) STRICT;

-- The sequence number of the next outbox row, per output partition.
CREATE TABLE outbox_sequence (
    partition INTEGER PRIMARY KEY,
    next INTEGER NOT NULL
) STRICT;

-- The last offset that the log acknowledged: tells a database older than its own events.
CREATE TABLE acknowledged (
    partition INTEGER NOT NULL,
    topic TEXT NOT NULL,
    last_offset INTEGER NOT NULL,
    PRIMARY KEY (partition, topic)
) STRICT, WITHOUT ROWID;

-- Messages set aside for an operator; ids rise in the order of parking. No aggregate: parked alone.
CREATE TABLE parked (
    id INTEGER PRIMARY KEY,
    shard INTEGER NOT NULL,
    topic TEXT NOT NULL,
    log_offset INTEGER NOT NULL,
    aggregate_kind TEXT,
    aggregate_id TEXT,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    record BLOB NOT NULL,
    at INTEGER NOT NULL,
    UNIQUE (shard, topic, log_offset)
) STRICT;

-- For finding what is held up behind an earlier message.
CREATE INDEX parked_aggregate ON parked (shard, aggregate_kind, aggregate_id)
WHERE aggregate_id IS NOT NULL;

-- Messages that repeated an id or a business key with other content. Never applied.
CREATE TABLE conflict (
    shard INTEGER NOT NULL,
    topic TEXT NOT NULL,
    log_offset INTEGER NOT NULL,
    message_type TEXT NOT NULL,
    key TEXT NOT NULL,
    id TEXT NOT NULL,
    record BLOB NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (shard, topic, log_offset)
) STRICT;
