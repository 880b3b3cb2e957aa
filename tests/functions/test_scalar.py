"""Scalar functions take values and arrays of them, and return values of the declared type."""

from __future__ import annotations

import datetime
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scalar_functions import fails_on_odd, score

import udfvm


@udfvm.udf
def describe(value: str | None) -> str:
    return type(value).__name__


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


@pytest.mark.parametrize("type_", [pa.string(), pa.large_string()])
def test_text_of_every_length(type_: pa.DataType) -> None:
    """The guest copies text word by word; what is not ASCII may be anywhere in it."""

    @udfvm.udf(output_type=str(type_))
    def turned(text: str) -> str:
        return text[1:] + text[:1]

    words = ["x" * before + end for before in range(80) for end in ("", "y", "\x7f", "\x80", "€")]
    words += [end + "x" * behind for behind in range(80) for end in ("\x80", "😀")]
    words += ["", "z" * 5000, "z" * 5000 + "é"]
    column = pa.array(words, type_)
    assert turned(column.slice(1)).to_pylist() == [word[1:] + word[:1] for word in words[1:]]


def test_results_of_subclasses_and_other_classes() -> None:
    class Text(str):
        pass

    class Number(int):
        pass

    class Real(float):
        pass

    @udfvm.udf
    def text(kind: int) -> str | None:
        return (Text("a"), "b", "é", None)[kind]

    @udfvm.udf
    def integer(kind: int) -> int | None:
        return (Number(1), 2, -(2**63), None)[kind]

    @udfvm.udf
    def real(kind: int) -> float | None:
        return (Real(0.5), 1, -0.0, None)[kind]

    kinds = pa.array([0, 1, 2, 3, 0])
    assert text(kinds).to_pylist() == ["a", "b", "é", None, "a"]
    assert integer(kinds).to_pylist() == [1, 2, -(2**63), None, 1]
    assert real(kinds).to_pylist() == [0.5, 1.0, 0.0, None, 0.5]


def test_a_result_beyond_64_bits_names_its_row() -> None:
    @udfvm.udf
    def large(n: int) -> int:
        return n * 2**40

    with pytest.raises(udfvm.UDFError, match="out of the range") as caught:
        large(pa.array([1, -(2**24)]))
    assert caught.value.row == 1


def test_arguments_that_the_function_keeps_stay_what_they_were() -> None:
    kept: list[Any] = []

    @udfvm.udf
    def of_all(real: float, integer: int, text: str) -> str:
        if integer % 3:  # of the others nothing is kept
            kept.append((real, integer, text))
        return repr(kept)

    rows = [(row / 4, row, "x" * row) for row in range(20)]
    reals, integers, texts = (list(column) for column in zip(*rows, strict=True))
    found = of_all(pa.array(reals, pa.float64()), pa.array(integers), pa.array(texts))
    assert found.to_pylist() == [
        repr([row for row in rows[: count + 1] if row[1] % 3]) for count in range(20)
    ]


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
        udfvm.TypeMappingError, match=r"missing a required argument.*it takes 2 arguments \(.*\)$"
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
        (
            "string",
            "\ud800",
            "ValueError",
            "text with a lone surrogate, which UTF-8 does not have: ret",
        ),
        ("binary", "x", "TypeError", "returned str, but its result is declared bytes"),
        ("bool", 1, "TypeError", "returned int, but its result is declared bool"),
        ("date32[day]", datetime.datetime(2020, 1, 1), "TypeError", "returned datetime"),
        ("timestamp[us]", datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC), "TypeError", "aware"),
        (
            "timestamp[s]",
            datetime.datetime(2020, 1, 1, microsecond=1),
            "ValueError",
            "not a whole number of s",
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
