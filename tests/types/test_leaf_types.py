"""Times of day, durations, decimals, bytes of a fixed size and small floats come out as they went
in: of scalar and vectorised functions, in lists and structs, as values, in batches and in SQL.
"""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import apsw
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from nested_rows import last
from nested_types import identity

import udfvm
import udfvm.arrow
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
    (
        pa.month_day_nano_interval(),
        [pa.MonthDayNano([14, -3, -1_500_000_001]), pa.MonthDayNano([-(2**31), 0, 2**63 - 1])],
    ),
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
    objects = np.empty(len(values) + 1, dtype=object)
    objects[:] = [*values, None]
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
    if pa.types.is_interval(type_):
        return {14: "P14M-3DT-1.500000001S", -(2**31): "P-2147483648MT9223372036.854775807S"}[
            value.months
        ]
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
        (pa.month_day_nano_interval(), pa.MonthDayNano([2**31, 0, 0])),
        (pa.month_day_nano_interval(), pa.MonthDayNano([0, 0.5, 0])),
        (pa.month_day_nano_interval(), (1, 2, 3)),
        (pa.month_day_nano_interval(), datetime.timedelta(1)),
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

    @udfvm.udf
    def doubled(x: pa.MonthDayNano) -> pa.MonthDayNano:
        return pa.MonthDayNano([x.months * 2, x.days, x.nanoseconds])

    assert doubled(pa.MonthDayNano([1, 2, 3])) == pa.MonthDayNano([2, 2, 3])
    assert later(datetime.time(3), datetime.timedelta(days=2), Decimal("1.25")) == Decimal("6.25")


@pytest.mark.parametrize("vectorized", [True, False])
def test_intervals_everywhere(vectorized: bool) -> None:
    interval = pa.month_day_nano_interval()
    array = pa.array([pa.MonthDayNano([1, -2, 3]), None, pa.MonthDayNano([0, 0, 0])], interval)
    same = identity(interval, vectorized)
    udfvm.arrow.register(None, same, name=f"same_interval_{vectorized}")
    assert pc.call_function(f"same_interval_{vectorized}", [array]).equals(array)
    by_row = identity(interval, False)
    mapped = by_row.map(pa.table({"x": array}), columns=["x"])
    assert mapped.column(mapped.num_columns - 1).combine_chunks().equals(array)
    for backend in (object, pd.ArrowDtype(interval)):
        series = pd.Series(array.to_pylist(), dtype=backend, index=[5, 6, 7])
        result = same(series)
        assert result.dtype == series.dtype and result.index.equals(series.index)
        assert result.tolist()[::2] == array.to_pylist()[::2]
    with pytest.raises(ValueError, match=r"month_interval.*cast it to month_day_nano_interval"):
        declared("month_interval")


def test_functions_refer_to_intervals_and_keep_them_in_states() -> None:
    one = pa.MonthDayNano([1, 0, 0])
    class_ = pa.MonthDayNano

    @udfvm.udf
    def later(x: pa.MonthDayNano) -> pa.MonthDayNano:
        return class_([x.months + one.months, x.days, x.nanoseconds])

    assert later(pa.MonthDayNano([1, 2, 3])) == pa.MonthDayNano([2, 2, 3])
    interval = pa.month_day_nano_interval()
    column = pa.array([pa.MonthDayNano([index, 0, 0]) for index in range(9)], interval)
    table = pa.table({"x": pa.chunked_array([column.slice(0, 4), column.slice(4)])})
    assert last(interval).map(table, threads=2) == pa.MonthDayNano([8, 0, 0])


def test_numpy_functions_get_intervals_as_they_are() -> None:
    def months(x: np.ndarray) -> np.ndarray:
        return np.array([each.months for each in x])

    interval = pa.month_day_nano_interval()
    function = udfvm.udf(vectorized=True, input_types=[interval], output_type="int64")(months)
    assert function(pa.array([pa.MonthDayNano([7, 0, 0])], interval)).to_pylist() == [7]


def test_intervals_in_text() -> None:
    connection = apsw.Connection(":memory:")
    interval, nested = pa.month_day_nano_interval(), pa.list_(pa.month_day_nano_interval())
    udfvm.sqlite.register(connection, identity(interval, False), name="same")
    udfvm.sqlite.register(connection, identity(nested, True), name="listed")
    for text, normal in {
        "P1Y2M3W-4DT5H6M-7.25S": "P14M17DT18352.75S",
        "PT0S": "PT0S",
        "P-1M": "P-1M",
        "PT-0.000000001S": "PT-0.000000001S",
    }.items():
        assert connection.execute("SELECT same(?)", (text,)).fetchone() == (normal,)
        query = "SELECT value FROM vm_map('listed', 'SELECT 1, json_array(' || quote(?) || ')')"
        assert connection.execute(query, (text,)).fetchone() == (f'["{normal}"]',)
    for wrong in ("", "P", "PT", "1M", "P1.5M", "P1MT", "PT1.0000000001S", "P3000000000D"):
        with pytest.raises(apsw.SQLError, match=r"interval|not an integer of 32"):
            connection.execute("SELECT same(?)", (wrong,)).fetchall()


@pytest.mark.parametrize(
    "text",
    ["decimal32(10, 2)", "decimal128(0, 0)", "decimal512(3, 1)", "time32[us]", "month_interval"],
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
        ("1e30", r"is too large for decimal128\(5, 2\), which has 5 digits in all, 2 of them"),
        ("1e300", r"is too large for decimal128\(5, 2\)"),
        ("1000", r"is too large for decimal128\(5, 2\)"),
        (
            "0.001",
            r"has more digits behind the point than the 2 of decimal128\(5, 2\): round it first, as"
            r" value.quantize\(Decimal\('0.01'\)\) does",
        ),
        (f"0.{'1' * 300}", "has more digits behind the point than the 2 of"),
    ],
)
def test_an_error_says_why_a_decimal_is_none_of_the_type(value: str, reason: str) -> None:
    same = identity(pa.decimal128(5, 2), False)
    with pytest.raises(udfvm.TypeMappingError, match=reason):
        same(Decimal(value))


def test_a_loss_is_a_value_error_that_says_how_to_round() -> None:
    @udfvm.udf(input_types=["decimal128(10, 2)"], output_type="decimal128(10, 2)")
    def vat(price):  # type: ignore[no-untyped-def]
        return price * Decimal("0.19")

    for argument in (Decimal("19.99"), pa.array([Decimal("19.99")])):
        with pytest.raises(udfvm.UDFError) as caught:
            vat(argument)
        assert caught.value.guest_type == "ValueError"
        assert caught.value.guest_message == (
            "the function returned a value that its declared result type cannot hold:"
            " Decimal('3.7981') has more digits behind the point than the 2 of"
            " decimal128(10, 2): round it first, as value.quantize(Decimal('0.01')) does"
        )
        assert "_udfvm" not in str(caught.value)


def test_a_single_value_is_in_no_row() -> None:
    @udfvm.udf(output_type="list<decimal128(5, 2)>")
    def prices(n: int):  # type: ignore[no-untyped-def]
        return [Decimal("1.999")] if n else (each for each in range(3))

    for n, reason in (
        (0, "TypeError: {}: expected a list, got generator"),
        (1, "ValueError: {}: item 0: Decimal('1.999') has more digits behind the point than"),
    ):
        made = "the function returned a value that is no list<item: decimal128(5, 2)>"
        with pytest.raises(udfvm.UDFError) as caught:
            prices(n)
        assert str(caught.value).startswith(f"UDF 'prices': {reason.format(made)}")
        assert caught.value.row is None
        with pytest.raises(udfvm.UDFError, match="row 0: ") as caught:
            prices(pa.array([n]))
        assert caught.value.row == 0
    with pytest.raises(udfvm.TypeMappingError, match=r"^UDF 'prices': argument 'n'") as wrong:
        prices(pa.scalar(1.5))
    assert wrong.value.row is None
