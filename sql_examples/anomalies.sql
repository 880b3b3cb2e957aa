-- Anomalies: what a call is, and how long state lives.
--
-- `anomaly` keeps a running mean and variance in a Python global. It returns how many standard
-- deviations a value is away from the mean. With isolation "statement" (the default), one execution
-- of a statement is one call: the global lives from its first row to its last.

CREATE TEMP TABLE readings(at INTEGER PRIMARY KEY, value REAL);
INSERT INTO readings VALUES
    (1, 10.0), (2, 11.0), (3, 9.5), (4, 10.5), (5, 10.0), (6, 30.0), (7, 10.2);

SELECT at, value FROM (SELECT at, value, anomaly(value) AS off FROM readings ORDER BY at)
WHERE off > 3;
-- expect: 6|30.0

-- The same statement starts from the sealed state again, so it gives the same answer.
SELECT at, value FROM (SELECT at, value, anomaly(value) AS off FROM readings ORDER BY at)
WHERE off > 3;
-- expect: 6|30.0

-- With isolation "row", every row is a call of its own, and has nothing to compare with.
SELECT count(*), count(anomaly_alone(value)) FROM readings;
-- expect: 7|0
