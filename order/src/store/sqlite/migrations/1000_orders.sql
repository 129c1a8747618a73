-- Order's own tables (the messaging library's are migrations 1 to 999).
-- Times are milliseconds since the Unix epoch, UTC.

-- One row per order. Clients choose order ids, so they fall all over a tree; the rows themselves
-- lie in the sequence of placement, so that only the slim unique index pays for that. The
-- sequence is also the one that lists follow.
CREATE TABLE orders (
    sequence INTEGER PRIMARY KEY,
    order_id TEXT NOT NULL UNIQUE,
    customer_id TEXT NOT NULL,
    currency TEXT NOT NULL,
    -- JSON: [[product_id, quantity, unit_price_minor], ...], sorted by product_id. Never changed,
    -- never queried by product.
    lines TEXT NOT NULL,
    on_shortage TEXT NOT NULL CHECK (on_shortage IN ('BACKORDER', 'REJECT')),
    status TEXT NOT NULL CHECK (
        status IN ('PENDING', 'RESERVED', 'COMPLETED', 'BACKORDERED', 'REJECTED', 'CANCELLED')
    ),
    version INTEGER NOT NULL CHECK (version >= 1),
    -- The newest version of the order's reservation at Inventory that was applied.
    reservation_version INTEGER NOT NULL CHECK (reservation_version >= 0),
    reason TEXT NOT NULL,
    placed_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

-- Both end in the sequence (the rowid), so a page is one walk backwards.
CREATE INDEX orders_by_customer ON orders (customer_id);
CREATE INDEX orders_by_status ON orders (status);

-- Orders cancelled before they were placed: the placement that follows is cancelled at once.
CREATE TABLE tombstones (
    order_id TEXT NOT NULL PRIMARY KEY,
    reason TEXT NOT NULL
) STRICT, WITHOUT ROWID;
