-- Inventory's own tables. Every row belongs to a book; there is one, 'main', until a warehouse or
-- region becomes a book of its own.

-- One row per book: its lock, taken first by every commit, and its counters.
CREATE TABLE stock_book (
    book            TEXT    PRIMARY KEY,
    next_position   INTEGER NOT NULL,
    next_fulfilment INTEGER NOT NULL,
    next_mark       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO stock_book VALUES ('main', 1, 1, 1);

-- Stock per product, in pieces; version is the number of receipts applied.
CREATE TABLE stock (
    book       TEXT    NOT NULL,
    product_id TEXT    NOT NULL,
    on_hand    INTEGER NOT NULL CHECK (on_hand >= 0),
    reserved   INTEGER NOT NULL CHECK (reserved >= 0),
    version    INTEGER NOT NULL CHECK (version >= 1),
    PRIMARY KEY (book, product_id),
    CHECK (reserved <= on_hand)
) STRICT, WITHOUT ROWID;

-- Goods that arrived; the id is the business key of the command.
CREATE TABLE receipt (
    receipt_id TEXT    PRIMARY KEY,
    book       TEXT    NOT NULL,
    product_id TEXT    NOT NULL,
    quantity   INTEGER NOT NULL CHECK (quantity > 0)
) STRICT, WITHOUT ROWID;

-- What became of each order. order_version is the last version of the order applied here; position
-- and fulfilment tell in which order waiters came and were served.
CREATE TABLE reservation (
    order_id       TEXT    PRIMARY KEY,
    book           TEXT    NOT NULL,
    order_version  INTEGER NOT NULL,
    version        INTEGER NOT NULL CHECK (version >= 1),
    status         TEXT    NOT NULL
                   CHECK (status IN ('HELD', 'WAITING', 'REFUSED', 'RELEASED', 'SHIPPED')),
    position       INTEGER,
    fulfilment     INTEGER,
    correlation_id TEXT    NOT NULL,
    traceparent    TEXT
) STRICT;

CREATE UNIQUE INDEX reservation_position ON reservation (book, position)
    WHERE position IS NOT NULL;
CREATE UNIQUE INDEX reservation_fulfilment ON reservation (book, fulfilment)
    WHERE fulfilment IS NOT NULL;

-- What each order asked for; never changes.
CREATE TABLE reservation_line (
    order_id   TEXT    NOT NULL,
    product_id TEXT    NOT NULL,
    quantity   INTEGER NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (order_id, product_id)
) STRICT, WITHOUT ROWID;

-- The queues: an order stands in those of the products that it is short of.
CREATE TABLE waiter (
    book       TEXT    NOT NULL,
    product_id TEXT    NOT NULL,
    position   INTEGER NOT NULL,
    order_id   TEXT    NOT NULL,
    PRIMARY KEY (book, product_id, position)
) STRICT, WITHOUT ROWID;

-- Products whose queue must be looked at, oldest mark first; causation_id is the id of the message
-- that made the mark.
CREATE TABLE fulfilment_mark (
    book         TEXT    NOT NULL,
    product_id   TEXT    NOT NULL,
    sequence     INTEGER NOT NULL,
    causation_id TEXT    NOT NULL,
    PRIMARY KEY (book, product_id),
    UNIQUE (book, sequence)
) STRICT, WITHOUT ROWID;
