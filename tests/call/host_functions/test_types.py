"""Host functions take and return the types that functions do, whatever the guest."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple, TypedDict

import pyarrow as pa
import pytest

import udfvm
from udfvm import errors


@dataclass
class Point:
    x: float
    tags: list[str] = field(default_factory=list)
    at: dt.datetime | None = None


class Pair(NamedTuple):
    left: int
    right: Point | None = None


class Keys(TypedDict, total=False):
    a: int
    b: list[bytes]


@dataclass
class Even:
    n: int

    def __post_init__(self) -> None:
        if self.n % 2:
            raise ValueError("odd")


UTC = dt.UTC
NAN = float("nan")
TIME = dt.datetime(2024, 2, 29, 1, 2, 3, 4)

STRUCT = pa.struct([("d", pa.date32()), ("n", pa.null())])
UNION = pa.sparse_union([pa.field("i", pa.int64()), pa.field("t", pa.string())])

# A type, and values of it, as the guest gets them back.
VALUES: dict[str, tuple[Any, list[Any]]] = {
    "bool": (bool, [True, False]),
    "int": (int, [-(2**63), 2**63 - 1]),
    "float": (float, [0.5, float("inf")]),
    "text": (str, ["", "é\0"]),
    "bytes": (bytes, [b"", b"\0\xff"]),
    "uint64": (pa.uint64(), [0, 2**64 - 1]),
    "int8": (pa.int8(), [-128, 127]),
    "date": (dt.date, [dt.date(1, 1, 1), dt.date(9999, 12, 31)]),
    "datetime": (dt.datetime, [TIME]),
    "zoned": (pa.timestamp("us", "UTC"), [TIME.replace(tzinfo=UTC)]),
    "time": (dt.time, [dt.time(23, 59, 59, 999999)]),
    "timedelta": (dt.timedelta, [dt.timedelta(-1, 5)]),
    "interval": (pa.month_day_nano_interval(), [pa.MonthDayNano([1, -2, 3])]),
    "decimal": (Decimal, [Decimal("-1.500000000000000000")]),
    "narrow decimal": (pa.decimal128(4, 1), [Decimal("999.9")]),
    "list": (list[float], [[], [0.5, None]]),
    "lists": (list[list[int]], [[[], [1, 2], None]]),
    "fixed list": (pa.list_(pa.int16(), 2), [[1, -1]]),
    "map": (dict[str, Decimal], [{}, {"k": Decimal("2.000000000000000000")}]),
    "typed dictionary": (Keys, [{"a": 1, "b": [b"x"]}]),
    "struct": (STRUCT, [{"d": dt.date(2020, 1, 1), "n": None}]),
    "union": (UNION, [5, "five"]),
    "json": (dict, [{"a": [1, None, {"b": 0.5}]}]),
}  # fmt: skip


def echo(name: str, type_: Any, *, takes: bool = True) -> Callable[..., Any]:
    """A host function that returns what it is given; one of a type that no parameter has returns
    the value of an index.
    """
    values = VALUES[name][1]

    def function(value: Any) -> Any:
        return value if takes else values[value]

    function.__name__ = function.__qualname__ = "echo_" + name.replace(" ", "_")
    function.__annotations__ = {"value": type_ if takes else int, "return": type_}
    return function


echoes = [echo(name, type_, takes=name != "json") for name, (type_, _) in VALUES.items()]
by_name = {function.__name__: function for function in echoes}


def all_echoes(cases: list[tuple[str, Any]]) -> str:
    return "\n".join(repr(by_name[name](value)) for name, value in cases)


def test_a_guest_of_python_gets_back_what_it_gives() -> None:
    cases, expected = [], []
    for name, (_, values) in VALUES.items():
        for index, value in enumerate(values):
            cases.append(("echo_" + name.replace(" ", "_"), index if name == "json" else value))
            expected.append(repr(value))
    made = udfvm.udf(
        eval("lambda k: all_echoes(cases)", {"all_echoes": all_echoes, "cases": cases}),
        name="u",
        input_types=["string"],
        output_type="string",
        host_functions=echoes,
    )
    assert made("k").splitlines() == expected


def test_a_host_function_gets_instances_and_returns_them() -> None:
    got: list[Any] = []

    def moved(pair: Pair, by: dict[str, Point], keys: Keys, more: list[Pair]) -> list[Point]:
        got.append((pair, by, keys, more))
        return [Point(1.0, ["é"], TIME), *(each.right or Point(0.0) for each in more)]

    @udfvm.udf(host_functions=[moved])
    def f(x: float) -> str:
        one = {"left": 1, "right": Point(x)}
        made = moved(one, {"k": Point(x, ["t"])}, {"a": 3}, [Pair(2), Pair(3, Point(x))])
        return repr(made)

    assert eval(f(2.0), {"datetime": dt}) == [
        {"x": 1.0, "tags": ["é"], "at": TIME},
        {"x": 0.0, "tags": [], "at": None},
        {"x": 2.0, "tags": [], "at": None},
    ]
    assert got == [
        (
            Pair(1, Point(2.0)),
            {"k": Point(2.0, ["t"])},
            {"a": 3},
            [Pair(2, None), Pair(3, Point(2.0))],
        )
    ]


def total(points: list[Point], scale: Decimal = Decimal(2), tags: list[str] | None = None) -> float:
    return sum(point.x for point in points) * float(scale)


def test_defaults_nulls_and_wrong_values() -> None:
    @udfvm.udf(host_functions=[total])
    def f(x: float) -> str:
        said = [repr(total([Point(x), Point(x)])), repr(total(None)), repr(total([], 1))]
        for wrong in ([Point("x")], [{"x": 1.0, "z": 2}], 5, [None, 5]):
            try:
                total(wrong)  # type: ignore[arg-type]
            except TypeError as error:
                said.append(str(error))
        try:
            total([], "x")  # type: ignore[arg-type]
        except TypeError as error:
            said.append(str(error))
        return "\n".join(said)

    said = f(1.5).splitlines()
    assert said[:3] == ["6.0", "None", "0.0"]
    for line, part in zip(
        said[3:],
        (
            "argument 'points' is [Point(x='x'",
            "item 0: unknown field 'z'; the fields are x, tags, at",
            "expected a list, got int",
            "item 1: expected a dictionary",
            "argument 'scale' is 'x': expected decimal.Decimal, got str",
        ),
        strict=True,
    ):
        assert part in line, line


def test_results_that_are_not_of_their_type_end_the_call() -> None:
    def listed(x: int) -> list[int]:
        return [1, "two"] if x == 1 else None if x == 2 else 5  # type: ignore[list-item,return-value]

    def json_like(x: int) -> dict:  # type: ignore[type-arg]
        return {1: 2} if x == 1 else {"a": {3}}

    @udfvm.udf(host_functions=[listed, json_like])
    def f(x: int, which: int) -> str:
        return repr(listed(x) if which else json_like(x))

    for arguments, message in (
        ((1, 1), r"host function 'listed' returned a value that is not a list<.*>: item 1"),
        ((2, 1), r"returned None; annotate its result list \| None"),
        ((3, 1), "takes a list; got int"),
        ((1, 0), "returned a value that JSON cannot represent: the key 1 is int"),
        ((2, 0), "returned a value that JSON cannot represent"),
    ):
        with pytest.raises(errors.HostFunctionError, match=message):
            f(*arguments)


def test_a_class_that_refuses_its_fields_ends_the_call() -> None:
    def half(even: Even) -> int:
        return even.n // 2

    @udfvm.udf(host_functions=[half])
    def f(x: int) -> int | None:
        return half({"n": x})  # type: ignore[arg-type]

    assert f(4) == 2
    with pytest.raises(errors.HostFunctionError, match="ValueError: odd"):
        f(3)
