"""Times of day, durations, decimals, bytes of a fixed size and small floats come out as they went
in: of scalar and vectorised functions, in lists and structs, as values, in batches and in SQL.
"""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import apsw
import numpy as np
import pyarrow as pa
import pytest
from nested_types import identity

import udfvm
import udfvm.sqlite
from udfvm.types.arrow_types import declared

_TIME = datetime.time(23, 59, 58)
_DAY = datetime.timedelta(days=-1, seconds=5)
_CASES: list[tuple[pa.DataType, list[Any]]] = [
    (pa.float16(), [1.5, -65504.0, 0.0]),
    (pa.time32("s"), [_TIME, datetime.time()]),
    (pa.time32("ms"), [_TIME.replace(microsecond=999_000), datetime.time()]),
    (pa.time64("us"), [_TIME.replace(microsecond=999_999), datetime.time()]),
    (pa.time64("ns"), [_TIME.replace(microsecond=999_999), datetime.time()]),
    *((pa.duration(unit), [_DAY, datetime.timedelta()]) for unit in ("s", "ms", "us", "ns")),
    (pa.decimal32(9, 2), [Decimal("-1234567.89"), Decimal("0.00")]),
    (pa.decimal64(18, 0), [Decimal(10**18 - 1), Decimal(-1)]),
    (pa.decimal128(38, 10), [Decimal("-1234567890123456789012345678.0123456789"), Decimal(0)]),
    (pa.decimal128(5, -3), [Decimal("12E3"), Decimal("-99999E3")]),
    (pa.decimal256(76, 38), [Decimal(10) ** 37, Decimal("-0." + "0" * 37 + "1")]),
    (pa.binary(1), [b"\x00", b"\xff"]),
    (pa.binary(100), [b"a" * 100, bytes(100)]),
]
_IDS = [str(type_) for type_, _ in _CASES]


def _same(function: udfvm.ScalarFunction, array: Any) -> None:
    result = function(array)
    assert result.type.equals(array.type, check_metadata=True)
    assert result.equals(array)
    assert result.null_count == array.null_count
    for chunk in result.chunks if isinstance(result, pa.ChunkedArray) else [result]:
        chunk.validate(full=True)


@pytest.mark.parametrize("vectorized", [True, False])
@pytest.mark.parametrize(("type_", "values"), _CASES, ids=_IDS)
def test_columns(type_: pa.DataType, values: list[Any], vectorized: bool) -> None:
    same = identity(type_, vectorized)
    array = pa.array([None, *values, None], type_)
    for each in (array, array[1:-1], array[2:], array[:0], pa.nulls(3, type_)):
        _same(same, each)
    _same(same, pa.chunked_array([array[:2], array[:0], array[2:]]))


@pytest.mark.parametrize("vectorized", [True, False])
@pytest.mark.parametrize(("type_", "values"), _CASES, ids=_IDS)
def test_in_lists_and_structs(type_: pa.DataType, values: list[Any], vectorized: bool) -> None:
    nested = pa.list_(pa.struct([("a", type_), ("b", pa.large_list(type_))]))
    held = [{"a": value, "b": [value, None]} for value in values]
    _same(
        identity(nested, vectorized),
        pa.array([held, None, [None, {"a": None, "b": None}], []], nested),
    )


@pytest.mark.parametrize(("type_", "values"), _CASES, ids=_IDS)
def test_single_values(type_: pa.DataType, values: list[Any]) -> None:
    for function in (identity(type_, False), identity(type_, True)):
        for value in values:
            for argument in (value, pa.scalar(value, type_)):
                result = function(argument)
                assert result == value
                assert isinstance(result, type(value))
        assert function(None) is None


@pytest.mark.parametrize(("type_", "values"), _CASES, ids=_IDS)
def test_numpy_arrays_of_objects(type_: pa.DataType, values: list[Any]) -> None:
    objects = np.array([*values, None], dtype=object)
    expected = pa.array(objects.tolist(), type_)
    for vectorized in (True, False):
        result = identity(type_, vectorized)(objects)
        assert pa.array(result, type_, from_pandas=True).equals(expected)


@pytest.mark.parametrize(("type_", "values"), _CASES, ids=_IDS)
def test_sql(type_: pa.DataType, values: list[Any]) -> None:
    connection = apsw.Connection(":memory:")
    stored = [_in_sql(type_, value) for value in values]
    connection.execute("CREATE TABLE t(x)")
    connection.executemany("INSERT INTO t VALUES (?)", [(value,) for value in [*stored, None]])
    for name in ("scalar", "vectorized"):
        udfvm.sqlite.register(connection, identity(type_, name == "vectorized"), name=name)
        mapped = connection.execute(f"SELECT value FROM vm_map('{name}', 'SELECT rowid, x FROM t')")
        assert [row[0] for row in mapped] == [*stored, None]
    assert [row[0] for row in connection.execute("SELECT scalar(x) FROM t")] == [*stored, None]


def _in_sql(type_: pa.DataType, value: Any) -> Any:
    if pa.types.is_decimal(type_):
        value = pa.scalar(value, type_).as_py()  # with all digits behind the point
        return str(value) if type_.scale < 0 else f"{value:f}"
    if pa.types.is_time(type_):
        digits = {"s": "seconds", "ms": "milliseconds"}.get(type_.unit, "microseconds")
        return value.isoformat(digits) + ("000" if type_.unit == "ns" else "")
    if pa.types.is_duration(type_):
        return pa.scalar(value, type_).cast(pa.int64()).as_py()
    return value


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (pa.float16(), 1e6),
        (pa.float16(), 2049),
        (pa.time32("s"), datetime.time(1, 2, 3, 4)),
        (pa.time64("us"), datetime.time(1, tzinfo=datetime.UTC)),
        (pa.duration("s"), datetime.timedelta(microseconds=1)),
        (pa.duration("ns"), datetime.timedelta(days=10**6)),
        (pa.decimal32(5, 2), Decimal("1.234")),
        (pa.decimal32(5, 2), Decimal("1234")),
        (pa.decimal128(5, 2), Decimal("NaN")),
        (pa.decimal128(5, 2), 1.5),
        (pa.decimal128(5, 2), True),
        (pa.binary(3), b"ab"),
    ],
)
def test_nothing_is_lost(type_: pa.DataType, value: Any) -> None:
    with pytest.raises(udfvm.TypeMappingError):
        identity(type_, False)(value)
    with pytest.raises(udfvm.TypeMappingError, match="row 1"):
        identity(type_, True)(np.array([None, value], dtype=object))

    def constant(x):  # type: ignore[no-untyped-def]
        return value

    scalar = udfvm.udf(constant, name="constant", input_types=["int64"], output_type=type_)
    for argument in (1, pa.array([1])):
        with pytest.raises(udfvm.UDFError):
            scalar(argument)


@pytest.mark.parametrize(
    ("type_", "array"),
    [
        (pa.decimal32(8, 0), pa.array([Decimal(10) ** 60], pa.decimal256(70, 0))),
        (pa.decimal32(8, 0), pa.array([Decimal(10) ** 20], pa.decimal128(30, 0))),
        (pa.decimal128(5, 2), pa.array([50_000])),
        (pa.time32("s"), pa.array([1], pa.int64()).view(pa.time64("us"))),
        (pa.time32("s"), pa.array([86_400], pa.int32()).view(pa.time32("s"))),
        (pa.duration("s"), pa.array([1], pa.duration("ms"))),
        (pa.duration("ns"), pa.array([2**60], pa.duration("s"))),
        (pa.float16(), pa.array([2049])),
        (pa.float16(), pa.array([1e6])),
        (pa.binary(2), pa.array([b"abc"])),
        (pa.decimal128(3, 0), pa.array([b"\x7f" * 16], pa.binary(16)).view(pa.decimal128(3, 0))),
    ],
)
def test_columns_lose_nothing(type_: pa.DataType, array: pa.Array) -> None:
    with pytest.raises(udfvm.TypeMappingError, match="row 0"):
        identity(type_, True)(array)


def test_nanoseconds_need_a_vectorised_function() -> None:
    for type_ in (pa.time64("ns"), pa.duration("ns")):
        array = pa.array([1000, 1001], pa.int64()).view(type_)
        _same(identity(type_, True), array)
        with pytest.raises(udfvm.TypeMappingError, match=r"row 1: .* vectorised"):
            identity(type_, False)(array)


def test_annotations() -> None:
    @udfvm.udf
    def later(at: datetime.time, by: datetime.timedelta, price: Decimal) -> Decimal:
        return price + at.hour + by.days

    assert [str(parameter.type) for parameter in later.parameters] == [
        "time64[us]",
        "duration[us]",
        "decimal128(38, 18)",
    ]
    assert later(datetime.time(3), datetime.timedelta(days=2), Decimal("1.25")) == Decimal("6.25")


@pytest.mark.parametrize(
    "text", ["decimal32(10, 2)", "decimal128(0, 0)", "decimal512(3, 1)", "time32[us]"]
)
def test_types_that_do_not_exist(text: str) -> None:
    with pytest.raises(ValueError, match="is not a"):
        declared(text)


def test_compiled_code_refuses_them() -> None:
    with pytest.raises(udfvm.SignatureError, match="compiled code does not support"):
        udfvm.from_c("void f(void) {}", "f", signature="(decimal128(5, 2)) -> f64")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("NaN", "is not a finite number"),
        ("-Infinity", "is not a finite number"),
        ("1e30", r"has more digits than decimal128\(5, 2\) holds"),
        ("0.001", r"has more digits than decimal128\(5, 2\) holds"),
    ],
)
def test_an_error_says_why_a_decimal_is_none_of_the_type(value: str, reason: str) -> None:
    same = identity(pa.decimal128(5, 2), False)
    with pytest.raises(udfvm.TypeMappingError, match=reason):
        same(Decimal(value))
