-- What an order asked for lies with its reservation, as in Order's table: it is read and written with
-- it alone, and a table of its own was one more tree that order ids fall all over.
-- JSON: [[product_id, quantity], ...], sorted by product_id. Never changed. SQLite wants the default
-- for the rows that are there.
ALTER TABLE reservation ADD COLUMN lines TEXT NOT NULL DEFAULT '[]';

UPDATE reservation SET lines = (
    SELECT json_group_array(json_array(product_id, quantity))
    FROM (SELECT product_id, quantity FROM reservation_line
          WHERE reservation_line.order_id = reservation.order_id ORDER BY product_id)
);

DROP TABLE reservation_line;
