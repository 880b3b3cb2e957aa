-- An index and a generated column computed by a UDF.
--
-- `phone` is declared deterministic (clock and randomness are fixed in its micro-VM), so SQLite
-- allows it in an index and in a generated column. It is registered with in_schema=True, because
-- the schema of this database is trusted. A lookup in the index calls the function once, for the
-- constant.

CREATE TABLE people(
    name TEXT, contact TEXT, digits TEXT GENERATED ALWAYS AS (phone(contact)) STORED);
INSERT INTO people(name, contact) VALUES
    ('Ada', '(020) 7946-0018'), ('Grace', '020 7946 0777'), ('Edsger', 'by post only'),
    ('Barbara', '+44 20 7946 0018');

SELECT name, digits FROM people ORDER BY name;
-- expect: Ada|+442079460018
-- expect: Barbara|+442079460018
-- expect: Edsger|NULL
-- expect: Grace|+442079460777

CREATE INDEX people_by_phone ON people(phone(contact));
EXPLAIN QUERY PLAN SELECT name FROM people WHERE phone(contact) = '+442079460018';
-- expect plan: USING INDEX people_by_phone

SELECT name FROM people WHERE phone(contact) = phone('020/79460018') ORDER BY name;
-- expect: Ada
-- expect: Barbara

-- The index follows what is written.
UPDATE people SET contact = '020 7946 0018' WHERE name = 'Grace';
SELECT count(*) FROM people WHERE phone(contact) = '+442079460018';
-- expect: 3

-- A UDF that is not declared deterministic is refused there, even with in_schema=True.
CREATE INDEX people_by_ticket ON people(ticket(name));
-- expect error: non-deterministic functions prohibited in index expressions
