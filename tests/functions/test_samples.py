"""A sample warms a function up while its image is built."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from scalar_functions import score

import udfvm
from udfvm.layouts import GUEST_ERROR
from udfvm.protocol import ROW_OF_SAMPLE
from udfvm.vmm.guest_error import parse


def test_samples_warm_up() -> None:
    cache: dict[str, int] = {}

    @udfvm.udf(sample=(5,))
    def cached(x: int) -> int:
        hits = cache.get("hits", 0)
        cache["hits"] = 1000
        return hits + x

    assert cached(1) == 1001

    @udfvm.udf(sample=(0,))
    def broken(x: int) -> int:
        return 1 // x

    with pytest.raises(
        udfvm.UDFError, match=r"^UDF 'broken', called with its sample: ZeroDivisionError: "
    ) as caught:
        broken.prepare()
    assert (caught.value.row, caught.value.guest_type) == (None, "ZeroDivisionError")
    assert "return 1 // x" in caught.value.guest_traceback


@pytest.mark.parametrize(
    "sample",
    [(pa.array([1.0, 2.0]), 3.0), {"distance": [1.0], "dep_delay": [2.0]}, (None, 1.0), ([], [])],
)
def test_forms_of_samples(sample: Any) -> None:
    assert udfvm.udf(score.function, sample=sample)(12.0, 300.0) == 4.0


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ((1.0,), "a tuple with the 2 arguments of one call, .*; got 1 argument$"),
        (3, "a tuple with the 2 arguments of one call, .*; got 3$"),
        ([1.0, 2.0], "a tuple with the 2 arguments of one call, .*; got .1.0, 2.0.$"),
        ("ab", "a tuple with the 2 arguments of one call, .*; got 'ab'$"),
        ({"distance": 1.0}, "no value for 'dep_delay'"),
        ({"distance": 1.0, "dep_delay": 1.0, "z": 1}, "a value for 'z', which is not a parameter"),
        ((1.0, "a"), "sample= for 'distance': it is declared double, .*got str"),
    ],
)
def test_wrong_samples(sample: Any, message: str) -> None:
    with pytest.raises(udfvm.OptionError, match=f"UDF 'score': .*{message}"):
        udfvm.udf(score.function, sample=sample)


def test_wrong_columns_of_samples() -> None:
    with pytest.raises(udfvm.OptionError, match="UDF 'score': sample= for 'dep_delay'"):
        udfvm.udf(score.function, sample=(["x"], [1.0])).prepare()


def _numbers(count: int) -> Iterator[int]:
    for number in range(count):
        yield 6 // (number - 2)


class _Ratio:
    def __init__(self) -> None:
        self.sum = 0.0

    def step(self, x: float, y: float) -> None:
        self.sum += x / y

    def finish(self) -> float:
        return self.sum


def test_samples_of_table_functions() -> None:
    def declare(sample: Any) -> udfvm.TableFunction:
        return udfvm.table_function(columns={"n": int}, sample=sample)(_numbers)

    for sample in ((2,), {"count": 2}):
        assert list(declare(sample)(2)) == [(-3,), (-6,)]
    with pytest.raises(udfvm.UDFError, match="called with its sample: ZeroDivisionError: "):
        declare((3,)).prepare()
    for wrong in (3, [3], (1, 2)):
        with pytest.raises(udfvm.OptionError, match=r"a tuple with the argument of one call"):
            declare(wrong)
    with pytest.raises(udfvm.OptionError, match=r"sample= for 'count': it is declared int64"):
        declare(("a",))
    with pytest.raises(udfvm.OptionError, match=r"sample=: argument 'count' .*got complex"):
        declare((1j,)).prepare()


def test_samples_of_aggregates() -> None:
    def declare(sample: Any) -> udfvm.AggregateFunction:
        return udfvm.aggregate(sample=sample)(_Ratio)

    for sample in ([(1.0, 2.0), {"y": 1.0, "x": 3.0}], []):
        assert declare(sample)(pa.array([1.0, 3.0]), pa.array([2.0, 1.0])) == 3.5
    with pytest.raises(udfvm.UDFError, match="called with its sample: ZeroDivisionError: "):
        declare([(1.0, 0.0)]).prepare()
    for wrong in (3, (1.0, 2.0), "ab", {"x": 1.0}):
        with pytest.raises(udfvm.OptionError, match=r"sample= must be a list of tuples"):
            declare(wrong)
    with pytest.raises(udfvm.OptionError, match=r"a tuple with the 2 arguments .*; got 1\.0"):
        declare([1.0, 2.0])
    with pytest.raises(udfvm.OptionError, match=r"sample=: argument 'y' .*got complex"):
        declare([(1.0, 1j)]).prepare()


def test_samples_of_vectorised_functions_that_fail() -> None:
    @udfvm.udf(
        vectorized=True, input_types=["double"], output_type="double", sample=(pa.array([1.0]),)
    )
    def broken(x: pa.Array) -> pa.Array:
        raise ValueError(f"{len(x)} value")

    with pytest.raises(udfvm.UDFError, match="called with its sample: ValueError: 1 value"):
        broken.prepare()

    @udfvm.udf(sample=([1.0],))
    def of_lists(x: list[float]) -> float:
        raise ValueError(f"{len(x)} value")

    with pytest.raises(udfvm.UDFError, match="called with its sample: ValueError: 1 value"):
        of_lists.prepare()


def test_only_a_function_that_is_loaded_fails_on_its_sample() -> None:
    reply = GUEST_ERROR.pack(10, 3, 0, 0, 0, ROW_OF_SAMPLE) + b"ValueErrorodd"
    text = "UDF 'f', called with its sample: ValueError: odd"
    assert str(parse(reply, "f", loading=True)) == text
    assert str(parse(reply, "f")) == str(parse(reply, "f", 5, 10)) == "UDF 'f': ValueError: odd"


def test_a_sample_that_ends_the_program() -> None:
    @udfvm.udf(sample=(1,))
    def crashes(x: int) -> int:
        import ctypes

        return ctypes.string_at(0)[0] + x

    with pytest.raises(udfvm.GuestCrashError, match="; the function was not ready by then") as one:
        crashes.prepare()
    assert one.value.signal == 11
