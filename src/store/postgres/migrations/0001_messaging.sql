-- The messaging library's own tables (migrations 1 to 999 belong to it).
-- Times are milliseconds since the Unix epoch, UTC. `records` and `record` are in the byte form of
-- `messaging::store::outbox`. A shard is also the partition number of everything it reads.
--
-- Strings that clients chose are BYTEA where they must come back as they were, for text holds no
-- zero byte; what is compared with them is their hash, for an index entry has at most 2,704 bytes.
-- In psql `SET bytea_output = 'escape'` makes them readable.

-- The number of partitions that this database was made for: one row, never changed.
CREATE TABLE partitions (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    count INTEGER NOT NULL CHECK (count > 0)
);

-- Who owns a shard: the epoch of its last acquisition. Every turn locks its row first.
CREATE TABLE shard (
    shard INTEGER PRIMARY KEY,
    epoch BIGINT NOT NULL
) WITH (fillfactor = 50);

-- Where a shard goes on reading a topic, and the hash of the record before that.
CREATE TABLE cursor (
    shard INTEGER NOT NULL,
    topic TEXT COLLATE "C" NOT NULL,
    next_offset BIGINT NOT NULL CHECK (next_offset >= 0),
    last_hash BYTEA NOT NULL CHECK (length(last_hash) = 16),
    PRIMARY KEY (shard, topic)
) WITH (fillfactor = 50);

-- Messages already applied, of the types that nothing else deduplicates. The digest is made of
-- type, key and id, which are here only to be read by people (without zero bytes). No pruning
-- removes a lasting one: it came too early to have an effect, so that nothing else remembers it.
CREATE TABLE inbox (
    shard INTEGER NOT NULL,
    digest BYTEA NOT NULL CHECK (length(digest) = 32),
    message_type TEXT NOT NULL,
    key TEXT NOT NULL,
    id TEXT NOT NULL,
    content BYTEA NOT NULL CHECK (length(content) = 32),
    at BIGINT NOT NULL,
    lasting BOOLEAN NOT NULL,
    PRIMARY KEY (shard, digest)
);

-- For pruning, oldest first; what stays for good is not in its way.
CREATE INDEX inbox_at ON inbox (shard, at) WHERE NOT lasting;

-- Committed and not yet known to be in the log; bytes is the size of the records themselves. Rows
-- live for moments, so compressing them would be wasted, and vacuuming follows their number.
CREATE TABLE outbox (
    partition INTEGER NOT NULL,
    sequence BIGINT NOT NULL,
    topic TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    records BYTEA NOT NULL,
    PRIMARY KEY (partition, sequence)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

ALTER TABLE outbox ALTER COLUMN records SET STORAGE EXTERNAL;

-- The sequence number of the next outbox row, per output partition. Locked last, in ascending
-- order, until the commit.
CREATE TABLE outbox_sequence (
    partition INTEGER PRIMARY KEY,
    next BIGINT NOT NULL
) WITH (fillfactor = 50);

-- The last offset that the log acknowledged: tells a database older than its own events.
CREATE TABLE acknowledged (
    partition INTEGER NOT NULL,
    topic TEXT COLLATE "C" NOT NULL,
    last_offset BIGINT NOT NULL,
    PRIMARY KEY (partition, topic)
) WITH (fillfactor = 50);

-- Messages set aside for an operator; ids rise in the order of parking. No aggregate: parked alone.
CREATE TABLE parked (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    shard INTEGER NOT NULL,
    topic TEXT COLLATE "C" NOT NULL,
    log_offset BIGINT NOT NULL,
    aggregate_kind TEXT,
    aggregate_id BYTEA,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    record BYTEA NOT NULL,
    at BIGINT NOT NULL,
    replays INTEGER NOT NULL DEFAULT 0,
    UNIQUE (shard, topic, log_offset)
);

-- For finding what is held up behind an earlier message, and a key's messages whatever their shard.
CREATE INDEX parked_aggregate ON parked (sha256(aggregate_id), id) WHERE aggregate_id IS NOT NULL;

-- For the gauges of a shard: how many, and since when.
CREATE INDEX parked_at ON parked (shard, at);

-- Messages that repeated an id or a business key with other content. Never applied.
CREATE TABLE conflict (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    shard INTEGER NOT NULL,
    topic TEXT COLLATE "C" NOT NULL,
    log_offset BIGINT NOT NULL,
    message_type TEXT NOT NULL,
    key BYTEA NOT NULL,
    id BYTEA NOT NULL,
    record BYTEA NOT NULL,
    at BIGINT NOT NULL,
    UNIQUE (shard, topic, log_offset)
);

-- For finding a key's conflicts.
CREATE INDEX conflict_key ON conflict (sha256(key), number);

-- The trail: what was asked of a shard's owner; numbers rise in the order of asking. The target is
-- an aggregate or a place. Done when its owner has carried it out. Rows stay.
CREATE TABLE action (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT COLLATE "C" NOT NULL UNIQUE,
    shard INTEGER NOT NULL,
    kind TEXT NOT NULL,
    aggregate_kind TEXT,
    aggregate_id BYTEA,
    topic TEXT,
    log_offset BIGINT,
    operator TEXT NOT NULL,
    reason TEXT NOT NULL,
    at BIGINT NOT NULL,
    done_at BIGINT,
    outcomes BIGINT NOT NULL DEFAULT 0,
    CHECK ((aggregate_kind IS NULL) = (aggregate_id IS NULL)),
    CHECK ((topic IS NULL) = (log_offset IS NULL)),
    CHECK ((aggregate_id IS NULL) <> (topic IS NULL))
);

-- For the owner, who looks for what is still to be done.
CREATE INDEX action_open ON action (shard, number) WHERE done_at IS NULL;

-- What became of the messages of an action, numbered from 1; the record of a discarded one.
CREATE TABLE action_outcome (
    action BIGINT NOT NULL REFERENCES action (number),
    number BIGINT NOT NULL,
    topic TEXT NOT NULL,
    log_offset BIGINT NOT NULL,
    outcome TEXT NOT NULL,
    detail TEXT NOT NULL,
    record BYTEA,
    PRIMARY KEY (action, number)
);
