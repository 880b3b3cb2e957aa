-- A sheet whose formulas people type.
--
-- vm_expr() computes a Python expression over the values that follow it, which it calls a, b, c and
-- so on. A formula is data: it may stand in a column, and it may be a stranger's. A micro-VM parses
-- and computes it, so the worst that a formula can do is to be wrong, or to take too long.

CREATE TEMP TABLE sheet(row INTEGER PRIMARY KEY, item TEXT, price REAL, amount INTEGER);
INSERT INTO sheet VALUES
    (1, 'tea', 2.5, 4), (2, ' Oat milk', 1.2, 10), (3, 'sugar', 0.9, NULL);

-- One formula down a column, as in a sheet: NULL stays NULL.
SELECT row, vm_expr('round(a * b * (0.9 if b >= 10 else 1), 2)', price, amount) FROM sheet;
-- expect: 1|10.0
-- expect: 2|10.8
-- expect: 3|NULL

-- Text, too: each value has the type that it has in SQL.
SELECT vm_expr('a.strip().title() + " x" + str(b)', item, coalesce(amount, 0)) FROM sheet;
-- expect: Tea x4
-- expect: Oat Milk x10
-- expect: Sugar x0

-- Columns that people defined, each by a formula of its own.
CREATE TEMP TABLE columns(name TEXT PRIMARY KEY, formula TEXT);
INSERT INTO columns VALUES
    ('gross', 'a * b * 1.19'),
    ('label', 'f"{c}: {a:.2f}"'),
    ('bulk', 'b > 5');

SELECT name, vm_expr(formula, price, amount, item)
FROM columns JOIN sheet WHERE row = 1 ORDER BY name;
-- expect: bulk|0
-- expect: gross|11.899999999999999
-- expect: label|tea: 2.50

-- A formula over a range is an expression over JSON.
SELECT vm_expr('statistics.median(json.loads(a))', json_group_array(price)) FROM sheet;
-- expect: 1.2

-- Modules of mathematics are there, by name.
SELECT vm_expr('math.hypot(a, b)', 3, 4), vm_expr('datetime.date(a, 2, 29).strftime("%A")', 2024);
-- expect: 5.0|Thursday

-- A mistake shows where it is. sqlite3's message has the line and a caret, as Python prints them.
SELECT vm_expr('a +* b', 1, 2);
-- expect error: UDF 'a +* b': SyntaxError: invalid syntax

SELECT vm_expr('a / b', price, row - 1) FROM sheet WHERE row = 1;
-- expect error: UDF 'a / b', row 0: ZeroDivisionError

-- What somebody tries who means harm: there are no files of yours, and no memory but the
-- micro-VM's.
SELECT vm_expr('open(a).read()', '/etc/shadow');
-- expect error: UDF 'open(a).read()', row 0: PermissionError
SELECT vm_expr('[b for b in iter(int, 1)]', 1);
-- expect error: UDF '[b for b in iter(int, 1)]', row 0: MemoryError
