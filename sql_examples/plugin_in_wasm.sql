-- A plugin in WebAssembly, inside the database. Any language that compiles to it will do. The
-- program that opens the file needs the package wasmtime, and nothing of that language.
--
-- The source is the module, as text or as a BLOB of its bytes. It is parsed, checked and compiled
-- by wasmtime inside a micro-VM, never by the program that opens the database. What the module
-- exports becomes a function; `entry=` names the export where the names differ. Compiled objects
-- for Linux work the same way, as language 'native': see docs/native.md.

-- Great-circle distance would need sine and cosine; the equirectangular approximation needs a
-- square root and one cosine, here as a series.
SELECT vm_create('miles', 'wasm', '
(module
    (func $cos (param $x f64) (result f64) (local $s f64)
        (local.set $s (f64.mul (local.get $x) (local.get $x)))
        (f64.add (f64.const 1) (f64.mul (local.get $s)
            (f64.add (f64.const -0.5) (f64.mul (local.get $s)
            (f64.add (f64.const 0.041666666) (f64.mul (local.get $s) (f64.const -0.001388888))))))))
    (func (export "distance") (param $a f64) (param $b f64) (param $c f64) (param $d f64)
            (result f64) (local $x f64) (local $y f64)
        (local.set $y
            (f64.mul (f64.sub (local.get $c) (local.get $a)) (f64.const 0.017453292519943295)))
        (local.set $x (f64.mul
            (f64.mul (f64.sub (local.get $d) (local.get $b)) (f64.const 0.017453292519943295))
            (call $cos (f64.mul
                (f64.add (local.get $a) (local.get $c)) (f64.const 0.008726646259971648)))))
        (f64.mul (f64.const 3958.8) (f64.sqrt (f64.add
            (f64.mul (local.get $x) (local.get $x)) (f64.mul (local.get $y) (local.get $y)))))))
', '(lat1 double, lon1 double, lat2 double, lon2 double) -> double',
    'entry=distance', 'deterministic');
-- expect: 1

CREATE TEMP TABLE airports(code TEXT PRIMARY KEY, lat REAL, lon REAL);
INSERT INTO airports VALUES
    ('EWR', 40.6925, -74.1687), ('BOS', 42.3643, -71.0052), ('ORD', 41.9786, -87.9048),
    ('???', NULL, NULL);

-- The table of flights says 200 miles to Boston and 719 to Chicago.
SELECT code, round(vm_udf('miles', 40.6925, -74.1687, lat, lon)) FROM airports ORDER BY code;
-- expect: ???|NULL
-- expect: BOS|200.0
-- expect: EWR|0.0
-- expect: ORD|718.0

-- The same over batches: all rows in one call.
SELECT count(*), round(max(m.value)) FROM vm_map('miles',
    'SELECT a.code || b.code, a.lat, a.lon, b.lat, b.lon
     FROM airports a, airports b WHERE a.code < b.code AND a.lat AND b.lat') m;
-- expect: 3|866.0

-- A module that loops for ever, or traps, fails its own statement only.
SELECT vm_create(
    'broken', 'wasm',
    '(module (func (export "broken") (param i64) (result i64) unreachable))', '(int) -> int');
-- expect: 1
SELECT vm_udf('broken', 1);
-- expect error: UDF 'broken', row 0: Trap: wasm `unreachable` instruction executed
SELECT vm_drop('broken'), vm_drop('miles');
-- expect: 1|1
