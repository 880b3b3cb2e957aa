-- Anomalies: what a call is, and how long state lives.
--
-- `anomaly` keeps a running mean and variance in a Python global, and says how many standard deviations a value is off. With isolation
-- "statement" (the default) one execution of a statement is one call: the global lives from its first row to its last, and no longer.

CREATE TEMP TABLE readings(at INTEGER PRIMARY KEY, value REAL);
INSERT INTO readings VALUES (1, 10.0), (2, 11.0), (3, 9.5), (4, 10.5), (5, 10.0), (6, 30.0), (7, 10.2);

SELECT at, value FROM (SELECT at, value, anomaly(value) AS off FROM readings ORDER BY at) WHERE off > 3;
-- expect: 6|30.0

-- The same statement again starts from the sealed state: the same answer, though the guest has seen these values before.
SELECT at, value FROM (SELECT at, value, anomaly(value) AS off FROM readings ORDER BY at) WHERE off > 3;
-- expect: 6|30.0

-- With isolation "row" every row is a call of its own: no row has anything to compare with.
SELECT count(*), count(anomaly_alone(value)) FROM readings;
-- expect: 7|0
