-- How the instances of a service share its shards. Times are this database's own: the instances'
-- clocks need not agree. What is from the future was written before the clock was set back, and
-- counts as long ago.

-- The instances: one row per run of a process, renewed by its heartbeats.
CREATE TABLE instance (
    id TEXT COLLATE "C" PRIMARY KEY,
    name TEXT NOT NULL,
    seen TIMESTAMPTZ NOT NULL
) WITH (fillfactor = 50);

-- The last grant of each shard; free without a holder, or when not renewed for as long as a grant
-- lasts. Its epoch is above the one in the table shard until the new owner has claimed it there.
CREATE TABLE lease (
    shard INTEGER PRIMARY KEY,
    epoch BIGINT NOT NULL,
    holder TEXT COLLATE "C",
    holder_name TEXT,
    granted TIMESTAMPTZ NOT NULL,
    renewed TIMESTAMPTZ NOT NULL
) WITH (fillfactor = 50);
