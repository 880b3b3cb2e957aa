"""Rows of floats and ints, which take a way of their own, in C, after some calls."""

from __future__ import annotations

import gc
import math
import os
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import udfvm
from udfvm.call._fast_path import RowCalls
from udfvm.call.single_rows import ROWS_IN_PYTHON
from udfvm.protocol import TYPE_FLOAT64, TYPE_INT64, TYPE_TEXT


@udfvm.udf
def ratio(x: float, count: int) -> float | None:
    if count == 13:
        raise ValueError("thirteen")
    return None if count == 0 else x / count


@udfvm.udf
def largest(a: int, b: int) -> int:
    return max(a, b)


@udfvm.udf
def words(count: int) -> str:
    return "word " * count


def seen(function: Any, *arguments: object) -> Any:
    """Calls a function until its calls are made in C; returns how they are made."""
    for _ in range(ROWS_IN_PYTHON):
        function(*arguments)
    assert function._calls._call_numbers is not None
    return function._calls._call_numbers


def test_results_are_those_of_the_first_call() -> None:
    first = ratio(3.0, 2)
    made = seen(ratio, 3.0, 2)
    assert made((3.0, 2)) == first == 1.5
    assert type(made((3, 2))) is float
    assert ratio(1.0, 0) is None
    assert math.isnan(ratio(math.nan, 1))
    assert ratio(-0.0, 1) == 0.0 and math.copysign(1, ratio(-0.0, 1)) == -1
    assert largest(1, 2) == 2


@pytest.mark.parametrize(
    "arguments", [(-(2**63), -(2**63)), (2**63 - 1, -1), (0, -1), (2**53 + 1, 1)]
)
def test_integers_of_all_sizes(arguments: tuple[int, int]) -> None:
    assert seen(largest, 1, 2)(arguments) == max(arguments)


@pytest.mark.parametrize(
    "arguments",
    [(1.0,), (1.0, 2, 3), (1.0, 2**63), (2**53 + 1, 1), (1.0, 1.0), ("1", 1), (None, 1), (True, 1)],
)
def test_others_are_left_to_python(arguments: tuple[Any, ...]) -> None:
    assert seen(ratio, 3.0, 2)(arguments) is NotImplemented


def test_other_arguments_have_their_results_and_errors() -> None:
    seen(ratio, 3.0, 2)
    assert ratio(None, 1) is None
    assert ratio(count=2, x=3.0) == 1.5
    with pytest.raises(udfvm.TypeMappingError, match="out of the range of int64"):
        ratio(1.0, 2**63)
    with pytest.raises(udfvm.TypeMappingError, match="without loss"):
        ratio(2**53 + 1, 1)
    with pytest.raises(udfvm.TypeMappingError, match="got str"):
        ratio("1", 1)


def test_what_the_function_raises() -> None:
    seen(ratio, 3.0, 2)
    with pytest.raises(udfvm.UDFError, match="thirteen") as raised:
        ratio(1.0, 13)
    assert raised.value.udf == "ratio"
    assert ratio(3.0, 2) == 1.5


def test_text_is_read_by_python_whatever_its_length() -> None:
    seen(words, 1)
    assert words(2) == "word word "
    assert words(100_000) == "word " * 100_000


def test_results_that_are_too_large() -> None:
    small = words.with_options(max_output=1000, name="few_words")
    seen(small, 1)
    with pytest.raises(udfvm.OutputLimitError, match="few_words"):
        small(1000)
    assert small(1) == "word "


def test_a_deadline() -> None:
    @udfvm.udf(timeout=0.3)
    def waits(x: float) -> float:
        while x > 1:
            pass
        return x

    seen(waits, 1.0)
    with pytest.raises(udfvm.CallTimeoutError, match="waits"):
        waits(2.0)
    assert waits(0.5) == 0.5


def test_names_that_change_are_noticed() -> None:
    scale = 2.0

    def scaled(x: float) -> float:
        return x * scale

    function = udfvm.udf(scaled)
    seen(function, 1.0)
    assert function(3.0) == 6.0
    scale = 5.0
    assert function(3.0) == 15.0


def test_host_functions_are_called_once_each() -> None:
    calls = []

    def price(item: int) -> float:
        calls.append(item)
        return item * 2.0

    @udfvm.udf(host_functions=[price])
    def total(item: int) -> float:
        return price(item) + 1

    seen(total, 1)
    calls.clear()
    assert total(4) == 9.0
    assert calls == [4]


def test_a_forked_child_makes_calls_of_its_own() -> None:
    seen(ratio, 3.0, 2)
    child = os.fork()
    if not child:
        os._exit(0 if ratio(3.0, 2) == 1.5 and seen(ratio, 3.0, 2)((9.0, 2)) == 4.5 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert ratio(3.0, 2) == 1.5


def test_a_closed_pool() -> None:
    with udfvm.Pool(size=1) as pool:
        function = largest.with_options(pool=pool)
        seen(function, 1, 2)
    with pytest.raises(udfvm.PoolClosedError, match="largest"):
        function(1, 2)


class Owner:
    """Reads replies as ``NumberRows`` does, and notes them."""

    def __init__(self) -> None:
        self.replies: list[tuple[int, bytes]] = []

    def read(self, status: int, reply: bytes) -> str:
        self.replies.append((status, reply))
        return "read"


def calls_of(function: Any, result: int, owner: Owner, types: tuple[int, ...]) -> Any:
    runtime = function._calls.current()
    return RowCalls(
        types,
        result,
        runtime.pool,
        owner,
        runtime.pool.address,
        runtime.image.address,
        runtime.limits_address,
        0,
    ).call


@pytest.mark.parametrize(
    ("function", "arguments", "result"),
    [(ratio, (3.0, 2), TYPE_INT64), (largest, (1, 2), TYPE_FLOAT64), (largest, (1, 2), TYPE_TEXT)],
)
def test_a_reply_of_another_type_is_not_taken_for_a_number(
    function: Any, arguments: tuple[Any, ...], result: int
) -> None:
    owner = Owner()
    types = tuple(TYPE_FLOAT64 if type(each) is float else TYPE_INT64 for each in arguments)
    assert calls_of(function, result, owner, types)(arguments) == "read"
    ((status, reply),) = owner.replies
    assert (status, len(reply)) == (0, 16)


def test_types_that_are_no_numbers_are_refused() -> None:
    for types in ((), (TYPE_TEXT,), (TYPE_INT64,) * 15):
        with pytest.raises(ValueError, match="number"):
            calls_of(largest, TYPE_INT64, Owner(), types)


def test_a_function_goes_with_its_calls() -> None:
    def made() -> Callable[..., object]:
        function = udfvm.udf(lambda x: x, name="same", input_types=["double"], output_type="double")
        seen(function, 1.0)
        return function

    gone = weakref.ref(made())
    gc.collect()
    assert gone() is None
