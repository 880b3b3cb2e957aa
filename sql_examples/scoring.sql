-- Scoring: which airlines lose the most time for each mile flown?
--
-- `score` is a Python function that runs in a micro-VM; SQL does the rest. A flight that was
-- cancelled has no departure delay: its argument and its result are NULL, and avg() leaves it
-- out. All rows of the statement run in one micro-VM, in one call. Uses the table `flights`: the
-- flights of 2013 from New York.

SELECT carrier, count(*), round(avg(vm_udf('score', dep_delay, distance)), 3) AS score
FROM flights WHERE month = 2 AND day = 9
GROUP BY carrier HAVING count(*) >= 20
ORDER BY score DESC LIMIT 5;
-- expect: EV|82|9.91
-- expect: WN|27|3.645
-- expect: MQ|52|3.02
-- expect: UA|113|2.983
-- expect: AA|76|2.487

-- The function also has its own name, and can be used wherever SQL has expressions.
SELECT tailnum, origin, dest, round(score(dep_delay, distance), 1)
FROM flights WHERE month = 2 AND day = 10 AND score(dep_delay, distance) > 30
ORDER BY 4 DESC LIMIT 3;
-- expect: N15980|EWR|CLT|78.4
-- expect: N833AS|LGA|IAD|54.1
-- expect: N203FR|LGA|DEN|52.7

-- Most flights of that day were cancelled.
SELECT count(*), count(score(dep_delay, distance)) FROM flights WHERE month = 2 AND day = 9;
-- expect: 684|291
