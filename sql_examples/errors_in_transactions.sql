-- Errors: a failing row fails its statement, and nothing more.
--
-- The transaction around it is intact, and the connection goes on working. The error names the
-- function, the row (counted from 0, in the order in which the statement came to them) and what was
-- raised.

CREATE TEMP TABLE services(name TEXT, port TEXT);
BEGIN;
INSERT INTO services VALUES ('web', '443'), ('ssh', '22'), ('typo', '80a'), ('far', '70000');
CREATE TEMP TABLE ports(name TEXT, port INTEGER);

INSERT INTO ports SELECT name, parse_port(port) FROM services;
-- expect error: UDF 'parse_port', row 2: ValueError: invalid literal for int() with base 10: '80a'

-- The failed INSERT left no row behind; the transaction is still open.
SELECT count(*) FROM ports;
-- expect: 0
INSERT INTO ports SELECT name, parse_port(port) FROM services WHERE name IN ('web', 'ssh');
COMMIT;
SELECT name, port, typeof(port) FROM ports ORDER BY port;
-- expect: ssh|22|integer
-- expect: web|443|integer

-- Types are checked before anything runs; NULL is not an error.
SELECT parse_port(443);
-- expect error: UDF 'parse_port', row 0: argument 'text' (position 1) takes TEXT; got INTEGER
SELECT parse_port(NULL) IS NULL;
-- expect: 1
SELECT vm_udf('parse_prot', '22');
-- expect error: vm_udf: no UDF named 'parse_prot' is registered on this connection
SELECT vm_udf('parse_port', '22', '23');
-- expect error: UDF 'parse_port': it takes 1 argument (text); got 2
