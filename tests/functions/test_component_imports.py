"""Host functions as imports of components: of the world and of its interfaces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import udfvm

seen: list[tuple[Any, ...]] = []


def get_price(item: str, count: int) -> float | None:
    return None if count == 0 else len(item) * float(count)


def log(level: str, context: str, message: str) -> None:
    seen.append((level, context, message))


def initial(data: bytes, small: int | None) -> str:
    return f"{data.decode()}{small}"[0 if small is None else small :]


COMPONENT = r"""
(component
  (import "demo:shop/prices@0.1.0" (instance $prices
    (export "get-price" (func (param "item" string) (param "count" s32) (result (option f64))))))
  (import "wasi:logging/logging" (instance $logging
    (type $names (enum "trace" "info" "error")) (export "level" (type $level (eq $names)))
    (export "log"
      (func (param "level" $level) (param "context" string) (param "message" string)))))
  (import "initial"
    (func $initial (param "data" (list u8)) (param "small" (option s8)) (result (result char))))
  (core module $memory
    (memory (export "memory") 2) (data (i32.const 8) "hello")
    (global $free (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
      (global.set $free (i32.add (local.get $at) (local.get 3)))
      (local.get $at)))
  (core instance $m (instantiate $memory))
  (core func $get (canon lower (func $prices "get-price") (memory (core memory $m "memory"))))
  (core func $log (canon lower (func $logging "log") (memory (core memory $m "memory"))))
  (core func $first (canon lower (func $initial) (memory (core memory $m "memory"))))
  (core module $code
    (import "m" "memory" (memory 1))
    (import "w" "get" (func $get (param i32 i32 i32 i32)))
    (import "w" "log" (func $log (param i32 i32 i32 i32 i32)))
    (import "w" "first" (func $first (param i32 i32 i32 i32 i32)))
    (func (export "priced") (param i32) (result f64)
      (call $get (i32.const 8) (i32.const 5) (local.get 0) (i32.const 64))
      (call $log (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 8) (i32.const 5))
      (if (result f64) (i32.load8_u (i32.const 64))
        (then (f64.load (i32.const 72))) (else (f64.const -1))))
    (func (export "first") (param i32 i32) (result i32)
      (call $first (i32.const 8) (local.get 0) (i32.ge_s (local.get 1) (i32.const 0))
        (local.get 1) (i32.const 64))
      (i32.load (i32.const 68))))
  (core instance $i (instantiate $code (with "m" (instance $m)) (with "w" (instance
    (export "get" (func $get)) (export "log" (func $log)) (export "first" (func $first))))))
  (func (export "priced") (param "count" s32) (result f64) (canon lift (core func $i "priced")))
  (func (export "first") (param "length" s32) (param "small" s8) (result char)
    (canon lift (core func $i "first"))))
"""


def function(export: str, *functions: Callable[..., Any], **options: Any) -> udfvm.ScalarFunction:
    made = udfvm.from_wasm(COMPONENT, export, host_functions=functions, **options)
    assert isinstance(made, udfvm.ScalarFunction)
    return made


def test_functions_of_interfaces_and_of_the_world() -> None:
    seen.clear()
    priced = function("priced", get_price, log, initial)
    assert [priced(2), priced(0)] == [10.0, -1.0]
    assert seen == [("info", "h", "hello")] * 2
    first = function("first", get_price, log, initial)
    with pytest.raises(udfvm.UDFError, match=r"initial: its result .* not one character\nBack"):
        first(3, -1)
    assert first(1, 1) == "1"


def with_name(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    function.__name__ = name
    return function


def real(item: str, count: float) -> float | None:
    return count


def text(item: str, count: int) -> str | None:
    return item


def one(item: str) -> float | None:
    return 1.0


def with_result(level: str, context: str, message: str) -> int:
    return 1


@pytest.mark.parametrize(
    ("functions", "message"),
    [
        (
            (log,),
            (
                r"the component imports .*: demo:shop/prices@0\.1\.0#get-price, initial; it"
                r" has WASI 0\.2: pass functions in host_functions=, or imports='trap'"
            ),
        ),
        (
            (with_name("get_price", real), log, initial),
            "host function get_price: parameter 2 is float, and the component passes another type",
        ),
        (
            (with_name("get_price", text), log, initial),
            "get_price: its result is str or None, and the component takes another type",
        ),
        (
            (with_name("get_price", one), log, initial),
            "host function get_price has 1 parameter, and the component passes 2",
        ),
        (
            (get_price, with_name("log", with_result), initial),
            "host function log: its result is int, and the component takes no result of it",
        ),
    ],
)
def test_imports_that_are_not_provided(
    functions: tuple[Callable[..., Any], ...], message: str
) -> None:
    with pytest.raises(udfvm.SignatureError, match=f"linking failed: .*{message}"):
        function("priced", *functions)


def test_functions_that_nothing_provides_may_trap() -> None:
    with pytest.raises(
        udfvm.UDFError,
        match=r"the component called wasi:logging/logging#log, which nothing provides: pass it in",
    ):
        function("priced", get_price, imports="trap")(1)


def test_components_are_not_linked_with_modules() -> None:
    with pytest.raises(udfvm.SignatureError, match="a component cannot be linked with modules="):
        udfvm.from_wasm("(component)", "f", modules={"a": "(module)"})


HTTP = """
(component
  (import "wasi:http/types@0.2.10" (instance $http
    (export "fields" (type $fields (sub resource)))
    (export "[constructor]fields" (func (result (own $fields))))))
  (core func $new (canon lower (func $http "[constructor]fields")))
  (core module $m (import "w" "new" (func $new (result i32)))
    (func (export "f") (param i32) (result i32) (i32.ge_s (call $new) (local.get 0))))
  (core instance $i
    (instantiate $m (with "w" (instance (export "new" (func $new))))))
  (func (export "made") (param "least" s32) (result bool) (canon lift (core func $i "f"))))
"""


def test_components_may_import_http() -> None:
    """As those do that are made from JavaScript, whether they use it or not."""
    made = udfvm.from_wasm(HTTP, "made")
    assert [made(0), made(2**31 - 1)] == [True, False]
    assert not udfvm.wasm.exports(HTTP)[0].needs
