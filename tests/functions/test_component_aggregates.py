"""Aggregates of components: functions over a state, and resources."""

from __future__ import annotations

from typing import Any

import apsw
import numpy as np
import pyarrow as pa
import pytest

import udfvm
from udfvm import errors

# The states of `mean` are records, those of `total` numbers.
STATES = r"""
(component
  (core module $m
    (memory (export "memory") 2)
    (global $free (mut i32) (i32.const 4096)) (global $live (mut i32) (i32.const 0))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
      (global.set $free (i32.add (local.get $at) (local.get 3))) (local.get $at))
    (func (export "rinit") (result i32) (f64.store (i32.const 16) (f64.const 0)) (i64.store
      (i32.const 24) (i64.const 0)) (i32.const 16))
    (func (export "rstep") (param $sum f64) (param $n i64) (param $x f64) (result i32)
      (f64.store (i32.const 16) (f64.add (local.get $sum) (local.get $x)))
      (i64.store (i32.const 24) (i64.add (local.get $n) (i64.const 1)))
      (if (f64.eq (local.get $x) (f64.const 13)) (then unreachable))
      (i32.const 16))
    (func (export "rfinish") (param $sum f64) (param $n i64) (result i32)
      (i32.store8 (i32.const 16) (i64.ne (local.get $n) (i64.const 0)))
      (f64.store (i32.const 24) (f64.div (local.get $sum) (f64.convert_i64_s (local.get $n))))
      (i32.const 16))
    (func (export "sinit") (result i64) (i64.const 0))
    (func (export "sadd") (param i64 i64) (result i64) (i64.add (local.get 0) (local.get 1)))
    (func (export "sid") (param i64) (result i64) (local.get 0))
  )
  (core instance $i (instantiate $m))
  (type $s' (record (field "sum" f64) (field "count" s64)))
  (export $s "state" (type $s'))
  (func (export "mean-init") (result $s) (canon lift (core func $i "rinit") (memory
    (core memory $i "memory"))))
  (func (export "mean-step") (param "state" $s) (param "the-x" f64) (result $s) (canon lift
    (core func $i "rstep") (memory (core memory $i "memory"))))
  (func (export "mean-finish") (param "state" $s) (result (option f64)) (canon lift
    (core func $i "rfinish") (memory (core memory $i "memory"))))
  (func $sinit (result s64) (canon lift (core func $i "sinit")))
  (func $sadd (param "a" s64) (param "b" s64) (result s64) (canon lift (core func $i "sadd")))
  (func $sid (param "a" s64) (result s64) (canon lift (core func $i "sid")))
  (instance $e (export "total-init" (func $sinit)) (export "total-step" (func $sadd))
    (export "total-merge" (func $sadd)) (export "total-finish" (func $sid)))
  (export "a:b/c" (instance $e))
)"""

# The state is a resource. What is dropped is used again.
RESOURCE = r"""
(component
  (core module $states
    (memory (export "memory") 1) (global $live (export "live") (mut i32) (i32.const 0))
    (global $next (mut i32) (i32.const 1024)) (global $free (mut i32) (i32.const 0))
    (func (export "alloc") (result i32) (local $s i32)
      (local.set $s (global.get $free))
      (if (local.get $s) (then (global.set $free (i32.load (local.get $s))))
        (else (local.set $s (global.get $next)) (global.set $next (i32.add (local.get $s)
          (i32.const 8)))))
      (f64.store (local.get $s) (f64.const 0)) (local.get $s))
    (func (export "drop") (param i32) (i32.store (local.get 0) (global.get $free))
      (global.set $free (local.get 0))))
  (core instance $states (instantiate $states))
  (type $r (resource (rep i32) (dtor (core func $states "drop"))))
  (core func $new (canon resource.new $r))
  (core module $m
    (import "s" "memory" (memory 1)) (import "s" "alloc" (func $alloc (result i32)))
    (import "h" "new" (func $new (param i32) (result i32)))
    (func (export "init") (result i32) (call $new (call $alloc)))
    (func (export "step") (param $s i32) (param $x f64)
      (f64.store (local.get $s) (f64.add (f64.load (local.get $s)) (local.get $x))))
    (func (export "inverse") (param $s i32) (param $x f64)
      (f64.store (local.get $s) (f64.sub (f64.load (local.get $s)) (local.get $x))))
    (func (export "merge") (param $s i32) (param $o i32)
      (f64.store (local.get $s) (f64.add (f64.load (local.get $s)) (f64.load (local.get $o)))))
    (func (export "save") (param $s i32) (result i32)
      (i32.store (i32.const 16) (local.get $s)) (i32.store (i32.const 20) (i32.const 8))
        (i32.const 16))
    (func (export "load") (param $at i32) (param $n i32) (result i32) (local $s i32)
      (local.set $s (call $alloc)) (memory.copy (local.get $s) (local.get $at) (i32.const 8))
        (call $new (local.get $s)))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 32))
    (func (export "finish") (param $s i32) (result f64) (f64.load (local.get $s))))
  (core instance $i (instantiate $m (with "s" (instance $states)) (with "h" (instance
    (export "new" (func $new))))))
  (func $init (result (own $r)) (canon lift (core func $i "init")))
  (func $step (param "self" (borrow $r)) (param "x" f64) (canon lift (core func $i "step")))
  (func $inverse (param "self" (borrow $r)) (param "x" f64) (canon lift (core func $i "inverse")))
  (func $merge (param "self" (borrow $r)) (param "other" (borrow $r)) (canon lift
    (core func $i "merge")))
  (func $save (param "self" (borrow $r)) (result (list u8)) (canon lift (core func $i "save")
    (memory (core memory $states "memory"))))
  (func $load (param "bytes" (list u8)) (result (own $r)) (canon lift (core func $i "load")
    (memory (core memory $states "memory")) (realloc (core func $i "realloc"))))
  (func $finish (param "self" (borrow $r)) (result f64) (canon lift (core func $i "finish")))
  (component $shim
    (import "r" (type $r (sub resource)))
    (import "init" (func $init (result (own $r))))
    (import "step" (func $step (param "self" (borrow $r)) (param "x" f64)))
    (import "inverse" (func $inverse (param "self" (borrow $r)) (param "x" f64)))
    (import "merge" (func $merge (param "self" (borrow $r)) (param "other" (borrow $r))))
    (import "save" (func $save (param "self" (borrow $r)) (result (list u8))))
    (import "load" (func $load (param "bytes" (list u8)) (result (own $r))))
    (import "finish" (func $finish (param "self" (borrow $r)) (result f64)))
    (export $t "total" (type $r))
    (export "[constructor]total" (func $init) (func (result (own $t))))
    (export "[method]total.step" (func $step) (func (param "self" (borrow $t)) (param "x" f64)))
    (export "[method]total.inverse" (func $inverse) (func (param "self" (borrow $t))
      (param "x" f64)))
    (export "[method]total.merge" (func $merge) (func (param "self" (borrow $t)) (param "other"
      (borrow $t))))
    (export "[method]total.save" (func $save) (func (param "self" (borrow $t)) (result
      (list u8))))
    (export "[static]total.load" (func $load) (func (param "bytes" (list u8)) (result (own $t))))
    (export "[method]total.finish" (func $finish) (func (param "self" (borrow $t)) (result f64))))
  (instance $e (instantiate $shim (with "r" (type $r)) (with "init" (func $init)) (with "step"
    (func $step))
    (with "inverse" (func $inverse)) (with "merge" (func $merge)) (with "save" (func $save))
      (with "load" (func $load)) (with "finish" (func $finish))))
  (export "a:b/c" (instance $e)))"""
NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {})"


def aggregate(component: str, function: str, **options: Any) -> udfvm.AggregateFunction:
    made = udfvm.from_wasm(component, function, **options)
    assert isinstance(made, udfvm.AggregateFunction)
    return made


def connected(*functions: udfvm.AggregateFunction) -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, *functions)
    return connection


def test_states_may_be_records() -> None:
    mean = aggregate(STATES, "mean")
    assert repr(mean) == "<aggregate UDF mean(the_x: double) -> double>"
    assert mean(np.array([1.0, 2.0, 6.0])) == 3.0
    assert mean(pa.array([], pa.float64())) is None
    assert not mean.has_inverse
    assert not mean.has_merge
    query = f"{NUMBERS.format(9)} SELECT mean(i * 1.0) FROM n GROUP BY i % 3"
    assert connected(mean).execute(query).fetchall() == [(6.0,), (4.0,), (5.0,)]
    with pytest.raises(udfvm.UDFError, match="Trap: wasm `unreachable`") as caught:
        mean(pa.array([1.0, None, 13.0]))
    assert caught.value.row == 2


def test_states_that_are_numbers_go_to_other_vms() -> None:
    total = aggregate(STATES, "a:b/c#total", name="total")
    assert total.has_merge
    assert total(np.arange(300_000)) == sum(range(300_000))


def test_states_may_be_resources() -> None:
    total = aggregate(RESOURCE, "a:b/c#total", name="total")
    assert total.has_inverse
    assert total.has_merge
    assert total(np.arange(300_000.0)) == sum(range(300_000))
    connection = connected(total)
    moving = f"{NUMBERS.format(4)} SELECT total(i * 1.0) OVER (ORDER BY i ROWS 1 PRECEDING) FROM n"
    assert connection.execute(moving).fetchall() == [(1.0,), (3.0,), (5.0,), (7.0,)]
    # 9,000 groups one after the other: undropped, they would not fit into the memory.
    groups = f"{NUMBERS.format(9000)} SELECT total(i * 1.0) FROM n GROUP BY i"
    assert sum(value for (value,) in connection.execute(groups)) == sum(range(9001))


def test_what_is_in_a_component() -> None:
    found = {each.name: each for each in udfvm.wasm.exports(STATES)}
    assert found["mean"].kind == found["a:b/c#total"].kind == "aggregate"
    assert found["mean"].signature == "(the_x: f64) -> f64?"
    assert found["mean-finish"].kind == "function of a component"
    usable = [each.name for each in udfvm.wasm.exports(RESOURCE) if each.usable]
    assert usable == ["a:b/c#total"]


def test_a_declared_signature_is_that_of_the_component() -> None:
    assert aggregate(STATES, "mean", signature="(x: f64) -> f64?")(np.array([1.0])) == 1.0
    with pytest.raises(errors.SignatureError, match="declared as i64"):
        aggregate(STATES, "mean", signature="(x: i64) -> f64?")


FUNCTIONS = """(component
  (core module $m (func (export "f") (result i64) unreachable)
    (func (export "g") (param i64) (result i64) unreachable)
    (func (export "h") (param i64 i64) (result i64) unreachable)
    (func (export "i") (param i64)))
  (core instance $i (instantiate $m))
  (func $f (result s64) (canon lift (core func $i "f")))
  (func $g (param "a" s64) (result s64) (canon lift (core func $i "g")))
  (func $u (param "a" u64) (result u64) (canon lift (core func $i "g")))
  (func $h (param "a" s64) (param "b" s64) (result s64) (canon lift (core func $i "h")))
  (func $i (param "a" s64) (canon lift (core func $i "i")))
  %s)"""


@pytest.mark.parametrize(
    ("exports", "expected"),
    [
        ({"init": "f", "finish": "g"}, "does not export t-step"),
        ({"step": "h", "finish": "g"}, "does not export t-init"),
        ({"init": "f", "step": "h"}, "does not export t-finish"),
        ({"init": "g", "step": "h", "finish": "g"}, "t-init must take nothing"),
        ({"init": "f", "step": "i", "finish": "g"}, "t-step must take the state, then what"),
        ({"init": "f", "step": "u", "finish": "g"}, "t-step must take the state, then what"),
        ({"init": "f", "step": "h", "finish": "u"}, "t-finish must take the state"),
        ({"init": "f", "step": "h", "finish": "h"}, "t-finish must take the state"),
        ({"init": "f", "step": "h", "finish": "i"}, "t-finish: the function returns nothing"),
        ({"init": "f", "step": "h", "finish": "g", "inverse": "g"}, "t-inverse must take"),
        ({"init": "f", "step": "h", "finish": "g", "merge": "g"}, "t-merge must take the state"),
        ({"init": "f", "step": "h", "finish": "g", "save": "g"}, "t-save must take the state"),
        ({"init": "f", "step": "h", "finish": "g", "load": "g"}, "t-load must take bytes"),
    ],
)
def test_components_that_have_no_such_aggregate(exports: dict[str, str], expected: str) -> None:
    lines = "".join(f'(export "t-{part}" (func ${name}))' for part, name in exports.items())
    with pytest.raises(errors.SignatureError, match=f"UDF 't': .*{expected}"):
        udfvm.from_wasm(FUNCTIONS % lines, "t")


def test_a_record_does_not_go_to_other_vms_unsaved() -> None:
    merged = STATES.replace(
        '(func (export "mean-finish")',
        """(func (export "mean-merge") (param "a" $s) (param "b" $s) (result $s)
          (canon lift (core func $i "rmerge") (memory (core memory $i "memory"))))
        (func (export "mean-finish")""",
    ).replace(
        '(func (export "sinit")',
        """(func (export "rmerge") (param f64 i64 f64 i64) (result i32) unreachable)
        (func (export "sinit")""",
    )
    with pytest.raises(errors.SignatureError, match="export mean-save, which returns the bytes"):
        udfvm.from_wasm(merged, "mean")
