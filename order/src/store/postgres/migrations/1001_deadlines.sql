-- Deadlines of orders, in milliseconds since the Unix epoch, UTC: what the client gave, and what is in
-- force, which may be the store's default.
ALTER TABLE orders ADD COLUMN reserve_by BIGINT;
ALTER TABLE orders ADD COLUMN deadline BIGINT;
