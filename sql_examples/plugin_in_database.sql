-- A plugin that is stored inside the database.
--
-- A function's source is stored in the database file, in a table like any other; whoever opens the
-- file has the function. The source is compiled and run only inside a micro-VM, so the file may
-- come from a stranger: its functions can compute, and nothing else. The application's policy
-- decides whether stored functions run, and whether SQL may store any (`allow_create`).

SELECT vm_create('slug', 'python', '
import re, unicodedata

def slug(title):
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")
', '(title text) -> text', 'deterministic');
-- expect: 1

SELECT vm_udf('slug', 'Crème Brûlée, à la carte!');
-- expect: creme-brulee-a-la-carte

-- What the database holds, and how it may be called. The hash is computed from what is stored, so
-- it can be compared with a trusted one.
SELECT name, language, signature, version, length(hash) FROM vm_functions WHERE origin = 'database';
-- expect: slug|python|(title text) -> text|1|64

-- Stored functions are transactional, like everything in a database.
BEGIN;
SELECT vm_create(
    'slug', 'python', 'def slug(title): return "broken"', '(title text) -> text', 'replace');
-- expect: 2
SELECT vm_udf('slug', 'Second thoughts');
-- expect: broken
ROLLBACK;
SELECT vm_udf('slug', 'Second thoughts');
-- expect: second-thoughts

-- What does not compile is not stored.
SELECT vm_create('oops', 'python', 'def oops(: pass', '() -> int');
-- expect error: vm_create: 'oops': SyntaxError

-- A stored function that attacks finds nothing: it has no files of yours, and no network.
SELECT vm_create('spy', 'python', 'def spy(path): return open(path).read()', '(text) -> text');
-- expect: 1
SELECT vm_udf('spy', '/etc/shadow');
-- expect error: UDF 'spy', row 0: PermissionError

SELECT vm_drop('spy'), vm_drop('slug');
-- expect: 1|1
