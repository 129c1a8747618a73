-- Order's own tables (the messaging library's are migrations 1 to 999).
-- Times are milliseconds since the Unix epoch, UTC. Ids compare by their bytes.

-- One row per order. The sequence of placement is the one that lists follow; those of turns side by
-- side may commit in another order.
CREATE TABLE orders (
    sequence BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id TEXT COLLATE "C" NOT NULL UNIQUE,
    customer_id TEXT COLLATE "C" NOT NULL,
    currency TEXT NOT NULL,
    -- JSON: [[product_id, quantity, unit_price_minor], ...], sorted by product_id. Never changed,
    -- never queried by product.
    lines TEXT NOT NULL,
    on_shortage TEXT NOT NULL CHECK (on_shortage IN ('BACKORDER', 'REJECT')),
    status TEXT NOT NULL CHECK (
        status IN ('PENDING', 'RESERVED', 'COMPLETED', 'BACKORDERED', 'REJECTED', 'CANCELLED')
    ),
    version BIGINT NOT NULL CHECK (version >= 1),
    -- The newest version of the order's reservation at Inventory that was applied.
    reservation_version BIGINT NOT NULL CHECK (reservation_version >= 0),
    reason TEXT NOT NULL,
    placed_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

-- Both end in the sequence, so a page is one walk backwards.
CREATE INDEX orders_by_customer ON orders (customer_id, sequence);
CREATE INDEX orders_by_status ON orders (status, sequence);

-- Orders cancelled before they were placed: the placement that follows is cancelled at once.
CREATE TABLE tombstones (
    order_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    reason TEXT NOT NULL
);
