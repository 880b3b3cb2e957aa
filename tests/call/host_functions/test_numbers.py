"""Host functions that take and return numbers: C code of the guest makes their calls alone."""

from __future__ import annotations

import math

import pytest

import udfvm

MANY = ", ".join(f"x{index}: int" for index in range(15))  # more than that code has room for
namespace: dict[str, object] = {}
exec(f"def total({MANY}) -> int:\n    return x0 + 1000 * x14\n", namespace)


def joined(x: float, i: int) -> float | None:
    return None if i == 0 else x + i


def lowest() -> int:
    return -(2**63)


@udfvm.udf(host_functions=[joined, lowest])
def number_of(which: str) -> float | None:
    class Mine(int):
        pass

    found = 0.0
    calls = {
        "usual": lambda: joined(1.5, 2),
        "largest": lambda: joined(0.0, 2**63 - 1),
        "null": lambda: joined(1.5, 0),
        "not a number": lambda: joined(float("nan"), 1),
        "integer": lambda: joined(1, 2),
        "subclass": lambda: joined(1.5, Mine(3)),
        "by name": lambda: joined(1.0, i=2),
        "no arguments": lambda: float(lowest()),
        "out of range": lambda: joined(1.0, -(2**63) - 1),
        "text": lambda: joined("1.0", 1),  # type: ignore[arg-type]
        "too few": lambda: joined(1.0),  # type: ignore[call-arg]
    }
    if which in calls:
        return calls[which]()
    for index in range(1000):
        found = joined(found, index + 1) or 0.0
    return found


@pytest.mark.parametrize(
    ("which", "result"),
    [
        ("usual", 3.5),
        ("largest", float(2**63 - 1)),
        ("null", None),
        ("integer", 3.0),
        ("subclass", 4.5),
        ("by name", 3.0),
        ("no arguments", -float(2**63)),
        ("many times", 500500.0),
    ],
)
def test_numbers_for_numbers(which: str, result: float | None) -> None:
    assert number_of(which) == result


def test_what_is_not_a_number_stays_that() -> None:
    result = number_of("not a number")
    assert result is not None and math.isnan(result)


@pytest.mark.parametrize(
    ("which", "message"),
    [
        ("out of range", "argument 'i' is -9223372036854775809, which does not fit into 64 bits"),
        ("text", "argument 'x' is '1.0', of type str; expected float"),
        ("too few", "joined\\(\\) takes the arguments \\(x, i\\): 'i' is missing"),
    ],
)
def test_what_is_no_number_is_named(which: str, message: str) -> None:
    with pytest.raises(udfvm.UDFError, match=message):
        number_of(which)
    assert number_of("usual") == 3.5


def test_many_parameters() -> None:
    total = namespace["total"]

    @udfvm.udf(host_functions=[total])
    def call_it(x: int) -> int:
        return total(*range(x, x + 15))  # type: ignore[operator,no-any-return]

    assert call_it(1) == 15001


def with_default(x: float, i: int = 5) -> float:
    return x + i


@udfvm.udf(host_functions=[with_default])
def looked_at(way: str) -> str:
    import copy
    import inspect
    import pickle
    import threading

    if way == "signature":
        return str(inspect.signature(with_default))
    if way == "pickle":
        return str(pickle.loads(pickle.dumps(with_default))(1.0, 2))
    if way == "copy":
        return str(copy.copy(with_default)(1.0))
    found: list[float] = []
    threads = [
        threading.Thread(target=lambda k=k: found.append(with_default(1.0, k))) for k in range(4)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return str(sorted(found))


@pytest.mark.parametrize(
    ("way", "found"),
    [
        ("signature", "(x, i=5)"),
        ("pickle", "3.0"),
        ("copy", "6.0"),
        ("threads", "[1.0, 2.0, 3.0, 4.0]"),
    ],
)
def test_it_is_used_as_a_function_of_python(way: str, found: str) -> None:
    assert looked_at(way) == found
