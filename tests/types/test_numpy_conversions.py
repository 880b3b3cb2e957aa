"""Arrays of numpy and of Python objects: each value is converted as it would be alone."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from conversion_cases import column

import udfvm
from udfvm.errors import TypeMappingError, UDFError

UTC = datetime.UTC
HOURS = {hours: datetime.timezone(datetime.timedelta(hours=hours)) for hours in (-5, 5)}


def stored(array: pa.Array) -> list[str]:
    kind = array.type
    if pa.types.is_temporal(kind):
        array = array.view(pa.int32() if kind.bit_width == 32 else pa.int64())
    return [
        repr(value) if kind.num_fields == 0 else str(value)
        for value in (array.to_pylist() if not kind.num_fields else array)
    ]


def objects(*values: Any) -> np.ndarray[Any, Any]:
    made = np.empty(len(values), dtype=object)
    for row, value in enumerate(values):
        made[row] = value
    return made


LEAVES: list[Any] = [
    None,
    True,
    np.True_,
    5,
    2**24 + 1,
    2**53 + 1,
    2**63,
    np.int64(2**53 + 1),
    np.uint64(2**64 - 1),
    1.5,
    1e300,
    np.float16(0.5),
    np.float32(0.1),
    np.longdouble(1.5),
    "a",
    "a\0b",
    "\ud800",
    b"a",
    bytearray(b"a"),
    pd.NaT,
    pd.NA,
    datetime.date(2020, 1, 1),
    datetime.datetime(2020, 1, 1),
    datetime.datetime(2020, 1, 1, tzinfo=UTC),
    datetime.datetime.max.replace(tzinfo=HOURS[-5]),
    pd.Timestamp(1),
    pd.Timestamp("2020-01-01", tz="Europe/Paris"),
    np.datetime64(1, "s"),
    np.datetime64(1, "ns"),
    np.datetime64(2**40, "D"),
    np.datetime64("NaT"),
    np.timedelta64(1),
    np.array(5),
    pa.scalar(5),
    pa.scalar(None),
    1j,
    object(),
]
NESTED: list[Any] = [
    None,
    [],
    (),
    [None],
    [5],
    [5, None],
    [5, True],
    [1.5],
    [2**53 + 1],
    ["a"],
    [b"a"],
    [pd.NA],
    [[1]],
    {},
    {"a": 1},
    {"b": [1], "a": 2},
    {"a": 1, "c": 1},
    {"a": "x"},
    {1: 1},
    np.array([1, 2]),
    np.array([2**53 + 1]),
    np.array([[1, 2]]),
    np.array(["a"]),
    range(2),
    pa.scalar([1]),
    pa.scalar(None, pa.list_(pa.int8())),
    [np.datetime64(1, "s")],
    [datetime.datetime(2020, 1, 1)],
]
FLAT = [
    "bool",
    "int8",
    "int64",
    "uint64",
    "float",
    "double",
    "string",
    "binary",
    "date32",
    "timestamp[us]",
    "timestamp[us, tz=UTC]",
]
HOLDING = [
    "list<int64>",
    "list<float>",
    "list<string>",
    "large_list<double>",
    "list<timestamp[us]>",
    "fixed_size_list<int64>[2]",
    "struct<a: int64, b: list<int8>>",
    "list<list<double>>",
]


@pytest.mark.parametrize(
    ("name", "values"), [*((name, LEAVES) for name in FLAT), *((name, NESTED) for name in HOLDING)]
)
def test_each_object_is_converted_as_it_is_alone(name: str, values: list[Any]) -> None:
    alone: list[list[str] | None] = []
    for value in values:
        try:
            alone.append(stored(column(name, objects(value))))
        except TypeMappingError as error:
            assert (error.argument, error.row) == ("x", 0)
            alone.append(None)
    for (one, first), (other, second) in itertools.product(
        zip(values, alone, strict=True), repeat=2
    ):
        if first is not None and second is not None:
            made = column(name, objects(one, other))
            made.validate(full=True)
            assert stored(made) == [*first, *second], (one, other)
        elif first is not None or second is not None:
            with pytest.raises(TypeMappingError, match="argument 'x'") as caught:
                column(name, objects(one, other))
            assert caught.value.row == (1 if second is None else 0), (one, other)


def test_objects_that_would_crash_pyarrow() -> None:
    """pyarrow.array() of a numpy time and a numpy bool ends the process."""
    for values in ((np.datetime64(1, "s"), np.True_), (np.True_, np.datetime64(1, "s"))):
        with pytest.raises(TypeMappingError, match="row"):
            column("bool", objects(*values))


def test_days_out_of_range_of_dates() -> None:
    for days in (2**31, -(2**31) - 1, 2**40, -(2**62)):
        for values in (
            np.array([0, days], "M8[D]"),
            np.ma.masked_array(np.array([0, days], "M8[D]"), [True, False]),
        ):
            for name in ("date32", "date64"):
                with pytest.raises(
                    TypeMappingError, match=rf"row 1: argument .* is {days} days"
                ) as caught:
                    column(name, values)
                assert caught.value.row == 1
    kept = column("date32", np.array([2**31 - 1, -(2**31), "NaT"], "M8[D]"))
    assert stored(kept) == [str(2**31 - 1), str(-(2**31)), "None"]
    hidden = np.ma.masked_array(np.array([0, 2**40], "M8[D]"), [False, True])
    assert stored(column("date32", hidden)) == ["0", "None"]


@pytest.mark.parametrize(
    "dtype", ["M8[10ms]", "M8[2D]", "M8[3s]", "M8[h]", "M8[W]", "M8[as]", "M8"]
)
def test_times_of_unsupported_units(dtype: str) -> None:
    values = np.array([1, 2], "i8").view(dtype)
    for name in ("timestamp[us]", "timestamp[ns, tz=UTC]", "date32", "date64", "int64"):
        with pytest.raises(TypeMappingError, match="argument 'x'"):
            column(name, values)


def test_texts_are_not_cut_at_a_nul() -> None:
    assert column("string", np.array(["a", "b\0c", "\0d"])).to_pylist() == ["a", "b\0c", "\0d"]
    assert column("binary", np.array([b"a", b"b\0c"])).to_pylist() == [b"a", b"b\0c"]
    assert column(
        "string", np.ma.masked_array(np.array(["a", "b"]), [True, False])
    ).to_pylist() == [None, "b"]
    with pytest.raises(TypeMappingError, match=r"row 1: argument .* has the lone surrogate"):
        column("string", np.array(["a", "\ud800"]))


@pytest.mark.parametrize(
    "value",
    [
        datetime.datetime.max.replace(tzinfo=HOURS[-5]),
        datetime.datetime.min.replace(tzinfo=HOURS[5]),
    ],
)
def test_times_that_only_another_zone_can_hold(value: datetime.datetime) -> None:
    function = udfvm.udf(
        lambda x: x,
        name="same",
        input_types=["timestamp[us, tz=UTC]"],
        output_type="timestamp[us, tz=UTC]",
    )
    for argument in (value, objects(value), pd.Timestamp(value)):
        with pytest.raises(TypeMappingError, match="argument 'x'"):
            function(argument)
    naive = udfvm.udf(
        lambda x: x, name="naive", input_types=["timestamp[us]"], output_type="timestamp[us]"
    )
    with pytest.raises(TypeMappingError, match="argument 'x'"):
        naive(pd.Timestamp(np.datetime64("20000-01-01", "us")))


END = 253402300799999999  # the last microsecond of the year 9999


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        (pa.timestamp("us", "+05:00"), [0, END]),
        (pa.timestamp("us", "-05:00"), [0, -62135596800000000]),
        (pa.timestamp("us"), [END, END + 1]),
        (pa.timestamp("ns"), [1000, 1]),
        (pa.date32(), [0, 2**30]),
    ],
    ids=str,
)
def test_times_that_python_cannot_hold_are_refused_as_arguments(
    type_: pa.DataType, values: list[int]
) -> None:
    """In lists and structs too."""
    flat = pa.array(values, pa.int32() if type_ == pa.date32() else pa.int64()).view(type_)
    lists = pa.ListArray.from_arrays(pa.array([0, 0, 1, 2], pa.int32()), flat)
    structs = pa.StructArray.from_arrays([flat, pa.array([1, 2])], names=["a", "b"])
    deep = pa.ListArray.from_arrays(pa.array([0, 1, 2], pa.int32()), structs)
    for array, row in (
        (flat, 1),
        (lists, 2),
        (structs, 1),
        (deep, 1),
        (pa.chunked_array([lists.slice(0, 2), lists.slice(2)]), 2),
    ):
        column(array.type, array)  # vectorised functions take them
        with pytest.raises(
            TypeMappingError,
            match=rf"row {row}: .* (is|holds) {values[1]} .*Python|whole microseconds",
        ) as caught:
            column(array.type, array, vectorized=False)
        assert caught.value.row == row
    column(flat.type, flat.slice(0, 1), vectorized=False)


def test_results_that_python_cannot_hold_are_no_protocol_errors() -> None:
    late = udfvm.udf(
        _last, name="late", input_types=["int64"], output_type="timestamp[us, tz=+05:00]"
    )
    assert late(pa.array([1])).cast(pa.int64()).to_pylist() == [END]
    with pytest.raises(TypeMappingError, match=r"the result is a .*Python cannot hold"):
        late(1)


def _last(x):  # type: ignore[no-untyped-def]
    return datetime.datetime.max.replace(tzinfo=datetime.UTC)


def _texts(x):  # type: ignore[no-untyped-def]
    return np.array(["a", "b\0c"])


def _series(x):  # type: ignore[no-untyped-def]
    import pandas

    return pandas.Series(["a", np.nan], dtype=object)


def _arrays(x):  # type: ignore[no-untyped-def]
    return np.array([np.array([1.5]), None], dtype=object)


def _mixed(x):  # type: ignore[no-untyped-def]
    return np.array([b"a", "b"], dtype=object)


def _day(x):  # type: ignore[no-untyped-def]
    return np.array([datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1, 5)], dtype=object)


def _zones(x):  # type: ignore[no-untyped-def]
    return np.array(
        [datetime.datetime(2020, 1, 1), datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)],
        dtype=object,
    )


def _steps(x):  # type: ignore[no-untyped-def]
    return np.array([1, 2], "M8[10ms]")


def _far(x):  # type: ignore[no-untyped-def]
    return np.array([0, 2**40], "M8[D]")


def _crash(x):  # type: ignore[no-untyped-def]
    return np.array([np.datetime64(1, "s"), np.True_], dtype=object)


def _held(x):  # type: ignore[no-untyped-def]
    return np.array([{"a": 1.0}, {"a": 2**53 + 1}], dtype=object)


def vectorised(function: Callable[..., Any], name: str) -> udfvm.ScalarFunction:
    made: udfvm.ScalarFunction = udfvm.udf(
        function,
        vectorized=True,
        input_types=["int64"],
        output_type=name,
        packages=["numpy", "pandas"],
    )
    return made


@pytest.mark.parametrize(
    ("function", "name", "values"),
    [
        (_texts, "string", ["a", "b\0c"]),
        (_series, "string", ["a", None]),
        (_arrays, "list<double>", [[1.5], None]),
    ],
)
def test_each_result_is_converted_as_it_is_alone(
    function: Callable[..., Any], name: str, values: list[Any]
) -> None:
    assert vectorised(function, name)(pa.array([1, 2])).to_pylist() == values


@pytest.mark.parametrize(
    ("function", "name", "message"),
    [
        (_mixed, "binary", "row 1: .*str"),
        (_day, "date32", "row 1: .*datetime"),
        (_zones, "timestamp[us]", "row 1: .*aware"),
        (_zones, "timestamp[us, tz=UTC]", "row 0: .*naive"),
        (_steps, "timestamp[ms]", "counts in steps"),
        (_far, "date32", "row 1 is "),
        (_crash, "bool", "row 0: "),
        (
            _held,
            "struct<a: double>",
            "row 1: the function returned a value that is no struct<a: double>: field 'a'",
        ),
    ],
)
def test_results_that_are_refused(function: Callable[..., Any], name: str, message: str) -> None:
    with pytest.raises(UDFError, match=message):
        vectorised(function, name)(pa.array([1, 2]))
