-- Tables from functions: the lines of logs that are stored as BLOBs.
--
-- `parse_log` is a Python generator: it yields a row for each entry of a log, and runs in a
-- micro-VM as far as rows are asked for. Under its own name it is a table whose columns have the
-- names that the function declares; vm_table() finds it by name, with the columns c1, c2, ...

CREATE TEMP TABLE logs(host TEXT PRIMARY KEY, log BLOB);
INSERT INTO logs VALUES
    ('alpha', CAST('12:00:01 INFO started
12:00:02 ERROR cannot open the queue
    Traceback: line 7
12:00:09 WARNING slow answer' AS BLOB)),
    ('beta', CAST('no level here
12:00:03 ERROR disk full' AS BLOB));

SELECT number, level, message FROM parse_log((SELECT log FROM logs WHERE host = 'alpha'));
-- expect: 1|INFO|started
-- expect: 2|ERROR|cannot open the queue / Traceback: line 7
-- expect: 4|WARNING|slow answer

-- A table function in a join runs for each row of the table before it.
SELECT host, number, message FROM logs, parse_log(logs.log) WHERE level = 'ERROR' ORDER BY host;
-- expect: alpha|2|cannot open the queue / Traceback: line 7
-- expect: beta|2|disk full

-- By name: SELECT * has as many columns as the widest table function of the connection.
SELECT c2, c3 FROM vm_table('parse_log', (SELECT log FROM logs WHERE host = 'beta'));
-- expect: ERROR|disk full

-- vm_map with a table function: any number of rows, of several columns, for each key.
SELECT key, value, value2
FROM vm_map('word_counts', 'SELECT host, CAST(log AS TEXT) FROM logs')
WHERE value IN ('error', 'queue') ORDER BY key, value;
-- expect: alpha|error|1
-- expect: alpha|queue|1
-- expect: beta|error|1
