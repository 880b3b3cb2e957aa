"""Every form of function has the same options; unknown ones are refused."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import apsw
import numpy as np
import pyarrow as pa
import pytest

import udfvm
from udfvm import errors
from udfvm.limits import Limits
from udfvm.sqlite import Policy
from udfvm.texts import format_size


def test_options_that_do_not_exist() -> None:
    decorators: list[tuple[Callable[..., Any], object]] = [
        (udfvm.table_function, len),
        (udfvm.aggregate, dict),
    ]
    for decorate, target in decorators:
        for wrong in ("timeot", "vectorised", "isolation", "limits"):
            with pytest.raises(
                TypeError, match=f"unknown option {wrong}=: .*he options are name, memory, timeout"
            ):
                decorate(**{wrong: 1})(target)


def test_the_option_that_was_probably_meant() -> None:
    def f(x: int) -> int:
        return x

    code, connection = "long long f(long long x) { return x; }", apsw.Connection(":memory:")
    cases: list[tuple[Callable[..., Any], tuple[object, ...], str, str]] = [
        (udfvm.udf, (), "timeot", "timeout"),
        (udfvm.udf, (f,), "vectorised", "vectorized"),
        (udfvm.from_c, (code, "f"), "memroy", "memory"),
        (udfvm.from_elf, ("/bin/true", "f"), "signatur", "signature"),
        (udfvm.from_wasm, ("(module)", "f"), "memry", "memory"),
        (udfvm.sqlite.register, (connection,), "polcy", "policy"),
        (udfvm.Pool, (), "sze", "size"),
        (Policy, (), "row_timeot", "row_timeout"),
    ]
    for function, arguments, wrong, meant in cases:
        with pytest.raises(
            errors.SignatureError,
            match=f"option {wrong}=: did you mean {meant}=. The options are .* and ",
        ) as raised:
            function(*arguments, **{wrong: 1})
        assert isinstance(raised.value, TypeError)
    with pytest.raises(errors.SignatureError, match="did you mean memory="):
        udfvm.table_function(columns={"x": int}, memroy=1)(f)  # type: ignore[call-arg]


def test_pools_of_table_functions_and_aggregates() -> None:
    with udfvm.Pool(size=1) as pool:

        @udfvm.table_function(columns={"i": int}, pool=pool)
        def numbers(count: int) -> Iterator[int]:
            yield from range(count)

        @udfvm.aggregate(pool=pool)
        class Total:
            def __init__(self) -> None:
                self.total = 0

            def step(self, value: int) -> None:
                self.total += value

            def finish(self) -> int:
                return self.total

        assert list(numbers(3)) == [(0,), (1,), (2,)]
        assert Total(np.array([1, 2, 3])) == 6
        assert pool.statistics().live > 0
    with pytest.raises(errors.PoolClosedError):
        list(numbers(3))


def price(name: str) -> float:
    return {"tea": 2.0, "coffee": 3.0}[name]


@udfvm.table_function(columns={"name": str, "price": float}, host_functions=[price], host_calls=3)
def prices(names: str) -> Iterator[tuple[str, float]]:
    for name in names.split():
        yield name, price(name)


@udfvm.aggregate(host_functions=[price])
class Bill:
    def __init__(self) -> None:
        self.total = 0.0

    def step(self, name: str) -> None:
        self.total += price(name)

    def finish(self) -> float:
        return self.total


def test_host_functions_of_table_functions_and_aggregates() -> None:
    assert list(prices("tea coffee")) == [("tea", 2.0), ("coffee", 3.0)]
    assert Bill(pa.array(["tea", "coffee", "tea"])) == 7.0
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, prices, Bill)
    assert connection.execute("SELECT sum(price) FROM prices('tea coffee')").fetchall() == [(5.0,)]
    assert connection.execute("SELECT bill(name) FROM prices('tea coffee')").fetchall() == [(5.0,)]
    with pytest.raises(errors.HostCallLimitError, match="host_calls="):
        list(prices("tea tea tea tea"))


def test_defaults_in_the_docstring_are_those_of_calls() -> None:
    text = inspect.getdoc(udfvm.udf) or ""
    described = dict(re.findall(r"(?ms)^ {4}(\w+): (.*?)(?=^ {4}\w+: |^$)", text))
    limits = Limits()
    for option, default in (
        ("memory", format_size(limits.memory)),
        ("timeout", f"{limits.timeout_ns / 1e9:g}"),
        ("max_output", None if limits.max_output == 0 else limits.max_output),
        ("max_log", format_size(limits.max_log)),
        ("log", f'"{limits.log}"'),
        ("files", limits.files),
        ("deterministic", limits.deterministic),
        ("isolation", '"statement"'),
        ("host_calls", limits.host_calls),
        ("build_timeout", f"{limits.build_timeout_ns / 1e9:g}"),
    ):
        assert f"Default: {default}" in " ".join(described[option].split()), option


def test_switches_are_true_or_false() -> None:
    for option in ("vectorized", "elementwise"):
        for value in ("no", 1):
            given: dict[str, Any] = {option: value}
            with pytest.raises(
                udfvm.OptionError,
                match=f"udfvm.udf: {option}= takes True or False; got {value!r}",
            ):
                udfvm.udf(**given)
    with pytest.raises(udfvm.OptionError, match=r"udfvm\.aggregate: vectorized= takes True or Fal"):
        udfvm.aggregate(vectorized="no")(Bill.function)  # type: ignore[call-overload]
