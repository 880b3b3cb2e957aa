-- JSON documents from elsewhere: some of them broken.
--
-- A parser that a stranger's document can crash or keep busy is a risk in the process that holds
-- the database. Here it runs in a micro-VM, and a broken document is a NULL.

CREATE TEMP TABLE orders(id INTEGER PRIMARY KEY, document TEXT);
INSERT INTO orders VALUES
    (1, '{"customer": "ann", "lines": [{"price": 2.5, "count": 4}, {"price": 1.25}]}'),
    (2, '{"customer": "bob", "lines": []}'),
    (3, '{"customer": "eve", "lines": [{"price": "free"}]}'),
    (4, '{"customer": '),
    (5, NULL);

SELECT id, basket_total(document) FROM orders ORDER BY id;
-- expect: 1|11.25
-- expect: 2|0.0
-- expect: 3|NULL
-- expect: 4|NULL
-- expect: 5|NULL

SELECT count(*) AS broken FROM orders WHERE document IS NOT NULL AND basket_total(document) IS NULL;
-- expect: 2
