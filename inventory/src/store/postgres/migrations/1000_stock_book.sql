-- Inventory's own tables (the messaging library's are migrations 1 to 999). Every row belongs to a
-- book; there is one, 'main', until a warehouse or region becomes a book of its own. Ids compare by
-- their bytes.

-- One row per book: its lock, taken first by every commit, and its counters.
CREATE TABLE stock_book (
    book            TEXT   COLLATE "C" PRIMARY KEY,
    next_position   BIGINT NOT NULL,
    next_fulfilment BIGINT NOT NULL,
    next_mark       BIGINT NOT NULL
) WITH (fillfactor = 50);

INSERT INTO stock_book VALUES ('main', 1, 1, 1);

-- Stock per product, in pieces; version is the number of receipts applied.
CREATE TABLE stock (
    book       TEXT   COLLATE "C" NOT NULL,
    product_id TEXT   COLLATE "C" NOT NULL,
    on_hand    BIGINT NOT NULL CHECK (on_hand >= 0),
    reserved   BIGINT NOT NULL CHECK (reserved >= 0),
    version    BIGINT NOT NULL CHECK (version >= 1),
    PRIMARY KEY (book, product_id),
    CHECK (reserved <= on_hand)
) WITH (fillfactor = 80);

-- Goods that arrived; the id is the business key of the command.
CREATE TABLE receipt (
    receipt_id TEXT    COLLATE "C" PRIMARY KEY,
    book       TEXT    COLLATE "C" NOT NULL,
    product_id TEXT    COLLATE "C" NOT NULL,
    quantity   INTEGER NOT NULL CHECK (quantity > 0)
);

-- What became of each order. order_version is the last version of the order applied here; position
-- and fulfilment tell in which order waiters came and were served.
CREATE TABLE reservation (
    order_id       TEXT   COLLATE "C" PRIMARY KEY,
    book           TEXT   COLLATE "C" NOT NULL,
    order_version  BIGINT NOT NULL,
    version        BIGINT NOT NULL CHECK (version >= 1),
    status         TEXT   NOT NULL
                   CHECK (status IN ('HELD', 'WAITING', 'REFUSED', 'RELEASED', 'SHIPPED')),
    position       BIGINT,
    fulfilment     BIGINT,
    correlation_id TEXT   NOT NULL,
    traceparent    TEXT
);

CREATE UNIQUE INDEX reservation_position ON reservation (book, position)
    WHERE position IS NOT NULL;
CREATE UNIQUE INDEX reservation_fulfilment ON reservation (book, fulfilment)
    WHERE fulfilment IS NOT NULL;

-- What each order asked for; never changes.
CREATE TABLE reservation_line (
    order_id   TEXT    COLLATE "C" NOT NULL,
    product_id TEXT    COLLATE "C" NOT NULL,
    quantity   INTEGER NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (order_id, product_id)
);

-- The queues: an order stands in those of the products that it is short of.
CREATE TABLE waiter (
    book       TEXT   COLLATE "C" NOT NULL,
    product_id TEXT   COLLATE "C" NOT NULL,
    position   BIGINT NOT NULL,
    order_id   TEXT   COLLATE "C" NOT NULL,
    PRIMARY KEY (book, product_id, position)
);

-- Products whose queue must be looked at, oldest mark first; causation_id is the id of the message
-- that made the mark.
CREATE TABLE fulfilment_mark (
    book         TEXT   COLLATE "C" NOT NULL,
    product_id   TEXT   COLLATE "C" NOT NULL,
    sequence     BIGINT NOT NULL,
    causation_id TEXT   NOT NULL,
    PRIMARY KEY (book, product_id),
    UNIQUE (book, sequence)
);
