"""Modules with aggregates, for tests."""

from __future__ import annotations

from typing import Any

import apsw

import udfvm
import udfvm.sqlite

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


def mean_of_states() -> udfvm.AggregateFunction:
    return aggregate(MEAN, "mean", signature="(x: f64) -> f64", timeout=5)


def connection_with(function: udfvm.AggregateFunction) -> apsw.Connection:
    """A connection that has a function, and a table of twelve rows."""
    made = apsw.Connection(":memory:")
    udfvm.sqlite.register(made, function)
    made.execute("CREATE TABLE t (k, x)")
    made.executemany("INSERT INTO t VALUES (?, ?)", [(i % 3, i * 1.0) for i in range(12)])
    return made
