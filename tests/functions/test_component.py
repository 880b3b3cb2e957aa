"""Components: exported functions with the types of WIT."""

from __future__ import annotations

import json
import pickle

import apsw
import pyarrow as pa
import pytest

import udfvm
from udfvm import errors

# The flat and stored forms of values are those of the canonical ABI
# (component-model.bytecodealliance.org).
COMPONENT = r"""
(component
  (core module $m
    (memory (export "memory") 2)
    (global $free (mut i32) (i32.const 4096))
    (global $calls (mut i32) (i32.const 0))
    (data (i32.const 1024) "hello ") (data (i32.const 1032) "no digit")
    (data (i32.const 1040) "a\"b\n\c3\a9")
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
      (global.set $free (i32.add (local.get $at) (local.get 3)))
      (local.get $at))
    (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    (func (export "same64") (param i64) (result i64) (local.get 0))
    (func (export "small") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
    (func (export "not") (param i32) (result i32) (i32.eqz (local.get 0)))
    (func (export "calls") (result i32)
      (global.set $calls (i32.add (global.get $calls) (i32.const 1))) (global.get $calls))
    (func (export "greet") (param $at i32) (param $length i32) (result i32)
      (memory.copy (i32.const 16384) (i32.const 1024) (i32.const 6))
      (memory.copy (i32.const 16390) (local.get $at) (local.get $length))
      (i32.store (i32.const 16) (i32.const 16384))
      (i32.store (i32.const 20) (i32.add (local.get $length) (i32.const 6)))
      (i32.const 16))
    (func (export "same-bytes") (param i32 i32) (result i32)
      (i32.store (i32.const 16) (local.get 0)) (i32.store (i32.const 20) (local.get 1))
      (i32.const 16))
    (func (export "half") (param $some i32) (param $value f64) (result i32)
      (i32.store8 (i32.const 16)
        (i32.and (local.get $some) (f64.ne (local.get $value) (f64.const 13))))
      (f64.store (i32.const 24) (f64.div (local.get $value) (f64.const 2)))
      (i32.const 16))
    (func (export "digit") (param $at i32) (param $length i32) (result i32) (local $value i32)
      (local.set $value (i32.sub (i32.load8_u (local.get $at)) (i32.const 48)))
      (if (i32.lt_u (local.get $value) (i32.const 10))
        (then (i32.store8 (i32.const 16) (i32.const 0))
          (i32.store (i32.const 20) (local.get $value)))
        (else (i32.store8 (i32.const 16) (i32.const 1))
          (i32.store (i32.const 20) (i32.const 1032)) (i32.store (i32.const 24) (i32.const 8))))
      (i32.const 16))
    (func (export "point") (param $x f64) (param $some i32) (result i32)
      (f64.store (i32.const 16) (local.get $x)) (i32.store (i32.const 24) (i32.const 1040))
      (i32.store (i32.const 28) (i32.const 6))
      (i32.store8 (i32.const 32) (local.get $some)) (i32.store8 (i32.const 33) (i32.const 200))
      (i32.store8 (i32.const 34) (i32.const 2)) (i32.store8 (i32.const 35) (i32.const 5))
      (i32.const 16))
    (func $inner (param i32) (result i32) unreachable)
    (func (export "trap") (param i32) (result i32) (call $inner (local.get 0))))
  (core instance $i (instantiate $m))
  (type $hue (enum "red" "green" "blue"))
  (export $hue-type "hue" (type $hue))
  (type $set (flags "a" "b" "c"))
  (export $set-type "set" (type $set))
  (type $point
    (record (field "x" f64) (field "label" string) (field "maybe" (option u8))
      (field "hue" $hue-type) (field "set" $set-type)))
  (export $point-type "point-type" (type $point))
  (func (export "add") (param "a" s32) (param "b" s32) (result s32)
    (canon lift (core func $i "add")))
  (func (export "same-u64") (param "the-value" u64) (result u64)
    (canon lift (core func $i "same64")))
  (func (export "small") (param "a" s8) (result u8) (canon lift (core func $i "small")))
  (func (export "not") (param "a" bool) (result bool) (canon lift (core func $i "not")))
  (func (export "calls") (result u32) (canon lift (core func $i "calls")))
  (func $greet (param "name" string) (result string)
    (canon lift (core func $i "greet") (memory (core memory $i "memory"))
      (realloc (core func $i "realloc"))))
  (export "greet" (func $greet))
  (func (export "same-bytes") (param "a" (list u8)) (result (list u8))
    (canon lift (core func $i "same-bytes") (memory (core memory $i "memory"))
      (realloc (core func $i "realloc"))))
  (func (export "half") (param "a" (option f64)) (result (option f64))
    (canon lift (core func $i "half") (memory (core memory $i "memory"))))
  (func (export "digit") (param "text" string) (result (result u32 (error string)))
    (canon lift (core func $i "digit") (memory (core memory $i "memory"))
      (realloc (core func $i "realloc"))))
  (func (export "point") (param "x" f64) (param "some" bool) (result $point-type)
    (canon lift (core func $i "point") (memory (core memory $i "memory"))
      (realloc (core func $i "realloc"))))
  (func (export "trap") (param "a" s32) (result s32) (canon lift (core func $i "trap")))
  (instance $interface (export "greet" (func $greet)))
  (export "demo:greetings/english" (instance $interface)))
"""


def function(export: str, name: str | None = None, **options: object) -> udfvm.ScalarFunction:
    name = name or export.replace("-", "_")
    return udfvm.from_wasm(COMPONENT, export, name=name, **options)  # type: ignore[arg-type]


def test_signatures_come_from_the_component() -> None:
    assert repr(function("add")) == "<UDF add(a: int32, b: int32) -> int32>"
    assert repr(function("same-u64")) == "<UDF same_u64(the_value: uint64) -> uint64>"
    assert repr(function("half")) == "<UDF half(a: double | null) -> double>"
    assert function("half").result.nullable


@pytest.mark.parametrize(
    ("export", "argument", "expected"),
    [
        ("same-u64", 2**64 - 1, 2**64 - 1),
        ("small", -1, 0),
        ("small", 127, 128),
        ("not", True, False),
        ("greet", "wörld\0!", "hello wörld\0!"),
        ("greet", "", "hello "),
        ("same-bytes", b"\xff\0", b"\xff\0"),
        ("same-bytes", b"", b""),
        ("half", 5.0, 2.5),
        ("half", None, None),
        ("half", 13.0, None),
        ("digit", "7", 7),
    ],
)
def test_rows_and_batches_agree(export: str, argument: object, expected: object) -> None:
    udf = function(export)
    assert udf(argument) == expected
    column = pa.array([argument, None, argument], udf.parameters[0].type.arrow)
    assert udf(column).to_pylist() == [expected, None, expected]


def test_records_are_structs() -> None:
    point = function("point")
    assert (
        repr(point)
        == "<UDF point(x: double, some: bool) -> struct<x: double, label: string, maybe: uint8,"
        " hue: string, set: list<item: string>>>"
    )
    expected = {"x": 1.5, "label": 'a"b\né', "maybe": 200, "hue": "blue", "set": ["a", "c"]}
    assert point(1.5, True) == expected
    assert point(pa.array([1.5, None, 1.5]), pa.array([True, True, False])).to_pylist() == [
        expected,
        None,
        expected | {"maybe": None},
    ]
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, point)
    assert [json.loads(text) for (text,) in connection.execute("SELECT point(1.5, 1)")] == [
        expected
    ]
    assert connection.execute(
        "SELECT point(0.1, 0) ->> 'x', json_array(point(2, 0)) ->> '$[0].hue'"
    ).fetchall() == [(0.1, "blue")]
    assert point(float("inf"), True)["x"] == float("inf")
    with pytest.raises(
        apsw.SQLError,
        match="ValueError: the result has a number that is not finite, which JSON cannot represent",
    ):
        connection.execute("SELECT point(9e999, 0)").fetchall()


def test_errors_name_the_row() -> None:
    with pytest.raises(udfvm.UDFError, match="row 2: RuntimeError: no digit"):
        function("digit")(pa.array(["1", None, "x"]))
    with pytest.raises(
        udfvm.UDFError,
        match=r"(?s)Trap: wasm `unreachable` instruction executed\n.*#0 inner \(offset",
    ):
        function("trap")(1)
    assert function("add")(1, 2) == 3


def test_functions_of_an_interface() -> None:
    assert function("demo:greetings/english#greet", name="greet")("you") == "hello you"


def test_every_call_is_fresh_in_sql_and_python() -> None:
    calls = function("calls")
    assert [calls(), calls()] == [1, 1]
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(
        connection, calls, function("greet"), function("calls", name="rows", isolation="row")
    )
    query = (
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 20) SELECT"
        " calls(), rows(), greet('row ' || x) FROM n"
    )
    assert connection.execute(query).fetchall() == [(x, 1, f"hello row {x}") for x in range(1, 21)]
    assert pickle.loads(pickle.dumps(function("add")))(1, 2) == 3


def test_a_component_stored_in_a_database() -> None:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, policy=udfvm.sqlite.Policy(allow_create=True))
    connection.execute("SELECT vm_create('greet', 'wasm', ?, '(text) -> text')", (COMPONENT,))
    connection.execute("SELECT vm_create('small', 'wasm', ?, '(int) -> int')", (COMPONENT,))
    assert connection.execute("SELECT vm_udf('greet', 'all'), vm_udf('small', 5)").fetchall() == [
        ("hello all", 6)
    ]
    with pytest.raises(apsw.SQLError, match="out of range of the function's type"):
        connection.execute("SELECT vm_udf('small', 500)").fetchall()


@pytest.mark.parametrize(
    ("component", "export", "message"),
    [
        (
            COMPONENT,
            "absent",
            "exports no function absent; it has greet, demo:greetings/english#greet, ",
        ),
        (COMPONENT, "demo:greetings/english#absent", "exports no function"),
        (b"\0asm\x0d\0\1\0garbage", "f", "the module is not valid: "),
        ('(component (import "other" (func)))', "f", "linking failed: .*other"),
        ("(component (core module))", "f", "exports no function f"),
    ],
)
def test_what_cannot_be_a_udf(component: str | bytes, export: str, message: str) -> None:
    with pytest.raises(errors.SignatureError, match=message):
        udfvm.from_wasm(component, export, name="f")


@pytest.mark.parametrize(
    "type_", ["(result s32)", "(option (result s32))", "(result s32 (error s32))"]
)
def test_types_that_do_not_cross(type_: str) -> None:
    flat = "i32 i32" + " i32" * type_.startswith("(option")
    text = f"""(component
              (core module $m (func (export "f") (param {flat}) (result i32) (i32.const 0)))
              (core instance $i (instantiate $m))
              (func (export "f") (param "a-b" {type_}) (result s32)
                (canon lift (core func $i "f"))))"""
    with pytest.raises(
        errors.SignatureError, match="a_b has a variant or result, which can only be returned"
    ):
        udfvm.from_wasm(text, "f")
    with pytest.raises(errors.SignatureError, match="the function returns nothing"):
        udfvm.from_wasm(
            '(component (core module $m (func (export "f"))) (core instance $i (instantiate $m)) '
            '(func (export "f") (canon lift (core func $i "f"))))',
            "f",
        )


VARIANTS = """
(component
  (core module $m (memory (export "memory") 1) (data (i32.const 64) "bad")
    (func (export "shape") (param i32) (result i32)
      (i32.store8 (i32.const 16) (local.get 0)) (f64.store (i32.const 24) (f64.const 2.5))
      (i32.const 16))
    (func (export "results") (param i32) (result i32)
      (i32.store (i32.const 16) (i32.const 32)) (i32.store (i32.const 20) (i32.const 2))
      (i32.store8 (i32.const 32) (i32.const 0)) (i32.store (i32.const 36) (i32.const 7))
      (i32.store8 (i32.const 44) (i32.const 1)) (i32.store (i32.const 48) (i32.const 64))
      (i32.store (i32.const 52) (i32.const 3))
      (i32.const 16))
    (func (export "checked") (param i32) (result i32)
      (i32.store8 (i32.const 16) (i32.lt_s (local.get 0) (i32.const 0)))
      (i32.store (i32.const 20) (i32.const 64)) (i32.store (i32.const 24) (local.get 0))
      (if (i32.lt_s (local.get 0) (i32.const 0)) (then (i32.store8 (i32.const 20) (i32.const 1))))
      (i32.const 16)))
  (core instance $i (instantiate $m))
  (type $shape (variant (case "none") (case "circle" f64)))
  (export $shape-type "shape-type" (type $shape))
  (type $problem (enum "small" "negative")) (export $problem-type "problem" (type $problem))
  (func (export "shape") (param "case" u8) (result $shape-type)
    (canon lift (core func $i "shape") (memory (core memory $i "memory"))))
  (func (export "results") (param "a" u8) (result (list (result u32 (error string))))
    (canon lift (core func $i "results") (memory (core memory $i "memory"))))
  (func (export "checked") (param "a" s32) (result (result (list char) (error $problem-type)))
    (canon lift (core func $i "checked") (memory (core memory $i "memory")))))
"""


def test_variants_and_results_in_other_types_are_json() -> None:
    shape = udfvm.from_wasm(VARIANTS, "shape")
    assert repr(shape) == "<UDF shape(case: uint8) -> string>"
    assert [json.loads(shape(case)) for case in (0, 1)] == ["none", {"circle": 2.5}]
    results = udfvm.from_wasm(VARIANTS, "results")
    assert repr(results) == "<UDF results(a: uint8) -> list<item: string>>"
    assert [json.loads(text) for text in results(0)] == [{"ok": 7}, {"err": "bad"}]


def test_results_that_are_lists() -> None:
    checked = udfvm.from_wasm(VARIANTS, "checked")
    assert repr(checked) == "<UDF checked(a: int32) -> list<item: string>>"
    assert checked(0) == []
    with pytest.raises(udfvm.UDFError, match="row 2: RuntimeError: negative"):
        checked(pa.array([0, None, -1], pa.int32()))
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, checked)
    with pytest.raises(apsw.SQLError, match="RuntimeError: negative"):
        connection.execute("SELECT checked(0), checked(-1)").fetchall()
