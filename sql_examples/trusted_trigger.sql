-- A trigger of the database's own schema that runs a UDF. By default it is refused. The application
-- allows it for the functions that it names.
--
-- `phone` was registered with in_schema=True, `clean_name` was not. Each firing of a trigger is an
-- execution, and so a call, of its own.

CREATE TABLE leads(name TEXT, contact TEXT, phone TEXT);
CREATE TRIGGER leads_phone AFTER INSERT ON leads BEGIN
    UPDATE leads SET phone = phone(new.contact) WHERE rowid = new.rowid;
END;
INSERT INTO leads(name, contact) VALUES ('ada', '020 7946 0018'), ('grace', 'none');
SELECT name, phone FROM leads ORDER BY name;
-- expect: ada|+442079460018
-- expect: grace|NULL

CREATE TRIGGER leads_name AFTER INSERT ON leads BEGIN
    UPDATE leads SET name = clean_name(new.name) WHERE rowid = new.rowid;
END;
INSERT INTO leads(name, contact) VALUES ('edsger', '1');
-- expect error: unsafe use of clean_name()

-- A schema can never store or drop functions, or run stored ones.
DROP TRIGGER leads_name;
CREATE TRIGGER leads_evil AFTER INSERT ON leads BEGIN
    SELECT vm_create('evil', 'python', 'def evil(): return 1', '() -> int');
END;
INSERT INTO leads(name, contact) VALUES ('edsger', '1');
-- expect error: unsafe use of vm_create()
SELECT count(*) FROM leads;
-- expect: 2
