-- Aggregates: are delays shared fairly?
--
-- `gini` is a Python class with step(), which takes a row, and finish(), which returns the group's
-- value. All groups of a statement live in one micro-VM. vm_agg() calls it by name;
-- it also has its own name. NULLs are left out, as SQL's own aggregates do. Uses the table
-- `flights`: the flights of 2013 from New York.

SELECT carrier, count(dep_delay), round(vm_agg('gini', max(dep_delay, 0)), 3) AS inequality
FROM flights WHERE month = 6 GROUP BY carrier HAVING count(dep_delay) > 500
ORDER BY inequality DESC LIMIT 4;
-- expect: US|1655|0.88
-- expect: AA|2700|0.861
-- expect: DL|4090|0.834
-- expect: B6|4572|0.814

-- Thousands of groups in one statement: the aircraft whose delays are most unequal.
SELECT count(*), round(max(inequality), 2) FROM (
    SELECT tailnum, gini(max(dep_delay, 0)) AS inequality
    FROM flights WHERE month = 6 GROUP BY tailnum);
-- expect: 3165|0.94

-- FILTER and an empty group work as for SQL's own aggregates.
SELECT round(gini(distance) FILTER (WHERE carrier = 'HA'), 3),
    gini(distance) FILTER (WHERE carrier = 'none')
FROM flights;
-- expect: 0.0|NULL
