-- Text cleaning: one customer, many spellings.
--
-- Names come from web forms, with full-width letters, accents, stray blanks. SQLite's own lower()
-- knows ASCII only; Python's unicodedata, in the micro-VM, knows Unicode. TEXT goes in and comes
-- back exactly.

CREATE TEMP TABLE visits(name TEXT, stayed TEXT);
INSERT INTO visits VALUES
    ('Zoë  Núñez', '1h 20m'), ('ZOE NUNEZ', '45 m'), ('  zoe nuñez ', '90s'),
    ('Ｊoão Silva', '2h'), ('joao silva', 'a while'), (NULL, '5m');

SELECT clean_name(name) AS customer, count(*), sum(parse_duration(stayed)) AS seconds
FROM visits GROUP BY customer ORDER BY customer;
-- expect: NULL|1|300
-- expect: Joao Silva|2|7200
-- expect: Zoe Nunez|3|7590

-- A text that is not a duration gives NULL.
SELECT stayed FROM visits WHERE parse_duration(stayed) IS NULL;
-- expect: a while
