-- Inbox entries that no pruning removes: of messages that came too early to have an effect, so that
-- nothing else remembers them.
ALTER TABLE inbox ADD COLUMN lasting INTEGER NOT NULL DEFAULT 0 CHECK (lasting IN (0, 1));

-- For pruning, oldest first; what stays for good is not in its way.
DROP INDEX inbox_at;
CREATE INDEX inbox_at ON inbox (shard, at) WHERE lasting = 0;
