-- Windows: days that were unlike the week before.
--
-- `surprise` is a Python class with step() and inverse(): a window that moves puts its new rows in
-- and takes the old ones out. finish() says how many standard deviations the last day is off the
-- mean of the days before it. Uses the table `flights`: the flights of 2013 from New York.

WITH days AS (SELECT month, day, avg(dep_delay) AS delay FROM flights GROUP BY month, day),
     unlike AS (
         SELECT month, day, delay,
             surprise(delay) OVER (ORDER BY month, day ROWS 7 PRECEDING) AS off
         FROM days)
SELECT month, day, round(delay, 1), round(off, 1) FROM unlike WHERE off > 9 ORDER BY month, day;
-- expect: 2|27|37.8|12.2
-- expect: 3|8|83.5|10.3
-- expect: 4|10|33.0|11.1
-- expect: 8|22|33.6|12.1
-- expect: 9|12|50.0|13.3
-- expect: 10|7|39.1|10.0
-- expect: 12|5|52.3|14.7

-- By name, for each airport by itself.
WITH days AS (
         SELECT origin, month, day, avg(dep_delay) AS delay
         FROM flights WHERE month = 3 GROUP BY origin, month, day),
     unlike AS (
         SELECT origin, day, vm_agg('surprise', delay)
             OVER (PARTITION BY origin ORDER BY day ROWS 7 PRECEDING) AS off
         FROM days)
SELECT origin, day, round(off, 1) FROM unlike WHERE off > 6 ORDER BY origin, day;
-- expect: EWR|8|6.4
-- expect: JFK|8|12.0
-- expect: LGA|4|19.8
-- expect: LGA|6|6.7
-- expect: LGA|8|16.1

-- An aggregate without inverse() serves windows that only grow.
SELECT day, round(gini(delay) OVER (ORDER BY day), 3)
FROM (SELECT day, avg(dep_delay) AS delay FROM flights WHERE month = 3 GROUP BY day) LIMIT 3;
-- expect: 1|0.0
-- expect: 2|0.078
-- expect: 3|0.131

SELECT gini(value) OVER (ORDER BY value ROWS 1 PRECEDING) FROM json_each('[1, 2, 3]');
-- expect error: UDF 'gini': has no inverse(), so it cannot serve a window that moves
