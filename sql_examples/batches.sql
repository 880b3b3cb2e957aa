-- Batches: the fastest flights, computed by numpy over whole columns.
--
-- vm_map(udf, query, parameters...) runs the query on this connection, gathers its rows into
-- batches of thousands, and runs the function on each batch in a micro-VM. The query's first column
-- is a key, which comes back beside the value; the others are the arguments. So the result can
-- be joined with its source. Uses the table `flights`: the flights of 2013 from New York.

SELECT f.carrier, f.tailnum, f.origin, f.dest, round(m.value) AS miles_an_hour
FROM vm_map('speed', 'SELECT rowid, distance, air_time FROM flights') AS m
JOIN flights AS f ON f.rowid = m.key
ORDER BY m.value DESC LIMIT 3;
-- expect: DL|N666DN|LGA|ATL|703.0
-- expect: EV|N17196|EWR|MSP|650.0
-- expect: EV|N14568|EWR|GSP|648.0

-- Parameters of the query follow the query.
SELECT count(*), count(value), round(avg(value), 1)
FROM vm_map(
    'speed', 'SELECT rowid, distance, air_time FROM flights WHERE month = ? AND day = ?', 2, 9);
-- expect: 684|291|395.9

-- A scalar function works too: it is called for each row, inside the micro-VM.
SELECT f.carrier, round(avg(m.value), 3) AS score
FROM vm_map(
    'score', 'SELECT rowid, dep_delay, distance FROM flights WHERE month = 2 AND day = 9') AS m
JOIN flights AS f ON f.rowid = m.key
GROUP BY f.carrier ORDER BY score DESC LIMIT 2;
-- expect: EV|9.91
-- expect: HA|3.733

-- The query must be a single SELECT: it cannot write.
SELECT * FROM vm_map('score', 'DELETE FROM flights');
-- expect error: vm_map: the query must be a SELECT
