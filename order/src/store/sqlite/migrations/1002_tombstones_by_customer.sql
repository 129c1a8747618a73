-- A tombstone is its customer's, so that it cancels nobody else's order; '' stands for everybody's, as
-- all were before.
CREATE TABLE tombstones_by_customer (
    order_id TEXT NOT NULL,
    customer_id TEXT NOT NULL,
    -- The customer's first.
    reason TEXT NOT NULL,
    PRIMARY KEY (order_id, customer_id)
) STRICT, WITHOUT ROWID;
INSERT INTO tombstones_by_customer (order_id, customer_id, reason)
SELECT order_id, '', reason FROM tombstones;
DROP TABLE tombstones;
ALTER TABLE tombstones_by_customer RENAME TO tombstones;
