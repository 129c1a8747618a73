-- What an order asked for lies with its reservation, as in Order's table: it is read and written with
-- it alone, and a table of its own was one more index that order ids fall all over.
-- JSON: [[product_id, quantity], ...], sorted by product_id. Never changed.
ALTER TABLE reservation ADD COLUMN lines TEXT NOT NULL DEFAULT '[]';

UPDATE reservation SET lines = asked.lines
FROM (SELECT order_id, json_agg(json_build_array(product_id, quantity) ORDER BY product_id)::text AS lines
      FROM reservation_line GROUP BY order_id) AS asked
WHERE asked.order_id = reservation.order_id;

-- For the rows that were there only: none comes without its lines.
ALTER TABLE reservation ALTER COLUMN lines DROP DEFAULT;

DROP TABLE reservation_line;
