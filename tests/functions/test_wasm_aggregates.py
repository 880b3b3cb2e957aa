"""Aggregates of core modules: exports that begin with the aggregate's name."""

from __future__ import annotations

import math
import pickle

import apsw
import numpy as np
import pyarrow as pa
import pytest
from wasm_aggregates import MEAN, VALUES, aggregate, connection_with, mean_of_states

import udfvm
import udfvm.arrow


@pytest.fixture(scope="module")
def mean() -> udfvm.AggregateFunction:
    return mean_of_states()


@pytest.fixture
def connection(mean: udfvm.AggregateFunction) -> apsw.Connection:
    return connection_with(mean)


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
