"""Aggregates of core modules: exports that begin with the aggregate's name."""

from __future__ import annotations

import math
import pickle
from typing import Any

import apsw
import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner

import udfvm
import udfvm.arrow
from udfvm import errors
from udfvm.cli import commands

# The states of `mean` are addresses of a sum and a count. What is freed is used again, so that a
# state that is used too long, or freed twice, shows.
MEAN = r"""
(module
  (memory (export "memory") 2)
  (global $next (mut i32) (i32.const 1024)) (global $free (mut i32) (i32.const 0))
  (func $new (export "mean_init") (result i32) (local $s i32)
    (local.set $s (global.get $free))
    (if (local.get $s)
      (then (global.set $free (i32.load (local.get $s))))
      (else (local.set $s (global.get $next))
        (global.set $next (i32.add (local.get $s) (i32.const 16)))))
    (f64.store (local.get $s) (f64.const 0))
    (i64.store offset=8 (local.get $s) (i64.const 0))
    (local.get $s))
  (func $add (param $s i32) (param $x f64) (param $n i64)
    (f64.store (local.get $s) (f64.add (f64.load (local.get $s)) (local.get $x)))
    (i64.store offset=8 (local.get $s)
      (i64.add (i64.load offset=8 (local.get $s)) (local.get $n))))
  (func (export "mean_step") (param $s i32) (param $x f64)
    (if (f64.eq (local.get $x) (f64.const 13)) (then (unreachable)))
    (loop $again (br_if $again (f64.eq (local.get $x) (f64.const 14))))
    (call $add (local.get $s) (local.get $x) (i64.const 1)))
  (func (export "mean_inverse") (param $s i32) (param $x f64)
    (call $add (local.get $s) (f64.neg (local.get $x)) (i64.const -1)))
  (func (export "mean_finish") (param $s i32) (result f64)
    (if (i64.eq (i64.load offset=8 (local.get $s)) (i64.const 7)) (then (unreachable)))
    (f64.div (f64.load (local.get $s)) (f64.convert_i64_s (i64.load offset=8 (local.get $s)))))
  (func (export "mean_merge") (param $s i32) (param $other i32)
    (call $add (local.get $s) (f64.load (local.get $other))
      (i64.load offset=8 (local.get $other))))
  (func (export "mean_save") (param $s i32) (result i32 i32) (local.get $s) (i32.const 16))
  (func (export "mean_load") (param $at i32) (param $length i32) (result i32) (local $s i32)
    (if (i32.ne (local.get $length) (i32.const 16)) (then (unreachable)))
    (local.set $s (call $new))
    (memory.copy (local.get $s) (local.get $at) (i32.const 16))
    (local.get $s))
  (func (export "mean_free") (param $s i32)
    (i32.store (local.get $s) (global.get $free))
    (global.set $free (local.get $s)))
  (func (export "malloc") (param i32) (result i32) (i32.const 65536)))
"""

# The states of these are values, which step returns.
VALUES = r"""
(module
  (func (export "sum_init") (result f64) (f64.const 0))
  (func (export "sum_step") (param f64 f64) (result f64) (f64.add (local.get 0) (local.get 1)))
  (func (export "sum_merge") (param f64 f64) (result f64) (f64.add (local.get 0) (local.get 1)))
  (func (export "sum_finish") (param f64) (result f64) (local.get 0))
  (func (export "bits_init") (result v128) (v128.const i64x2 0 0))
  (func (export "bits_step") (param v128 i64) (result v128)
    (v128.or (local.get 0) (i64x2.splat (i64.shl (i64.const 1) (local.get 1)))))
  (func (export "bits_merge") (param v128 v128) (result v128)
    (v128.or (local.get 0) (local.get 1)))
  (func (export "bits_finish") (param v128) (result i64) (i64x2.extract_lane 0 (local.get 0)))
  (func (export "range_init") (result i64) (i64.const -1))
  (func (export "range_step") (param i64 i32) (result i64)
    (i64.or (i64.and (local.get 0) (i64.const 0xffffffff))
      (i64.shl (i64.extend_i32_s (local.get 1)) (i64.const 32))))
  (func (export "range_finish") (param i64) (result i32 i64)
    (i32.wrap_i64 (i64.shr_s (local.get 0) (i64.const 32)))
    (i64.and (local.get 0) (i64.const 0xffffffff)))
  (func (export "rows_init") (result i64) (i64.const 0))
  (func (export "rows_step") (param i64) (result i64) (i64.add (local.get 0) (i64.const 1)))
  (func (export "rows_finish") (param i64) (result i64) (local.get 0)))
"""


def aggregate(module: str, name: str, **options: Any) -> udfvm.AggregateFunction:
    made = udfvm.from_wasm(module, name, **options)
    assert isinstance(made, udfvm.AggregateFunction)
    return made


@pytest.fixture(scope="module")
def mean() -> udfvm.AggregateFunction:
    return aggregate(MEAN, "mean", signature="(x: f64) -> f64", timeout=5)


@pytest.fixture
def connection(mean: udfvm.AggregateFunction) -> apsw.Connection:
    made = apsw.Connection(":memory:")
    udfvm.sqlite.register(made, mean)
    made.execute("CREATE TABLE t (k, x)")
    made.executemany("INSERT INTO t VALUES (?, ?)", [(i % 3, i * 1.0) for i in range(12)])
    return made


def test_a_call_is_a_group(mean: udfvm.AggregateFunction) -> None:
    assert repr(mean) == "<aggregate UDF mean(x: double) -> double>"
    assert mean.has_inverse
    assert mean.has_merge
    assert mean(np.array([1.0, 2.5, 4.0])) == 2.5
    assert mean(pa.array([1.0, None, 2.0])) == 1.5  # a null is left out
    assert math.isnan(mean(pa.array([], pa.float64())))
    assert pickle.loads(pickle.dumps(mean))(np.array([3.0])) == 3.0
    assert mean.with_options(name="other").name == "other"


def test_groups_and_windows_of_sqlite(connection: apsw.Connection) -> None:
    grouped = connection.execute("SELECT k, mean(x), vm_agg('mean', x) FROM t GROUP BY k")
    assert grouped.fetchall() == [(0, 4.5, 4.5), (1, 5.5, 5.5), (2, 6.5, 6.5)]
    moved = connection.execute("SELECT mean(x) OVER (ORDER BY x ROWS 1 PRECEDING) FROM t")
    assert [value for (value,) in moved] == [0.0, *(i - 0.5 for i in range(1, 12))]
    nothing = connection.execute("SELECT mean(x), mean(NULL) FROM t WHERE 0")
    assert nothing.fetchall() == [(None, None)]  # not a number


def test_groups_of_arrow_and_duckdb(mean: udfvm.AggregateFunction) -> None:
    udfvm.arrow.register(None, mean.with_options(name="wasm_mean"))
    rows = pa.table({"k": [1, 2, 1], "x": [1.0, 5.0, 2.0]})
    grouped = rows.group_by("k").aggregate([("x", "wasm_mean")]).sort_by("k")
    assert grouped.column("x_wasm_mean").to_pylist() == [1.5, 5.0]
    database = pytest.importorskip("duckdb").connect()
    udfvm.duckdb.register(database, mean.with_options(name="average"))
    found = database.sql(
        "SELECT k, list_average(list(x)) FROM rows GROUP BY k ORDER BY k"
    ).fetchall()
    assert found == [(1, 1.5), (2, 5.0)]


def test_states_go_to_other_vms(mean: udfvm.AggregateFunction) -> None:
    x = np.arange(300_000) + 20.0
    assert mean(x) == pytest.approx(x.mean())  # two VMs share as many rows
    assert mean.map(pa.table({"x": x}), threads=2, progress=False) == pytest.approx(x.mean())
    for name, of in [("sum", math.fsum), ("bits", lambda rows: sum({1 << int(i) for i in rows}))]:
        rows = x if name == "sum" else np.arange(300_000) % 60
        assert aggregate(VALUES, name)(rows) == of(rows)


def test_groups_are_freed() -> None:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, aggregate(MEAN, "mean"))
    grouped = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9000)"
    # 9,000 groups one after the other: without mean_free they would not fit into the memory.
    rows = connection.execute(f"{grouped} SELECT mean(i + 20.0) FROM n GROUP BY i").fetchall()
    assert [value for (value,) in rows] == [i + 20.0 for i in range(1, 9001)]


def test_values_of_other_types() -> None:
    found = aggregate(VALUES, "range")
    assert repr(found) == "<aggregate UDF range(a0: int32) -> struct<0: int32, 1: int64>>"
    assert found(pa.array([3, -5], pa.int32())) == {"0": -5, "1": 2**32 - 1}
    named = aggregate(
        VALUES, "range", signature="(day: date32[day]) -> struct<last: date32[day], rest: u64>"
    )
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, named)
    days = "SELECT range(d) ->> 'last', range(d) ->> 'rest' FROM (SELECT 2 AS d)"
    assert connection.execute(days).fetchall() == [("1970-01-03", 2**32 - 1)]
    natural = aggregate(VALUES, "bits", signature="(bit: u8) -> u64")
    assert natural(pa.array([63], pa.uint8())) == 2**63
    rows = aggregate(VALUES, "rows")
    udfvm.sqlite.register(connection, rows)
    assert connection.execute("SELECT rows() FROM (VALUES (1), (2))").fetchall() == [(2,)]


TEXT = r"""
(module
  (memory (export "memory") 1)
  (global $free (mut i32) (i32.const 1024)) (global $lent (mut i32) (i32.const 0))
  (func (export "malloc") (param i32) (result i32) (local $at i32)
    (global.set $lent (i32.add (global.get $lent) (i32.const 1)))
    (local.set $at (global.get $free))
    (global.set $free
      (i32.and (i32.add (i32.add (local.get $at) (local.get 0)) (i32.const 7)) (i32.const -8)))
    (local.get $at))
  (func (export "free") (param i32) (global.set $lent (i32.sub (global.get $lent) (i32.const 1))))
  (func (export "last_init") (result i32) (local $s i32)
    (local.set $s (global.get $free))
    (global.set $free (i32.add (local.get $s) (i32.const 104)))
    (i64.store (local.get $s) (i64.const 0)) (local.get $s))
  (func (export "last_step") (param $s i32) (param $at i32) (param $length i32) (param $n i64)
    (if (global.get $lent)
      (then (if (i32.gt_u (global.get $lent) (i32.const 1)) (then (unreachable)))))
    (i32.store offset=4 (local.get $s) (local.get $length))
    (i32.store (local.get $s) (i32.add (local.get $s) (i32.const 8)))
    (memory.copy (i32.add (local.get $s) (i32.const 8)) (local.get $at) (local.get $length)))
  (func (export "last_finish") (param $to i32) (param $s i32)
    (i64.store (local.get $to) (i64.load (local.get $s)))))
"""


def test_text_goes_through_the_memory_of_the_module() -> None:
    last = aggregate(TEXT, "last", signature="(word: text, n: i64) -> text?")
    assert last(pa.array(["to", "be", "é"]), 1) == "é"
    assert last(pa.array([], pa.string()), 1) is None
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, last)
    rows = connection.execute(
        "SELECT last(w, 1) OVER (ORDER BY w) FROM (SELECT 'b' AS w UNION SELECT 'a')"
    )
    assert rows.fetchall() == [("a",), ("b",)]


def test_objects_of_assemblyscript_are_kept() -> None:
    """What `__pin` got and `__unpin` did not is the state."""
    keeps = r"""(module
      (memory (export "memory") 1) (global $kept (mut i32) (i32.const 0))
      (func (export "__new") (param i32 i32) (result i32) (i32.const 64))
      (func (export "__pin") (param i32) (result i32)
        (global.set $kept (i32.add (global.get $kept) (local.get 0))) (local.get 0))
      (func (export "__unpin") (param i32)
        (global.set $kept (i32.sub (global.get $kept) (local.get 0))))
      (func (export "kept_init") (result i32) (i32.const 1000))
      (func (export "kept_step") (param i32 i32) (result i32)
        (i32.add (local.get 0) (local.get 1)))
      (func (export "kept_finish") (param i32) (result i32) (global.get $kept)))"""
    kept = aggregate(keeps, "kept")
    assert kept(pa.array([1, 2], pa.int32())) == 1003
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, kept)
    query = "SELECT kept(i) FROM (SELECT 1 AS k, 5 AS i UNION SELECT 2, 7) GROUP BY k"
    assert connection.execute(query).fetchall() == [(1005,), (1007,)]


def test_host_functions_serve_aggregates() -> None:
    def weight(of: int) -> int:
        return 10 * of

    weighted = aggregate(
        """(module (import "env" "weight" (func $weight (param i64) (result i64)))
          (func (export "total_init") (result i64) (i64.const 0))
          (func (export "total_step") (param i64 i64) (result i64)
            (i64.add (local.get 0) (call $weight (local.get 1))))
          (func (export "total_finish") (param i64) (result i64) (local.get 0)))""",
        "total",
        host_functions=[weight],
    )
    assert weighted(np.array([1, 2])) == 30


# ---- Failures ----


def test_traps_name_the_row(mean: udfvm.AggregateFunction, connection: apsw.Connection) -> None:
    with pytest.raises(udfvm.UDFError, match="Trap: wasm `unreachable`") as caught:
        mean(pa.array([1.0, None, 13.0, 2.0]))
    assert caught.value.row == 2
    with pytest.raises(udfvm.UDFError, match="Trap") as caught:
        mean(np.ones(7))
    assert caught.value.row is None  # in finish
    with pytest.raises(apsw.SQLError, match="UDF 'mean', row 11: Trap: wasm `unreachable`"):
        connection.execute("SELECT k, mean(x + 2.0) FROM t GROUP BY 1 = 1").fetchall()
    with pytest.raises(udfvm.CallTimeoutError):
        mean.with_options(timeout=0.3)(np.array([14.0]))
    assert mean(np.array([1.0])) == 1.0
    assert connection.execute("SELECT mean(x) FROM t").fetchall() == [(5.5,)]


def test_values_that_do_not_fit_are_errors() -> None:
    narrow = aggregate(VALUES, "sum", signature="(f64) -> f64")
    assert narrow(np.array([1e308, 1e308])) == math.inf
    small = aggregate(VALUES, "rows", signature="() -> i8")
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, small)
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)"
    with pytest.raises(apsw.SQLError, match="returned 200, which the declared type cannot hold"):
        connection.execute(f"{numbers} SELECT rows() FROM n").fetchall()


def test_a_window_needs_inverse() -> None:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, aggregate(VALUES, "sum"))
    with pytest.raises(apsw.SQLError, match="has no inverse"):
        rows = "WITH n(i) AS (VALUES (1.0), (2.0), (3.0))"
        connection.execute(f"{rows} SELECT sum(i) OVER (ROWS 1 PRECEDING) FROM n").fetchall()


INIT = '(func (export "t_init") (result i32) (i32.const 1))'
STEP = '(func (export "t_step") (param i32 f64))'
FINISH = '(func (export "t_finish") (param i32) (result f64) unreachable)'


@pytest.mark.parametrize(
    ("functions", "signature", "expected"),
    [
        (INIT + FINISH, None, "the module does not export t_step"),
        (STEP + FINISH, None, "the module does not export t_init"),
        (INIT + STEP, None, "the module does not export t_finish"),
        (
            INIT + FINISH + '(func (export "t_step") (param i64 f64))',
            None,
            r"t_step must take the state \(i32\), then what a row has, and return nothing or the"
            r" new state: it is \(func \(param i64 f64\)\) in the module",
        ),
        (
            INIT + FINISH + '(func (export "t_step") (param i32 f64) (result f64) unreachable)',
            None,
            "t_step must take the state",
        ),
        (
            STEP + FINISH + '(func (export "t_init") (param i32) (result i32) unreachable)',
            None,
            "t_init must take nothing and return the state of a new group, which is one number",
        ),
        (
            INIT + STEP + '(func (export "t_finish") (param f32) (result f64) unreachable)',
            None,
            r"t_finish must take the state \(i32\) and return the group's value",
        ),
        (INIT + STEP + '(func (export "t_finish") (param i32))', None, "t_finish must take"),
        (
            '(func (export "t_init") (result f64) unreachable)'
            '(func (export "t_step") (param f64 f64))'
            '(func (export "t_finish") (param f64) (result f64) unreachable)',
            None,
            r"t_step must take the state \(f64\), then what a row has, and return the new state",
        ),
        (
            INIT + STEP + FINISH + '(func (export "t_inverse") (param f64 i32))',
            None,
            "t_inverse must take the state",
        ),
        (
            INIT + STEP + FINISH + '(func (export "t_inverse") (param i32))',
            None,
            "t_inverse, without its state: a0 needs one more parameter",
        ),
        (
            INIT + STEP + FINISH + '(func (export "t_merge") (param i32))',
            None,
            r"t_merge must take the state \(i32\) and that of another group",
        ),
        (
            INIT + STEP + FINISH + '(func (export "t_merge") (param i32 i32))',
            None,
            "addresses mean something else: export t_save",
        ),
        (
            INIT + STEP + FINISH + '(func (export "t_save") (param i32) (result i64) unreachable)',
            None,
            "exports t_save and not t_load",
        ),
        (
            INIT + STEP + FINISH + '(func (export "t_free") (param i64))',
            None,
            "t_free must take the state and return nothing",
        ),
        (INIT + STEP + FINISH, "(x: f64, y: f64) -> f64", "y needs one more parameter"),
        (INIT + STEP + FINISH, "(x: i64) -> f64", "x is f64 in the module"),
        (INIT + STEP + FINISH, "(x: f64?) -> f64", "never null"),
        (INIT + STEP + FINISH, "(x: f64) -> text", "t_finish, without its state: the result needs"),
        (INIT + STEP + FINISH, "(x: f64) ->> f64", "not a table function in the module: use ->"),
    ],
)
def test_modules_that_have_no_such_aggregate(
    functions: str, signature: str | None, expected: str
) -> None:
    with pytest.raises(errors.SignatureError, match=f"UDF 't': .*{expected}"):
        udfvm.from_wasm(f"(module {functions})", "t", signature=signature)


def test_an_export_of_the_name_comes_before_the_aggregate() -> None:
    both = f'(module {INIT}{STEP}{FINISH}(func (export "t") (result i32) (i32.const 5)))'
    function = udfvm.from_wasm(both, "t")
    assert isinstance(function, udfvm.ScalarFunction)
    assert function() == 5


def test_a_database_does_not_store_them() -> None:
    connection = apsw.Connection(":memory:")
    policy = udfvm.sqlite.Policy(allow_create=True)
    udfvm.sqlite.register(connection, policy=policy)
    with pytest.raises(apsw.SQLError, match="stores scalar functions only"):
        connection.execute(
            "SELECT vm_create('sum', 'wasm', ?, '(double) -> double')", (VALUES,)
        ).fetchall()


def test_what_is_in_a_module(tmp_path: Any) -> None:
    found = {each.name: each for each in udfvm.wasm.exports(VALUES)}
    kinds = {name for name, each in found.items() if each.kind == "aggregate"}
    assert kinds == {"sum", "bits", "range", "rows"}
    assert found["range"].signature == "(a0: i32) -> struct<0: int32, 1: int64>"
    assert found["sum_step"].kind == "function"
    half = f"(module {INIT}{STEP})"
    assert {each.kind for each in udfvm.wasm.exports(half)} == {"function"}
    file = tmp_path / "values.wat"
    file.write_text(VALUES)
    shown = CliRunner().invoke(commands, ["inspect", str(file)])
    assert "\nsum (a0: f64) -> f64 [aggregate]\n" in shown.output
