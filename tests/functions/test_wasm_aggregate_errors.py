"""Aggregates of core modules that fail, or that cannot be."""

from __future__ import annotations

import math
from pathlib import Path

import apsw
import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from wasm_aggregates import VALUES, aggregate, connection_with, mean_of_states

import udfvm
from udfvm import errors
from udfvm.cli import commands


@pytest.fixture(scope="module")
def mean() -> udfvm.AggregateFunction:
    return mean_of_states()


@pytest.fixture
def connection(mean: udfvm.AggregateFunction) -> apsw.Connection:
    return connection_with(mean)


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
        (INIT + STEP + FINISH, "(x: f64) ->> f64", "none in the code: use ->"),
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


def test_what_is_in_a_module(tmp_path: Path) -> None:
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
