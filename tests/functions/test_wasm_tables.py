"""Table functions in WebAssembly: modules that emit rows, components that return lists."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import apsw
import pyarrow as pa
import pytest
from click.testing import CliRunner

import udfvm
from udfvm import errors
from udfvm.cli import commands

# `calls` has how often the instance was asked for rows.
MODULE = r"""
(module
  (import "udfvm" "emit_squares" (func $square (param i64 i64)))
  (import "udfvm" "emit_from" (func $number (param i64)))
  (import "udfvm" "emit_letters" (func $letter (param i32 i32 i32)))
  (import "udfvm" "emit_wide" (func $wide (param i32 i64 f32 f64 v128 i32)))
  (import "udfvm" "emit_calls" (func $calls (param i32)))
  (memory (export "memory") 1)
  (global $calls (mut i32) (i32.const 0))
  (global $lent (mut i32) (i32.const 0))
  (func (export "malloc") (param i32) (result i32)
    (global.set $lent (i32.add (global.get $lent) (i32.const 1))) (i32.const 1024))
  (func (export "free") (param i32) (global.set $lent (i32.sub (global.get $lent) (i32.const 1))))
  (func (export "squares") (param $n i64) (local $i i64)
    (loop $go
      (if (i64.lt_s (local.get $i) (local.get $n))
        (then
          (if (i64.eq (local.get $i) (i64.const 1300)) (then unreachable))
          (call $square (local.get $i) (i64.mul (local.get $i) (local.get $i)))
          (local.set $i (i64.add (local.get $i) (i64.const 1)))
          (br $go)))))
  (func (export "from") (param $i i64)
    (loop $go
      (call $number (local.get $i))
      (local.set $i (i64.add (local.get $i) (i64.const 1)))
      (br $go)))
  (func (export "letters") (param $at i32) (param $length i32) (local $i i32)
    (if (i32.gt_u (global.get $lent) (i32.const 1)) (then unreachable))
    (loop $go
      (if (i32.lt_s (local.get $i) (local.get $length))
        (then
          (call $letter (i32.add (local.get $at) (local.get $i)) (i32.const 1) (local.get $i))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br $go))))
    (call $letter (i32.const 0) (i32.const 0) (i32.const -1)))
  (func (export "wide") (param i64)
    (call $wide (i32.const 200) (local.get 0) (f32.const 0.5) (f64.const 0.25)
      (v128.const i64x2 1 2) (i32.const 1)))
  (func (export "calls")
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (call $calls (global.get $calls)) (call $calls (i32.const -1)))
  (func (export "astray") (result i32) (call $calls (i32.const 1)) (i32.const 1)))
"""
SQUARES = "(n: i64) ->> struct<i: i64, square: i64>"


def table(code: str, function: str, **options: Any) -> udfvm.TableFunction:
    made = udfvm.from_wasm(code, function, **options)
    assert isinstance(made, udfvm.TableFunction)
    return made


@pytest.fixture(scope="module")
def squares() -> udfvm.TableFunction:
    return table(MODULE, "squares", signature=SQUARES)


def connected(*functions: udfvm.TableFunction) -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, *functions)
    return connection


def test_rows_that_a_module_emits(squares: udfvm.TableFunction) -> None:
    assert repr(squares) == "<table UDF squares(n: int64) -> (i: int64, square: int64)>"
    assert list(squares(3)) == [(0, 0), (1, 1), (2, 4)]
    assert list(squares(0)) == []
    assert [batch.num_rows for batch in squares.batches(1000)] == [64, 128, 256, 512, 40]
    assert list(pickle.loads(pickle.dumps(squares))(2)) == [(0, 0), (1, 1)]
    bare = table(MODULE, "squares")
    assert repr(bare) == "<table UDF squares(a0: int64) -> (0: int64, 1: int64)>"
    assert list(bare(2)) == [(0, 0), (1, 1)]
    single = table(MODULE, "from", signature="(first: i64) ->> i16")
    assert repr(single) == "<table UDF from(first: int64) -> (value: int16)>"


def test_a_function_runs_only_as_far_as_rows_are_asked_for() -> None:
    endless = table(MODULE, "from", name="numbers")
    rows = endless(5)
    assert [next(rows) for _ in range(1000)] == [(i + 5,) for i in range(1000)]
    rows.close()
    connection = connected(endless)
    summed = "SELECT sum(c1) FROM (SELECT c1 FROM vm_table('numbers', 0) LIMIT 50000)"
    assert connection.execute(summed).fetchall() == [(sum(range(50_000)),)]
    # Each row of n leaves the function in its midst.
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)"
    first = "SELECT sum((SELECT c1 FROM vm_table('numbers', i) LIMIT 1)) FROM n"
    assert connection.execute(f"{numbers} {first}").fetchall() == [(sum(range(401)),)]
    reader = endless.map(pa.table({"a0": [7]}), output=pa.RecordBatchReader, progress=False)
    assert reader.read_next_batch().column("value")[0].as_py() == 7
    reader.close()


def test_an_instance_that_was_left_begins_anew() -> None:
    calls = table(MODULE, "calls", signature="() ->> i32")
    one = "(SELECT c1 FROM vm_table('calls') WHERE c1 < x LIMIT 1)"
    both = f"SELECT {one} FROM (SELECT 10 AS x UNION SELECT 20)"
    assert connected(calls).execute(both).fetchall() == [(1,), (2,)]  # it had come to its end
    last = "(call $calls (i32.const -1))"
    endless = MODULE.replace(last, f"(loop $on {last} (br $on))")
    calls = table(endless, "calls", signature="() ->> i32")
    assert connected(calls).execute(both).fetchall() == [(1,), (1,)]


def test_values_of_every_kind() -> None:
    signature = (
        "(day: date32[day]) ->> struct<a: u8, b: timestamp[us], c: f32, d: f64, e: blob, f: bool>"
    )
    with pytest.raises(errors.SignatureError, match="day is i64 in the module"):
        table(MODULE, "wide", signature=signature.replace("date32[day]", "f64"))
    wide = table(MODULE, "wide", signature=signature.replace("date32[day]", "i64"))
    (row,) = wide(86_400_000_000)
    assert row[0] == 200 and row[1].isoformat() == "1970-01-02T00:00:00"
    assert row[2:] == (0.5, 0.25, (1).to_bytes(8, "little") + (2).to_bytes(8, "little"), True)
    small = table(
        MODULE, "wide", signature=signature.replace("date32[day]", "i64").replace("u8", "i8")
    )
    with pytest.raises(udfvm.UDFError, match="a is 200, which its type cannot hold"):
        list(small(0))


def test_text_goes_through_the_memory_of_the_module() -> None:
    letters = table(MODULE, "letters", signature="(word: text) ->> struct<letter: text, at: i32>")
    assert list(letters("hey")) == [("h", 0), ("e", 1), ("y", 2), (None, -1)]
    with pytest.raises(
        udfvm.UDFError, match="of the row that it emits, letter is text that is not"
    ):
        list(letters("é"))
    connection = connected(letters)
    found = connection.execute(
        "SELECT w, c1 FROM (SELECT 'ab' AS w UNION SELECT 'c'), vm_table('letters', w)"
    )
    assert found.fetchall() == [("ab", "a"), ("ab", "b"), ("ab", None), ("c", "c"), ("c", None)]


def test_rows_of_a_source_have_rows(squares: udfvm.TableFunction) -> None:
    found = squares.map(pa.table({"n": [2, None, 0, 1]}), progress=False)
    assert found.to_pydict() == {"n": [2, 2, 1], "i": [0, 1, 0], "square": [0, 1, 0]}


def test_duckdb_and_arrow_have_them(squares: udfvm.TableFunction) -> None:
    database = pytest.importorskip("duckdb").connect()
    udfvm.duckdb.register(database, squares)
    assert database.sql("SELECT square FROM squares(3)").fetchall() == [(0,), (1,), (4,)]


# ---- Failures ----


def test_rows_before_a_trap_are_yielded(squares: udfvm.TableFunction) -> None:
    rows = squares(2000)
    assert [next(rows)[0] for _ in range(1300)] == list(range(1300))
    with pytest.raises(udfvm.UDFError, match="Trap: wasm `unreachable`"):
        next(rows)
    with pytest.raises(udfvm.UDFError) as caught:
        squares.map(pa.table({"n": [1, 2, 1400, 1]}), progress=False)
    assert caught.value.row == 2
    connection = connected(squares)
    with pytest.raises(apsw.SQLError, match=r"UDF 'squares'.*Trap"):
        connection.execute("SELECT count(*) FROM vm_table('squares', 1400)").fetchall()
    assert connection.execute("SELECT c2 FROM vm_table('squares', 2)").fetchall() == [(0,), (1,)]


def test_an_endless_loop_without_rows_ends() -> None:
    loop = r"""(module (import "udfvm" "emit_on" (func (param i32)))
      (func (export "on") (loop $go (br $go))))"""
    with pytest.raises(udfvm.CallTimeoutError):
        list(table(loop, "on", timeout=0.3)())


def test_emitting_elsewhere_is_an_error() -> None:
    astray = udfvm.from_wasm(MODULE, "astray")
    with pytest.raises(udfvm.UDFError, match="emit_calls is called where the function calls makes"):
        astray()


@pytest.mark.parametrize(
    ("name", "signature", "expected"),
    [
        ("astray", "() ->> i32", "udfvm.emit_astray, which the module does not have"),
        ("squares", "(n: i64) ->> struct<i: i64>", "it has 2 values, of which a row has 1"),
        ("squares", "(n: i64) ->> struct<i: i64, j: i64, k: i64>", "k needs one more value"),
        ("squares", "(n: i64) ->> struct<i: i64, j: f64>", "j is i64 in the module"),
        ("squares", "(n: i64) ->> struct<i: i64, j: text>", "j needs two i32, address and length"),
        ("letters", "(w: text) ->> struct<a: text, b: text>", "b needs two i32"),
        ("squares", "(n: f64) ->> struct<i: i64, j: i64>", "n is i64 in the module"),
        ("squares", "(n: i64, m: i64) ->> struct<i: i64, j: i64>", "m needs one more parameter"),
        ("calls", "() ->> struct<I: i32, i: i32>", "i needs one more value"),
    ],
)
def test_signatures_that_the_rows_have_not(name: str, signature: str, expected: str) -> None:
    with pytest.raises(errors.SignatureError, match=expected):
        udfvm.from_wasm(MODULE, name, signature=signature)


def test_functions_that_cannot_be() -> None:
    result = r"""(module (import "udfvm" "emit_t" (func (param i32) %s))
      (func (export "t") %s unreachable))"""
    for types, expected in [
        (("(result i32)", ""), "the import udfvm.emit_t has a result, and gets none"),
        (("", "(result i32)"), "passes its rows to udfvm.emit_t, and has no result"),
    ]:
        with pytest.raises(errors.SignatureError, match=expected):
            udfvm.from_wasm(result % types, "t")
    nothing = r'(module (import "udfvm" "emit_t" (func)) (func (export "t")))'
    with pytest.raises(errors.SignatureError, match="takes nothing, and a row has a value"):
        udfvm.from_wasm(nothing, "t")


def test_a_database_does_not_store_them() -> None:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, policy=udfvm.sqlite.Policy(allow_create=True))
    stored = "SELECT vm_create('calls', 'wasm', ?, '() -> int')"
    with pytest.raises(apsw.SQLError, match="stores scalar functions only"):
        connection.execute(stored, (MODULE,)).fetchall()


def test_what_is_in_a_module(tmp_path: Path) -> None:
    found = {each.name: each for each in udfvm.wasm.exports(MODULE)}
    kinds = {name for name, each in found.items() if each.kind == "table function"}
    assert kinds == {"squares", "from", "letters", "wide", "calls"}
    assert found["squares"].signature == "(a0: i64) ->> struct<0: int64, 1: int64>"
    assert found["free"].kind == "function" and not found["free"].needs
    file = tmp_path / "module.wat"
    file.write_text(MODULE)
    shown = CliRunner().invoke(commands, ["inspect", str(file)])
    assert "\nfrom (a0: i64) ->> i64 [table function]\n" in shown.output


# ---- Components ----

COMPONENT = r"""
(component
  (core module $m
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 2048))
    (func (export "squares") (param $n i32) (result i32) (local $i i32) (local $at i32)
      (if (i32.eq (local.get $n) (i32.const 13)) (then unreachable))
      (loop $go
        (if (i32.lt_u (local.get $i) (local.get $n))
          (then
            (local.set $at (i32.add (i32.const 4096) (i32.mul (local.get $i) (i32.const 16))))
            (i32.store (local.get $at) (local.get $i))
            (i64.store offset=8 (local.get $at)
              (i64.extend_i32_u (i32.mul (local.get $i) (local.get $i))))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br $go))))
      (i32.store (i32.const 16) (i32.const 4096)) (i32.store (i32.const 20) (local.get $n))
      (i32.const 16))
    (func (export "some") (param $n i32) (result i32)
      (i32.store8 (i32.const 16) (i32.eqz (local.get $n)))
      (i32.store (i32.const 20) (i32.const 4096)) (i32.store (i32.const 24) (local.get $n))
      (i32.const 16)))
  (core instance $i (instantiate $m))
  (type $row' (record (field "the-number" u32) (field "square" s64)))
  (export $row "row" (type $row'))
  (func (export "squares") (param "n" u32) (result (list $row))
    (canon lift (core func $i "squares") (memory (core memory $i "memory"))))
  (func (export "numbers") (param "n" u32) (result (result (list (tuple u32)) (error u32)))
    (canon lift (core func $i "some") (memory (core memory $i "memory"))))
  (func (export "bytes") (param "n" u32) (result (list u8))
    (canon lift (core func $i "squares") (memory (core memory $i "memory")))))
"""
ROWS = "(n: u32) ->> struct<the-number: u32, square: i64>"


def test_a_component_returns_rows() -> None:
    squares = table(COMPONENT, "squares", signature=ROWS)
    assert repr(squares) == "<table UDF squares(n: uint32) -> (the-number: uint32, square: int64)>"
    assert list(squares(3)) == [(0, 0), (1, 1), (2, 4)]
    assert len(list(squares(3000))) == 3000
    found = connected(squares).execute("SELECT c1 + c2 FROM vm_table('squares', 4)").fetchall()
    assert found == [(0,), (2,), (6,), (12,)]
    mapped = squares.map(pa.table({"n": pa.array([1, 2], pa.uint32())}), progress=False)
    assert mapped.column("square").to_pylist() == [0, 0, 1]
    with pytest.raises(udfvm.UDFError, match="Trap") as caught:
        squares.map(pa.table({"n": pa.array([1, 13], pa.uint32())}), progress=False)
    assert caught.value.row == 1
    whole = udfvm.from_wasm(COMPONENT, "squares")  # without ->>, the list is a value
    assert isinstance(whole, udfvm.ScalarFunction)
    assert whole(2) == [{"the-number": 0, "square": 0}, {"the-number": 1, "square": 1}]


def test_an_err_is_the_error_of_the_row() -> None:
    numbers = table(COMPONENT, "numbers", signature="(n: u32) ->> struct<0: u32>")
    assert len(list(numbers(2))) == 2
    with pytest.raises(udfvm.UDFError, match="4096"):
        list(numbers(0))


@pytest.mark.parametrize(
    ("name", "signature", "expected"),
    [
        ("bytes", "(n: u32) ->> i32", "returns a list, of which each item is a row"),
        ("squares", "(n: u32) ->> struct<a: u32, square: i64>", "the result is declared as struct"),
        ("squares", "(n: f64) ->> struct<the-number: u32, square: i64>", "n is declared as f64"),
        ("nothing", "() ->> i32", "exports no function nothing"),
    ],
)
def test_components_that_have_no_such_rows(name: str, signature: str, expected: str) -> None:
    with pytest.raises(errors.SignatureError, match=expected):
        udfvm.from_wasm(COMPONENT, name, signature=signature)
