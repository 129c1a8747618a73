-- Deadlines, in milliseconds since the Unix epoch, UTC: an order that is not held before its own is
-- refused.
ALTER TABLE reservation ADD COLUMN reserve_by BIGINT;

CREATE INDEX reservation_deadline ON reservation (book, reserve_by, order_id)
    WHERE status = 'WAITING' AND reserve_by IS NOT NULL;

-- No waiter's deadline lies before it; null if no waiter has one.
ALTER TABLE stock_book ADD COLUMN next_deadline BIGINT;
