"""Lists, structs and other types of host functions, as native code and WebAssembly have them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
from wit_components import Wit, list_of, option, record, simple, through_host, tuple_of

import udfvm
from udfvm import errors
from udfvm.types.arrow_types import named


def typed(name: str, result: Any, **parameters: Any) -> Callable[[Callable[..., Any]], Any]:
    """Names a host function, and gives it types."""

    def change(function: Callable[..., Any]) -> Callable[..., Any]:
        function.__name__ = function.__qualname__ = name
        function.__annotations__ = {**parameters, "return": result}
        return function

    return change


def echo_of(type_: Any, seen: list[Any] | None = None) -> Callable[..., Any]:
    @typed("echo", type_, the_list=type_)
    def echo(the_list: Any) -> Any:
        if seen is not None:
            seen.append(the_list)
        return the_list

    return echo


# ---- Components ----

ITEMS = [
    *map(
        simple,
        ("bool", "s8", "s16", "s32", "s64", "u16", "u32", "u64", "f32", "f64", "string", "char"),
    ),
    list_of(simple("u8")),
    Wit("enum", words=("red", "light-green")),
    Wit("flags", words=("a", "c-d")),
    option(simple("s64")),
    list_of(list_of(option(simple("bool")))),
    record(first_name=simple("string"), id=simple("u64"), tags=list_of(simple("string"))),
    tuple_of(simple("s16"), option(tuple_of(simple("string"), list_of(simple("f32"))))),
    list_of(option(record(path=list_of(tuple_of(simple("u8"), simple("f64")))))),
]


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.arrow())
def test_lists_of_components_come_back_from_the_host_as_they_went(item: Wit) -> None:
    seen: list[Any] = []
    arrow = named(f"list<item: {item.arrow()}>").arrow
    udf = udfvm.from_wasm(
        through_host(item), "same", host_functions=[echo_of(arrow, seen)], timeout=300
    )
    assert isinstance(udf, udfvm.ScalarFunction)
    chance = random.Random(item.arrow())
    column = pa.array([list_of(item).value(chance) for _ in range(20)], arrow)
    assert udf(column).equals(column)
    assert seen == column.to_pylist()


def test_fields_of_wit_are_those_of_the_host_with_underscores() -> None:
    class Person(NamedTuple):
        first_name: str
        id: int

    seen: list[Any] = []
    item = record(first_name=simple("string"), id=simple("s64"))
    udf = udfvm.from_wasm(
        through_host(item),
        "same",
        host_functions=[typed("echo", list[Person], the_list=list[Person])(echo_of(None, seen))],
    )
    person = {"first-name": "Ada", "id": 3}
    assert udf([person, person]) == [person, person]  # type: ignore[operator]
    assert seen == [[Person("Ada", 3)] * 2]


@pytest.mark.parametrize(
    ("type_", "message"),
    [
        (
            pa.list_(pa.int64()),
            "parameter 1 is list<item: int64>, and the component passes another type",
        ),
        (
            pa.list_(pa.decimal128(9, 2)),
            r"parameter 1 is list<item: decimal128\(9, 2\)>, and the component passes another",
        ),
        (str, "parameter 1 is str, and the component passes another type"),
    ],
)
def test_components_that_pass_other_types(type_: Any, message: str) -> None:
    with pytest.raises(errors.SignatureError, match=message):
        udfvm.from_wasm(
            through_host(simple("s32")), "same", host_functions=[echo_of(type_)]
        ).prepare()


def test_a_null_of_the_host_that_a_component_cannot_have() -> None:
    arrow = pa.list_(pa.float64())

    @typed("echo", arrow, the_list=arrow)
    def echo(the_list: list[float]) -> list[float | None]:
        return [*the_list, None] if the_list else [1.0]

    udf = udfvm.from_wasm(through_host(simple("f64")), "same", host_functions=[echo])
    assert udf([]) == [1.0]  # type: ignore[operator]
    with pytest.raises(udfvm.UDFError, match="echo: is not valid: an item is null"):
        udf([1.0])  # type: ignore[operator]
    assert udf([]) == [1.0]  # type: ignore[operator]


# ---- Core modules: lists and structs are JSON ----

MODULE = """(module
  (import "env" "echo" (func $echo (param i32 i32 i32 i32) (result i32)))
  (import "env" "next" (func $next (param i64) (result i64)))
  (memory (export "memory") 2)
  (data (i32.const 8) "[{\\22x\\22:1.5,\\22tags\\22:[\\22a\\22]},null]")
  (data (i32.const 100) "[{\\22x\\22:true}]")
  (func (export "asked") (param i32 i32) (result i32)
    (call $echo (local.get 0) (local.get 1) (i32.const 1000) (i32.const 500)))
  (func (export "after") (param i64) (result i64) (call $next (local.get 0)))
  (func (export "byte") (param i32) (result i32)
    (drop (call $echo (i32.const 8) (i32.const 29) (i32.const 1000) (i32.const 500)))
    (i32.load8_u (i32.add (i32.const 1000) (local.get 0)))))"""


class Point(NamedTuple):
    x: float
    tags: list[str] = []


def test_core_modules_have_lists_and_structs_as_json() -> None:
    seen: list[Any] = []

    @typed("echo", list[Point] | None, points=list[Point] | None)
    def echo(points: list[Point] | None) -> list[Point] | None:
        seen.append(points)
        return None if points is None else [*points, Point(0.25, ["é"])]

    @typed("next", pa.uint64(), value=pa.uint64())
    def following(value: int) -> int:
        return value + 1

    def function(export: str) -> Any:
        return udfvm.from_wasm(MODULE, export, host_functions=[echo, following], host_calls=99)

    asked = function("asked")
    text = '[{"x":1.5,"tags":["a"]},null,{"x":0.25,"tags":["é"]}]'
    assert asked(0, 0) == -1
    assert asked(8, 29) == len(text.encode())
    assert seen == [None, [Point(1.5, ["a"]), None]]
    byte = function("byte")
    assert bytes(byte(pa.array(range(12), pa.int32())).to_pylist()) == text.encode()[:12]
    assert function("after")(2**63 - 1) == -(2**63)
    for address, length, message in (
        (100, 14, "echo: an argument is not valid: at byte 6 of its JSON a number is expected"),
        (8, 5, "echo: an argument is not valid: its JSON ends where a colon is expected"),
        (8, 1 << 20, "outside of the module's memory"),
    ):
        with pytest.raises(udfvm.UDFError, match=message):
            asked(address, length)
    assert asked(8, 29) == len(text.encode())


def test_core_modules_have_not_all_types() -> None:
    @typed("echo", list[int], value=dict[str, int])
    def echo(value: Any) -> Any:
        return value

    with pytest.raises(errors.SignatureError, match=r"echo has the type map<.*pass text"):
        udfvm.from_wasm(MODULE, "asked", host_functions=[echo]).prepare()


# ---- Native code ----

SOURCE = r"""
#include <udfvm.h>

UDFVM_STRUCT(point, (f64, x), (list_text, tags), (optional_i64, n))

UDFVM_SCALAR(moved, list_point, (list_point, points), (f64, by))
{
    struct udfvm_any arguments[] = { udfvm_any_value(list_point, &points), udfvm_any_f64(by) };
    udfvm_list_point found = { NULL, 0 };
    udfvm_call_host_value(list_point, "move", arguments, 2, &found);
    return found;
}

UDFVM_SCALAR(first, optional_point, (list_point, points), (f64, by))
{
    struct udfvm_any arguments[] = { udfvm_any_value(list_point, &points), udfvm_any_f64(by) };
    udfvm_optional_list_point found;
    if (!udfvm_call_host_value(optional_list_point, "move", arguments, 2, &found) ||
        !found.valid || found.value.length == 0)
        return udfvm_null_point();
    return udfvm_some_point(found.value.data[0]);
}

UDFVM_SCALAR(largest, u64, (u64, x))
{
    struct udfvm_any argument = udfvm_any_value(u64, &x);
    udfvm_u64 found = 0;
    udfvm_call_host_value(u64, "largest_of", &argument, 1, &found);
    return found;
}

UDFVM_SCALAR(scalars, text, (i64, which))
{
    struct udfvm_any argument = udfvm_any_i64(which);
    udfvm_text text = { "", 0 };
    udfvm_optional_f32 real;
    udfvm_i8 small;
    udfvm_boolean flag;
    struct udfvm_any any;
    const udfvm_list_f64 list = { NULL, 0 };
    const udfvm_text bad[] = { { "\xff", 1 } };
    const udfvm_list_text texts = { bad, 1 };
    char *said = udfvm_allocate(100);
    if (which == 0 && udfvm_call_host_value(optional_f32, "real", &argument, 1, &real))
        return (udfvm_text){ said, (size_t)snprintf(said, 100, "%d %g", real.valid, real.value) };
    if (which == 1 && udfvm_call_host_value(i8, "real", &argument, 1, &small))
        return text;
    if (which == 2 && udfvm_call_host_value(i8, "number", &argument, 1, &small))
        return (udfvm_text){ said, (size_t)snprintf(said, 100, "%d", small) };
    if (which == 300 && udfvm_call_host_value(i8, "number", &argument, 1, &small))
        return text;
    if (which == 3 && udfvm_call_host_value(text, "word", &argument, 1, &text))
        return text;
    if (which == 4 && udfvm_call_host_value(boolean, "flag", &argument, 1, &flag))
        return (udfvm_text){ said, (size_t)snprintf(said, 100, "%d", flag) };
    if (which == 5)
        udfvm_call_host("lists", &argument, 1, &any);
    if (which == 6) {
        argument = udfvm_any_value(list_f64, &list);
        udfvm_call_host("number", &argument, 1, &any);
    }
    if (which == 7) {
        argument = udfvm_any_value(list_text, &texts);
        udfvm_call_host("words", &argument, 1, &any);
    }
    if (which == 8)
        udfvm_call_host_value(f64, "real", &argument, 1, (double *)said);
    if (which == 9)
        udfvm_call_host_value(list_f64, "lists", &argument, 1, (udfvm_list_f64 *)&list);
    return text;
}
"""


class Marked(NamedTuple):
    x: float
    tags: list[str]
    n: int | None = None


def move(points: list[Marked], by: float) -> list[Marked] | None:
    if by < 0:
        return None
    return [point._replace(x=point.x + by, tags=[*point.tags, "é"]) for point in points]


@typed("largest_of", pa.uint64(), value=pa.uint64())
def largest_of(value: int) -> int:
    return 2**64 - 1 - value


def real(which: int) -> float | None:
    return 0.5 if which == 0 else None


def number(which: int) -> int:
    return -which


def word(which: int) -> str:
    return "é" * which


def words(given: list[str]) -> int:
    return len(given)


def flag(which: int) -> bool:
    return which == 4


def lists(which: int) -> list[float | None]:
    return [0.5, None]


@pytest.mark.parametrize("language", ["c", "c++"])
def test_native_functions_pass_and_get_lists_of_structs(language: Any) -> None:
    moved = udfvm.from_c(SOURCE, "moved", language=language, host_functions=[move], host_calls=99)
    points = [{"x": 1.0, "tags": ["a"], "n": None}, {"x": 2.0, "tags": [], "n": -(2**63)}]
    expected = [
        {"x": 1.5, "tags": ["a", "é"], "n": None},
        {"x": 2.5, "tags": ["é"], "n": -(2**63)},
    ]
    assert moved(points, 0.5) == expected
    assert moved([], 0.5) == []
    column = pa.array([points, [], points], moved.parameters[0].type.arrow)
    assert moved(column, pa.array([0.5] * 3)).to_pylist() == [expected, [], expected]
    with pytest.raises(udfvm.UDFError, match="move: it returned None: ask for an optional type"):
        moved(points, -1.0)


def test_native_functions_get_optional_values() -> None:
    first = udfvm.from_c(SOURCE, "first", host_functions=[move])
    point = {"x": 1.0, "tags": ["a"], "n": 5}
    assert first([point], 1.0) == {"x": 2.0, "tags": ["a", "é"], "n": 5}
    assert first([point], -1.0) is None
    largest = udfvm.from_c(SOURCE, "largest", host_functions=[largest_of])
    assert largest(5) == 2**64 - 6


def test_native_functions_get_values_of_the_types_that_they_ask_for() -> None:
    offered = [real, number, word, words, flag, lists]
    scalars = udfvm.from_c(SOURCE, "scalars", host_functions=offered)
    assert [scalars(which) for which in (0, 2, 3, 4)] == ["1 0.5", "-2", "ééé", "1"]
    for which, message in (
        (1, "real: it returned None: ask for an optional type"),
        (300, "number: its result is out of range"),
        (5, r"lists: its result is a list or struct, or uint64: call it by udfvm_call_host_value"),
        (6, "number: argument 1 is of type list<item: double>, and that of the function is no li"),
        (7, "words: an argument has text that is not valid UTF-8"),
        (8, "real: it returned None"),
        (9, "lists: an item of its result is null, and its type is not optional"),
    ):
        with pytest.raises(udfvm.UDFError, match=message):
            scalars(which)
    assert scalars(0) == "1 0.5"
