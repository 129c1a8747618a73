-- What operators do about parked messages, and what they look for.

-- How often a parked message was replayed in vain.
ALTER TABLE parked ADD COLUMN replays INTEGER NOT NULL DEFAULT 0;

-- For finding a key's parked messages whatever their shard.
CREATE INDEX parked_id ON parked (aggregate_id, id) WHERE aggregate_id IS NOT NULL;

-- For the gauges of a shard: how many, and since when.
CREATE INDEX parked_at ON parked (shard, at);

-- The trail: what was asked of a shard's owner; numbers rise in the order of asking. The target is
-- an aggregate or a place. Done when its owner has carried it out. Rows stay.
CREATE TABLE action (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    shard INTEGER NOT NULL,
    kind TEXT NOT NULL,
    aggregate_kind TEXT,
    aggregate_id TEXT,
    topic TEXT,
    log_offset INTEGER,
    operator TEXT NOT NULL,
    reason TEXT NOT NULL,
    at INTEGER NOT NULL,
    done_at INTEGER,
    outcomes INTEGER NOT NULL DEFAULT 0,
    CHECK ((aggregate_kind IS NULL) = (aggregate_id IS NULL)),
    CHECK ((topic IS NULL) = (log_offset IS NULL)),
    CHECK ((aggregate_id IS NULL) <> (topic IS NULL))
) STRICT;

-- For the owner, who looks for what is still to be done.
CREATE INDEX action_open ON action (shard, number) WHERE done_at IS NULL;

-- What became of the messages of an action, numbered from 1; the record of a discarded one.
CREATE TABLE action_outcome (
    action INTEGER NOT NULL REFERENCES action (number),
    number INTEGER NOT NULL,
    topic TEXT NOT NULL,
    log_offset INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    detail TEXT NOT NULL,
    record BLOB,
    PRIMARY KEY (action, number)
) STRICT;

-- For finding a key's conflicts.
CREATE INDEX conflict_key ON conflict (key);
