-- A view that calls a UDF, and why it is refused.
--
-- Views, triggers and indexes belong to the database file, which may come from anybody. The
-- functions are "direct only": the application's SQL may call them, and its TEMP views and
-- triggers. The file may not. `udfvm.sqlite.register(con, f, in_schema=True)` lifts that for
-- functions of the application's choice.

CREATE VIEW worst AS SELECT flight, score(dep_delay, distance) AS s FROM flights;
SELECT count(*) FROM worst WHERE s > 1000;
-- expect error: unsafe use of score()

CREATE TABLE clean(name TEXT);
CREATE TRIGGER tidy AFTER INSERT ON clean BEGIN
    UPDATE clean SET name = vm_udf('clean_name', name) WHERE rowid = new.rowid;
END;
INSERT INTO clean VALUES ('  someone ');
-- expect error: unsafe use of vm_udf()

-- The same in the application's own TEMP trigger: each firing is an execution, and so a call, of
-- its own.
DROP TRIGGER tidy;
CREATE TEMP TRIGGER tidy AFTER INSERT ON clean BEGIN
    UPDATE clean SET name = vm_udf('clean_name', name) WHERE rowid = new.rowid;
END;
INSERT INTO clean VALUES ('  someone '), ('SOMEONE  ELSE');
SELECT name FROM clean ORDER BY name;
-- expect: Someone
-- expect: Someone Else
