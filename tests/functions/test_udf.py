"""UDFs through the public API: values and arrays, nulls, strict types, exceptions, fresh state,
limits, pickling.
"""

from __future__ import annotations

import datetime
import functools
import gc
import importlib
import json as renamed_json
import math
import multiprocessing
import operator
import os
import pickle
import random
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import udfvm

STATE = {"calls": 0}
SCALE = 100


class OddError(ValueError):
    """An exception of the user's own."""


def helper(value: float) -> float:
    return value * SCALE


@udfvm.udf
def score(dep_delay: float, distance: float) -> float | None:
    return None if distance == 0 else helper(dep_delay) / distance


@udfvm.udf
def calls_so_far(_: int) -> int:
    STATE["calls"] += 1
    return STATE["calls"]


@udfvm.udf
def fails_on_odd(value: int) -> int:
    if value % 2:
        raise OddError(f"{value} is odd")  # the line that the traceback shows
    return value


@udfvm.udf
def describe(value: str | None) -> str:
    return type(value).__name__


# ---- Values ----


def test_the_example() -> None:
    assert score(12.0, 300.0) == 4.0
    assert score(12, 300) == 4.0
    assert score(1.0, 0.0) is None
    assert score(distance=300.0, dep_delay=12.0) == 4.0


def test_null_arguments() -> None:
    assert score(None, 1.0) is None
    assert describe(None) == "NoneType"
    assert describe("") == "str"
    with_null = pa.array(["a", None], pa.string())
    assert describe(with_null).to_pylist() == ["str", "NoneType"]
    assert fails_on_odd(pa.array([2, None, 4])).to_pylist() == [2, None, 4]


def _identity(type_: object) -> udfvm.ScalarFunction:
    def same(x):  # type: ignore[no-untyped-def]
        return x

    return udfvm.udf(same, input_types=[type_], output_type=type_)


PARIS = datetime.timezone(datetime.timedelta(hours=1))


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        ("bool", [True, False]),
        ("int64", [0, -(2**63), 2**63 - 1]),
        ("uint64", [0, 2**64 - 1]),
        ("int8", [-128, 127]),
        ("double", [0.0, -1.5, math.inf, 5e-324]),
        ("float", [0.5, -math.inf]),
        ("string", ["", "é\0ü", "x" * 100_000, "\U0001f600"]),
        ("large_string", ["a"]),
        ("binary", [b"", b"\0\xff" * 5]),
        ("large_binary", [b"abc"]),
        (
            "date32[day]",
            [datetime.date(1970, 1, 1), datetime.date(1, 1, 1), datetime.date(9999, 12, 31)],
        ),
        ("date64[ms]", [datetime.date(1969, 12, 31)]),
        ("timestamp[s]", [datetime.datetime(1969, 12, 31, 23, 59, 59)]),
        (
            "timestamp[us]",
            [datetime.datetime(1, 1, 1), datetime.datetime(9999, 12, 31, 23, 59, 59, 999999)],
        ),
        ("timestamp[ns]", [datetime.datetime(2020, 2, 29, 1, 2, 3, 4)]),
        (
            "timestamp[us, tz=UTC]",
            [datetime.datetime(2020, 2, 29, 1, 2, 3, 4, tzinfo=datetime.UTC)],
        ),
        ("timestamp[ms, tz=+01:00]", [datetime.datetime(2020, 2, 29, 1, 2, 3, tzinfo=PARIS)]),
    ],
)
def test_values_of_each_type_return(type_: str, values: list[Any]) -> None:
    same = _identity(type_)
    for value in values:
        result = same(value)
        assert result == value
        assert type(result) is type(value)
    arrow_type = same.result.type.arrow
    column = pa.array([*values, None], arrow_type)
    assert same(column).equals(column)


def test_nan() -> None:
    assert math.isnan(_identity("double")(math.nan))


def test_numpy_and_pyarrow_scalars_are_values() -> None:
    assert score(np.float32(12.0), np.int64(300)) == 4.0
    assert score(pa.scalar(12.0), pa.scalar(300, pa.int16())) == 4.0


def test_wrong_arguments() -> None:
    with pytest.raises(
        udfvm.TypeMappingError,
        match=r"'score': argument 'distance' \(position 2\) is declared double.*got str",
    ):
        score(1.0, "300")
    with pytest.raises(
        udfvm.TypeMappingError, match=r"missing a required argument.*it takes 2 arguments"
    ):
        score(1.0)
    with pytest.raises(udfvm.TypeMappingError, match=r"got list: as a column, pass numpy"):
        score(np.array([1.0]), [1.0])
    with pytest.raises(
        udfvm.TypeMappingError, match="different lengths: 'dep_delay' has 1, 'distance' has 2"
    ):
        score(np.array([1.0]), np.array([1.0, 2.0]))
    with pytest.raises(udfvm.TypeMappingError, match=r"argument 'dep_delay'.*array of string"):
        score(pa.array(["1"]), 2.0)
    with pytest.raises(udfvm.TypeMappingError, match="2 dimensions"):
        score(np.zeros((2, 2)), 2.0)


def test_defaults_are_filled_in() -> None:
    @udfvm.udf
    def add(a: int, b: int = 5) -> int:
        return a + b

    assert add(1) == 6
    assert add(1, b=2) == 3


def test_functions_without_parameters() -> None:
    @udfvm.udf
    def constant() -> str:
        return "always"

    assert constant() == "always"


# ---- Strict results ----


@pytest.mark.parametrize(
    ("type_", "value", "raised", "message"),
    [
        ("int64", 1.0, "TypeError", "returned float, but its result is declared int"),
        ("int64", "1", "TypeError", "returned str"),
        ("int64", 2**63, "OverflowError", "out of the range"),
        ("int8", 128, "OverflowError", "out of the range"),
        ("uint8", -1, "OverflowError", "out of the range"),
        ("double", "1", "TypeError", "returned str, but its result is declared float"),
        ("string", b"x", "TypeError", "returned bytes"),
        ("string", "\ud800", "UnicodeEncodeError", "surrogates"),
        ("binary", "x", "TypeError", "returned str, but its result is declared bytes"),
        ("bool", 1, "TypeError", "returned int, but its result is declared bool"),
        ("date32[day]", datetime.datetime(2020, 1, 1), "TypeError", "returned datetime"),
        ("timestamp[us]", datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC), "TypeError", "aware"),
        (
            "timestamp[s]",
            datetime.datetime(2020, 1, 1, microsecond=1),
            "ValueError",
            "no whole number of s",
        ),
    ],
)
def test_results_must_be_of_the_declared_type(
    type_: str, value: object, raised: str, message: str
) -> None:
    def wrong(flag):  # type: ignore[no-untyped-def]
        return value if flag else None

    function = udfvm.udf(wrong, input_types=["bool"], output_type=type_)
    with pytest.raises(udfvm.UDFError, match=message) as caught:
        function(True)
    assert (caught.value.guest_type, caught.value.row) == (raised, None)
    with pytest.raises(udfvm.UDFError, match=message) as caught:
        function(pa.array([False, False, True]))
    assert (caught.value.guest_type, caught.value.row) == (raised, 2)


def test_integers_do_for_floats_and_numpy_scalars_for_python_values() -> None:
    def one(kind):  # type: ignore[no-untyped-def]
        return {"int": 1, "bool": True, "np.int8": np.int8(1), "np.float32": np.float32(1)}[kind]

    function = udfvm.udf(one, input_types=["string"], output_type="double")
    assert [function(kind) for kind in ("int", "bool", "np.int8", "np.float32")] == [1.0] * 4


def test_none_must_be_declared() -> None:
    @udfvm.udf
    def nothing(x: int) -> int:
        return None  # type: ignore[return-value]

    with pytest.raises(
        udfvm.UDFError, match=r"returned None.*annotate the result `\.\.\. \| None`"
    ):
        nothing(1)


# ---- Exceptions ----


def test_exceptions_carry_type_message_traceback_and_row() -> None:
    with pytest.raises(udfvm.UDFError) as caught:
        fails_on_odd(7)
    error = caught.value
    assert error.guest_type.endswith("OddError")
    assert error.guest_message == "7 is odd"
    assert error.row is None
    assert (
        'raise OddError(f"{value} is odd")  # the line that the traceback shows'
        in error.guest_traceback
    )
    assert "in fails_on_odd" in error.guest_traceback
    assert "_udfvm" not in error.guest_traceback
    assert "agent.py" not in error.guest_traceback
    assert "UDF 'fails_on_odd'" in str(error)
    with pytest.raises(udfvm.UDFError, match="row 2") as caught:
        fails_on_odd(pa.array([0, None, 3, 5]))
    assert caught.value.row == 2


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("raise SystemExit(3)", "SystemExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("return f(x)", "RecursionError"),
        ("return len('x' * (1 << 40))", "MemoryError"),
        ("raise Exception('\\ud800' + 'x' * 1000000)", "Exception"),
        ("raise type('Bad', (Exception,), {'__str__': lambda self: 1 / 0})()", "Bad"),
        ("raise ValueError(1) from KeyError(2)", "ValueError"),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_any_exception_is_reported(body: str, expected: str) -> None:
    scope: dict[str, Any] = {}
    exec(f"def f(x):\n    {body}\n", scope)
    function = udfvm.udf(scope["f"], input_types=["int64"], output_type="int64")
    for argument in (1, np.array([1])):
        with pytest.raises(udfvm.UDFError) as caught:
            function(argument)
        assert caught.value.guest_type == expected
        assert expected in caught.value.guest_traceback
    assert len(str(caught.value)) < 1_000_000


def test_exceptions_while_loading() -> None:
    class Explosive:
        def __reduce__(self) -> tuple[Callable[[str], float], tuple[str]]:
            return float, ("boom",)

    bomb = Explosive()

    @udfvm.udf
    def function(x: int) -> int:
        return 0 if bomb else x

    with pytest.raises(udfvm.UDFError, match="could not convert string to float"):
        function(1)


def test_what_cannot_be_pickled() -> None:
    lock = threading.Lock()

    @udfvm.udf
    def function(x: int) -> int:
        return 0 if lock else x

    with pytest.raises(
        udfvm.SignatureError,
        match=r"'function' cannot be sent to a micro-VM.*create connections, locks",
    ):
        function(1)


# ---- Fresh state ----


def test_what_a_call_wrote_is_gone_in_the_next() -> None:
    assert [calls_so_far(0) for _ in range(3)] == [1, 1, 1]
    assert calls_so_far(pa.array([0, 0, 0])).to_pylist() == [1, 2, 3]
    assert calls_so_far(0) == 1


def test_files_are_gone_in_the_next_call() -> None:
    @udfvm.udf
    def append(text: str) -> str:
        with open("/tmp/state", "a+") as file:  # noqa: PTH123
            file.write(text)
            file.seek(0)
            return file.read()

    assert append("a") == "a"
    assert append("b") == "b"


def test_randomness_is_fresh_in_each_call() -> None:
    @udfvm.udf
    def rolled(_: int) -> float:
        return random.random()

    @udfvm.udf(deterministic=True)
    def fixed(_: int) -> float:
        return random.random()

    assert len({rolled(0) for _ in range(5)}) == 5
    assert len({fixed(0) for _ in range(5)}) == 1


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

    with pytest.raises(udfvm.UDFError, match="ZeroDivisionError"):
        broken.prepare()


@pytest.mark.parametrize(
    "sample",
    [(pa.array([1.0, 2.0]), 3.0), {"distance": [1.0], "dep_delay": [2.0]}, (None, 1.0), ([], [])],
)
def test_forms_of_samples(sample: object) -> None:
    assert udfvm.udf(score.function, sample=sample)(12.0, 300.0) == 4.0


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ((1.0,), "the 2 arguments of one call"),
        ({"distance": 1.0}, "no value for 'dep_delay'"),
        ((["x"], [1.0]), "sample= for 'dep_delay'"),
    ],
)
def test_wrong_samples(sample: object, message: str) -> None:
    with pytest.raises(udfvm.SignatureError, match=message):
        udfvm.udf(score.function, sample=sample).prepare()


# ---- Arrays ----


def test_what_comes_in_goes_out() -> None:
    expected = [4.0, None, 2.0]
    delays, distances = pa.array([12.0, 1.0, 6.0]), pa.array([300, 0, 300])
    assert score(delays, distances).to_pylist() == expected
    assert isinstance(score(delays, distances), pa.Array)
    chunked = score(pa.chunked_array([delays.slice(0, 1), delays.slice(1)]), distances)
    assert isinstance(chunked, pa.ChunkedArray)
    assert chunked.to_pylist() == expected
    array = score(np.array([12.0, 1.0, 6.0]), np.array([300, 0, 300]))
    assert isinstance(array, np.ndarray)
    np.testing.assert_array_equal(array, [4.0, np.nan, 2.0])
    assert score(delays, 300.0).to_pylist() == pytest.approx([4.0, 1 / 3, 2.0])
    assert score(delays, None).to_pylist() == [None] * 3


def test_empty_arrays_make_no_call() -> None:
    assert score(pa.array([], pa.float64()), 1.0).equals(pa.array([], pa.float64()))
    assert score(pa.chunked_array([], pa.float64()), 1.0).equals(pa.chunked_array([], pa.float64()))
    assert len(score(np.array([]), 1.0)) == 0


def test_encoded_columns() -> None:
    @udfvm.udf
    def upper(text: str) -> str:
        return text.upper()

    words = pa.array(["a", None, "b", "a"])
    expected = pa.array(["A", None, "B", "A"])
    assert upper(words.dictionary_encode()).equals(expected)
    assert (
        upper(pa.chunked_array([words.dictionary_encode()] * 2)).to_pylist()
        == expected.to_pylist() * 2
    )
    assert upper(words.cast(pa.large_string())).equals(expected)
    assert upper(words.cast(pa.string_view())).equals(expected)
    assert upper(pa.nulls(3)).to_pylist() == [None] * 3
    assert upper(np.array(["x", "y"])).tolist() == ["X", "Y"]
    assert upper(np.array(["x", None], dtype=object)).tolist() == ["X", None]


def test_inexact_casts_are_refused() -> None:
    with pytest.raises(udfvm.TypeMappingError, match=r"argument 'distance'.*without loss"):
        score(1.0, pa.array([2**53 + 1]))
    with pytest.raises(udfvm.TypeMappingError, match=r"argument 'value'.*array of double"):
        fails_on_odd(pa.array([1.0]))


@udfvm.udf(vectorized=True)
def doubled(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    assert isinstance(x, np.ndarray)
    return x * 2


def test_numpy_functions() -> None:
    np.testing.assert_array_equal(doubled(np.arange(1000.0)), np.arange(1000.0) * 2)
    assert doubled(pa.array([1.0, None, 3.0])).to_pylist() == [2.0, None, 6.0]
    assert doubled(pa.nulls(2, pa.float64())).to_pylist() == [None, None]
    assert doubled(21.0) == 42.0
    assert doubled(np.arange(10)[::2]).tolist() == [0.0, 4.0, 8.0, 12.0, 16.0]


def test_numpy_columns_of_other_numbers() -> None:
    @udfvm.udf(vectorized=True, input_types=["int32", "uint8"], output_type="int64")
    def combined(a: np.ndarray, b: np.ndarray):  # type: ignore[no-untyped-def,type-arg]
        return a.astype(np.int64) * 100 + b

    first, second = np.array([1, -2, 3], np.int32), np.array([9, 8, 7], np.uint8)
    result = combined(first, second)
    assert result.dtype == np.int64
    assert result.tolist() == [109, -192, 307]
    assert result.flags.writeable
    assert combined(first, second.astype(np.int64)).tolist() == [109, -192, 307]
    assert combined(first[::-1], second).tolist() == [309, -192, 107]

    @udfvm.udf(vectorized=True, input_types=["timestamp[us]"], output_type="timestamp[us]")
    def next_day(moment: np.ndarray):  # type: ignore[no-untyped-def,type-arg]
        return moment + np.timedelta64(1, "D")

    moments = np.array(["2020-02-28T12:00", "NaT"], "datetime64[us]")
    np.testing.assert_array_equal(
        next_day(moments), np.array(["2020-02-29T12:00", "NaT"], "datetime64[us]")
    )
    assert next_day(pa.array(moments)).to_pylist() == [datetime.datetime(2020, 2, 29, 12), None]


def test_numpy_functions_that_want_nulls() -> None:
    @udfvm.udf(vectorized=True, input_types=["double", "int64", "string"], output_type="string")
    def shown(a: np.ndarray | None, b: np.ndarray | None, c: np.ndarray | None):  # type: ignore[no-untyped-def,type-arg]
        return np.array([f"{x} {y} {z}" for x, y, z in zip(a, b, c, strict=True)])

    columns = pa.array([1.5, None]), pa.array([2**62, None]), pa.array([None, "x"])
    assert shown(*columns).to_pylist() == [f"1.5 {2**62} None", "nan None x"]


def test_numpy_arguments_are_views_of_the_window() -> None:
    @udfvm.udf(vectorized=True, input_types=["double"], output_type="double")
    def overwrites(x: np.ndarray):  # type: ignore[no-untyped-def,type-arg]
        x[0] = 1
        return x

    with pytest.raises(udfvm.UDFError, match="read-only"):
        overwrites(np.zeros(3))


def test_pandas_is_there_where_it_is_used() -> None:
    pytest.importorskip("pandas")

    @udfvm.udf(vectorized=True, input_types=["double"], output_type="double")
    def through_pandas(x):  # type: ignore[no-untyped-def]
        return x.to_pandas().cumsum()

    assert through_pandas(pa.array([1.0, 2.0])).to_pylist() == [1.0, 3.0]


def test_pyarrow_functions() -> None:
    @udfvm.udf(vectorized=True, input_types=["string", "int64"], output_type=pa.string())
    def repeat(text, count):  # type: ignore[no-untyped-def]
        assert isinstance(text, pa.StringArray)
        assert not text.null_count
        return pc.binary_repeat(text, count)

    assert repeat(pa.array(["a", None, "c"]), pa.array([1, 2, 3])).to_pylist() == ["a", None, "ccc"]
    assert repeat(pa.array(["ab"]), 2).to_pylist() == ["abab"]


def test_vectorised_functions_that_want_nulls() -> None:
    @udfvm.udf(vectorized=True, output_type="bool")
    def missing(x: pa.Int64Array | None, y: float | None):  # type: ignore[no-untyped-def]
        return pc.and_(pc.is_null(x), pc.is_null(y))

    assert missing(pa.array([1, None, None]), pa.array([None, 1.0, None])).to_pylist() == [
        False,
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("result", "output", "raised", "message"),
    [
        ("x[:-1]", "double", "ValueError", "returned 2 values for 3 rows"),
        ("x.reshape(1, 3)", "double", "ValueError", "2 dimensions"),
        ("list(x)", "double", "TypeError", "returned list, not an array"),
        ("x + 0.5", "int64", "TypeError", "an array of double, but its result is declared int64"),
        ("(x * 1000).astype(int)", "int8", "OverflowError", "declared int8"),
        (
            "x.astype(str)",
            "binary",
            "TypeError",
            "an array of string, but its result is declared binary",
        ),
        ("3", "double", "TypeError", "returned int, not an array"),
    ],
)
def test_vectorised_results_must_be_of_the_declared_type(
    result: str, output: str, raised: str, message: str
) -> None:
    scope: dict[str, Any] = {"np": np}
    exec(f"def f(x: np.ndarray):\n    return {result}\n", scope)
    function = udfvm.udf(scope["f"], vectorized=True, input_types=["double"], output_type=output)
    with pytest.raises(udfvm.UDFError, match=message) as caught:
        function(np.array([1.0, 2.0, 3.0]))
    assert caught.value.guest_type == raised


def test_vectorised_results_are_widened() -> None:
    def small(x: np.ndarray):  # type: ignore[no-untyped-def,type-arg]
        return x.astype(np.int8)

    for output in ("int64", "double", "uint16"):
        function = udfvm.udf(small, vectorized=True, input_types=["double"], output_type=output)
        assert function(np.array([1.0, 2.0])).tolist() == [1, 2]


@udfvm.udf
def tail(text: str) -> str:
    return text[-2:]


def test_batches_larger_than_the_window_are_split() -> None:
    rows = 10_000_000
    values = np.arange(rows, dtype=np.float64)
    result = doubled(pa.array(values))
    assert len(result) == rows
    np.testing.assert_array_equal(result.to_numpy(), values * 2)


def test_results_larger_than_the_window_are_split() -> None:
    @udfvm.udf
    def long(length: int) -> str:
        return "x" * length

    sizes = pa.array([1_000_000] * 100)
    assert pc.all(pc.equal(pc.utf8_length(long(sizes)), 1_000_000)).as_py()
    assert long(150_000_000) == "x" * 150_000_000

    small = udfvm.udf(long.function, max_output=4096, name="small")
    assert small(4000) == "x" * 4000
    with pytest.raises(udfvm.OutputLimitError, match="max_output="):
        small(5000)
    with pytest.raises(udfvm.OutputLimitError, match="max_output="):
        small(pa.array([4000, 4000]))


def test_rows_larger_than_the_window() -> None:
    assert tail("x" * 140_000_000 + "y") == "xy"
    assert tail(pa.array(["abc", "x" * 140_000_000 + "y"])).to_pylist() == ["bc", "xy"]
    with pytest.raises(udfvm.InputTooLargeError, match=r"512 MiB .* raise memory="):
        tail("x" * 540_000_000)
    with pytest.raises(udfvm.InputTooLargeError, match=r"512 MiB .* raise memory="):
        tail(pa.array(["a", "x" * 540_000_000]))
    assert tail("abc") == "bc"


def test_rows_of_split_batches_are_counted_from_the_beginning() -> None:
    rows = 9_000_000
    values = np.zeros(rows, dtype=np.int64)
    values[rows - 5] = 1
    with pytest.raises(udfvm.UDFError) as caught:
        fails_on_odd(values)
    assert caught.value.row == rows - 5


# ---- Travelling ----


def test_modules_of_the_user_travel_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = (
        "LIMIT = 3\ndef check(x):\n    if x > LIMIT:\n        raise ValueError('too much')\n   "
        " return x\n"
    )
    (tmp_path / "users_module.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    users_module = importlib.import_module("users_module")

    @udfvm.udf
    def checked(x: int) -> int:
        return users_module.check(x)

    assert checked(3) == 3
    with pytest.raises(udfvm.UDFError) as caught:
        checked(4)
    assert "raise ValueError('too much')" in caught.value.guest_traceback
    assert "return users_module.check(x)" in caught.value.guest_traceback


def test_modules_of_the_user_that_bodies_import_travel_as_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "users_package"
    (package / "deeper").mkdir(parents=True)  # a package without __init__.py
    (package / "__init__.py").write_text("NAME = 'users'\n")
    (package / "checks.py").write_text(
        "from . import NAME\nfrom .deeper import limits\n\ndef check(x):\n    return"
        " limits.below(x)\n"
    )
    (package / "deeper" / "limits.py").write_text(
        "def below(x):\n    if x > 3:\n        raise ValueError('too much')\n    return x\n"
    )
    (tmp_path / "users_broken.py").write_text("def broken(:\n")
    monkeypatch.syspath_prepend(tmp_path)

    @udfvm.udf
    def checked(x: int) -> int:
        from users_package.checks import check

        return int(check(x))

    @udfvm.udf
    def breaks(x: int) -> int:
        import users_broken

        return int(users_broken.broken(x))

    assert checked(3) == 3
    with pytest.raises(udfvm.UDFError) as caught:
        checked(4)
    assert "raise ValueError('too much')" in caught.value.guest_traceback
    assert "users_package" not in sys.modules
    with pytest.raises(udfvm.UDFError, match="SyntaxError"):
        breaks(1)


def test_functions_of_packages_import_relatively(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "relative_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "other.py").write_text("def double(x):\n    return 2 * x\n")
    (package / "functions.py").write_text(
        "def doubled(x: int) -> int:\n    from .other import double\n    return double(x)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    functions = importlib.import_module("relative_package.functions")
    assert udfvm.udf(functions.doubled)(21) == 42


def test_builtins_and_other_callables() -> None:
    root = udfvm.udf(math.sqrt, input_types=["double"], output_type="double")
    assert (root.name, root(4.0)) == ("sqrt", 2.0)
    tripled = udfvm.udf(
        functools.partial(operator.mul, 3),
        input_types=["int64"],
        output_type="int64",
        name="tripled",
    )
    assert tripled(14) == 42


def test_scalar_functions_need_little() -> None:
    @udfvm.udf(memory="64MiB")
    def modules(prefixes: str) -> str:
        import sys

        return ",".join(name for name in prefixes.split(",") if name in sys.modules)

    assert modules("json,numpy,pyarrow,pandas") == "json"

    @udfvm.udf(memory="64MiB")
    def allocate(size: int) -> int:
        return len(bytearray(size))

    assert allocate(1 << 20) == 1 << 20
    with pytest.raises(udfvm.UDFError, match="MemoryError"):
        allocate(1 << 28)
    assert allocate(1 << 20) == 1 << 20


def test_udfs_call_udfs_and_modules() -> None:
    @udfvm.udf
    def via(text: str) -> float | None:
        import statistics

        numbers = renamed_json.loads(text)
        return score(statistics.mean(numbers), 100.0)

    assert via("[1, 2, 3]") == 2.0


def test_recursive_udfs() -> None:
    assert factorial(10) == 3_628_800


@udfvm.udf
def factorial(n: int) -> int:
    return 1 if n <= 1 else n * factorial(n - 1)


def test_third_party_packages() -> None:
    pandas = pytest.importorskip("pandas")

    @udfvm.udf(vectorized=True, input_types=["double"], output_type="double")
    def ranked(x):  # type: ignore[no-untyped-def]
        return pandas.Series(x.to_numpy()).rank()

    assert ranked(np.array([3.0, 1.0, 2.0])).tolist() == [3.0, 1.0, 2.0]


def test_pickling_of_udfs() -> None:
    assert pickle.loads(pickle.dumps(score)) is score
    local = udfvm.udf(
        lambda x: x + 1, input_types=["int64"], output_type="int64", name="local", timeout=3
    )
    copy = cloudpickle.loads(cloudpickle.dumps(local))
    assert copy.limits == local.limits
    assert copy(1) == 2


def test_threads() -> None:
    score.prepare()
    with ThreadPoolExecutor(8) as executor:
        results = list(executor.map(lambda number: score(float(number), 100.0), range(200)))
    assert results == [float(number) for number in range(200)]


def test_forked_children_make_vms_of_their_own() -> None:
    assert score(12.0, 300.0) == 4.0
    context = multiprocessing.get_context("fork")
    with context.Pool(1) as pool:
        assert pool.apply(score.__call__, (12.0, 300.0)) == 4.0
    assert score(12.0, 300.0) == 4.0


def test_forked_children_keep_results() -> None:
    """What a child inherited stays as it was, whatever the parent does with the memory, and the
    child can go on calling.
    """
    values = np.arange(1_000_000, dtype=np.float64)
    kept = [
        doubled(pa.array(values)),
        doubled(pa.chunked_array([values, values])),
        doubled(pa.array(values[:10])),
    ]
    in_numpy = doubled(values)
    expected = [pc.sum(each).as_py() for each in kept]
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.read(reader, 1)
            status = int(
                not np.array_equal(in_numpy, values * 2)
                or [pc.sum(each).as_py() for each in kept] != expected
            )
            del kept, in_numpy
            status += 2 * int(doubled(values)[-1] != values[-1] * 2)
        finally:
            os._exit(status)
    assert [pc.sum(each).as_py() for each in kept] == expected
    del kept, in_numpy
    for number in range(6):
        np.testing.assert_array_equal(doubled(values + number), (values + number) * 2)
    os.write(writer, b"x")
    assert os.waitpid(child, 0)[1] == 0
    os.close(reader)
    os.close(writer)


def test_large_results_outlive_calls() -> None:
    """Results, however many are kept and whoever drops them, are never those of another call."""
    values = np.arange(400_000, dtype=np.float64)

    def several(first: int) -> None:
        kept = []
        for number in range(first, first + 12):
            column = values + number
            kept.append((number, doubled(pa.array(column) if number % 2 else column)))
            if number % 3 == 0:
                del kept[0]
        for number, result in kept:
            np.testing.assert_array_equal(result, (values + number) * 2)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(several, (0, 1000, 2000)))
    for _ in range(6):  # dropped in a garbage collection
        cycle = [doubled(values)]
        cycle.append(cycle)  # type: ignore[arg-type]
    del cycle
    gc.collect()
    written = doubled(values)
    written += 1
    np.testing.assert_array_equal(doubled(values), values * 2)
    np.testing.assert_array_equal(written, values * 2 + 1)


# ---- Limits ----


def test_timeouts() -> None:
    @udfvm.udf(timeout=0.2)
    def endless(n: int) -> int:
        while n:
            pass
        return 0

    assert endless(0) == 0
    for argument in (1, np.array([0, 1])):
        with pytest.raises(udfvm.CallTimeoutError, match=r"'endless'.*timeout="):
            endless(argument)
    assert endless(0) == 0


def test_printing_is_harmless_and_limited() -> None:
    @udfvm.udf(max_log=100_000, log="strict")
    def chatty(n: int) -> int:
        print("x" * n, end="")
        return n

    assert chatty(1000) == 1000
    with pytest.raises(udfvm.LogLimitError, match="max_log="):
        chatty(1_000_000)
    assert chatty(10) == 10


def test_a_function_that_ends_the_guest() -> None:
    @udfvm.udf
    def leaves(status: int) -> int:
        import os

        os._exit(status)

    with pytest.raises(udfvm.GuestExitError) as caught:
        leaves(3)
    assert caught.value.status == 3


def test_a_function_that_crashes() -> None:
    @udfvm.udf
    def crashes(address: int) -> int:
        import ctypes

        return len(ctypes.string_at(address))

    with pytest.raises(udfvm.GuestCrashError) as caught:
        crashes(16)
    assert caught.value.signal == 11
    assert score(12.0, 300.0) == 4.0
