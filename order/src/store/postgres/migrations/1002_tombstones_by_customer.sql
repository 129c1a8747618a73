-- A tombstone is its customer's, so that it cancels nobody else's order; '' stands for everybody's, as
-- all were before.
ALTER TABLE tombstones
    ADD COLUMN customer_id TEXT COLLATE "C" NOT NULL DEFAULT '',
    DROP CONSTRAINT tombstones_pkey,
    ADD PRIMARY KEY (order_id, customer_id);
