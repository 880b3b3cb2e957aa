"""Aggregates and table functions in WebAssembly where no Python calls them: DuckDB, Polars, sealed
files; and in deterministic calls.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
from sealed_functions import words_of_shell

import udfvm
import udfvm.polars
import udfvm.sqlite

SOURCE = r"""
(module
  (import "udfvm" "emit_wasm_upto" (func $emit (param i64 i64)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "udfvm" "emit_drawn" (func $drawn (param i64)))
  (memory (export "memory") 1)
  (func (export "wasm_total_init") (result f64) (f64.const 0))
  (func (export "wasm_total_step") (param f64 f64) (result f64)
    (if (f64.lt (local.get 1) (f64.const 0)) (then unreachable))
    (f64.add (local.get 0) (local.get 1)))
  (func (export "wasm_total_inverse") (param f64 f64) (result f64)
    (f64.sub (local.get 0) (local.get 1)))
  (func (export "wasm_total_finish") (param f64) (result f64) (local.get 0))
  (func (export "wasm_upto") (param $n i64) (local $i i64)
    (loop $go
      (if (i64.lt_s (local.get $i) (local.get $n))
        (then
          (call $emit (local.get $i) (i64.mul (local.get $i) (local.get $i)))
          (local.set $i (i64.add (local.get $i) (i64.const 1)))
          (br $go)))))
  (func $draw (result i64)
    (drop (call $random (i32.const 64) (i32.const 8))) (i64.load (i32.const 64)))
  (func (export "drawn") (param $n i64)
    (call $drawn (call $draw)) (call $drawn (call $draw)))
  (func (export "draws_init") (result i64) (i64.const 0))
  (func (export "draws_step") (param i64 i64) (result i64)
    (i64.xor (local.get 0) (call $draw)))
  (func (export "draws_finish") (param i64) (result i64) (local.get 0)))
"""
UPTO = "(n: i64) ->> struct<i: i64, square: i64>"

DUCKDB = {
    "SELECT r % 3, list_wasm_total(list(r)) FROM range(10) t(r) GROUP BY 1 ORDER BY 1": [
        (0, 18.0), (1, 12.0), (2, 15.0),
    ],
    "SELECT square FROM wasm_upto(3)": [(0,), (1,), (4,)],
    "SELECT n, i FROM (VALUES (2), (NULL), (0)) t(n), LATERAL wasm_upto(n) ORDER BY ALL": [
        (2, 0), (2, 1),
    ],
    "SELECT count(*) FROM range(500) t(n), LATERAL wasm_upto(n)": [(124_750,)],
}  # fmt: skip


def test_duckdb() -> None:
    total = udfvm.from_wasm(SOURCE, "wasm_total")
    upto = udfvm.from_wasm(SOURCE, "wasm_upto", signature=UPTO)
    with duckdb.connect() as connection:
        udfvm.duckdb.register(connection, total, upto)
        for query, expected in DUCKDB.items():
            assert connection.execute(query).fetchall() == expected, query


def test_polars() -> None:
    frame = pl.DataFrame({"k": ["a", "b", "a", "b"], "x": [1.0, 2.0, 5.0, None]})
    total = udfvm.polars.expr(udfvm.from_wasm(SOURCE, "wasm_total"), "x")
    found = frame.group_by("k", maintain_order=True).agg(total.alias("s"))
    assert found.rows() == [("a", 6.0), ("b", 2.0)]


def test_deterministic_calls_repeat_themselves() -> None:
    drawn = udfvm.from_wasm(SOURCE, "drawn", deterministic=True)
    assert isinstance(drawn, udfvm.TableFunction)
    rows = list(drawn(1))
    assert rows == list(drawn(2))
    assert rows[0] != rows[1]
    draws = udfvm.from_wasm(SOURCE, "draws", deterministic=True)
    assert draws(pa.array([1, 2], pa.int64())) == 0  # each row draws the same
    assert draws(pa.array([1], pa.int64())) == draws(pa.array([2], pa.int64())) != 0
    other = udfvm.from_wasm(SOURCE, "draws")
    assert other(pa.array([1, 2], pa.int64())) != 0


FILE = """
from pathlib import Path
import udfvm
source = Path(__file__).with_suffix(".wat").read_text()
total = udfvm.from_wasm(source, "wasm_total")
upto = udfvm.from_wasm(source, "wasm_upto", signature="(n: i64) ->> struct<i: i64, square: i64>")
"""


def test_sealed_functions_in_the_shell(tmp_path: Path) -> None:
    file = tmp_path / "wasm_forms.py"
    file.with_suffix(".wat").write_text(SOURCE)
    file.write_text(FILE)
    assert words_of_shell(
        file,
        "SELECT vm_agg('wasm_total', column1) FROM (VALUES (1.0), (NULL), (4.5));",
        "SELECT vm_attach('wasm_total'), vm_attach('wasm_upto');",
        "SELECT wasm_total(square) OVER (ORDER BY i ROWS 1 PRECEDING) FROM wasm_upto(3);",
    ) == ["5.5", "wasm_total|wasm_upto", "0.0", "1.0", "5.0"]
